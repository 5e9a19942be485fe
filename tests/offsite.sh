#!/usr/bin/env bash
# Proves the copy off the host as it is shipped, config/examples/s3-encrypted.toml and what belongs to it: on the booted
# Debian of tests/machine.sh, systemd runs the shipped units with Debian's restic, on real backups of a TLS etcd, against
# an S3 server that checks signatures (s3s-fs). Needs root; leaves nothing running.
#
#     tests/offsite.sh [BINARY]     (default: target/debug/hypercloud-etcd)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/machine.sh

binary=${1:-$target/debug/hypercloud-etcd}
[ -x "$binary" ] || fail "there is no $binary"
need restic:restic
copy=hypercloud-etcd-offsite
documents=usr/share/doc/hypercloud-etcd/examples

# --- The S3 server: built once, quickly rather than well

s3s=0.14.1
server=$target/s3s-fs/$s3s/bin/s3s-fs
if [ ! -x "$server" ]; then
    CARGO_TARGET_DIR=$target/s3s-fs/build CARGO_PROFILE_DEV_DEBUG=false retry "${CARGO:-cargo}" install -q --locked \
        --force --profile dev --features binary --root "$target/s3s-fs/$s3s" "s3s-fs@$s3s" || fail "s3s-fs cannot be built"
    rm -rf "$target/s3s-fs/build"
fi

# --- The node, before anybody has set up the copy

# the commands of the README: `block 1` sets it up, `block 2` gets a backup back
block() {
    awk -v wanted="$1" '/^##/ { here = $0 == "### Off the host" } /^```/ { code = /^```sh$/; n += here && code; next }
        here && code && n == wanted' README.md
}
make_machine
mkdir -p "$root"/{mnt/backup,etc/hypercloud-etcd,var/lib/"$unit",srv/s3/etcd-backups,"$documents"}
chmod 0700 "$root/mnt/backup"
install -m 0755 "$binary" "$root/usr/bin/hypercloud-etcd"
install -m 0755 "$(command -v restic)" "$root/usr/bin/restic"
install -m 0755 "$server" "$root/usr/local/bin/s3s-fs"
install -m 0644 config/examples/* "$root/$documents/"
install -m 0640 config/examples/s3-encrypted.toml "$root/etc/hypercloud-etcd/config.toml"
bucket=$root/srv/s3/etcd-backups
make_pki
boot
start_etcd
wait_until "etcd" inside hypercloud-etcd check
put /registry/secrets/default/marker a-value-that-nobody-may-read
newest=
# under way
touch "$root/mnt/backup/.half-a-snapshot"
# one that a shell and systemd would take apart, each in its own way
# shellcheck disable=SC2016
key=THE-KEY-ID secret='the+secret/key $HOME ${HOME} & "of" this; `test`=#1 %n'
servers=0
start_server() {
    servers=$((servers + 1))
    # systemd-run expands the variables of a command
    inside systemd-run -q --unit="s3-$servers" s3s-fs --host 127.0.0.1 --port 9000 --access-key "$key" --secret-key "${secret//\$/\$\$}" /srv/s3
    wait_until "the S3 server" inside bash -c ': </dev/tcp/127.0.0.1/9000'
}
start_server

# --- The copy, set up as the README says; only the server and the keys are those of this test

diff <(block 1 | grep -v '^apt ' | sed 's/  *#.*//') <(sed -n 's/^#     //p' config/examples/s3-encrypted.toml | sed -n '/^cd /,/^systemctl enable/p') ||
    fail "the README and s3-encrypted.toml say other things"
