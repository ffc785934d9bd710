"""The S3 client: signatures against the published example, buckets as data, and a round trip that must be refused."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.rsp.platform.plugins.module_utils.backup_job.bucket import BucketStore
from ansible_collections.rsp.platform.plugins.module_utils.http_client import Connection
from ansible_collections.rsp.platform.plugins.module_utils.s3 import bucket, probe, purge
from ansible_collections.rsp.platform.plugins.module_utils.s3.bucket import Bucket
from ansible_collections.rsp.platform.plugins.module_utils.s3.client import Answer, S3Client, S3Error, Version
from ansible_collections.rsp.platform.plugins.module_utils.s3.options import s3_options
from ansible_collections.rsp.platform.plugins.module_utils.s3.sign import Account, Request, canonical_query, signed
from ansible_collections.rsp.platform.plugins.module_utils.state import DriverError
from ansible_collections.rsp.platform.plugins.modules import s3_bucket, s3_probe
from module_call import call

EXAMPLE = Account("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1")
MAY_2013 = datetime(2013, 5, 24, tzinfo=UTC)
CONNECTION = {"url": "https://10.0.2.12:7443", "access": "admin", "secret": "canary-secret"}
NS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


# Signatures


@pytest.mark.parametrize(
    ("request_", "signature"),
    [
        (
            Request("GET", "examplebucket.s3.amazonaws.com", "/test.txt", headers={"Range": "bytes=0-9"}),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            Request(
                "PUT",
                "examplebucket.s3.amazonaws.com",
                "/test$file.text",
                headers={"Date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
                body=b"Welcome to Amazon S3.",
            ),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            Request("GET", "examplebucket.s3.amazonaws.com", "/", {"lifecycle": ""}),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            Request("GET", "examplebucket.s3.amazonaws.com", "/", {"max-keys": "2", "prefix": "J"}),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_the_examples_of_the_specification(request_, signature):
    assert signed(request_, EXAMPLE, MAY_2013)["authorization"].endswith(f"Signature={signature}")


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({}, ""),
        ({"versioning": ""}, "versioning="),
        ({"b": "2", "a": "1"}, "a=1&b=2"),
        ({"prefix": "a b/c"}, "prefix=a%20b%2Fc"),
        ({"k": "~-_."}, "k=~-_."),
    ],
)
def test_queries_have_one_form(query, text):
    assert canonical_query(query) == text


def test_keys_are_quoted_once_and_slashes_stay():
    assert Request("GET", "h", "/b/a b/ü", {"x": "1"}).target == "/b/a%20b/%C3%BC?x=1"


def test_secrets_are_in_no_repr():
    assert "canary" not in repr(Account("a", "canary"))
    assert "secret" not in str(signed(Request("GET", "h", "/"), EXAMPLE, MAY_2013)).lower()


# A store in memory


class Store:
    """A bucket store as S3 has it: versions, markers, locks, policies. `lock_holds` False is the planted violation."""

    def __init__(self, lock_holds=True, lose_writes=False, page=1000):
        self.buckets, self.requests, self.number = {}, [], 0
        self.lock_holds, self.lose_writes, self.page = lock_holds, lose_writes, page

    def __call__(self, request, headers):
        self.requests.append((request, headers))
        _, name, *rest = request.path.split("/", 2)
        key = rest[0] if rest else ""
        kind = f"{request.method} {'object' if key else next(iter(request.query), 'bucket')}"
        handler = getattr(self, kind.lower().replace(" ", "_").replace("-", "_"), None)
        if handler is None:
            return self.error(501, "NotImplemented")
        if name not in self.buckets and kind != "PUT bucket":
            return self.error(404, "NoSuchBucket")
        return handler(self.buckets.get(name), name, key, request)

    @staticmethod
    def error(status, code):
        return Answer(status, f"<Error {NS}><Code>{code}</Code></Error>".encode())

    def put_bucket(self, found, name, _key, request):
        if found is not None:
            return self.error(409, "BucketAlreadyOwnedByYou")
        locked = request.headers.get("x-amz-bucket-object-lock-enabled") == "true"
        self.buckets[name] = {"versioning": locked, "lock": "" if locked else None, "policy": None, "objects": []}
        self.buckets[name]["place"] = request.body.decode()
        return Answer(200, b"")

    def head_bucket(self, _found, _name, _key, _request):
        return Answer(200, b"")

    def get_versioning(self, found, _name, _key, _request):
        status = "<Status>Enabled</Status>" if found["versioning"] else ""
        return Answer(200, f"<VersioningConfiguration {NS}>{status}</VersioningConfiguration>".encode())

    def put_versioning(self, found, _name, _key, request):
        found["versioning"] = b"Enabled" in request.body
        return Answer(200, b"")

    def get_object_lock(self, found, _name, _key, _request):
        if found["lock"] is None:
            return self.error(404, "ObjectLockConfigurationNotFoundError")
        return Answer(200, f"<ObjectLockConfiguration {NS}>{found['lock']}</ObjectLockConfiguration>".encode())

    def put_object_lock(self, found, _name, _key, request):
        text = request.body.decode()
        found["lock"] = text[text.index(">") + 1 : text.rindex("</")]
        return Answer(200, b"")

    def get_policy(self, found, _name, _key, _request):
        return Answer(200, found["policy"]) if found["policy"] else self.error(404, "NoSuchBucketPolicy")

    def put_policy(self, found, _name, _key, request):
        found["policy"] = request.body
        return Answer(204, b"")

    def delete_policy(self, found, _name, _key, _request):
        found["policy"] = None
        return Answer(204, b"")

    def put_object(self, found, _name, key, request):
        assert request.headers["content-md5"], "a locked bucket asks for it"
        self.number += 1
        version = f"v{self.number}" if found["versioning"] else ""
        if not found["versioning"]:
            found["objects"] = [entry for entry in found["objects"] if entry[0] != key]
        if not self.lose_writes:
            found["objects"].append((key, version, request.body, False))
        return Answer(200, b"", {"x-amz-version-id": version} if version else {})

    def newest(self, found, key):
        return next((entry for entry in reversed(found["objects"]) if entry[0] == key), None)

    def get_object(self, found, _name, key, request):
        wanted = request.query.get("versionId")
        there = [e for e in found["objects"] if e[1] == wanted]
        entry = next(iter(there), None) if wanted else self.newest(found, key)
        return self.error(404, "NoSuchKey") if entry is None or entry[3] else Answer(200, entry[2])

    def head_object(self, found, _name, key, _request):
        entry = self.newest(found, key)
        if entry is None or entry[3]:
            return self.error(404, "NoSuchKey")
        return Answer(200, b"", {"content-length": str(len(entry[2]))})

    def delete_object(self, found, _name, key, request):
        wanted = request.query.get("versionId")
        if wanted:
            if found["lock"] and self.lock_holds is True:
                return self.error(403, "AccessDenied")
            if (
                found["lock"]
                and self.lock_holds == "bypass"
                and "x-amz-bypass-governance-retention" not in request.headers
            ):
                return self.error(403, "AccessDenied")
            found["objects"] = [entry for entry in found["objects"] if entry[1] != wanted]
        elif found["versioning"]:
            self.number += 1
            found["objects"].append((key, f"m{self.number}", b"", True))
        else:
            found["objects"] = [entry for entry in found["objects"] if entry[0] != key]
        return Answer(204, b"")

    def get_versions(self, found, _name, _key, request):
        entries = [entry for entry in found["objects"] if entry[0].startswith(request.query["prefix"])]
        first = 0
        if request.query.get("version-id-marker"):
            first = [entry[1] for entry in entries].index(request.query["version-id-marker"]) + 1
        shown = entries[first : first + self.page]
        rows = "".join(self.row(found, entry) for entry in shown)
        more = first + self.page < len(entries)
        marker = (
            f"<NextKeyMarker>{shown[-1][0]}</NextKeyMarker><NextVersionIdMarker>{shown[-1][1]}</NextVersionIdMarker>"
        )
        tail = f"<IsTruncated>{str(more).lower()}</IsTruncated>{marker if more else ''}"
        return Answer(200, f"<ListVersionsResult {NS}>{rows}{tail}</ListVersionsResult>".encode())

    def row(self, found, entry):
        tag = "DeleteMarker" if entry[3] else "Version"
        latest = str(self.newest(found, entry[0]) is entry).lower()
        inner = f"<Key>{entry[0]}</Key><VersionId>{entry[1]}</VersionId><IsLatest>{latest}</IsLatest>"
        return f"<{tag}>{inner}<LastModified>2026-11-25T09:30:00.5Z</LastModified><Size>{len(entry[2])}</Size></{tag}>"


def client(store):
    return S3Client(Connection(CONNECTION["url"]), Account("admin", "canary-secret"), store)


LOCKED = {"name": "b", "lock_mode": "COMPLIANCE", "lock_days": 7, "writers": ["w"], "readers": ["r"]}
PLAIN = {"name": "p", "versioning": False}


# Client


def test_an_error_has_the_stores_word_and_no_secret():
    with pytest.raises(S3Error) as caught:
        client(Store()).call("GET", "gone", "a key")
    assert str(caught.value) == "GET https://10.0.2.12:7443/gone/a%20key: 404 NoSuchBucket"
    assert (caught.value.status, caught.value.code) == (404, "NoSuchBucket")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "no XML"),
        (b"plain", "no XML"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><x/>', "declarations"),
        (b"<a>", "no XML"),
    ],
)
def test_what_is_no_xml_of_s3(body, text):
    with pytest.raises(DriverError, match=text):
        Answer(200, body).xml()


def test_an_error_without_xml_keeps_its_status():
    with pytest.raises(S3Error, match=r"503$"):
        S3Client(Connection("https://h:1"), EXAMPLE, lambda _r, _h: Answer(503, b"busy")).call("GET", "b")


def test_nobody_answers():
    def refuse(_request, _headers):
        raise ConnectionRefusedError(111, "Connection refused")

    with pytest.raises(DriverError, match="Connection refused"):
        S3Client(Connection("https://h:1"), EXAMPLE, refuse).call("GET", "b")


@pytest.mark.parametrize("page", [1, 2, 3, 1000])
def test_versions_page_by_page(page):
    store = Store(page=page)
    one = client(store)
    bucket.apply(one, bucket.wanted_from(LOCKED), "us-east-1")
    for key in ("a/1", "a/2", "b/1", "a/1"):
        one.call("PUT", "b", key, body=b"x")
    one.call("DELETE", "b", "a/2")
    found = list(one.versions("b", "a/"))
    assert [(v.key, v.version, v.latest, v.marker) for v in found] == [
        ("a/1", "v1", False, False),
        ("a/2", "v2", False, False),
        ("a/1", "v4", True, False),
        ("a/2", "m5", True, True),
    ]
    assert found[0].modified == datetime(2026, 11, 25, 9, 30, 0, 500000, tzinfo=UTC)


def test_a_body_is_sent_with_its_hashes():
    store = Store()
    one = client(store)
    bucket.apply(one, bucket.wanted_from(PLAIN), "us-east-1")
    one.call("PUT", "p", "k", body=b"content")
    request, headers = store.requests[-1]
    assert headers["x-amz-content-sha256"] == hashlib.sha256(b"content").hexdigest()
    assert request.headers["content-md5"] == base64.b64encode(hashlib.md5(b"content").digest()).decode()
    assert "canary" not in str(headers)


def test_an_endpoint_below_a_path():
    seen = []

    def exchange(request, _headers):
        seen.append(request.target)
        return Answer(200, b"")

    S3Client(Connection("https://h:1/s3/"), EXAMPLE, exchange).call("GET", "b", "k")
    assert seen == ["/s3/b/k"]


# Buckets


@pytest.mark.parametrize(
    ("wanted", "actual", "kinds"),
    [
        (LOCKED, None, ["create", "lock", "policy"]),
        (PLAIN, None, ["create"]),
        ({"name": "v"}, None, ["create", "versioning"]),
        ({"name": "v"}, Bucket("v", True), []),
        ({"name": "v"}, Bucket("v", False), ["versioning"]),
        ({"name": "v", "versioning": False}, Bucket("v", True), ["versioning"]),
        ({"name": "v", "writers": ["w"]}, Bucket("v"), ["policy"]),
        ({"name": "v"}, Bucket("v", policy={"Statement": [{"Effect": "Allow"}]}), ["policy"]),
        (LOCKED, Bucket("b", True, "COMPLIANCE", 6, bucket.policy_of("b", ["w"], ["r"])), ["lock"]),
        (LOCKED, Bucket("b", True, "GOVERNANCE", 7, bucket.policy_of("b", ["w"], ["r"])), ["lock"]),
        (LOCKED, Bucket("b", True, "COMPLIANCE", 7, bucket.policy_of("b", ["w"], ["r"])), []),
        (LOCKED, Bucket("b", True, "COMPLIANCE", 7, bucket.policy_of("b", ["w"], [])), ["policy"]),
    ],
)
def test_what_a_bucket_needs(wanted, actual, kinds):
    assert [step.kind for step in bucket.plan(bucket.wanted_from(wanted), actual)] == kinds


def test_a_lock_can_not_be_had_afterwards():
    with pytest.raises(DriverError, match="was made without object lock"):
        bucket.plan(bucket.wanted_from(LOCKED), Bucket("b", versioning=False))


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({**LOCKED, "lock_days": 0}, "needs lock_days"),
        ({**LOCKED, "versioning": False}, "versioning must be true"),
    ],
)
def test_data_that_contradict_themselves(entry, text):
    with pytest.raises(DriverError, match=text):
        bucket.wanted_from(entry)


def test_the_order_of_a_policy_does_not_matter():
    policy = bucket.policy_of("b", ["w"], ["r"])
    turned = {"Version": "x", "Statement": [dict(reversed(s.items())) for s in reversed(policy["Statement"])]}
    turned["Statement"][0]["Principal"] = "r"
    turned["Statement"][0]["Resource"] = turned["Statement"][0]["Resource"][0]
    actual = Bucket("b", True, "COMPLIANCE", 7, turned)
    assert bucket.plan(bucket.wanted_from(LOCKED), actual) == []


def test_writers_destroy_nothing():
    statements = bucket.policy_of("b", ["w"], [])["Statement"]
    allowed = {action for statement in statements for action in statement["Action"]}
    assert not any(word in action for action in allowed for word in ("DeleteObjectVersion", "Bypass", "PutBucket", "*"))
    assert {statement["Effect"] for statement in statements} == {"Allow"}
    assert bucket.policy_of("b", [], []) is None


@pytest.mark.parametrize("entry", [LOCKED, PLAIN, {"name": "v"}, {"name": "w", "writers": ["x"]}])
def test_a_bucket_is_made_once(entry):
    store = Store()
    wanted = bucket.wanted_from(entry)
    predicted = bucket.apply(client(store), wanted, "us-east-1", check=True)
    assert not store.buckets
    assert bucket.apply(client(store), wanted, "us-east-1") == predicted
    assert bucket.apply(client(store), wanted, "us-east-1") == []
    assert bucket.read(client(store), wanted.name) == wanted


@pytest.mark.parametrize(("region", "named"), [("us-east-1", False), ("ru-central1", True)])
def test_a_region_is_named_where_it_must_be(region, named):
    store = Store()
    bucket.apply(client(store), bucket.wanted_from(PLAIN), region)
    assert (region in store.buckets["p"]["place"]) is named


def test_a_policy_goes_with_its_accounts():
    store = Store()
    bucket.apply(client(store), bucket.wanted_from(LOCKED), "us-east-1")
    steps = bucket.apply(client(store), replace(bucket.wanted_from(LOCKED), policy=None), "us-east-1")
    assert [step.kind for step in steps] == ["policy"]
    assert store.buckets["b"]["policy"] is None


def test_a_step_that_is_refused_says_which():
    class Refusing(Store):
        def put_policy(self, *_given):
            return self.error(403, "AccessDenied")

    with pytest.raises(DriverError, match=r"bucket b: who may do what: .*403 AccessDenied"):
        bucket.apply(client(Refusing()), bucket.wanted_from(LOCKED), "us-east-1")


# Proof


def proved(store, entry, locked):
    one = client(store)
    bucket.apply(one, bucket.wanted_from(entry), "us-east-1")
    return probe.prove(one, entry["name"], "rsp-probe/x", "token", locked)


def test_a_lock_that_holds_is_seen_to_hold():
    assert proved(Store(), LOCKED, True) == probe.Proof("v1", "AccessDenied")


def test_a_bucket_without_a_lock_is_not_asked():
    assert proved(Store(), PLAIN, False) == probe.Proof("", "")


@pytest.mark.parametrize(
    ("store", "entry", "text"),
    [
        (Store(lock_holds=False), LOCKED, "version v1 was deleted: the object lock does not hold"),
        (Store(lock_holds="bypass"), LOCKED, "was deleted with a bypass of the lock"),
        (Store(), PLAIN, "the write made no version"),
        (Store(lose_writes=True), LOCKED, "404 NoSuchKey"),
    ],
)
def test_planted_violations_are_found(store, entry, text):
    with pytest.raises(DriverError, match=text):
        proved(store, entry, True)


def test_another_content_is_found():
    class Turning(Store):
        def get_object(self, *given):
            answer = super().get_object(*given)
            return replace(answer, body=answer.body[::-1])

    with pytest.raises(DriverError, match="another content came back"):
        proved(Turning(), LOCKED, True)


def test_a_deletion_that_hides_nothing_is_found():
    class Keeping(Store):
        def delete_object(self, found, name, key, request):
            if request.query.get("versionId"):
                return super().delete_object(found, name, key, request)
            return Answer(204, b"")

    with pytest.raises(DriverError, match="still there after its deletion"):
        proved(Keeping(), LOCKED, True)


def test_an_outage_is_no_refusal():
    class Down(Store):
        def delete_object(self, *_given):
            return self.error(503, "SlowDown")

    with pytest.raises(S3Error, match="503 SlowDown"):
        proved(Down(), LOCKED, True)


# Snapshots in a bucket


def test_snapshots_below_a_prefix():
    store = Store()
    bucket.apply(client(store), bucket.wanted_from(LOCKED), "us-east-1")
    kept = BucketStore(client(store), "b", "snapshots/")
    client(store).call("PUT", "b", "rsp-probe/x", body=b"other")
    assert kept.put("one", b"data") == "v2"
    kept.put("two", b"more")
    assert sorted(kept.names()) == ["one", "two"]
    assert kept.get("one") == b"data"
    kept.hide("one")
    assert list(kept.names()) == ["two"]
    assert [entry[0] for entry in store.buckets["b"]["objects"]].count("snapshots/one") == 2


def test_a_snapshot_that_did_not_come_whole():
    class Short(Store):
        def head_object(self, *given):
            return replace(super().head_object(*given), headers={"content-length": "1"})

    store = Short()
    bucket.apply(client(store), bucket.wanted_from(LOCKED), "us-east-1")
    with pytest.raises(DriverError, match="the bucket has 1 of 4 bytes"):
        BucketStore(client(store), "b", "").put("one", b"data")


# Modules


@pytest.fixture
def served(monkeypatch):
    """The modules' connection leads to a store in memory."""
    store = Store()
    monkeypatch.setattr(S3Client, "from_params", classmethod(lambda _cls, _params: client(store)))
    return store


