#!/usr/bin/env bash
# Fetches the chart library of the built-in page from npm into dashboards/node_modules, as
# package-lock.json pins it, checksum included. Does nothing when that version is there already.
set -euo pipefail
cd "$(dirname "$0")"

got=node_modules/.package-lock.json
if [ -f "$got" ] && [ ! package-lock.json -nt "$got" ]; then
    exit 0
fi
if ! command -v npm >/dev/null 2>&1; then
    echo "dashboards/fetch.sh: npm is missing (apt-get install --no-install-recommends npm)" >&2
    exit 2
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! npm ci --ignore-scripts --no-audit --no-fund >"$log" 2>&1; then
    cat "$log" >&2
    echo "dashboards/fetch.sh: npm could not fetch what package-lock.json names" >&2
    exit 2
fi
# npm keeps the time of the release; what counts here is when it was fetched.
touch "$got"
