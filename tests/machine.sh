# shellcheck shell=bash
# A Debian made with debootstrap and booted by systemd-nspawn, with a TLS etcd in it: what tests/systemd.sh and
# tests/packages.sh are proven on. Sourced by them, in the project's directory; leaves nothing running.
#
# The Debian is made once, below ${HCE_SYSTEMD_DIR:-target/systemd}, and every run has a copy of its own; an etcd is
# taken from ${HCE_ETCD_DIR:-target/etcd}.

. tests/retry.sh

target=${CARGO_TARGET_DIR:-target}
etcd=${HCE_ETCD_DIR:-$target/etcd}/3.5/etcd
base=${HCE_SYSTEMD_DIR:-$target/systemd}
unit=hypercloud-etcd
mkdir -p "$base"
base=$(cd "$base" && pwd)
work=$(mktemp -d "$base/.work.XXXXXX")
trap 'rm -rf "$work"' EXIT
set -E
trap 'printf "FAILED: %s, line %s: %s\n" "${BASH_SOURCE[0]}" "$LINENO" "$BASH_COMMAND" >&2' ERR
root=$work/debian

fail() {
    printf 'FAILED: %s\n' "$1" >&2
    [ -z "${init:-}" ] || { inside hypercloud-etcd check; inside journalctl -u "$unit" --no-pager -n 40; inside systemctl status "$unit" --no-pager; } >&2 || true
    exit 1
}
ok() { printf 'ok: %s\n' "$1"; }

