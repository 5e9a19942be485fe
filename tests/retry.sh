# shellcheck shell=bash
# Sourced by whatever fetches something.

# retry COMMAND…: a network hiccup is no reason to give up
retry() {
    local try
    for try in 1 2 3 4; do
        if "$@" </dev/null; then return 0; fi
        printf '%s: attempt %s of 4 failed: %s\n' "${0##*/}" "$try" "$*" >&2
        [ "$try" = 4 ] || sleep $((try * 3))
    done
    return 1
}
