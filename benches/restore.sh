#!/usr/bin/env bash
# Compares a restore with `etcdutl snapshot restore` of the same file, and `show --file` with `etcdutl snapshot status`:
# wall time, CPU seconds, peak memory. Both write to the same file system, both find the file in the page cache, and they
# take turns, so that a noisy machine is noisy for both; the table shows medians and their ratios. Asserts nothing.
#
#   benches/restore.sh [ROUNDS] [SIZE...]        default: 7 rounds of 1GiB
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

rounds=${1:-7}
sizes=("${@:2}")
[ ${#sizes[@]} -gt 0 ] || sizes=(1GiB)
command -v /usr/bin/time >/dev/null || { echo "restore: install GNU time: apt-get install time" >&2; exit 1; }

tests/install.sh
target=${CARGO_TARGET_DIR:-target}
cargo build --locked --release --bin hypercloud-etcd
cargo build --locked --example demo
export HCE_ETCD_DIR=${HCE_ETCD_DIR:-$PWD/target/etcd}
ours=$target/release/hypercloud-etcd
peer=$HCE_ETCD_DIR/3.5/etcdutl
work=$(mktemp -d "${TMPDIR:-/tmp}/hypercloud-etcd-restore-XXXXXX")
trap 'exec 9>&-; [ -z "${server:-}" ] || wait "$server" || true; rm -rf "$work"' EXIT

# GNU time's line: seconds of wall, user, system, and peak KiB
measure() { # TOOL COMMAND...
    local tool=$1
    shift
    # what the one before has left to be written is not this one's
    sync
    if ! /usr/bin/time -a -o "$work/of-$tool" -f '%e %U %S %M' "$@" >"$work/stdout" 2>"$work/stderr"; then
        cat "$work/stdout" "$work/stderr" >&2
        exit 1
    fi
    rm -rf "$work/data"
}

median() { sort -g | awk '{ v[NR] = $1 } END { print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

row() { # NAME TOOL PEER
    local tool wall cpu peak base=()
    for tool in "$3" "$2"; do
        wall=$(awk '{ print $1 }' "$work/of-$tool" | median)
        cpu=$(awk '{ print $2 + $3 }' "$work/of-$tool" | median)
        peak=$(awk '{ print $4 * 1024 / 1e6 }' "$work/of-$tool" | median)
        [ ${#base[@]} -gt 0 ] || base=("$wall" "$cpu" "$peak")
    done
    awk -v s="$((bytes / 1000000)) MB" -v t="$1" -v w="$wall" -v c="$cpu" -v p="$peak" -v bw="${base[0]}" -v bc="${base[1]}" -v bp="${base[2]}" \
        'BEGIN { printf "| %s | %s | %.2f (%.2f) | %.2f (%.2f) | %.0f (%.2f) |\n", s, t, w, w / bw, c, c / bc, p, p / bp }'
}

echo "| database | command | wall s | CPU s | peak RSS MB |"
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
    snapshot=$work/snapshot.db
    "$HCE_ETCD_DIR/3.5/etcdctl" snapshot save "$snapshot" >/dev/null 2>"$work/stderr"
    exec 9>&-
    wait "$server" || true
    server=
    rm -rf "$work/hold" "${work:?}/$size" "$work"/of-*
    bytes=$(stat -c %s "$snapshot")
    for ((round = 0; round < rounds; round++)); do
        cat "$snapshot" >/dev/null
        measure etcdutl-restore "$peer" snapshot restore "$snapshot" --data-dir "$work/data"
        measure restore "$ours" restore --file "$snapshot" --data-dir "$work/data" --json
        measure compact "$ours" restore --file "$snapshot" --data-dir "$work/data" --compact --json
        measure etcdutl-status "$peer" snapshot status "$snapshot" -w json
        measure show "$ours" show --file "$snapshot" --json
    done
    row "etcdutl snapshot restore" etcdutl-restore etcdutl-restore
    row "restore" restore etcdutl-restore
    row "restore --compact" compact etcdutl-restore
    row "etcdutl snapshot status" etcdutl-status etcdutl-status
    row "show --file" show etcdutl-status
    rm -f "$snapshot"
done
