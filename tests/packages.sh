#!/usr/bin/env bash
# Proves the packages: built twice in two directories to the same bytes, judged by lintian and rpmlint, alike in what
# they hold, and lived through on a real systemd, from the first install to the purge. Needs root.
#
#     tests/packages.sh             builds them first, twice
#     tests/packages.sh DIRECTORY   takes those that packaging/build.sh made there
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/machine.sh

need rpm:rpm lintian:lintian rpmlint:rpmlint man-db:man groff-base:groff binutils:objdump xz-utils:xz python3-pip:pip3 shellcheck:shellcheck
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -1)
rpm_of() { rpm --dbpath "$work/rpmdb" "$@"; }

# --- Two builds

if [ $# -gt 0 ]; then
    packages=$(cd "$1" && pwd)
else
    packages=$(realpath -m "$target/packages")
    # the same sources elsewhere, with a target directory and tools of their own: nothing that one compiler made is
    # taken by the other. Both at once, for a compiler does not keep two processors busy to its end
    again=$work/elsewhere/of/another/length
    mkdir -p "$again/target"
    tar -c --exclude=./target --exclude=./tests/fuzz/target . | tar -x -C "$again"
    cp -a --reflink=auto "$(packaging/tools.sh)" "$again/target/tools"
    rm -rf "$again/target/tools/zig-cache"
    # in a process group of its own, so that its compilers end with it when the first build fails
    set -m
    (cd "$again" && env -u CARGO_TARGET_DIR packaging/build.sh "$work/again") >"$work/again.log" 2>&1 &
    second=$!
    set +m
    trap 'kill -- "-$second" 2>/dev/null; wait; rm -rf "$work"' EXIT
    packaging/build.sh "$packages"
    wait "$second" || { tail -50 "$work/again.log" >&2; fail "the second build"; }
    for file in "$packages"/hypercloud-etcd?"$version"*; do
        cmp "$file" "$work/again/${file##*/}" || fail "two builds differ in ${file##*/}"
    done
    trap 'rm -rf "$work"' EXIT
    ok "two builds in two directories have made the same bytes"
fi
deb=$packages/hypercloud-etcd_${version}_amd64.deb
rpm=$packages/hypercloud-etcd-$version.x86_64.rpm
symbols=$packages/hypercloud-etcd-$version.x86_64.debug.xz
for file in "$deb" "$rpm" "$symbols"; do [ -s "$file" ] || fail "there is no $file"; done

# --- What is in them

mkdir -p "$work/scripts/rpm"
dpkg-deb -e "$deb" "$work/scripts/deb"
for tag in POSTIN PREUN POSTUN; do rpm_of -qp --qf "%{$tag}" "$rpm" >"$work/scripts/rpm/$tag"; done
shellcheck -x -S warning packaging/*.sh tests/*.sh &&
    shellcheck -s sh -S warning "$work"/scripts/deb/p* "$work"/scripts/rpm/* || fail "shellcheck"
lintian --allow-root --fail-on error,warning "$deb" || fail "lintian"
ok "lintian has nothing to say"
rpmlint -c packaging/rpm/rpmlint.toml "$rpm" >"$work/rpmlint" || { cat "$work/rpmlint"; fail "rpmlint"; }
grep -q ' 0 errors, 0 warnings' "$work/rpmlint" || { cat "$work/rpmlint"; fail "rpmlint"; }
ok "rpmlint has nothing to say"

mkdir -p "$work/deb" "$work/rpm"
dpkg-deb -x "$deb" "$work/deb"
rpm --root "$work/rpm" --dbpath /var/lib/rpm --nodeps --noscripts -i "$rpm" 2>"$work/rpm.err" || { cat "$work/rpm.err" >&2; fail "rpm -i into an empty root"; }
rm -rf "$work/rpm/var"
# what each has alone: Debian's copyright and overrides, the licence where an rpm has it, zsh's completions where
# the zsh of each looks for them
list() { (cd "$1" && find . -type f -printf '%P %m ' -exec sha256sum {} \; | sed 's/  .*//' | sort); }
alone='usr/share/doc/hypercloud-etcd/copyright|usr/share/lintian/overrides/hypercloud-etcd|usr/share/licenses/hypercloud-etcd/LICENSE|usr/share/zsh/[a-z-]*/_hypercloud-etcd'
diff <(list "$work/deb" | grep -Ev "^($alone) ") <(list "$work/rpm" | grep -Ev "^($alone) ") || fail "the packages differ"
for pair in deb:3 rpm:2; do
    [ "$(list "$work/${pair%:*}" | grep -Ec "^($alone) ")" = "${pair#*:}" ] || fail "the ${pair%:*} has other files alone"
done
diff <(dpkg-deb -c "$deb" | awk '$1 ~ /^-/ { print $1, $2, $6 }' | sed 's# \./# /#' | grep -Ev "($alone)$" | sort) \
    <(rpm_of -qp --qf '[%{FILEMODES:perms} %{FILEUSERNAME}/%{FILEGROUPNAME} %{FILENAMES}\n]' "$rpm" | sed 's# root/root # 0/0 #; s#^\(..........\)\.#\1#' | grep -Ev "($alone)$" | sort) ||
    fail "owners or modes differ"
for wanted in usr/bin/hypercloud-etcd etc/hypercloud-etcd/config.toml usr/lib/systemd/system/hypercloud-etcd.service \
    usr/share/man/man1/hypercloud-etcd.1.gz usr/share/man/man5/hypercloud-etcd.toml.5.gz \
    usr/share/bash-completion/completions/hypercloud-etcd usr/share/zsh/vendor-completions/_hypercloud-etcd \
    usr/share/fish/vendor_completions.d/hypercloud-etcd.fish usr/share/doc/hypercloud-etcd/changelog.gz \
    usr/share/doc/hypercloud-etcd/third-party-notices.gz usr/share/doc/hypercloud-etcd/examples/{hypercloud-etcd,local,s3-encrypted,external-etcd,three-control-plane-nodes}.toml \
    usr/share/doc/hypercloud-etcd/examples/{offsite.env,hypercloud-etcd-offsite.service,hypercloud-etcd-offsite.timer}; do
    [ -s "$work/deb/$wanted" ] || fail "there is no $wanted"
done
[ "$(dpkg-deb --info "$deb" conffiles)" = /etc/hypercloud-etcd/config.toml ] || fail "the conffiles"
[ "$(rpm_of -qpc "$rpm")" = /etc/hypercloud-etcd/config.toml ] || fail "the configuration of the rpm"
ok "both packages hold the same files, with the same owners and modes"

binary=$work/deb/usr/bin/hypercloud-etcd
size=$(stat -c %s "$binary")
[ "$size" -lt 12000000 ] || fail "the binary has $size bytes"
newest=$(objdump -T "$binary" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -1)
[ "$(printf 'GLIBC_2.17\n%s\n' "$newest" | sort -V | tail -1)" = GLIBC_2.17 ] || fail "the binary needs $newest"
file_has() { readelf -S "$1" 2>/dev/null | grep "$2" >/dev/null; }
file_has "$binary" '\.symtab' && fail "the binary is not stripped"
xz -dc "$symbols" >"$work/symbols"
file_has "$work/symbols" '\.debug_line' || fail "the symbols are none"
build_id() { readelf -n "$1" 2>/dev/null | awk '/Build ID/ { print $3 }'; }
[ -n "$(build_id "$binary")" ] && [ "$(build_id "$binary")" = "$(build_id "$work/symbols")" ] || fail "the symbols are of another binary"
told=$("$binary" --version)
grep -Eq "^hypercloud-etcd $version \(commit [0-9a-f]{12}.*\)$|\(commit unknown\)$" <<<"$told" || fail "--version: $told"
ok "$told: $size bytes, stripped, needs $newest at most"

# whose sources the debug symbols name is linked, whatever else cargo says
zcat "$work/deb/usr/share/doc/hypercloud-etcd/third-party-notices.gz" >"$work/notices"
{
    "${CARGO:-cargo}" tree --locked --target x86_64-unknown-linux-gnu --edges normal,no-proc-macro --prefix none --format '{p}' |
        sed 's/^\([^ ]*\) v\([^ ]*\).*/\1 \2/' | grep -v '^hypercloud-etcd '
    grep -aoE '/registry/src/[^/]+/[a-z0-9_-]+-[0-9]+\.[0-9]+\.[0-9a-z.+-]+/' "$work/symbols" |
        sed -E 's#.*/([a-z0-9_-]+)-([0-9]+\.[0-9]+\.[0-9a-z.+-]+)/$#\1 \2#'
} | sort -u >"$work/linked"
[ "$(wc -l <"$work/linked")" -gt 50 ] || fail "too few crates: $(cat "$work/linked")"
while read -r crate; do
    grep -F "$crate: " "$work/notices" >/dev/null || fail "the notices do not name $crate"
done <"$work/linked"
! grep -F -e "${CARGO_HOME:-$HOME/.cargo}" -e "$PWD" "$work/notices" || fail "a path of this machine is in the notices"
ok "the notices name all $(wc -l <"$work/linked") crates that are linked"
for page in "$work"/deb/usr/share/man/man?/*; do
    MANROFFOPT='-ww' man --warnings -E UTF-8 -l "$page" 2>"$work/man" >/dev/null || fail "man -l $page"
    [ ! -s "$work/man" ] || fail "man -l ${page##*/}: $(cat "$work/man")"
