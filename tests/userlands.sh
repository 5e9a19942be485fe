#!/usr/bin/env bash
# Proves the deb on an older and a newer Debian than the one that tests/packages.sh boots: a root of each, made with
# debootstrap, in which apt installs it, the program runs, and apt removes and purges it. Needs root.
#
#     tests/userlands.sh [DIRECTORY]     with the packages of packaging/build.sh (default: target/packages)
#
# The roots are made once, beside the machine of tests/machine.sh, and every run has copies of its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# whatever is mounted here, by debootstrap too, is gone with this script
[ "${1:-}" = --mounted-apart ] || exec unshare --mount --propagation private "tests/${BASH_SOURCE[0]##*/}" --mounted-apart "$@"
shift
. tests/machine.sh

need debootstrap:debootstrap
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -1)
deb=${1:-$target/packages}/hypercloud-etcd_${version}_amd64.deb
[ -s "$deb" ] || fail "there is no $deb; build it with: packaging/build.sh"
# two at a time, and no program of theirs outlives a failure
proofs=()
at_the_end() {
    local proof
    for proof in "${proofs[@]}"; do kill -- "-$proof" 2>/dev/null || true; done
    wait
    awk -v work="$work/" 'index($2, work) == 1 { print $2 }' /proc/self/mounts | sort -r | xargs -r umount
    rm -rf --one-file-system "$work"
}
trap at_the_end EXIT

uri=$(mirror)
[ -n "$uri" ] || { retry apt-get -qq update && uri=$(mirror); }
[ -n "$uri" ] || fail "apt knows no source of bookworm, where the others would be, too"

# made RELEASE: the root of that Debian, from the mirror or from an earlier run
made() {
    [ ! -e "$base/$1" ] || return 0
    retry bootstrap "$1" "$work/$1.made" "$uri" || fail "debootstrap: see $base/$1.log"
    rm -rf "$work/$1.made"/var/{cache/apt/archives/*.deb,lib/apt/lists/*}
    mv "$work/$1.made" "$base/$1"
}

# run_in ROOT COMMAND…: there, as on a host without systemd
run_in() {
    local root=$1
    shift
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@" </dev/null
}

# prove RELEASE: the life of the package there
prove() {
    local root=$work/$1 said=$work/$1.said code=0
    made "$1"
    cp -a --reflink=auto "$base/$1" "$root"
    mount -t proc proc "$root/proc"
    cp "$deb" "$root/package.deb"
    run_in "$root" apt-get -qq install -y /package.deb >"$said" 2>&1 || { cat "$said"; fail "$1: apt-get install"; }
    for line in 'made /mnt/backup (root, mode 700)' 'not started: no kubeadm control plane here'; do
        grep -F "$line" "$said" >/dev/null || { cat "$said"; fail "$1: not said: $line"; }
    done
    [ "$(stat -c '%a %u' "$root/mnt/backup")" = "700 0" ] || fail "$1: the mode of /mnt/backup"
    [ -L "$root/etc/systemd/system/multi-user.target.wants/hypercloud-etcd.service" ] || fail "$1: it is not enabled"

    printf '[etcd]\nendpoints = ["http://127.0.0.1:1"]\n[backup]\nreserve = "1MiB"\n' >"$root/etc/hypercloud-etcd/config.toml"
    run_in "$root" hypercloud-etcd --version | grep -F "hypercloud-etcd $version (" >"$said.version" || fail "$1: --version"
    run_in "$root" hypercloud-etcd check --offline >"$said" 2>&1 || { cat "$said"; fail "$1: check --offline"; }
    [ "$(run_in "$root" hypercloud-etcd schedule --next 3 --json | grep -o '"20[0-9T:-]*+00:00"' | wc -l)" = 3 ] || fail "$1: schedule"
    run_in "$root" hypercloud-etcd backup >"$said" 2>&1 || code=$?
    [ "$code" = 69 ] && grep 'connection refused' "$said" >/dev/null || { cat "$said"; fail "$1: a backup of nothing exits with $code"; }

    touch "$root/mnt/backup/somebody"
    run_in "$root" apt-get -qq remove -y hypercloud-etcd >"$said" 2>&1 || { cat "$said"; fail "$1: apt-get remove"; }
    [ ! -e "$root/usr/bin/hypercloud-etcd" ] && [ -e "$root/etc/hypercloud-etcd/config.toml" ] || fail "$1: after the remove"
    touch -d '1 day ago' "$root/var/lib/hypercloud-etcd/removed"
    run_in "$root" apt-get -qq purge -y hypercloud-etcd >"$said" 2>&1 || { cat "$said"; fail "$1: apt-get purge"; }
    grep -F 'stay where they are: /mnt/backup' "$said" >/dev/null || { cat "$said"; fail "$1: the purge says nothing"; }
    [ ! -e "$root/etc/hypercloud-etcd" ] && [ ! -e "$root/var/lib/hypercloud-etcd" ] && [ -e "$root/mnt/backup/somebody" ] ||
        fail "$1: after the purge"

    # with a configuration that was there before, as on hosts that nobody sits at
    mkdir "$root/etc/hypercloud-etcd"
    printf '[etcd]\nendpoints = ["http://127.0.0.1:1"]\n[backup]\nreserve = "1MiB"\ndir = "/srv/etcd backups"\n' >"$work/$1.toml"
    cp "$work/$1.toml" "$root/etc/hypercloud-etcd/config.toml"
    run_in "$root" apt-get -qq install -y -o Dpkg::Options::=--force-confold /package.deb >"$said" 2>&1 || { cat "$said"; fail "$1: with a configuration"; }
    grep -F 'made /srv/etcd backups (root, mode 700)' "$said" >/dev/null || { cat "$said"; fail "$1: the configured directory"; }
    ! grep -F 'not started' "$said" || fail "$1: the configuration is refused"
    cmp "$work/$1.toml" "$root/etc/hypercloud-etcd/config.toml" || fail "$1: the configuration was changed"
    touch "$root/srv/etcd backups/somebody"
    run_in "$root" apt-get -qq purge -y hypercloud-etcd >"$said" 2>&1 || { cat "$said"; fail "$1: apt-get purge"; }
    [ "$(grep -cF 'stay where they are: /srv/etcd backups' "$said")" = 1 ] || { cat "$said"; fail "$1: not told once of the configured directory"; }
    ok "Debian $(cat "$root/etc/debian_version"), glibc $(run_in "$root" dpkg-query -Wf '${Version}' libc6): installed, run, removed and purged: $(cat "$said.version")"
}

set -m
for release in bullseye trixie; do
    prove "$release" &
    proofs+=($!)
done
set +m
for proof in "${proofs[@]}"; do wait "$proof"; done