def test_the_module_of_buckets(served, capsys):
    given = {"connection": CONNECTION, "buckets": [LOCKED]}
    predicted = call(s3_bucket.main, capsys, check=True, **given)
    made = call(s3_bucket.main, capsys, **given)
    assert (predicted["changed"], predicted["steps"]) == (made["changed"], made["steps"]) == (True, made["steps"])
    assert made["steps"]["b"][0] == "make bucket b with object lock"
    assert call(s3_bucket.main, capsys, **given)["changed"] is False
    assert "canary" not in json.dumps(made)
    assert served.buckets["b"]["versioning"]


def test_a_fresh_store_is_not_asked_in_check_mode(monkeypatch, capsys):
    monkeypatch.setattr(S3Client, "from_params", classmethod(lambda _cls, _params: pytest.fail("asked")))
    result = call(s3_bucket.main, capsys, check=True, connection=CONNECTION, buckets=[LOCKED], fresh=True)
    assert (result["changed"], len(result["steps"]["b"])) == (True, 3)


def test_the_module_refuses_contradictions(served, capsys):
    result = call(s3_bucket.main, capsys, connection=CONNECTION, buckets=[{**LOCKED, "lock_days": 0}])
    assert result["failed"]
    assert not served.buckets


def test_the_module_of_the_proof(served, capsys):
    call(s3_bucket.main, capsys, connection=CONNECTION, buckets=[LOCKED, PLAIN])
    asked = [{"name": "b", "locked": True}, {"name": "p"}]
    result = call(s3_probe.main, capsys, connection=CONNECTION, buckets=asked, key="k")
    assert (result["changed"], result["checked"]) == (False, 2)
    assert result["refused"] == {"b": "AccessDenied", "p": ""}
    served.lock_holds = False
    assert call(s3_probe.main, capsys, connection=CONNECTION, buckets=asked, key="k")["failed"]


