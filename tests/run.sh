#!/usr/bin/env bash
# Passes the tests: provides what they need, then runs them all. Needs root. Arguments go to `cargo test`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() { printf 'error: %s\n hint: %s\n' "$1" "$2" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "the tests need root: they mount small disks and run commands as somebody else" "Run sudo tests/run.sh, or run it in a container."
tests/install.sh
losetup --find >/dev/null || fail "there is no free loop device for the small disks of the tests" "Load the kernel's module with modprobe loop, and let a container see /dev/loop*."
HCE_ETCD_DIR=$(cd "${HCE_ETCD_DIR:-${CARGO_TARGET_DIR:-target}/etcd}" && pwd)
export HCE_ETCD_DIR
# what must be there: a test whose component is missing fails, it is never skipped
export HCE_REQUIRE=${HCE_REQUIRE:-etcd,kubectl,containerd}
# the same random cases every time: a change is judged by nothing but itself. Others: PROPTEST_RNG_SEED=$RANDOM tests/run.sh
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-20261128}
exec "${CARGO:-cargo}" test --locked "$@"
