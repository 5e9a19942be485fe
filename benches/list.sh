#!/usr/bin/env bash
# Measures `list` and `status` over a directory of many backups, their manifests as large as those of a cluster with 70
# types of objects. The snapshots are empty files of the right length. Asserts nothing.
#
#   benches/list.sh [BACKUPS] [ROUNDS]        default: 10000 backups, 7 rounds
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

count=${1:-10000}
rounds=${2:-7}
target=${CARGO_TARGET_DIR:-target}
"${CARGO:-cargo}" build --locked --release --bin hypercloud-etcd
work=$(mktemp -d "${TMPDIR:-/tmp}/hypercloud-etcd-list-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -m 0700 "$work/backups"
printf 'schedule = "0 * * * *"\n[backup]\ndir = "%s"\n[etcd]\nendpoints = ["http://127.0.0.1:1"]\n[pki]\nfiles = []\n' \
    "$work/backups" >"$work/config.toml"

# hourly backups, the newest in the hour that has just begun
newest=$(date -u -d "$(date -u +%Y-%m-%dT%H:00:00Z)" +%s)
awk -v count="$count" -v newest="$newest" -v dir="$work/backups" 'BEGIN {
    hash = sprintf("%064d", 0)
    for (type = 1; type <= 70; type++)
        types = types sprintf("%s\n    \"/registry/example%d.io/objects\": {\n      \"keys\": %d,\n      \"bytes\": %d\n    }", \
            (type > 1) ? "," : "", type, type * 17, type * 40961)
    for (backup = 0; backup < count; backup++) {
        at = newest - backup * 3600
        id = strftime("%Y%m%dT%H%M%SZ", at, 1)
        time = strftime("%Y-%m-%dT%H:%M:%SZ", at, 1)
        file = dir "/etcd-" id ".json"
        printf "{\n  \"format\": 1,\n  \"id\": \"%s\",\n  \"verified\": true,\n  \"pinned\": false,\n  \"trigger\": \"schedule\",\n", id >file
        printf "  \"file\": \"etcd-%s.db\",\n  \"size\": 4128,\n  \"sha256\": \"%s\",\n", id, hash >file
        printf "  \"stored\": {\n    \"size\": 4128,\n    \"sha256\": \"%s\",\n    \"seal\": []\n  },\n", hash >file
        printf "  \"hash\": 1,\n  \"revision\": %d,\n  \"totalKey\": 42245,\n  \"totalSize\": 4096,\n  \"version\": \"\",\n", 9000000 - backup >file
        printf "  \"totalEntries\": 43000,\n  \"pageSize\": 4096,\n  \"compactRevision\": 1,\n  \"consistentIndex\": 2,\n" >file
        printf "  \"clusterVersion\": \"3.5.0\",\n  \"kvHash\": {\n    \"hash\": 2,\n    \"revision\": 3,\n    \"compactRevision\": 1\n  },\n" >file
        printf "  \"members\": [],\n  \"types\": {%s\n  },\n", types >file
        printf "  \"source\": {\n    \"endpoint\": \"https://127.0.0.1:2379\",\n    \"clusterId\": \"1\",\n    \"memberId\": \"2\",\n    \"etcdVersion\": \"3.5.30\"\n  },\n" >file
        printf "  \"verification\": [\n    {\n      \"step\": \"trailer\",\n      \"result\": \"passed\",\n      \"detail\": \"SHA-256 %s, as etcd appended it\"\n    }\n  ],\n", hash >file
        printf "  \"started\": \"%s\",\n  \"finished\": \"%s\",\n  \"toolVersion\": \"0.1.0\"\n}\n", time, time >file
        close(file)
    }
}'
find "$work/backups" -name '*.json' -printf '%f\n' | sed 's/json$/db/' | (cd "$work/backups" && xargs truncate -s 4128)
bytes=$(find "$work/backups" -name '*.json' -printf '%s\n' -quit)
echo "$count backups, manifests of $bytes bytes; the median of $rounds rounds, everything in the page cache"
echo "| command | wall ms | CPU ms | peak RSS MB |"
echo "|---|---|---|---|"
for command in list "list --json" status; do
    for ((round = 0; round <= rounds; round++)); do
        # shellcheck disable=SC2086
        /usr/bin/time -a -o "$work/times" -f '%e %U %S %M' "$target/release/hypercloud-etcd" $command --config "$work/config.toml" \
            >"$work/stdout" 2>"$work/stderr" || [ "$command" = status ] || { cat "$work/stderr" >&2; exit 1; }
        # the first round fills the cache
        [ "$round" -gt 0 ] || : >"$work/times"
    done
    grep '^[0-9]' "$work/times" | sort -g | awk -v c="$command" '{ wall[NR] = $1; cpu += $2 + $3; if ($4 > peak) peak = $4 }
        END { printf "| `%s` | %d | %d | %.0f |\n", c, wall[int((NR + 1) / 2)] * 1000, cpu / NR * 1000, peak * 1024 / 1e6 }'
    rm "$work/times"
done
