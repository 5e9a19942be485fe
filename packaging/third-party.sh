#!/usr/bin/env bash
# Prints whose software is linked into the program: each crate with its version and licence, and the texts that came
# with it, as its authors ask for. The same Cargo.lock and the same Rust give the same bytes.
#
#     packaging/third-party.sh TARGET VERSION
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C
shopt -s nullglob nocaseglob
target=$1 version=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# linked: NAME|VERSION|LICENCE of each crate, sorted; macros are run by the compiler and leave nothing behind
linked() {
    "${CARGO:-cargo}" tree --locked --target "$target" --edges normal,no-proc-macro --prefix none --format '{p}|{l}' |
        sed -e 's/ (\*)$//' -e '/^hypercloud-etcd v/d' -e 's/^\([^ ]*\) v\([^ |]*\)[^|]*|/\1|\2|/' | sort -u
}
# number FILE: which of the texts that is; one that is there already is not taken twice
number() {
    local text sum
    text=$work/text
    tr -d '\r' <"$1" | sed 's/[[:space:]]*$//' >"$text"
    sum=$(sha256sum <"$text")
    sum=${sum%% *}
    if [ ! -e "$work/$sum" ]; then
        count=$((count + 1))
        echo "$count" >"$work/$sum"
        { printf '\n%s\nText %s\n%s\n\n' "$rule" "$count" "$rule"; cat "$text"; } >>"$work/texts"
    fi
    numbers+="${numbers:+, }$(cat "$work/$sum")"
}

rule=$(printf '%080d' 0 | tr 0 =)
count=0
linked >"$work/linked"
[ "$(wc -l <"$work/linked")" -gt 50 ] || { printf 'third-party: error: cargo tree names too few crates\n' >&2; exit 1; }
printf 'What hypercloud-etcd %s is linked with\n\n' "$version"
printf 'Each crate with its version, its licence, and which of the texts below came with it.\n\n'
while IFS='|' read -r name number licence; do
    source=$(find "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$name-$number" -maxdepth 0 2>/dev/null | head -1)
    [ -d "$source" ] || { printf 'third-party: error: there are no sources of %s %s\n' "$name" "$number" >&2; exit 1; }
    numbers=''
    for file in "$source"{,/third_party/*}/{LICEN[SC]E,NOTICE,COPYING,COPYRIGHT}* "$source"/LICENSES/*; do
        [ ! -f "$file" ] || number "$file"
    done
    printf '%s %s: %s (%s)\n' "$name" "$number" "${licence:-see its text}" "${numbers:+text }${numbers:-no text came with it}"
done <"$work/linked"
printf '\nThe standard library of Rust %s: MIT OR Apache-2.0\n' "$("${RUSTC:-rustc}" --version | cut -d' ' -f2)"
cat "$work/texts"
