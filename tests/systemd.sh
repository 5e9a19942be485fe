#!/usr/bin/env bash
# Proves the unit under a real systemd: a Debian made with debootstrap and booted by systemd-nspawn, with an etcd
# in it. Needs root; leaves nothing running. What the packages make of it is proven by tests/packages.sh.
#
#     tests/systemd.sh [BINARY]     (default: target/debug/hypercloud-etcd)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/machine.sh

binary=${1:-$target/debug/hypercloud-etcd}
[ -x "$binary" ] || fail "there is no $binary"
make_machine
mkdir -p "$root"/{mnt/backup,srv/elsewhere,etc/hypercloud-etcd,var/lib/"$unit"}
chmod 0700 "$root/mnt/backup" "$root/srv/elsewhere"
install -m 0755 "$binary" "$root/usr/bin/hypercloud-etcd"
install -m 0644 systemd/hypercloud-etcd.service "$root/usr/lib/systemd/system/"
printf 'schedule = "0 0 1 1 *"\n[etcd]\nendpoints = ["https://localhost:2379"]\n[backup]\nreserve = "1MiB"\nreverify = "off"\n' \
    >"$root/etc/hypercloud-etcd/config.toml"
# a run was missed, so one is made up for at once
printf '{"format": 1, "settled": "2020-01-01T00:00:00Z"}' >"$root/var/lib/$unit/state.json"
make_pki
boot
start_etcd
wait_until "etcd" inside hypercloud-etcd check

# --- The unit

judge_unit
inside systemctl start "$unit" || fail "start"
wait_until "the missed run is made up for" says "newest verified backup"
ok "READY, and a backup in the sandbox: $(status)"
judge_backup_event
inside journalctl -u "$unit" --no-pager -o cat | grep -E '^backup [0-9TZ]+ is verified: ' || fail "no line for people"
inside hypercloud-etcd status >/dev/null || fail "status: $(inside hypercloud-etcd status)"
cmp -s "$root"/mnt/backup/pki/*/ca.key "$root/etc/kubernetes/pki/ca.key" || fail "the root-only ca.key was not kept"
told CA_COPIED || fail "no event of the copied CA"
ok "root-only keys are read, and ca.key is kept"
ok "memory: $(property MemoryCurrent) bytes, $(grep VmRSS "/proc/$(pgrep -P "$init" -x hypercloud-etcd)/status" | tr -s '\t ' ' ')"

config=$root/etc/hypercloud-etcd/config.toml
# Debian's smallest system has no procps, and so no such program
mv "$root/usr/bin/kill" "$work/kill"
inside systemctl reload "$unit" || fail "a good reload"
ok "a good reload succeeds"
cp "$config" "$work/good"
sed -i 's/0 0 1 1/61 0 1 1/' "$config"
if inside systemctl reload "$unit" 2>"$work/reload"; then fail "a bad reload succeeds"; fi
wait_until "the status tells of it" says "CONFIGURATION REFUSED"
[ "$(property ActiveState)" = active ] || fail "a bad reload ends it"
told CONFIGURATION_REFUSED || fail "no event"
inside journalctl -u "$unit" --no-pager -o cat | grep '^error: the configuration .* cannot be used' >/dev/null || fail "the reload does not show why"
mv "$work/kill" "$root/usr/bin/kill"
ok "a bad reload fails, shows why, and the old configuration goes on: $(status)"

inside systemctl restart "$unit" 2>/dev/null && fail "it starts with a bad configuration"
sleep 7 # longer than RestartSec
[ "$(property ExecMainStatus) $(property NRestarts) $(property ActiveState)" = "78 0 failed" ] ||
    fail "a bad start: $(property ExecMainStatus) $(property NRestarts) $(property ActiveState)"
ok "a bad configuration at start exits 78 and is not tried again"
cp "$work/good" "$config"
inside systemctl reset-failed "$unit"

inside mkdir -p "/run/systemd/system/$unit.service.d"
# from here on it is started more often than the unit would bear
printf '[Unit]\nStartLimitIntervalSec=0\n[Service]\nWatchdogSec=10s\nRestartSec=1s\n' | inside tee "/run/systemd/system/$unit.service.d/watchdog.conf" >/dev/null
inside systemctl daemon-reload
inside systemctl start "$unit" || fail "start"
for _ in 1 2; do
    fed=$(property WatchdogTimestampMonotonic)
    is_fed() { [ "$(property WatchdogTimestampMonotonic)" -gt "$fed" ]; }
    wait_until "the watchdog is fed" is_fed
done
[ "$(property NRestarts)" = 0 ] || fail "the watchdog is not fed"
inside kill -STOP "$(property MainPID)"
restarted() { [ "$(property NRestarts)" -ge 1 ] && [ "$(property ActiveState)" = active ]; }
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
inside hypercloud-etcd check | grep 'ReadWritePaths=/srv/elsewhere' >/dev/null || fail "check does not tell the line"
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
