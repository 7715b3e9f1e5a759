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
    "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$found/crash-" -verbosity=0 "$found" "tests/fuzz/corpus/$noun"
done
