#!/usr/bin/env bash
# Lets libFuzzer run each TARGET of FOLDER for SECONDS from its corpus, JOBS of them at a time, and
# says what came of it. New inputs stay in FOLDER/found/TARGET, which the next run begins with. A
# finding ends its target; its input stays there too, and the run fails.
#
#     tests/fuzz/run.sh FOLDER SECONDS JOBS TARGET...
set -euo pipefail

folder=$1
seconds=$2
jobs=$3
shift 3

number() { # STATISTIC LOG: what libFuzzer says of it at the end
    sed -n "s/^stat::$1: *//p" "$2"
}

fuzz() { # TARGET
    local found=$folder/found/$1 log=$folder/found/$1.log start=$SECONDS status=0
    mkdir -p "$found"
    # The corpus is only read: libFuzzer writes to the first folder.
    "$folder/fuzz_$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="$found/" "$found" "tests/fuzz/corpus/$1" \
        >"$log" 2>&1 || status=$?
    local runs edges
    runs=$(number number_of_executed_units "$log")
    edges=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    printf 'fuzz: %-12s %9s runs %6s edges %5d s  ' "$1" "${runs:-?}" "${edges:-?}" \
        $((SECONDS - start))
    if [ $status -eq 0 ]; then
        echo "no finding"
        return 0
    fi
    local input
    input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    echo "A FINDING: ${input:-no input was written}"
    tail -n 60 "$log" | sed "s/^/  $1: /" >&2
    return 1
}

failed=0
running=0
for target in "$@"; do
    if [ $running -ge "$jobs" ]; then
        wait -n || failed=1
        running=$((running - 1))
    fi
    fuzz "$target" &
    running=$((running + 1))
done
while [ $running -gt 0 ]; do
    wait -n || failed=1
    running=$((running - 1))
done
if [ $failed -ne 0 ]; then
    echo "fuzz: at least one target found something: see above; its program with the input's" \
        "path as the only argument repeats it" >&2
fi
exit $failed
