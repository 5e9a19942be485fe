#!/usr/bin/env bash
# Compares one backup with `etcdctl snapshot save` of the same server: wall time, the client's CPU seconds, its peak
# memory. Both write to the same file system and sync it; the two take turns, so that a noisy machine is noisy for
# both; the table shows medians and their ratios. Asserts nothing.
#
#   benches/compare.sh [ROUNDS] [SIZE...]        default: 7 rounds of 100MiB 1GiB 2GiB
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

rounds=${1:-7}
sizes=("${@:2}")
[ ${#sizes[@]} -gt 0 ] || sizes=(100MiB 1GiB 2GiB)
command -v /usr/bin/time >/dev/null || { echo "compare: install GNU time: apt-get install time" >&2; exit 1; }

tests/install.sh
target=${CARGO_TARGET_DIR:-target}
cargo build --locked --release --bin hypercloud-etcd
cargo build --locked --example demo
export HCE_ETCD_DIR=${HCE_ETCD_DIR:-$PWD/target/etcd}
work=$(mktemp -d "${TMPDIR:-/tmp}/hypercloud-etcd-compare-XXXXXX")
trap 'exec 9>&-; [ -z "${server:-}" ] || wait "$server" || true; rm -rf "$work"' EXIT

# GNU time's line: seconds of wall, user, system, and peak KiB
measure() { # OUTPUT COMMAND...
    local output=$1
    shift
    if ! /usr/bin/time -a -o "$output" -f '%e %U %S %M' "$@" >"$work/stdout" 2>"$work/stderr"; then
        cat "$work/stdout" "$work/stderr" >&2
        exit 1
    fi
}

median() { sort -g | awk '{ v[NR] = $1 } END { print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

echo "| database | tool | wall s | CPU s/GB | peak RSS MB |"
echo "|---|---|---|---|---|"
for size in "${sizes[@]}"; do
    mkfifo "$work/hold"
    "$target/debug/examples/demo" serve --size "$size" --dir "$work/$size" <"$work/hold" >"$work/environment" 2>"$work/log" &
    server=$!
    exec 9>"$work/hold"
    until grep -q '^READY=1' "$work/environment"; do
        kill -0 "$server" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
        sleep 0.5
    done
    set -a
    # shellcheck disable=SC1091
    source "$work/environment"
    set +a
    full=$work/ours-verified plain=$work/ours-plain peer=$work/etcdctl
    rm -f "$full" "$plain" "$peer"
    sed '/^\[etcd\]/a live_hash = "off"' "$HCE_CONFIG" >"$work/plain.toml"
    for ((round = 0; round < rounds; round++)); do
        measure "$peer" "$HCE_ETCD_DIR/3.5/etcdctl" snapshot save "$HCE_BACKUPS/peer.db"
        rm -f "$HCE_BACKUPS/peer.db"
        measure "$full" "$target/release/hypercloud-etcd" backup --json --config "$HCE_CONFIG"
        bytes=$(stat -c %s "$HCE_BACKUPS"/etcd-*.db)
        rm -f "$HCE_BACKUPS"/etcd-*
        measure "$plain" "$target/release/hypercloud-etcd" backup --json --config "$work/plain.toml"
        rm -f "$HCE_BACKUPS"/etcd-*
    done
    for tool in etcdctl ours-plain ours-verified; do
        wall=$(awk '{ print $1 }' "$work/$tool" | median)
        cpu=$(awk -v bytes="$bytes" '{ print ($2 + $3) / bytes * 1e9 }' "$work/$tool" | median)
        peak=$(awk '{ print $4 * 1024 / 1e6 }' "$work/$tool" | median)
        [ "$tool" != etcdctl ] || { base_wall=$wall base_cpu=$cpu base_peak=$peak; }
        awk -v s="$((bytes / 1000000)) MB" -v t="$tool" -v w="$wall" -v c="$cpu" -v p="$peak" -v bw="$base_wall" -v bc="$base_cpu" -v bp="$base_peak" \
            'BEGIN { printf "| %s | %s | %.2f (%.2f) | %.2f (%.2f) | %.0f (%.2f) |\n", s, t, w, w / bw, c, c / bc, p, p / bp }'
    done
    exec 9>&-
    wait "$server" || true
    server=
    rm -rf "$work/hold" "${work:?}/$size"
done
