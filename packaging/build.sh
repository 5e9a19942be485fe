#!/usr/bin/env bash
# Makes the packages, from this directory and nothing else; the same commit gives the same bytes wherever it lies.
#
#     packaging/build.sh [--binary FILE] [--version VERSION] [DIRECTORY]     (default: target/packages)
#
#     hypercloud-etcd_VERSION_amd64.deb
#     hypercloud-etcd-VERSION.x86_64.rpm
#     hypercloud-etcd-VERSION.x86_64.debug.xz     the debug symbols, for gdb, perf and addr2line; no core is ever
#                                                 dumped, for the CA's key is in the daemon's memory
#
# The binary runs with glibc 2.17 and every later one. --binary packs one that was built before, with its symbols;
# --version calls the packages otherwise. HCE_COMMIT and SOURCE_DATE_EPOCH (default: git's) may be given.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() { printf 'build: error: %s\n' "$1" >&2; exit 1; }
say() { printf 'build: %s\n' "$*" >&2; }

binary='' version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -1)
number=$version
while [ $# -gt 0 ]; do
    case $1 in
    --binary) binary=$2; shift 2 ;;
    --version) version=$2; shift 2 ;;
    -*) fail "there is no option $1" ;;
    *) break ;;
    esac
done
output=${1:-target/packages}
changelog=packaging/CHANGELOG.md
released=$(sed -n 's/^## \([^ ]*\) - .*/\1/p' "$changelog" | head -1)
[ "$released" = "$number" ] || fail "the first entry of $changelog is $released, and Cargo.toml says $number"
for tool in objcopy gzip xz; do command -v "$tool" >/dev/null || fail "there is no $tool"; done
[ "$(uname -m)" = x86_64 ] || fail "this makes packages for x86_64 on x86_64"

# of_git: the commit that is checked out, and whether anything was changed since
of_git() {
    local commit
    commit=$(git rev-parse --short=12 HEAD 2>/dev/null) || { echo unknown; return; }
    git diff --quiet HEAD || commit+=', changed since'
    echo "$commit"
}
: "${HCE_COMMIT:=$(of_git)}"
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || date -ud "$(sed -n 's/^## .* - //p' "$changelog" | head -1)" +%s)}"
export HCE_COMMIT SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
umask 022

tools=$(packaging/tools.sh)
export PATH=$tools/bin:$tools/python/bin:$PATH
target=${CARGO_TARGET_DIR:-target}
triple=x86_64-unknown-linux-gnu
glibc=2.17

