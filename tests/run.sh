#!/usr/bin/env bash
# Passes the tests: provides what they need, then runs them all. Arguments go to `cargo test`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tests/install.sh
HCE_ETCD_DIR=$(cd "${HCE_ETCD_DIR:-${CARGO_TARGET_DIR:-target}/etcd}" && pwd)
export HCE_ETCD_DIR
# what must be there: a test whose component is missing fails, it is never skipped
export HCE_REQUIRE=${HCE_REQUIRE:-etcd,kubectl}
exec "${CARGO:-cargo}" test --locked "$@"