def test_a_proof_in_check_mode_asks_nobody(served, capsys):
    result = call(s3_probe.main, capsys, check=True, connection=CONNECTION, buckets=[{"name": "b"}], key="k")
    assert (result["checked"], served.requests) == (0, [])


def test_the_secret_is_kept_out_of_logs():
    assert s3_options()["options"]["secret"]["no_log"] is True


# The purge

DAY_ONE = datetime(2026, 11, 1, tzinfo=UTC)


def v(key, day, latest=False, marker=False):
    """A version of a key, written on a day; its name says which."""
    return Version(key, f"{key}{day}", DAY_ONE + timedelta(days=day), latest, marker, 0 if marker else 10)


@pytest.mark.parametrize(
    ("versions", "gone"),
    [
        ([v("a", 0, latest=True)], []),
        ([v("a", 0), v("a", 25, latest=True)], []),
        ([v("a", 0), v("a", 20, latest=True)], ["a0"]),
        ([v("a", 0), v("a", 1), v("a", 25, latest=True)], ["a0"]),
        ([v("a", 0), v("a", 20, latest=True, marker=True)], ["a0", "a20"]),
        ([v("a", 0), v("a", 29, latest=True, marker=True)], []),
        ([v("a", 3, latest=True, marker=True)], ["a3"]),
        ([v("a", 0), v("a", 5, marker=True), v("a", 6, latest=True)], ["a0", "a5"]),
        ([v("b", 0), v("b", 9, latest=True, marker=True), v("a", 0, latest=True)], ["b0", "b9"]),
        ([], []),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_what_has_been_hidden_for_a_week_goes(versions, gone, order):
    found = purge.surplus(versions[::order], DAY_ONE + timedelta(days=30), 7)
    said = [each.version for going in found for each in (*going.versions, *([going.marker] if going.marker else []))]
    assert said == gone
    assert not any(version.latest and not version.marker for going in found for version in going.versions)


class Kept:
    """A bucket with old versions, of which some are locked."""

    def __init__(self, versions, locked=(), status=403):
        self.there, self.locked, self.status = {each.version: each for each in versions}, set(locked), status

    def versions(self, _bucket, _prefix=""):
        return iter(list(self.there.values()))

    def call(self, method, bucket, key, *, query):
        assert method == "DELETE", "it does nothing else"
        if query["versionId"] in self.locked:
            raise S3Error(f"DELETE {bucket}/{key}: {self.status} AccessDenied", self.status, "AccessDenied")
        assert self.there.pop(query["versionId"]).key == key


OLD = [v("a", 0), v("a", 1), v("a", 2, latest=True, marker=True), v("b", 0), v("b", 3, latest=True)]
LATER = DAY_ONE + timedelta(days=30)


def test_what_is_seen_stays():
    store = Kept(OLD)
    assert purge.purge(store, "bucket", LATER, 7) == purge.Purged("bucket", removed=4, bytes=30, locked=0)
    assert set(store.there) == {"b3"}
    assert purge.purge(store, "bucket", LATER, 7).removed == 0


def test_a_locked_version_stays_and_so_does_what_hides_it():
    """Without its marker a deleted object would be seen again."""
    store = Kept(OLD, locked={"a1"})
    assert purge.purge(store, "bucket", LATER, 7) == purge.Purged("bucket", removed=2, bytes=20, locked=1)
    assert set(store.there) == {"a1", "a2", "b3"}


def test_an_outage_is_no_lock():
    with pytest.raises(S3Error, match="503"):
        purge.purge(Kept(OLD, locked={"a0"}, status=503), "bucket", LATER, 7)


@pytest.mark.parametrize(("days", "left"), [(7, {"b3"}), (0, {"a0", "a1", "a2", "b0", "b3"})])
def test_the_program_goes_over_every_bucket(days, left, tmp_path, monkeypatch, capsys):
    stores = Kept(OLD)
    monkeypatch.setattr(purge.S3Client, "from_params", lambda _params: stores)
    path = tmp_path / "purge.json"
    path.write_text(json.dumps({"connection": {}, "buckets": ["x"], "hidden_days": days}), encoding="utf-8")
    assert purge.main([str(path)]) == 0
    assert set(stores.there) == left
    assert ('"removed": 4' in capsys.readouterr().out) is (days > 0)


def test_a_bucket_that_fails_does_not_keep_the_others_from_theirs(tmp_path, monkeypatch, capsys):
    class Broken(Kept):
        def versions(self, bucket, _prefix=""):
            if bucket == "x":
                raise DriverError("no answer")
            return super().versions(bucket)

    stores = Broken(OLD)
    monkeypatch.setattr(purge.S3Client, "from_params", lambda _params: stores)
    path = tmp_path / "purge.json"
    path.write_text(json.dumps({"connection": {}, "buckets": ["x", "y"], "hidden_days": 7}), encoding="utf-8")
    assert purge.main([str(path)]) == 1
    assert set(stores.there) == {"b3"}
    assert "x: no answer" in capsys.readouterr().err
