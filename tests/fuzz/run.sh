#!/usr/bin/env bash
# Lets libFuzzer run every target in FOLDER for SECONDS each, from its corpus. New inputs stay in
# the build folder; a crash leaves its input there too and ends the run.
#
#     tests/fuzz/run.sh FOLDER SECONDS
set -euo pipefail

folder=$1
seconds=$2
for target in "$folder"/fuzz_*; do
    [ -x "$target" ] || continue
    [ -f "$target" ] || continue
    case "$target" in *.*) continue ;; esac
    noun=${target##*/fuzz_}
    found=$folder/found/$noun
    mkdir -p "$found"
    echo "fuzz: $noun, $seconds s"
    # The corpus is only read: libFuzzer writes to the first folder.
    if ! "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -verbosity=0 \
        -artifact_prefix="$found/crash-" "$found" "tests/fuzz/corpus/$noun" >"$found.log" 2>&1; then
        tail -n 60 "$found.log" >&2
        exit 1
    fi
done
