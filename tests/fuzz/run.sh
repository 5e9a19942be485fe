#!/usr/bin/env bash
# Fuzzes each target for SECONDS (default 20), starting from the inputs that are kept in tests/fuzz/corpus.
#
#     tests/fuzz/run.sh [SECONDS [TARGET…]]
#
# Beside what tests/install.sh provides, stable Rust and a C++ compiler are all it takes (Debian: apt-get install g++):
# the coverage that guides libFuzzer is a pass of the compiler that stable has. There is no address sanitizer: the crate
# forbids unsafe code, so a fault shows as a panic, an overflow (checked in this build), a hang or a process that grows,
# and each of them ends the run.
#
# A find is written to tests/fuzz/artifacts/TARGET/; new inputs that reach further go to tests/fuzz/target/grown/TARGET/.
# KEEP=1 then takes the smallest set of them that reaches all that is reached into tests/fuzz/corpus/TARGET/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

seconds=${1:-20}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || {
    echo "run.sh: error: $seconds is not a number of seconds" >&2
    exit 64
}
shift || true
targets=("$@")
[ $# -gt 0 ] || targets=(snapshot_file page_mutations restore manifest pod_manifest)

command -v c++ >/dev/null || {
    echo "run.sh: error: libFuzzer needs a C++ compiler" >&2
    echo "run.sh:  hint: Run: apt-get install g++" >&2
    exit 1
}

host=$(rustc -vV | awk '/^host:/ { print $2 }')
flags=(-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg=fuzzing)
# --target keeps the flags away from build scripts; not --locked, for the crate's own dependencies may have grown since
CARGO_TARGET_DIR=target CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; echo "${flags[*]}") \
    "${CARGO:-cargo}" build --release --target "$host"

for target in "${targets[@]}"; do
    binary=target/$host/release/$target
    # small inputs are read far more often in a second, and a few small pages hold every case
    limit=16384
    seeds=corpus/$target
    case $target in
    page_mutations) limit=256 ;;
    # what is restored are these snapshots
    restore) limit=256 seeds=corpus/page_mutations ;;
    esac
    log=target/$target.log
    mkdir -p "target/grown/$target" "artifacts/$target"
    printf '\n== %s, %s s\n' "$target" "$seconds"
    "$binary" "target/grown/$target" "$seeds" -max_total_time="$seconds" -max_len="$limit" -timeout=10 \
        -rss_limit_mb=1024 -artifact_prefix="artifacts/$target/" -print_final_stats=1 >"$log" 2>&1 || {
        tail -n 40 "$log" >&2
        echo "run.sh: error: $target found something: tests/fuzz/artifacts/$target/" >&2
        exit 1
    }
    grep '^stat::' "$log"
    if [ -n "${KEEP:-}" ]; then
        "$binary" -merge=1 -max_len="$limit" "$seeds" "target/grown/$target" >"$log" 2>&1
        du -sh "$seeds"
    fi
done