done
ok "$(find "$work"/deb/usr/share/man -type f | wc -l) man pages render without a warning"

# --- The deb's life, on a Debian as kubeadm leaves it

make_machine
# Debian's smallest system has no procps, and so no such program
rm -f "$root/usr/bin/kill"
mkdir "$root/packages"
previous=0.0.9
packaging/build.sh --binary "$binary" --version "$previous" "$work/previous" >/dev/null
cp "$deb" "$work/previous"/*.deb "$root/packages/"
boot
apt() { inside env DEBIAN_FRONTEND=noninteractive apt-get -y "$@" </dev/null >"$work/apt" 2>&1; }
said() { grep -q -- "$1" "$work/apt" || { cat "$work/apt" >&2; fail "not said: $1"; }; }
old=/packages/hypercloud-etcd_${previous}_amd64.deb new=/packages/hypercloud-etcd_${version}_amd64.deb
config=$root/etc/hypercloud-etcd/config.toml

apt install "$old" || { cat "$work/apt"; fail "apt install"; }
said 'not started: no kubeadm control plane here'
[ "$(property ActiveState) $(property UnitFileState)" = "inactive enabled" ] || fail "on a host that is none: $(property ActiveState) $(property UnitFileState)"
said 'once there is one: hypercloud-etcd init && hypercloud-etcd check && systemctl restart hypercloud-etcd'
said 'made /mnt/backup (root, mode 700)'
[ "$(stat -c '%a %U' "$root/mnt/backup")" = "700 root" ] || fail "the mode of /mnt/backup"
[ "$(stat -c '%a %U %G' "$config")" = "640 root root" ] || fail "the configuration's mode: $(stat -c '%a %U %G' "$config")"
apt install --reinstall "$old" || { cat "$work/apt"; fail "apt install --reinstall"; }
said 'not started: no kubeadm control plane here'
# the next boot, before anybody has set up Kubernetes: the unit starts, and may write to the directory for good
inside systemctl start "$unit" || fail "start with the packaged configuration"
inside nsenter --mount --target "$(property MainPID)" touch /mnt/backup/written || fail "the unit cannot write to /mnt/backup"
rm "$root/mnt/backup/written"
apt purge hypercloud-etcd || { cat "$work/apt"; fail "apt purge"; }
[ ! -e "$root/etc/hypercloud-etcd" ] && [ ! -e "$root/var/lib/hypercloud-etcd" ] || fail "a purge leaves something"
! grep 'stay where they are' "$work/apt" || fail "told of backups where there are none"
rmdir "$root/mnt/backup" || fail "a purge has taken the directory"
ok "elsewhere it is installed, enabled, not started, says what to do, and is purged without a trace"

make_pki
mkdir -p "$root/etc/kubernetes/manifests"
cat >"$root/etc/kubernetes/manifests/etcd.yaml" <<'YAML'
apiVersion: v1
kind: Pod
metadata:
  annotations:
    kubeadm.kubernetes.io/etcd.advertise-client-urls: https://127.0.0.1:2379
  labels:
    component: etcd
    tier: control-plane
  name: etcd
  namespace: kube-system
spec:
  containers:
  - command:
    - etcd
    - --advertise-client-urls=https://127.0.0.1:2379
    - --cert-file=/etc/kubernetes/pki/etcd/server.crt
    - --client-cert-auth=true
    - --data-dir=/var/lib/etcd
    - --key-file=/etc/kubernetes/pki/etcd/server.key
    - --listen-client-urls=https://127.0.0.1:2379
    - --listen-peer-urls=https://127.0.0.1:2380
    - --name=control-plane-1
    - --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt
    image: registry.k8s.io/etcd:3.5.15-0
    name: etcd
    volumeMounts:
    - mountPath: /var/lib/etcd
      name: etcd-data
    - mountPath: /etc/kubernetes/pki/etcd
      name: etcd-certs
  hostNetwork: true
  volumes:
  - hostPath:
      path: /etc/kubernetes/pki/etcd
      type: DirectoryOrCreate
    name: etcd-certs
  - hostPath:
      path: /var/lib/etcd
      type: DirectoryOrCreate
    name: etcd-data
status: {}
YAML
start_etcd
apt install "$old" || { cat "$work/apt"; fail "apt install"; }
said 'made /mnt/backup'
said 'started; the first backup is made when the schedule says, or now with: hypercloud-etcd backup'
[ "$(property ActiveState) $(property UnitFileState)" = "active enabled" ] || { cat "$work/apt"; fail "after the install: $(property ActiveState) $(property UnitFileState)"; }
[ "$(stat -c '%a %U' "$root/mnt/backup")" = "700 root" ] || fail "the mode of /mnt/backup"
grep -q '^[^#]' "$config" || fail "init wrote no configuration"
ok "on a kubeadm host apt installs, init configures, and it runs: $(status)"
judge_unit
inside systemctl status "$unit" --no-pager >"$work/status" || fail "systemctl status"
for line in 'Loaded: loaded' 'enabled' 'Active: active (running)' 'Status: "' 'Docs: man:hypercloud-etcd(1)'; do
    grep -qF "$line" "$work/status" || { cat "$work/status"; fail "systemctl status has no $line"; }
done

# an administrator's change: every minute, with patience for an etcd that hangs, and nothing else beside it
for setting in 'schedule = "* * * * *"' 'connect_timeout = "10m"' 'reserve = "1MiB"' 'reverify = "off"'; do
    key=${setting%% =*}
    sed -i "s|^#* *$key = .*|$setting|" "$config"
    grep -qF "$setting" "$config" || case $key in
        schedule) sed -i "1i $setting" "$config" ;;
        connect_timeout) grep -q '^\[etcd\]' "$config" && sed -i "/^\[etcd\]/a $setting" "$config" || printf '[etcd]\n%s\n' "$setting" >>"$config" ;;
        reserve | reverify) grep -q '^\[backup\]' "$config" && sed -i "/^\[backup\]/a $setting" "$config" || printf '[backup]\n%s\n' "$setting" >>"$config" ;;
    esac
done
inside systemctl reload "$unit" || fail "a good reload"
changed=$(sha256sum <"$config")
scheduled() { event BACKUP_DONE | grep '"TRIGGER":"schedule"' >/dev/null; }
wait_until "a scheduled backup" scheduled
judge_backup_event
# the screen that the README shows
inside systemctl status "$unit" --no-pager --full | tee "$work/status"
grep -F 'Status: "newest verified backup' "$work/status" >/dev/null || fail "systemctl status: $(status)"
inside hypercloud-etcd status || fail "status"
ok "a scheduled backup was made"

# --- An upgrade while a backup runs, the configuration changed, nobody there to ask

inside systemctl kill --signal=STOP etcd
wait_until "a run that hangs" says 'backup running'
before=$(property MainPID)
# etcd goes on once the old daemon says that it waits for its backup
(
    for _ in $(seq 3000); do
        kill -0 "$init" 2>/dev/null || exit
        ! inside journalctl -u "$unit" _PID="$before" -o cat --no-pager | grep '^stopping: the backup under way' >/dev/null || break
        sleep 0.1
    done
    inside systemctl kill --signal=CONT etcd
) &
thaw=$!
apt install "$new" || { cat "$work/apt"; fail "apt install of the next version"; }
wait "$thaw" || fail "etcd does not go on"
[ "$(sha256sum <"$config")" = "$changed" ] || fail "the upgrade has changed the configuration"
[ "$(property ActiveState)" = active ] && [ "$(property MainPID)" != "$before" ] || { cat "$work/apt"; fail "no restart after the upgrade"; }
[ -z "$(find "$root/etc/hypercloud-etcd" -name '*dpkg*')" ] || fail "dpkg has left something beside the configuration"
inside journalctl -u "$unit" _PID="$before" -o cat --no-pager >"$work/journal"
grep -A9 '^stopping: the backup under way' "$work/journal" | grep '^backup .* is verified' >/dev/null || { cat "$work/journal"; fail "the running backup was lost"; }
ok "an upgrade lets the running backup end, asks nothing, keeps the changed configuration and restarts"

cp "$config" "$work/good"
sed -i 's/^schedule = .*/schedule = "61 * * * *"/' "$config"
before=$(property MainPID)
apt install --reinstall "$new" || { cat "$work/apt"; fail "apt install --reinstall"; }
said 'NOT RESTARTED'
[ "$(property MainPID) $(property ActiveState)" = "$before active" ] || fail "the daemon was ended for a configuration that is refused"
cp "$work/good" "$config"
ok "an upgrade that refuses the configuration leaves the old daemon running, and says so"