# need PACKAGE:TOOL…: these tools are there, or can be installed
need() {
    local missing=() pair
    for pair in "$@"; do
        command -v "${pair#*:}" >/dev/null || missing+=("${pair%:*}")
    done
    [ ${#missing[@]} = 0 ] && return
    [ "$(id -u)" = 0 ] || fail "run as root: apt-get install -y ${missing[*]}"
    { retry apt-get -qq update && DEBIAN_FRONTEND=noninteractive retry apt-get -qq install -y --no-install-recommends "${missing[@]}"; } \
        >/dev/null || fail "these packages cannot be installed: ${missing[*]}"
}

mirror() { apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 2>/dev/null | awk '$1 == "bookworm" { print $2; exit }'; }

# bootstrap RELEASE DIRECTORY MIRROR [OPTION…]: a small Debian, from nothing, for debootstrap does not go on with a half
bootstrap() {
    local release=$1 made=$2 uri=$3
    shift 3
    umount -R "$made/proc" "$made/sys" 2>/dev/null || true
    rm -rf --one-file-system "$made"
    debootstrap --variant=minbase "$@" "$release" "$made" "$uri" >"$base/$release.log"
}

# A Debian as it is before anybody puts a configuration, a backup or an etcd there.
make_machine() {
    local uri
    need debootstrap:debootstrap systemd-container:systemd-nspawn systemd:systemd-analyze util-linux:nsenter openssl:openssl procps:pgrep
    [ -x "$etcd" ] || fail "there is no $etcd; run tests/install.sh"
    if [ ! -e "$base/bookworm" ]; then
        uri=$(mirror)
        # the lists may have been cleaned away, as they are in most images
        [ -n "$uri" ] || { retry apt-get -qq update && uri=$(mirror); }
        [ -n "$uri" ] || fail "apt knows no source of bookworm"
        retry bootstrap bookworm "$work/made" "$uri" --include=systemd,systemd-sysv,dbus,procps,libpam-systemd ||
            fail "debootstrap: see $base/bookworm.log"
        rm -rf "$work"/made/var/{cache/apt/archives/*.deb,lib/apt/lists/*}
        mv "$work/made" "$base/bookworm"
    fi
    cp -a --reflink=auto "$base/bookworm" "$root"
    install -m 0755 "$etcd" "${etcd}ctl" "$root/usr/local/bin/"
    printf '127.0.0.1 localhost control-plane-1\n' >"$root/etc/hosts"
    echo control-plane-1 >"$root/etc/hostname"
}

# The certificates of a control-plane node as kubeadm makes it, as far as etcd is concerned.
make_pki() {
    local pki=$root/etc/kubernetes/pki/etcd name
    mkdir -p "$pki"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=etcd-ca \
        -keyout "$pki/ca.key" -out "$pki/ca.crt" 2>/dev/null
    for name in server healthcheck-client; do
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" \
            -keyout "$pki/$name.key" -out "$work/$name.csr" 2>/dev/null
        openssl x509 -req -in "$work/$name.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial -days 30 \
            -extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1') -out "$pki/$name.crt" 2>/dev/null
    done
    cp "$pki"/ca.crt "$pki"/ca.key "$root/etc/kubernetes/pki/"
    chmod 0600 "$pki"/*.key "$root"/etc/kubernetes/pki/ca.key
}

# Boots it: nothing of the host but its kernel, and ports of its own.
boot() {
    systemd-nspawn -q -D "$root" --machine="hce-$$" --boot --register=no --keep-unit --private-network \
        --hostname=control-plane-1 </dev/null >"$work/console" 2>&1 &
    nspawn=$!
    trap power_off EXIT
    wait_until "the machine's init" find_init
    wait_until "the machine" is_up
    inside ip link set lo up 2>/dev/null || true
}
power_off() {
    [ -z "${init:-}" ] || inside systemctl poweroff 2>/dev/null || true
    for _ in $(seq 600); do kill -0 "$nspawn" 2>/dev/null || break; sleep 0.1; done
    # what is left of it ends with its init
    ! kill -0 "$nspawn" 2>/dev/null || kill -KILL ${init:+"$init"} "$nspawn" 2>/dev/null || true
    wait "$nspawn" 2>/dev/null || true
    rm -rf "$work"
}
# nspawn has other children on the way there
find_init() { init=$(pgrep -o -x -P "$nspawn" systemd) && [ -n "$init" ]; }
# `degraded` is an answer, too, which systemctl says with exit code 1
is_up() { [[ $(inside systemctl is-system-running || true) =~ ^(running|degraded)$ ]]; }

# The etcd of that node.
start_etcd() {
    inside systemd-run -q --unit=etcd etcd --data-dir /var/lib/etcd --listen-client-urls https://127.0.0.1:2379 \
        --advertise-client-urls https://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 --client-cert-auth \
        --cert-file /etc/kubernetes/pki/etcd/server.crt --key-file /etc/kubernetes/pki/etcd/server.key \
        --trusted-ca-file /etc/kubernetes/pki/etcd/ca.crt
    wait_until "etcd" put /registry/namespaces/default '{}'
    for name in $(seq 20); do put "/registry/configmaps/default/$name" "$(head -c 4096 /dev/zero | tr '\0' x)"; done
}
# put KEY VALUE: into that etcd
put() {
    local pki=/etc/kubernetes/pki/etcd
    inside env ETCDCTL_API=3 etcdctl --endpoints https://127.0.0.1:2379 --cacert "$pki/ca.crt" \
        --cert "$pki/healthcheck-client.crt" --key "$pki/healthcheck-client.key" put "$@" >/dev/null
}

inside() { nsenter -m -u -i -n -p -t "$init" "$@"; }
# wait_until WHAT COMMAND…: the command succeeds in good time
wait_until() {
    local what=$1
    shift
    for _ in $(seq 600); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.2
    done
    fail "$what: not so in time"
}
status() { inside systemctl show -p StatusText --value "$unit"; }
# grep reads to the end: under pipefail a writer that meets a closed pipe is a failure
says() { status | grep -- "$1" >/dev/null; }
property() { inside systemctl show -p "$1" --value "$unit"; }
id_of() { sed -n "s/^pub const $1: &str = \"\([0-9a-f]*\)\";/\1/p" src/report/event.rs; }
event() { inside journalctl -u "$unit" "MESSAGE_ID=$(id_of "$1")" -o json --no-pager; }
told() { event "$1" | grep . >/dev/null; }

# The unit as installed: what systemd thinks of it.
judge_unit() {
    local exposure
    exposure=$(systemd-analyze security --offline=yes --no-pager "$root/usr/lib/systemd/system/$unit.service" | awk '/Overall exposure/ { print $(NF - 2) }')
    awk -v e="$exposure" 'BEGIN { exit !(e <= 1.7) }' || fail "the exposure is $exposure"
    ok "the exposure is $exposure"
    inside systemd-analyze verify "/usr/lib/systemd/system/$unit.service" 2>&1 | grep -v "Command 'man" | grep . && fail "systemd-analyze verify"
    ok "systemd-analyze verify has nothing to say"
}

# The event of a verified backup, field by field.
judge_backup_event() {
    local entry field
    entry=$(event BACKUP_DONE | tail -1)
    for field in BACKUP_ID REVISION BYTES DURATION_MS ENDPOINT TRIGGER MESSAGE_ID; do
        grep -q "\"$field\":\"" <<<"$entry" || fail "the event has no $field: $entry"
    done
    grep -q '"PRIORITY":"6"' <<<"$entry" || fail "its priority is not 6: $entry"
    grep -q '"_CAP_EFFECTIVE":"0"' <<<"$entry" || fail "it has capabilities: $entry"
    ok "its event has every field, priority 6 and no capabilities"
}
