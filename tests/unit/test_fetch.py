"""Downloads against a real server: good ones, and each way in which one can go wrong."""

from __future__ import annotations

import socket

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.fetch import FetchError, Http
from file_server import serving

CONTENT = b"0123456789" * 300_000


@pytest.fixture
def server():
    with serving() as files:
        files.files["good"] = CONTENT
        yield files


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "target"
    path.write_bytes(b"older content that is longer than nothing")
    return path


class Pauses(list):
    """Records pauses instead of waiting."""

    def __call__(self, seconds):
        self.append(seconds)


def http(**changes):
    return Http(**{"timeout": 5, "pause": Pauses(), **changes})


def test_a_good_download_replaces_the_content(server, target):
    http().download(f"{server.url}/good", target)
    assert target.read_bytes() == CONTENT


def test_a_download_without_a_length_is_taken_as_it_comes(server, target):
    server.unsized.add("good")
    http().download(f"{server.url}/good", target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("status", "says", "asked"),
    [
        (404, "is not there: HTTP 404", 1),
        (403, "is not there: HTTP 403", 1),
        (410, "is not there: HTTP 410", 1),
        (401, "HTTP 401", 1),
        (500, "HTTP 500 (3 attempts)", 3),
        (503, "HTTP 503 (3 attempts)", 3),
    ],
)
def test_a_refusal_is_final_and_a_busy_server_is_asked_again(server, target, status, says, asked):
    server.broken["good"] = status
    with pytest.raises(FetchError) as err:
        http().download(f"{server.url}/good", target)
    assert str(err.value) == says
    assert server.requests["good"] == asked


def test_a_server_that_recovers_is_waited_for(server, target):
    server.broken["good"] = [503, 502]
    client = http()
    client.download(f"{server.url}/good", target)
    assert target.read_bytes() == CONTENT
    assert client.pause == [1, 2]


def test_a_truncated_download_is_asked_again_and_then_refused(server, target):
    server.truncated.add("good")
    with pytest.raises(FetchError) as err:
        http(timeout=2).download(f"{server.url}/good", target)
    assert "truncated: 3000000 of 3000010 bytes arrived (3 attempts)" in str(err.value)
    assert server.requests["good"] == 3


def test_a_retry_starts_from_an_empty_file(server, target):
    server.files["short"] = b"ab"
    server.truncated.add("short")
    with pytest.raises(FetchError):
        http(timeout=1).download(f"{server.url}/short", target)
    assert target.read_bytes() == b"ab"


def test_more_than_the_pinned_size_is_not_even_downloaded(server, target):
    with pytest.raises(FetchError, match="is larger than the 1000 bytes that are pinned"):
        http().download(f"{server.url}/good", target, limit=1000)
    assert server.requests["good"] == 1
    assert target.stat().st_size <= 1000


def test_exactly_the_pinned_size_is_fine(server, target):
    http().download(f"{server.url}/good", target, limit=len(CONTENT))
    assert target.stat().st_size == len(CONTENT)


def test_a_silent_server_is_given_up(server, target):
    server.slow["good"] = 1
    with pytest.raises(FetchError, match="timed out") as err:
        http(timeout=0.1, attempts=2).download(f"{server.url}/good", target)
    assert "(2 attempts)" in str(err.value)


def test_a_dripping_server_is_given_up_at_the_deadline(server, target):
    server.files["drip"] = b"x" * 200
    server.dripping["drip"] = 0.01
    ticks = iter(range(0, 10_000, 10))
    with pytest.raises(FetchError, match="bytes arrived in 5 s"):
        http(deadline=5, attempts=1, clock=lambda: next(ticks)).download(f"{server.url}/drip", target)


def test_nobody_listens(target):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    client = http()
    with pytest.raises(FetchError, match=r"does not answer: .*refused.*3 attempts"):
        client.download(f"http://127.0.0.1:{port}/good", target)
    assert client.pause == [1, 2]


def test_an_unknown_host_is_named(target):
    with pytest.raises(FetchError, match="does not answer"):
        http(attempts=1).download("http://mirror.invalid/good", target)


@pytest.mark.parametrize("address", ["http://[broken/good", "no address", "http://host:port/good"])
def test_what_is_no_address_is_said_so(target, address):
    with pytest.raises(FetchError, match=r"is no usable address|does not answer"):
        http(attempts=1).download(address, target)


def test_the_message_does_not_carry_the_address(server, target):
    server.broken["good"] = 404
    with pytest.raises(FetchError) as err:
        http().download(f"{server.url.replace('//', '//user:hidden@')}/good", target)
    assert "hidden" not in str(err.value)


def test_a_full_disk_is_an_error_of_the_disk_and_not_of_the_server(server, tmp_path):
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        http().download(f"{server.url}/good", full)
    assert server.requests["good"] == 1