inside systemctl stop "$unit"
apt install --reinstall "$new" || { cat "$work/apt"; fail "apt install --reinstall"; }
said 'not started, for it was stopped'
[ "$(property ActiveState)" = inactive ] || fail "an upgrade has started what was stopped"
sed -i 's/^schedule = .*/schedule = "61 * * * *"/' "$config"
inside systemctl start "$unit" 2>/dev/null && fail "it starts with a bad configuration"
[ "$(property ActiveState)" = failed ] || fail "after a bad start: $(property ActiveState)"
apt install --reinstall "$new" || { cat "$work/apt"; fail "apt install --reinstall"; }
said 'it has failed before this upgrade'
said 'not started: mend what is FAILED above'
cp "$work/good" "$config"
apt install --reinstall "$new" || { cat "$work/apt"; fail "apt install --reinstall"; }
said 'started; '
[ "$(property ActiveState)" = active ] || fail "what had failed was not started: $(property ActiveState)"
ok "an upgrade starts what had failed, leaves stopped what was stopped, and says so"

kept=$(find "$root/mnt/backup" -type f -exec sha256sum {} + | sort)
[ "$(grep -c '\.db$' <<<"$kept")" -ge 2 ] && grep -q '/ca\.key$' <<<"$kept" || fail "too few files: $kept"
apt remove hypercloud-etcd || { cat "$work/apt"; fail "apt remove"; }
said 'stay where they are: /mnt/backup'
inside systemctl is-active --quiet "$unit" && fail "it runs after its remove"
[ "$(sha256sum <"$config")" = "$changed" ] || fail "a remove has taken the configuration"
apt install "$new" || { cat "$work/apt"; fail "apt install again"; }
[ "$(property ActiveState)" = active ] || { cat "$work/apt"; fail "not started when installed again"; }
inside systemctl stop "$unit"
kept=$(find "$root/mnt/backup" -type f -exec sha256sum {} + | sort)
sed -i 's|^#* *dir = .*|dir = "/mnt/backup"|' "$config"
apt remove hypercloud-etcd || { cat "$work/apt"; fail "apt remove"; }
# purged some day
touch -d '1 day ago' "$root/var/lib/hypercloud-etcd/removed"
apt purge hypercloud-etcd || { cat "$work/apt"; fail "apt purge"; }
said 'stay where they are: /mnt/backup'
[ ! -e "$config" ] && [ ! -e "$root/var/lib/hypercloud-etcd" ] || fail "a purge leaves something"
[ "$(find "$root/mnt/backup" -type f -exec sha256sum {} + | sort)" = "$kept" ] || fail "a purge has touched the backups"
apt install "$new" || { cat "$work/apt"; fail "apt install once more"; }
inside systemctl stop "$unit"
kept=$(find "$root/mnt/backup" -type f -exec sha256sum {} + | sort)
cp "$config" "$config.old"
cp "$config" "$config.old-2"
touch "$root/var/lib/hypercloud-etcd/.state.json.draft"
inside dpkg --purge hypercloud-etcd >"$work/apt" 2>&1 || { cat "$work/apt"; fail "dpkg --purge"; }
[ "$(grep -c 'stay where they are: /mnt/backup' "$work/apt")" = 1 ] || { cat "$work/apt"; fail "told more than once"; }
[ ! -e "$root/etc/hypercloud-etcd" ] && [ ! -e "$root/var/lib/hypercloud-etcd" ] || fail "a purge leaves something"
[ "$(find "$root/mnt/backup" -type f -exec sha256sum {} + | sort)" = "$kept" ] || fail "a purge has touched the backups"
ok "remove stops, install starts again, purge keeps every backup and the CA and says where they are"

