#!/usr/bin/env bash
# Provides what packaging/build.sh needs below target/tools, in these versions and nowhere else; does nothing where
# they are there already. It prints the directory.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tests/retry.sh

zig=0.15.2 zigbuild=0.24.0 cargo_deb=3.8.0 cargo_generate_rpm=0.21.1
tools=target/tools
mkdir -p "$tools"
tools=$(cd "$tools" && pwd)
exec 9>"$tools/.lock"
flock -w 1800 9

say() { printf 'tools: %s\n' "$*" >&2; }

if [ ! -e "$tools/zig-$zig-$zigbuild" ]; then
    say "fetching zig $zig and cargo-zigbuild $zigbuild from the Python package index"
    python=python3
    if ! python3 -m pip --version >/dev/null 2>&1; then
        python=/usr/bin/python3
        [ "$(id -u)" = 0 ] || { say "pip is missing; run as root: apt-get install -y python3-pip"; exit 1; }
        { retry apt-get -qq update && retry apt-get -qq install -y --no-install-recommends python3 python3-pip; } >&2
    fi
    rm -rf "$tools/python"
    retry "$python" -m pip -q install --disable-pip-version-check --root-user-action ignore --no-deps --only-binary :all: \
        --target "$tools/python" "ziglang==$zig" "cargo-zigbuild==$zigbuild" >&2
    touch "$tools/zig-$zig-$zigbuild"
fi
# cargo_install NAME VERSION: quickly built, for they run a few seconds in each build
cargo_install() {
    [ ! -e "$tools/$1-$2" ] || return 0
    say "building $1 $2"
    retry env -u RUSTFLAGS CARGO_TARGET_DIR="$tools/build" CARGO_PROFILE_DEV_DEBUG=false \
        "${CARGO:-cargo}" install -q --locked --force --profile dev --root "$tools" "$1@$2" >&2
    touch "$tools/$1-$2"
}
cargo_install cargo-deb "$cargo_deb"
cargo_install cargo-generate-rpm "$cargo_generate_rpm"
rm -rf "$tools/build"
printf '%s\n' "$tools"
