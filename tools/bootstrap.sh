#!/usr/bin/env bash
# Brings a fresh Debian 12 or 13 machine to where `make up` can work: packages, container engine, Python environment.
# Installs only what is missing, is safe to repeat, and says in one line what to do when it can't go on.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/rsp-platform
uv_version=0.13.9
# A first run builds artifacts from source; a repeated one has them.
need_disk_mb=$([ -d .venv ] && echo 2000 || echo 10000)
need_memory_mb=6000

stop() { echo "bootstrap: $*" >&2; exit 1; }
say() { echo "bootstrap: $*"; }

check_machine() {
    [ "$(id -u)" = 0 ] || stop "root is needed to install packages and to run containers: use sudo make up"
    # shellcheck source=/dev/null
    . "${OS_RELEASE:-/etc/os-release}"
    case "${ID:-}-${VERSION_ID:-}" in
        debian-12 | debian-13) ;;
        *) stop "this system (${PRETTY_NAME:-unknown}) is not supported: use Debian 12 or 13" ;;
    esac
    mkdir -p "$cache"
    local place free memory
    for place in "$cache" /var/lib; do
        free=$(df --output=avail --block-size=1M "$place" | tail -n 1)
        [ "$free" -ge "$need_disk_mb" ] || stop "${free// /} MiB are free at $place, $need_disk_mb are needed: free some space"
    done
    memory=$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
    [ "$memory" -ge "$need_memory_mb" ] || stop "this machine has $memory MiB of memory, $need_memory_mb are needed: use a larger one"
}

engine_answers() { docker info >/dev/null 2>&1; }

missing_packages() {
    command -v docker >/dev/null && engine_answers || command -v dockerd >/dev/null || echo docker.io
    # Debian 13 packs the client apart.
    command -v docker >/dev/null || [ -z "$(apt-cache search --names-only '^docker-cli$')" ] || echo docker-cli
    command -v iptables >/dev/null || echo iptables
    command -v mmdebstrap >/dev/null || echo mmdebstrap
    command -v ssh-keygen >/dev/null || echo openssh-client
    /usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    [ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
}

install_packages() {
    local packages
    packages=$(missing_packages | sort -u | tr '\n' ' ')
    [ -n "${packages// /}" ] || return 0
    say "installing $packages"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq -o DPkg::Lock::Timeout=300 update || stop "apt-get update failed: see above, check /etc/apt and the network"
    # The list may name more once the archive is known.
    packages=$(missing_packages | sort -u | tr '\n' ' ')
    # shellcheck disable=SC2086 # a list of words
    apt-get -qq -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends $packages >"$cache/apt.log" 2>&1 ||
        stop "apt-get install $packages failed: see $cache/apt.log"
}

start_engine() {
    engine_answers && return 0
    if [ -d /run/systemd/system ]; then
        systemctl start docker || stop "docker.service does not start: see journalctl -u docker"
    else
        say "no init runs here, starting dockerd; its log is $cache/dockerd.log"
        setsid dockerd --pidfile "$cache/dockerd.pid" >"$cache/dockerd.log" 2>&1 </dev/null &
    fi
    for _ in $(seq 120); do
        engine_answers && return 0
        sleep 0.5
    done
    stop "the container engine does not answer: see $cache/dockerd.log or journalctl -u docker"
}

# Every systemd watches files; the usual 128 instances run out at about ten hosts.
raise_limits() {
    local limit=/proc/sys/fs/inotify/max_user_instances
    [ "$(cat $limit)" -ge 2048 ] || echo 2048 2>/dev/null >$limit ||
        say "fs.inotify.max_user_instances can't be raised to 2048 here: more than ten containers may not start"
}

provide_python() {
    local uv=$cache/uv/bin/uv
    if [ "$("$uv" --version 2>/dev/null | cut -d ' ' -f 2)" != "$uv_version" ]; then
        say "installing uv $uv_version"
        /usr/bin/python3 -m venv --clear "$cache/uv"
        "$cache/uv/bin/python" -m pip --quiet --disable-pip-version-check install "uv==$uv_version" ||
            stop "uv can't be installed from PyPI: check the network, or name your mirror in /etc/pip.conf"
    fi
    export UV_CACHE_DIR=$cache/uv-cache UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=true UV_PROJECT_ENVIRONMENT=$PWD/.venv
    "$uv" sync --frozen --quiet --python /usr/bin/python3 || stop "uv sync failed: see above"
}

check_machine
install_packages
start_engine
raise_limits
provide_python
