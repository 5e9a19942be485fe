#!/usr/bin/env bash
# Proves the image of the native CronJob: builds it with buildah, renders the CronJob, and runs the pod's command in the
# image as the pod confines it (read-only, no capability, no new privileges, the pod's mounts alone) against a real etcd.
# Needs root, buildah, systemd-nspawn, ip and openssl, and tests/install.sh; leaves nothing running and nothing stored.
#
#     tests/container.sh [BINARY]     (default: target/debug/hypercloud-etcd)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/retry.sh

target=${CARGO_TARGET_DIR:-target}
binary=$(realpath "${1:-$target/debug/hypercloud-etcd}")
etcd=${HCE_ETCD_DIR:-$target/etcd}
fail() { printf 'FAILED: %s\n' "$1" >&2; exit 1; }
ok() { printf 'ok: %s\n' "$*"; }

if [ -z "${HCE_NETWORK:-}" ]; then
    missing=()
    command -v buildah >/dev/null || missing+=(buildah)
    command -v systemd-nspawn >/dev/null || missing+=(systemd-container)
    command -v ip >/dev/null || missing+=(iproute2)
    command -v openssl >/dev/null || missing+=(openssl)
    if [ ${#missing[@]} != 0 ]; then
        { retry apt-get -qq update && DEBIAN_FRONTEND=noninteractive retry apt-get -qq install -y --no-install-recommends "${missing[@]}"; } \
            >/dev/null || fail "these cannot be installed: ${missing[*]}"
    fi
    [ -x "$binary" ] || fail "there is no $binary"
    [ -x "$etcd/3.5/etcd" ] && [ -x "$etcd/kubectl/kubectl" ] || fail "there is no etcd or kubectl in $etcd; run tests/install.sh"
    # a network of its own, whose port 2379 is free, and mounts that end with it
    HCE_NETWORK=own exec unshare --net --mount --pid --fork --mount-proc --kill-child "${BASH_SOURCE[0]}" "$binary"
fi

ip link set lo up
# where systemd-nspawn wants a file system that is gone with the machine
mkdir -p /run/systemd/nspawn && mount -t tmpfs tmpfs /run/systemd/nspawn
work=$(mktemp -d)
cleanup() {
    [ -z "${server:-}" ] || kill "$server" 2>/dev/null || true
    [ -z "${server:-}" ] || wait "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
# a store of its own, on any file system
mkdir -p "$work"/{home,store,run,kubernetes/pki/etcd,kubernetes/manifests,backup,config,data}
printf '[storage]\ndriver = "vfs"\ngraphroot = "%s"\nrunroot = "%s"\n' "$work/store" "$work/run" >"$work/storage.conf"
export HOME=$work/home CONTAINERS_STORAGE_CONF=$work/storage.conf BUILDAH_ISOLATION=chroot

# --- The image

image=localhost/hypercloud-etcd:proof
packaging/container.sh "$image" "$binary" >"$work/build.log" 2>&1 || { cat "$work/build.log" >&2; fail "the image cannot be built"; }
first=$(buildah images --quiet --no-trunc "$image")
packaging/container.sh "$image" "$binary" >"$work/build.log" 2>&1 || fail "the image cannot be built again"
[ "$(buildah images --quiet --no-trunc "$image")" = "$first" ] || fail "the same binary made another image"
container=$(buildah from "$image")
root=$(buildah mount "$container")
files=$(find "$root" -type f -printf '/%P\n' | sort)
! grep -Ev '^/(lib|lib64|usr/lib)/|^/usr/bin/hypercloud-etcd$|/LICENSE$' <<<"$files" || fail "there is more in the image"
[ "$(buildah run "$container" -- hypercloud-etcd --version)" = "$("$binary" --version)" ] || fail "the image does not run"
ok "the image runs, is the same when it is built again, and holds" $files

# --- The node

pki=$work/kubernetes/pki
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=ca \
    -keyout "$pki/ca.key" -out "$pki/ca.crt" 2>/dev/null
cp "$pki"/ca.* "$pki/etcd/"
for name in server healthcheck-client; do
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" \
        -keyout "$pki/etcd/$name.key" -out "$work/$name.csr" 2>/dev/null
    openssl x509 -req -in "$work/$name.csr" -CA "$pki/etcd/ca.crt" -CAkey "$pki/etcd/ca.key" -CAcreateserial -days 30 \
        -extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1') -out "$pki/etcd/$name.crt" 2>/dev/null
done
chmod 0600 "$pki"/*.key "$pki"/etcd/*.key
"$etcd/3.5/etcd" --name master1 --data-dir "$work/data" --listen-client-urls https://127.0.0.1:2379 \
    --advertise-client-urls https://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 --client-cert-auth \
    --cert-file "$pki/etcd/server.crt" --key-file "$pki/etcd/server.key" --trusted-ca-file "$pki/etcd/ca.crt" \
    >"$work/etcd.log" 2>&1 &
server=$!
etcdctl() {
    "$etcd/3.5/etcdctl" --endpoints https://127.0.0.1:2379 --cacert "$pki/etcd/ca.crt" \
        --cert "$pki/etcd/healthcheck-client.crt" --key "$pki/etcd/healthcheck-client.key" "$@"
}
for _ in $(seq 100); do
    ! etcdctl put /registry/pods/default/a 1 >/dev/null 2>&1 || break
    kill -0 "$server" 2>/dev/null || { cat "$work/etcd.log" >&2; fail "etcd ended"; }
    sleep 0.1
done
etcdctl get /registry/pods/default/a | grep . >/dev/null || fail "etcd does not answer"

# --- The CronJob

printf 'schedule = "*/5 * * * *"\n[backup]\nreserve = "1MiB"\n' >"$work/config.toml"
"$binary" --config "$work/config.toml" render cronjob --mode native --tool-image "$image" --node master1 \
    --output "$work/cronjob.yaml"
kubectl=$etcd/kubectl/kubectl
"$kubectl" label --local -f "$work/cronjob.yaml" proof=yes \
    -o 'go-template={{if eq .kind "ConfigMap"}}{{index .data "config.toml"}}{{end}}' >"$work/config/config.toml"
cmp "$work/config.toml" "$work/config/config.toml" || fail "the ConfigMap holds another configuration"
sed '1,/^---$/d' "$work/cronjob.yaml" >"$work/job.yaml"
container_of() { "$kubectl" set image --local -f "$work/job.yaml" '*=image' -o "jsonpath={range .spec.jobTemplate.spec.template.spec.containers[0].$1[*]}{$2}{\"\\n\"}{end}"; }
mapfile -t words < <(container_of command @; container_of args @)
mapfile -t mounts < <(container_of volumeMounts .mountPath)
[ "${mounts[*]}" = "/mnt/backup /etc/kubernetes/pki /run/hypercloud-etcd" ] || fail "its mounts are ${mounts[*]}"

# the places of the mounts, which a container runtime makes, too
(cd "$root" && mkdir -p "${mounts[@]/#/.}")
# pod COMMAND…: in the image, confined and mounted as in the pod
pod() {
    systemd-nspawn -q --pipe -D "$root" --register=no --keep-unit --read-only --drop-capability=all --no-new-privileges=yes \
        --resolv-conf=off --timezone=off --link-journal=no --bind "$work/backup:${mounts[0]}" \
        --bind-ro "$pki:${mounts[1]}" --bind-ro "$work/config:${mounts[2]}" --setenv=PATH=/usr/bin "$@" </dev/null
}
told=$(pod "${words[@]}" 2>&1) || fail "the pod: $told"
grep -q '^verified backup of ' <<<"$told" || fail "no verified backup: $told"
ok "${words[*]}: $(grep '^verified' <<<"$told")"
! refused=$(pod hypercloud-etcd generate man /usr/share/doc 2>&1) || fail "the image can be written to"
grep -q 'Read-only file system' <<<"$refused" || fail "the image cannot be written to, but for another reason: $refused"
ok "nothing can be written but the backups"
printf '[backup]\ndir = "%s"\n' "$work/backup" >"$work/host.toml"
"$binary" --config "$work/host.toml" verify --all >/dev/null || fail "the host does not find the backup sound"
[ "$(stat -c %a "$work"/backup/etcd-*.db)" = 600 ] || fail "the snapshot is readable for others"
cmp "$pki/ca.key" "$work"/backup/pki/*/ca.key || fail "the key of the CA was not kept"
for proof in trailer structure live; do
    grep -q "^$proof  *ok: " <<<"$told" || fail "no proof $proof: $told"
done
ok "all three proofs hold, and the host finds the backup sound, with the CA beside it"
