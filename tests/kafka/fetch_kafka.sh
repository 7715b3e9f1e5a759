#!/usr/bin/env bash
# Copies Apache Kafka, of the version in pom.xml, and what it needs from Maven Central into
# build/kafka/jars, once. Says where.
set -euo pipefail

cd "$(dirname "$0")/../.."
jars=build/kafka/jars
stamp=$jars/.complete

# Of several tests that begin at once, one copies.
mkdir -p build/kafka
exec 9>build/kafka/.lock
flock 9

if ! cmp -s tests/kafka/pom.xml "$stamp"; then
    rm -rf "$jars"
    mkdir -p "$jars"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    if ! mvn -q -B -f tests/kafka/pom.xml dependency:copy-dependencies \
        -DoutputDirectory="$PWD/$jars" >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        echo "fetch: Maven could not copy Kafka; its last lines are above" >&2
        exit 2
    fi
    cp tests/kafka/pom.xml "$stamp"
fi
echo "$PWD/$jars"
