#!/usr/bin/env bash
# Proves the unit under a real systemd: a Debian made with debootstrap and booted by systemd-nspawn, with an etcd
# in it. Needs root, debootstrap, systemd-nspawn, nsenter and openssl; leaves nothing running.
#
#     tests/systemd.sh [BINARY]     (default: target/debug/hypercloud-etcd)
#
# The Debian is made once, below ${HCE_SYSTEMD_DIR:-target/systemd}; an etcd is taken from ${HCE_ETCD_DIR:-target/etcd}.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${CARGO_TARGET_DIR:-target}
binary=${1:-$target/debug/hypercloud-etcd}
etcd=${HCE_ETCD_DIR:-$target/etcd}/3.5/etcd
base=${HCE_SYSTEMD_DIR:-$target/systemd}
root=$base/debian
unit=hypercloud-etcd
work=$(mktemp -d)

fail() {
    printf 'FAILED: %s\n' "$1" >&2
    [ -z "${init:-}" ] || { inside hypercloud-etcd check; inside journalctl -u "$unit" --no-pager -n 40; inside systemctl status "$unit" --no-pager; } >&2 || true
    exit 1
}
ok() { printf 'ok: %s\n' "$1"; }
if [ "$(id -u)" = 0 ] && ! { command -v debootstrap && command -v systemd-nspawn; } >/dev/null; then
    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
        debootstrap systemd-container >/dev/null || fail "debootstrap and systemd-container cannot be installed"
fi
for tool in debootstrap systemd-nspawn systemd-analyze nsenter openssl pgrep; do
    command -v "$tool" >/dev/null || fail "there is no $tool"
done
[ -x "$binary" ] || fail "there is no $binary"
[ -x "$etcd" ] || fail "there is no $etcd; run tests/install.sh"

# --- The machine

if [ ! -e "$base/ready" ]; then
    mkdir -p "$base"
    uri=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 2>/dev/null | awk '$1 == "bookworm" { print $2; exit }')
    # the lists may have been cleaned away, as they are in most images
    [ -n "$uri" ] || { apt-get -qq update && uri=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 2>/dev/null | awk '$1 == "bookworm" { print $2; exit }'); }
    [ -n "$uri" ] || fail "apt knows no source of bookworm"
    debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,procps,libpam-systemd bookworm "$root" \
        "$uri" >"$base/debootstrap.log" || fail "debootstrap: see $base/debootstrap.log"
    touch "$base/ready"
fi
rm -rf "$root"/{mnt/backup,srv/elsewhere,var/lib/hypercloud-etcd,var/lib/etcd,var/log/journal,etc/hypercloud-etcd} \
    "$root"/etc/systemd/system/"$unit".service.d "$root"/etc/kubernetes
mkdir -p "$root"/{mnt/backup,srv/elsewhere,etc/hypercloud-etcd,etc/kubernetes/pki/etcd,var/lib/"$unit"}
chmod 0700 "$root/mnt/backup" "$root/srv/elsewhere"
install -m 0755 "$binary" "$root/usr/bin/hypercloud-etcd"
install -m 0755 "$etcd" "$root/usr/local/bin/etcd"
install -m 0644 systemd/hypercloud-etcd.service "$root/usr/lib/systemd/system/"
printf 'schedule = "0 0 1 1 *"\n[etcd]\nendpoints = ["https://localhost:2379"]\n[backup]\nreserve = "1MiB"\n' \
    >"$root/etc/hypercloud-etcd/config.toml"
printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
# a run was missed, so one is made up for at once
printf '{"format": 1, "settled": "2020-01-01T00:00:00Z"}' >"$root/var/lib/$unit/state.json"

pki=$root/etc/kubernetes/pki/etcd
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

