#!/usr/bin/env bash
# Builds the image that `hypercloud-etcd render cronjob --mode native --tool-image IMAGE` runs, with buildah and from
# nothing that a registry would have to give. The same binary makes the same image.
#
#     packaging/container.sh IMAGE [BINARY]     (default: target/release/hypercloud-etcd)
#
#     packaging/container.sh 192.168.50.90:5000/hypercloud-etcd:0.1.0
#     buildah push 192.168.50.90:5000/hypercloud-etcd:0.1.0
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[ $# -ge 1 ] || { sed -n 's/^# \{0,1\}//; 2,9p' "${BASH_SOURCE[0]}" >&2; exit 64; }
image=$1
binary=${2:-${CARGO_TARGET_DIR:-target}/release/hypercloud-etcd}

fail() { printf 'container: error: %s\n' "$1" >&2; exit 1; }
command -v buildah >/dev/null || fail "there is no buildah; install it with: apt-get install -y --no-install-recommends buildah"
[ -x "$binary" ] || fail "there is no $binary; build it with: cargo build --release --locked"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/root"/{usr/bin,usr/share/doc/hypercloud-etcd,mnt/backup,tmp}
chmod 1777 "$work/root/tmp"
install -m 0755 "$binary" "$work/root/usr/bin/hypercloud-etcd"
install -m 0644 LICENSE "$work/root/usr/share/doc/hypercloud-etcd/LICENSE"
# glibc, its loader, and what else this binary asks for; a static one asks for nothing
libraries=$(ldd "$binary" 2>/dev/null | awk '{ for (i = 1; i <= NF; i++) if ($i ~ /^\//) print $i }' || true)
for library in $libraries; do
    install -D -m 0755 "$library" "$work/root$library"
done
# the files have the age of the commit, not of this run
age=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
find "$work/root" -exec touch -h -d "@$age" {} +
buildah bud --timestamp "$age" --label org.opencontainers.image.title=hypercloud-etcd \
    --label org.opencontainers.image.licenses=Apache-2.0 \
    --tag "$image" --file packaging/Containerfile "$work"
