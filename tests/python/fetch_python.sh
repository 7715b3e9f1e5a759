#!/usr/bin/env bash
# Makes build/python, a Python of its own with what requirements.txt names, once. Says where its
# interpreter is.
set -euo pipefail

cd "$(dirname "$0")/../.."
room=build/python
stamp=$room/.complete

exec 9>build/python.lock
flock 9 # two tests may ask at once
if ! cmp -s tests/python/requirements.txt "$stamp"; then
    rm -rf "$room"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    if ! { python3 -m venv "$room" &&
        "$room/bin/python" -m pip install -q --disable-pip-version-check \
            -r tests/python/requirements.txt; } >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        echo "fetch: pip could not install what the tests need; its last lines are above" >&2
        exit 2
    fi
    cp tests/python/requirements.txt "$stamp"
fi
echo "$PWD/$room/bin/python"