# nothing of the host but its kernel; --private-network so that the ports are its own
systemd-nspawn -q -D "$root" --boot --register=no --keep-unit --private-network </dev/null >"$work/console" 2>&1 &
nspawn=$!
cleanup() {
    [ -z "${init:-}" ] || nsenter -m -u -i -n -p -t "$init" systemctl poweroff 2>/dev/null || true
    for _ in $(seq 100); do kill -0 "$nspawn" 2>/dev/null || break; sleep 0.1; done
    kill "$nspawn" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

inside() { nsenter -m -u -i -n -p -t "$init" "$@"; }
# wait_until WHAT COMMAND…: the command succeeds in good time
wait_until() {
    local what=$1
    shift
    for _ in $(seq 100); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.2
    done
    fail "$what: not so in time"
}
find_init() { init=$(pgrep -P "$nspawn") && [ -n "$init" ]; }
is_up() { inside systemctl is-system-running | grep -Eq 'running|degraded'; }
status() { inside systemctl show -p StatusText --value "$unit"; }
says() { status | grep -q -- "$1"; }
property() { inside systemctl show -p "$1" --value "$unit"; }
id_of() { sed -n "s/^pub const $1: &str = \"\([0-9a-f]*\)\";/\1/p" src/report/event.rs; }
event() { inside journalctl -u "$unit" "MESSAGE_ID=$(id_of "$1")" -o json --no-pager; }
told() { event "$1" | grep -q .; }

wait_until "the machine's init" find_init
wait_until "the machine" is_up
inside ip link set lo up 2>/dev/null || true
inside systemd-run -q --unit=etcd etcd --data-dir /var/lib/etcd --listen-client-urls https://127.0.0.1:2379 \
    --advertise-client-urls https://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 --client-cert-auth \
    --cert-file /etc/kubernetes/pki/etcd/server.crt --key-file /etc/kubernetes/pki/etcd/server.key \
    --trusted-ca-file /etc/kubernetes/pki/etcd/ca.crt
wait_until "etcd" inside hypercloud-etcd check

# --- The unit

exposure=$(systemd-analyze security --offline=yes --no-pager systemd/hypercloud-etcd.service | awk '/Overall exposure/ { print $(NF - 2) }')
awk -v e="$exposure" 'BEGIN { exit !(e <= 1.5) }' || fail "the exposure is $exposure"
ok "the exposure is $exposure"
inside systemd-analyze verify "/usr/lib/systemd/system/$unit.service" 2>&1 | grep -v "Command 'man" | grep . && fail "systemd-analyze verify"
ok "systemd-analyze verify has nothing to say"

inside systemctl start "$unit" || fail "start"
wait_until "the missed run is made up for" says "newest verified backup"
ok "READY, and a backup in the sandbox: $(status)"
entry=$(event BACKUP_DONE)
for field in BACKUP_ID REVISION BYTES DURATION_MS ENDPOINT TRIGGER MESSAGE_ID; do
    grep -q "\"$field\":\"" <<<"$entry" || fail "the event has no $field: $entry"
done
grep -q '"PRIORITY":"6"' <<<"$entry" || fail "its priority is not 6: $entry"
grep -q '"_CAP_EFFECTIVE":"0"' <<<"$entry" || fail "it has capabilities: $entry"
ok "its event has every field, priority 6 and no capabilities"
inside journalctl -u "$unit" --no-pager -o cat | grep -E '^backup [0-9TZ]+ is verified: ' || fail "no line for people"
inside hypercloud-etcd status >/dev/null || fail "status: $(inside hypercloud-etcd status)"
cmp -s "$root"/mnt/backup/pki/*/ca.key "$pki/ca.key" || fail "the root-only ca.key was not kept"
told CA_COPIED || fail "no event of the copied CA"
ok "root-only keys are read, and ca.key is kept"
ok "memory: $(property MemoryCurrent) bytes, $(grep VmRSS "/proc/$(pgrep -P "$init" -x hypercloud-etcd)/status" | tr -s '\t ' ' ')"

config=$root/etc/hypercloud-etcd/config.toml
inside systemctl reload "$unit" || fail "a good reload"
ok "a good reload succeeds"
cp "$config" "$work/good"
sed -i 's/0 0 1 1/61 0 1 1/' "$config"
if inside systemctl reload "$unit" 2>"$work/reload"; then fail "a bad reload succeeds"; fi
wait_until "the status tells of it" says "CONFIGURATION REFUSED"
[ "$(property ActiveState)" = active ] || fail "a bad reload ends it"
told CONFIGURATION_REFUSED || fail "no event"
inside journalctl -u "$unit" --no-pager -o cat | grep -q '^error: the configuration .* cannot be used' || fail "the reload does not show why"
ok "a bad reload fails, shows why, and the old configuration goes on: $(status)"

inside systemctl restart "$unit" 2>/dev/null && fail "it starts with a bad configuration"
sleep 7 # longer than RestartSec
[ "$(property ExecMainStatus) $(property NRestarts) $(property ActiveState)" = "78 0 failed" ] ||
    fail "a bad start: $(property ExecMainStatus) $(property NRestarts) $(property ActiveState)"
ok "a bad configuration at start exits 78 and is not tried again"
cp "$work/good" "$config"
inside systemctl reset-failed "$unit"

inside mkdir -p "/run/systemd/system/$unit.service.d"
printf '[Service]\nWatchdogSec=3s\nRestartSec=1s\n' | inside tee "/run/systemd/system/$unit.service.d/watchdog.conf" >/dev/null
inside systemctl daemon-reload
inside systemctl start "$unit" || fail "start"
sleep 5
[ "$(property NRestarts)" = 0 ] || fail "the watchdog is not fed"
inside kill -STOP "$(property MainPID)"
restarted() { [ "$(property NRestarts)" = 1 ] && [ "$(property ActiveState)" = active ]; }
wait_until "the watchdog's kill and a restart" restarted
ok "the watchdog is fed, and restarts what does not move"

inside systemctl stop "$unit" || fail "stop"
[ "$(property Result)" = success ] || fail "the stop: $(property Result)"
ok "it stops cleanly"

# --- Another directory: refused by the sandbox until a drop-in allows it, and `check` says so

sed -i 's#\[backup\]#[backup]\ndir = "/srv/elsewhere"#' "$config"
printf '{"format": 1, "settled": "2020-01-01T00:00:00Z"}' >"$root/var/lib/$unit/state.json"
inside systemctl start "$unit" || fail "start"
wait_until "a failing backup" says "FAILING"
says "Read-only file system" || fail "the reason: $(status)"
entry=$(event ATTEMPT_FAILED | tail -1)
grep -q '"ERROR_KIND":"cannot-create"' <<<"$entry" && grep -q '"PRIORITY":"4"' <<<"$entry" || fail "the event: $entry"
inside hypercloud-etcd check | grep -q 'ReadWritePaths=/srv/elsewhere' || fail "check does not tell the line"
inside systemctl stop "$unit"
printf '[Service]\nReadWritePaths=/srv/elsewhere\n' | inside tee "/run/systemd/system/$unit.service.d/dir.conf" >/dev/null
inside systemctl daemon-reload
inside systemctl start "$unit" || fail "start"
wait_until "a backup elsewhere" says "newest verified backup"
if inside hypercloud-etcd check | grep ReadWritePaths; then fail "check asks for what is there"; fi
ok "another directory works with a drop-in"

# --- etcd is down

inside systemctl stop etcd
inside systemctl stop "$unit"
printf '{"format": 1, "settled": "2020-01-01T00:00:00Z"}' >"$root/var/lib/$unit/state.json"
inside systemctl start "$unit" || fail "etcd being down is fatal at start"
wait_until "a failing backup" says "FAILING"
entry=$(event ATTEMPT_FAILED | tail -1)
grep -q '"ERROR_KIND":"unavailable"' <<<"$entry" && grep -q '"ENDPOINT":"https://localhost:2379"' <<<"$entry" ||
    fail "the event: $entry"
ok "etcd being down is visible: $(status)"
inside systemctl stop "$unit"
printf 'all is proven under %s\n' "$(inside systemctl --version | head -1)"