[ "$(block 1 | wc -l) $(block 2 | wc -l)" = "13 6" ] || fail "the README has changed"
# in place of the person, and of what is there already
cat >"$root/root/stand-in" <<SH
apt() { :; }
editor() {
    sed -i -e "s#^RESTIC_REPOSITORY='s3:https://s3.example.net/#RESTIC_REPOSITORY='s3:http://127.0.0.1:9000/#" \
        -e "s/^AWS_ACCESS_KEY_ID='/&$key/" -e "s/^AWS_SECRET_ACCESS_KEY='/&"'$(sed 's/[&/\]/\\&/g' <<<"$secret")/' "\$1"
}
SH
# as_written N: those commands, each of which has to succeed
as_written() { inside bash -euc ". /root/stand-in; $(block "$1" | sed -e "s/20261122T060000Z/$newest/" -e "s/40dc1520/${chosen:-}/")" >"$work/said" 2>&1 || { cat "$work/said" >&2; fail "block $1 of the README"; }; }
as_written 1
newest=$(cd "$root/mnt/backup" && ls etcd-*.json) newest=${newest#etcd-} newest=${newest%.json}
environment=$root/etc/hypercloud-etcd/offsite.env
password=$(cat "$root/etc/hypercloud-etcd/offsite-password")
[ "${#password}" = 44 ] || fail "the password has ${#password} characters"
[ "$(stat -c %a "$environment") $(stat -c %a "$root/etc/hypercloud-etcd/offsite-password")" = "600 600" ] || fail "others may read the keys or the password"
grep -F "$password" "$work/said" >/dev/null || fail "the password was not shown, to be kept elsewhere"
ok "the README's lines have set it up and made a copy"
# by_hand COMMAND…: with the environment of the unit, as the README says
by_hand() { inside bash -c 'set -a; . /etc/hypercloud-etcd/offsite.env; set +a; exec "$@"' bash "$@"; }

# as systemd reads it, and as a shell does
variables() { grep -E "^($(sed -n 's/^\([A-Z_]*\)=.*/\1/p' "$environment" | paste -sd '|'))=" | sort; }
inside systemd-run -q --wait --pipe -p EnvironmentFile=/etc/hypercloud-etcd/offsite.env env | variables >"$work/of-systemd"
diff "$work/of-systemd" <(by_hand env | variables) || fail "systemd and a shell read offsite.env differently"
grep -xF "AWS_SECRET_ACCESS_KEY=$secret" "$work/of-systemd" >/dev/null || { cat "$work/of-systemd"; fail "the secret is another one"; }
ok "systemd and a shell read the same in offsite.env, a secret full of \$, quotes and blanks among it"

# run_copy: one run of the unit; fails where it does
run_copy() { inside systemctl start "$copy" 2>/dev/null; }
cursor() { inside journalctl -n 0 --show-cursor --no-pager | sed -n 's/^-- cursor: //p'; }
# not_copied WHY WORDS: a run fails, is seen, and says why
not_copied() {
    local began=$SECONDS cursor
    cursor=$(cursor)
    # so many in a row are more than systemd starts
    inside systemctl reset-failed "$copy" 2>/dev/null || true
    ! run_copy || fail "$1: the copy succeeds"
    inside systemctl --failed --no-legend | grep -F "$copy.service" >/dev/null || fail "$1: systemctl --failed does not name it"
    inside journalctl -u "$copy" --after-cursor "$cursor" -o cat --no-pager >"$work/journal"
    grep -E -- "$2" "$work/journal" >/dev/null || { cat "$work/journal" >&2; fail "$1: the journal does not say why"; }
    ok "$1: failed, and seen, after $((SECONDS - began)) s: $(grep -E -m1 -- "$2" "$work/journal")"
}
# copies: how many there are
copies() { by_hand restic snapshots --json | grep -o '"short_id"' | wc -l; }

# --- The units

for suffix in service timer; do
    inside systemd-analyze verify "/etc/systemd/system/$copy.$suffix" 2>&1 | grep -v "Command 'man" | grep . && fail "systemd-analyze verify"
done
exposure=$(systemd-analyze security --offline=yes --no-pager "$root/etc/systemd/system/$copy.service" | awk '/Overall exposure/ { print $(NF - 2) }')
awk -v e="$exposure" 'BEGIN { exit !(e <= 1.7) }' || fail "the exposure is $exposure"
ok "systemd-analyze verify has nothing to say; the exposure is $exposure"

# --- What is in it

[ "$(copies)" = 1 ] || fail "there are $(copies) copies"
inside journalctl -u "$copy" -o cat --no-pager >"$work/journal"
[ -n "$(find "$root/var/cache/$copy" -type f ! -name CACHEDIR.TAG)" ] || fail "the cache is not used"
grep -F "$newest" "$work/journal" >/dev/null || { cat "$work/journal"; fail "the journal does not name the backup"; }
for word in a-value-that-nobody-may-read '/registry/' BEGIN 'PRIVATE KEY' '"revision"' etcd-20 ca.key; do
    find "$root/mnt/backup" -type f | grep -F -e "$word" >/dev/null || grep -rqaF -e "$word" "$root/mnt/backup" || fail "the backups have no $word to look for"
    ! find "$bucket" | grep -F -e "$word" || fail "a name in the bucket says $word"
    ! grep -rlaF -e "$word" "$bucket" || fail "in the bucket is $word in plain"
done
[ "$(du -sb "$bucket" | cut -f1)" -gt 20000 ] || fail "next to nothing is in the bucket"
ok "$(find "$bucket" -type f | wc -l) objects, and nothing in them or in their names can be read"
inside journalctl -o cat --no-pager >"$work/everything"
inside systemctl show "$copy" >>"$work/everything"
# the server's own command line names them, and is not what is shipped
! grep -v 's3s-fs' "$work/everything" | grep -F -e "$secret" -e "$password" || fail "a secret was told"
ok "no secret is told by the journal or by systemctl show"

# --- The next one, made up for by the timer because a run was missed, removes nothing

objects() { (cd "$bucket" && find . -type f ! -path '*/locks/*' -exec sha256sum {} + | sort); }
objects >"$work/before"
sleep 1 # an id is a second
inside hypercloud-etcd backup >/dev/null || fail "backup"
inside systemctl stop "$copy.timer"
touch -d '2 hours ago' "$root/var/lib/systemd/timers/stamp-$copy.timer"
inside systemctl start "$copy.timer" || fail "the timer"
copied() { [ "$(copies)" = 2 ] && [ "$(inside systemctl show -p ActiveState --value "$copy")" = inactive ]; }
wait_until "the missed copy" copied
[ "$(inside systemctl show -p Result --value "$copy")" = success ] || fail "the copy failed"
next=$(inside systemctl show -p NextElapseUSecRealtime --value "$copy.timer")
[[ $next == *:20:00* ]] || fail "the next copy is at $next"
ok "the timer has made up for a missed copy; the next one: $next"
[ "$(comm -23 "$work/before" <(objects) | wc -l)" = 0 ] || fail "a copy has changed or removed what was there: $(comm -23 "$work/before" <(objects))"
ok "a second copy changes and removes nothing of the first"
# in the server's files, for this server's list of objects is empty where restic asks for one without a delimiter
by_hand env RESTIC_REPOSITORY=/srv/s3/etcd-backups/control-plane-1 restic check --read-data >"$work/check" 2>&1 || { cat "$work/check"; fail "restic check"; }
ok "restic check has read every object, and $(tail -1 "$work/check")"

# --- On a new host: nothing but the environment, the password and restic

# the one of two that the person picks
chosen=$(by_hand restic snapshots --json | grep -o '"short_id":"[^"]*"' | tail -1 | cut -d'"' -f4)
mv "$root/mnt/backup" "$work/lost"
rm -rf "$root/var/cache/$copy"
mkdir -m 0700 "$root/mnt/backup"
as_written 2
grep -F "etcd-$newest.db  verified" "$work/said" || { cat "$work/said"; fail "verify --file"; }
back=$root/root/offsite/mnt/backup
diff <(cd "$work/lost" && find . ! -name '.?*' -printf '%P %m %U %G %y\n' | sort) <(cd "$back" && find . -printf '%P %m %U %G %y\n' | sort) ||
    fail "other files came back, or with other modes"
diff -r -x '.?*' "$work/lost" "$back" || fail "other bytes came back"
cmp "$root/etc/kubernetes/pki/ca.key" "$back"/pki/*/ca.key || fail "ca.key did not come back"
ok "every backup and the CA come back byte by byte, and no file that was under way"

inside systemd-run -q --unit=etcd-restored etcd --data-dir /var/lib/etcd.restored --listen-client-urls http://127.0.0.1:22379 \
    --advertise-client-urls http://127.0.0.1:22379 --listen-peer-urls http://127.0.0.1:22380
of_restored() { inside env ETCDCTL_API=3 etcdctl --endpoints http://127.0.0.1:22379 "$@"; }
wait_until "an etcd on what came back" of_restored get /registry/secrets/default/marker
[ "$(of_restored get --print-value-only /registry/secrets/default/marker)" = a-value-that-nobody-may-read ] || fail "the key did not come back"
ok "the README's lines have proven and restored it, and an etcd serves it"
inside cp -a /root/offsite/mnt/backup/. /mnt/backup/
inside hypercloud-etcd verify --all >"$work/verify" || { cat "$work/verify"; fail "verify --all"; }
inside hypercloud-etcd status >/dev/null || fail "status: $(inside hypercloud-etcd status)"
ok "put back into /mnt/backup, every backup is proven again"

# --- What goes wrong is seen

good() { cp -p "$work/environment" "$environment"; printf '%s\n' "$password" >"$root/etc/hypercloud-etcd/offsite-password"; }
cp -p "$environment" "$work/environment"
mv "$root/mnt/backup" "$work/unmounted"
mkdir -m 0700 "$root/mnt/backup"
not_copied "no backup, as where the disk is not mounted" 'there is no such backup'
[ "$(copies)" = 2 ] || fail "an empty directory was copied"
rmdir "$root/mnt/backup"
mv "$work/unmounted" "$root/mnt/backup"
mv "$root/mnt/backup" "$root/srv/backup"
ln -s /srv/backup "$root/mnt/backup"
not_copied "a symbolic link" 'is a symbolic link, or'
rm "$root/mnt/backup"
mv "$root/srv/backup" "$root/mnt/backup"
last=$(find "$root/mnt/backup" -name 'etcd-*.db' -printf '%f\n' | sort | tail -1)
mv "$root/mnt/backup/$last" "$work/"
not_copied "a manifest whose snapshot is gone" 'or the newest backup is not in it'
mv "$work/$last" "$root/mnt/backup/"
# a path that looks like what is under way
mkdir -m 0700 "$root/srv/.etcd"
sed -i 's#^dir = .*#dir = "/srv/.etcd"#' "$root/etc/hypercloud-etcd/config.toml"
sleep 1
inside hypercloud-etcd backup >/dev/null 2>&1 || fail "backup elsewhere"
touch "$root/srv/.etcd/.half-a-snapshot"
not_copied "backups that are made elsewhere" '^/mnt/backup is a symbolic link, or the newest backup is not in it'
[ "$(copies)" = 2 ] || fail "something was copied"
mkdir "$root/etc/systemd/system/$copy.service.d"
printf '[Service]\nEnvironment=BACKUP_DIR=/srv/.etcd\n' >"$root/etc/systemd/system/$copy.service.d/dir.conf"
inside systemctl daemon-reload
inside systemctl reset-failed "$copy"
run_copy || fail "another backup.dir is not copied"
diff <(by_hand restic ls latest --path /srv/.etcd | grep '^/srv/' | sort) <(cd "$root" && find srv/.etcd ! -name '.?*' -o -name .etcd | sed 's#^#/#' | sort) ||
    fail "of another backup.dir other files were copied"
ok "another backup.dir, with a dot in front, is copied once the service names it"
rm -r "$root/etc/systemd/system/$copy.service.d"
install -m 0640 config/examples/s3-encrypted.toml "$root/etc/hypercloud-etcd/config.toml"
inside systemctl daemon-reload
sed -i "s#/control-plane-1'\$#/elsewhere'#" "$environment"
not_copied "no repository" 'unable to open config file'
good
printf 'another password\n' >"$root/etc/hypercloud-etcd/offsite-password"
not_copied "a wrong password" 'wrong password|no key found'
good
sed -i "s/^AWS_SECRET_ACCESS_KEY='/&x/" "$environment"
not_copied "a wrong secret" 'SignatureDoesNotMatch|signature'
good
inside systemd-run -q --unit=killed -p CPUQuota=20% -p EnvironmentFile=/etc/hypercloud-etcd/offsite.env restic check --no-cache --read-data
deadline=$((SECONDS + 60))
until find "$bucket/control-plane-1/locks" -type f | grep -q .; do [ "$SECONDS" -lt "$deadline" ] || fail "restic check does not lock"; done
inside systemctl kill -s KILL killed
not_copied "a lock, as check and prune have it" 'already locked exclusively'
by_hand restic unlock --remove-all >/dev/null || fail "restic unlock"
inside systemctl reset-failed killed 2>/dev/null || true
inside systemctl stop "s3-$servers"
not_copied "no server" 'connection refused'
rm "$environment"
not_copied "no offsite.env" 'load environment files'
good
start_server
run_copy || fail "no copy once all is well again"
! inside systemctl --failed --no-legend | grep -F "$copy" || fail "it is seen as failed after a good copy"
ok "once all is well again the next copy succeeds, and nothing is failed"

# --- Backups come and go while it copies

sed -e 's/^keep_last = .*/keep_last = 6\nkeep_weekly = 0\nmin_verified = 1/' -e 's/^keep_daily = .*/keep_daily = 0/' \
    config/examples/s3-encrypted.toml >"$root/root/few.toml"
by_hand restic snapshots --json | grep -o '"short_id":"[^"]*"' | sort >"$work/earlier"
# shellcheck disable=SC2016
inside bash -c 'until [ -e /root/enough ]; do hypercloud-etcd backup --config /root/few.toml >>/root/came-and-went 2>&1 || sleep 0.1; done' &
coming=$!
whole=0
# they come first and take their time: what restic has listed after them is gone when it gets there
for name in 1 2 3 4; do head -c 64M /dev/urandom >"$root/mnt/backup/a-large-file-$name"; done
since=$(cursor)
for _ in $(seq 10); do
    inside systemctl reset-failed "$copy" 2>/dev/null || true
    ! run_copy || whole=$((whole + 1))
done
touch "$root/root/enough"
wait "$coming"
[ "$whole" -ge 1 ] || fail "no copy succeeds while backups come and go"
[ "$(find "$root/mnt/backup" -name 'etcd-*.json' | wc -l)" = 6 ] || fail "nothing was pruned meanwhile"
met=$(inside journalctl -u "$copy" --after-cursor "$since" -o cat --no-pager | grep -c 'no such file or directory' || true)
[ "$met" -ge 1 ] || fail "no backup was pruned while restic came by"
rm "$root"/mnt/backup/a-large-file-*
manifests=0
while IFS='"' read -r _ _ _ id _; do
    by_hand restic ls "$id" | grep '^/mnt/backup/etcd-' >"$work/listed" || continue
    while read -r manifest; do
        grep -xF "${manifest%.json}.db" "$work/listed" >/dev/null || fail "in copy $id is $manifest without its snapshot"
        manifests=$((manifests + 1))
    done < <(grep '\.json$' "$work/listed")
done < <(by_hand restic snapshots --json | grep -o '"short_id":"[^"]*"' | sort | comm -13 "$work/earlier" -)
[ "$manifests" -ge 3 ] || fail "there are $manifests manifests in the copies"
ok "$whole of 10 copies succeed while $(grep -c '^id ' "$root/root/came-and-went") backups come and others go, $met files of which were gone when restic got there: each of the $manifests manifests in them has its snapshot"

# --- Whoever has the host writes copies of any date: the rule that the README gives keeps the good ones

# shellcheck disable=SC2016
rule=$(sed -n 's/.*`restic forget \(.*\) --prune`.*/\1/p' README.md)
[ -n "$rule" ] || fail "the README has no rule"
dated() { by_hand restic backup --time "$1" --host control-plane-1 /mnt/backup | sed -n 's/^snapshot \([0-9a-f]*\) saved$/\1/p'; }
good=$(dated "$(date -d '-40 days' +%F) 10:00:00")
for date in "$(date -d '-40 days' +%F) 11:00:00" "$(date -d '+9 years' +%F) 10:00:00"; do
    [ -n "$(dated "$date")" ] || fail "no copy of $date"
done
# kept RULE…: whether it keeps the good one
kept() {
    by_hand restic forget --dry-run "$@" >"$work/forget" 2>&1 || { cat "$work/forget"; fail "restic forget"; }
    sed '/^remove /,$d' "$work/forget" | grep "^$good " >/dev/null
}
! kept --keep-daily 365 || fail "a rule of one a day keeps the good one, too: nothing is proven here"
# shellcheck disable=SC2086
kept $rule || { cat "$work/forget"; fail "$rule removes a good copy"; }
! grep '^remove ' "$work/forget" || fail "$rule removes something"
ok "with a later copy of its day, and one of the future, a good copy stays by $rule, and by one a day it would not"

# --- The README's lines once more

printf 'apt() { :; }\neditor() { :; }\n' >"$root/root/stand-in"
held() { sha256sum "$environment" "$root/etc/hypercloud-etcd/offsite-password"; }
held >"$work/before"
had=$(copies)
sleep 1
as_written 1
held | diff "$work/before" - || fail "setting it up again has changed the password or offsite.env"
[ "$(copies)" = $((had + 1)) ] || fail "setting it up again has made no copy"
ok "setting it up again changes neither offsite.env nor the password, and makes a copy"
printf 'all is proven with %s\n' "$(restic version)"
