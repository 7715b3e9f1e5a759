#!/usr/bin/env bash
# Unpacks Apicurio Registry, of the version below, from Maven Central into build/registry, once. Says
# where the jar is that starts it.
set -euo pipefail

version=2.6.13.Final
artifact=io.apicurio:apicurio-registry-app:$version:tar.gz:all
plugin=org.apache.maven.plugins:maven-dependency-plugin:3.6.1

cd "$(dirname "$0")/../.."
room=build/registry
jar=$room/apicurio-registry-app-$version-runner.jar

mkdir -p build
exec 9>build/registry.lock
flock 9 # two tests may ask at once
if [ ! -e "$room/.complete-$version" ]; then
    rm -rf "$room"
    mkdir -p "$room"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    # With its own pom the artifact would bring hundreds of jars, which its archive holds already.
    if ! mvn -q -B "$plugin:get" "-Dartifact=$artifact" -Dtransitive=false >"$log" 2>&1 </dev/null ||
        ! mvn -q -B "$plugin:copy" "-Dartifact=$artifact" "-DoutputDirectory=$PWD/$room" \
            >>"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        echo "fetch: Maven could not copy Apicurio; its last lines are above" >&2
        exit 2
    fi
    tar -xzf "$room"/*.tar.gz -C "$room"
    rm "$room"/*.tar.gz
    touch "$room/.complete-$version"
fi
echo "$PWD/$jar"