# --- The rpm's life: its files by rpm, its scriptlets on the running system

rpm_in() { rpm --root "$root" --dbpath /var/lib/rpm --nodeps --noscripts --nosignature "$@" 2>"$work/rpm.err" || { cat "$work/rpm.err" >&2; fail "rpm $*"; }; }
scriptlet() { # NAME ARGUMENT: as rpm runs it
    rpm_of -qp --qf "%{$1}" "$rpm" >"$root/packages/scriptlet"
    inside sh -e /packages/scriptlet "$2" >"$work/apt" 2>&1 || { cat "$work/apt"; fail "the scriptlet $1 $2"; }
}
mkdir -p "$root/var/lib/rpm"
chmod 0755 "$root/mnt/backup"
rpm_in -i "$work/previous/hypercloud-etcd-$previous.x86_64.rpm"
scriptlet POSTIN 1
said '/mnt/backup exists and stays as it is (root:root, mode 755)'
[ "$(property ActiveState) $(property UnitFileState)" = "active enabled" ] || { cat "$work/apt"; fail "after the rpm's install: $(property ActiveState) $(property UnitFileState)"; }
[ "$(stat -c %a "$root/mnt/backup")" = 755 ] || fail "the rpm has changed the mode of /mnt/backup"
printf '\n# changed\n' >>"$config"
changed=$(sha256sum <"$config") before=$(property MainPID)
rpm_in -U "$rpm"
scriptlet POSTIN 2
scriptlet POSTUN 1
[ "$(sha256sum <"$config")" = "$changed" ] || fail "rpm -U has changed the configuration"
[ "$(property ActiveState)" = active ] && [ "$(property MainPID)" != "$before" ] || fail "no restart after rpm -U"
scriptlet PREUN 0
said 'stay where they are: /mnt/backup'
[ "$(property ActiveState)" = inactive ] && ! inside systemctl is-enabled --quiet "$unit" || fail "after the rpm's preun: $(property ActiveState)"
rpm_in -e hypercloud-etcd
scriptlet POSTUN 0
[ "$(sha256sum <"$config.rpmsave")" = "$changed" ] || fail "rpm -e has lost the changed configuration"
[ ! -e "$root/usr/bin/hypercloud-etcd" ] || fail "rpm -e leaves the program"
rm "$config.rpmsave"
scriptlet POSTUN 0
for dir in etc/hypercloud-etcd usr/share/doc/hypercloud-etcd usr/share/licenses/hypercloud-etcd; do
    [ ! -e "$root/$dir" ] || fail "rpm -e leaves /$dir: $(ls "$root/$dir")"
done
[ "$(find "$root/mnt/backup" -type f -exec sha256sum {} + | sort | grep -cxFf <(printf '%s\n' "$kept"))" = "$(grep -c . <<<"$kept")" ] || fail "rpm has touched a backup"
ok "the rpm installs, starts, upgrades with a changed configuration, stops, and keeps every backup"
printf 'all is proven of %s and %s\n' "${deb##*/}" "${rpm##*/}"