# compile: the binary with its symbols, in which no path of this machine is left. zig compiles parts of its own
# where it links: they take the directory from PWD and their place in it, so the tools are always in target/tools
compile() {
    local cargo_home=${CARGO_HOME:-$HOME/.cargo} map from
    map=("$cargo_home=/cargo" "$PWD/$target=/target" "$PWD=/hypercloud-etcd" "$tools=/tools")
    [[ $target != /* ]] || map[1]="$target=/target"
    RUSTFLAGS="-Clink-arg=-Wl,--build-id=sha1" CFLAGS=''
    for from in "${map[@]}"; do
        RUSTFLAGS+=" --remap-path-prefix=$from"
        CFLAGS+=" -ffile-prefix-map=$from"
    done
    export RUSTFLAGS CFLAGS CARGO_ZIGBUILD_ZIG_PATH=$tools/python/ziglang/zig ZIG_GLOBAL_CACHE_DIR=$tools/zig-cache
    env PWD=/proc/self/cwd CARGO_PROFILE_RELEASE_STRIP=none CARGO_PROFILE_RELEASE_DEBUG=line-tables-only \
        cargo-zigbuild zigbuild --locked --release --bin hypercloud-etcd --target "$triple.$glibc" >&2
}

if [ -z "$binary" ]; then
    say "compiling $number ($HCE_COMMIT) for glibc $glibc"
    compile
    binary=$target/$triple/release/hypercloud-etcd
fi

# --- What the packages hold, below target/package, where Cargo.toml looks for it

stage=target/package
rm -rf "$stage"
mkdir -p "$stage"/{man,completions,deb,rpm} "$output"
output=$(cd "$output" && pwd)
name=hypercloud-etcd-$version.x86_64

objcopy --only-keep-debug "$binary" "$stage/$name.debug"
objcopy --strip-all --remove-section=.comment --remove-section=.gnu_debuglink "$binary" "$stage/hypercloud-etcd"
(cd "$stage" && objcopy --add-gnu-debuglink="$name.debug" hypercloud-etcd)
[ "$(stat -c %s "$stage/hypercloud-etcd")" -lt 12000000 ] || fail "the binary has $(stat -c %s "$stage/hypercloud-etcd") bytes"
newest=$(objdump -T "$stage/hypercloud-etcd" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -1)
[ "$(printf 'GLIBC_%s\n%s\n' "$glibc" "$newest" | sort -V | tail -1)" = "GLIBC_$glibc" ] || fail "the binary needs $newest"

"$stage/hypercloud-etcd" generate man "$stage/man"
gzip -9n "$stage"/man/*
"$stage/hypercloud-etcd" generate completions bash >"$stage/completions/hypercloud-etcd.bash"
"$stage/hypercloud-etcd" generate completions zsh >"$stage/completions/_hypercloud-etcd"
"$stage/hypercloud-etcd" generate completions fish >"$stage/completions/hypercloud-etcd.fish"

packaging/third-party.sh "$triple" "$version" | gzip -9n >"$stage/third-party-notices.gz"

# Debian's form of the changelog, in lines of at most 80 characters
maintainer=$(sed -n 's/^maintainer = "\(.*\)"$/\1/p' Cargo.toml)
awk -v maintainer="$maintainer" '
    function finish() { if (day != "") printf "\n -- %s  %s\n", maintainer, day }
    function entry(line, text,    words, count, i) {
        count = split(text, words, " ")
        for (i = 1; i <= count; i++) {
            if (length(line " " words[i]) > 80) { print line; line = "   " }
            line = line " " words[i]
        }
        print line
    }
    /^## / {
        finish()
        ("date -ud " $4 " \"+%a, %d %b %Y 00:00:00 +0000\"") | getline day
        printf "%shypercloud-etcd (%s) stable; urgency=medium\n\n", (seen++ ? "\n" : ""), $2
    }
    day != "" && /^- / { entry("  *", substr($0, 3)) }
    day != "" && /^  / { entry("   ", $0) }
    END { finish() }
' "$changelog" | gzip -9n >"$stage/changelog.gz"

# every script stands alone, with the steps that it takes
for script in packaging/deb/p* packaging/rpm/p*; do
    sed -e '/^#STEPS#$/{r packaging/steps.sh' -e 'd}' "$script" >"$stage/${script#packaging/}"
done

# --- The packages

assets=$(sed -n '/^assets = \[$/,/^\]$/p' Cargo.toml | sed '/^assets/d; /^\]/d; /# deb only$/d')
cargo-deb deb -q --no-build --no-strip --no-separate-debug-symbols --target "$triple" --deb-version "$version" \
    --output "$output/hypercloud-etcd_${version}_amd64.deb"
printf 'assets = [\n%s\n]\n' "$assets" >"$stage/rpm.toml"
cargo-generate-rpm generate-rpm --target "$triple" --auto-req builtin --payload-compress gzip \
    --metadata-overwrite "$stage/rpm.toml" --set-metadata "version = \"$version\"" --output "$output/$name.rpm"
xz -9 -T1 -c "$stage/$name.debug" >"$output/$name.debug.xz"
(cd "$output" && sha256sum "hypercloud-etcd_${version}_amd64.deb" "$name.rpm" "$name.debug.xz")
