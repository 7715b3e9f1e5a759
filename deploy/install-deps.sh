#!/usr/bin/env bash
# Installs what a Debian 12 machine lacks for one purpose or several:
#
#     deploy/install-deps.sh [build] [check] [fuzz] [lint] [bench] [clean-room]
#
# Each thing is looked for first, a tool by its command and a library by pkg-config or by its header,
# so a machine that has them all is never touched and needs no root. The packages asked for bring
# no services: nothing is started by this script.
set -euo pipefail

missing=()

lacks() { # PACKAGE WHAT-FOR
    missing+=("$1")
    printf '  missing: %-24s %s\n' "$1" "$2"
}

tool() { # COMMAND PACKAGE WHAT-FOR
    command -v "$1" >/dev/null 2>&1 || lacks "$2" "$3"
}

library() { # PKG-CONFIG-NAME PACKAGE WHAT-FOR
    pkg-config --exists "$1" 2>/dev/null || lacks "$2" "$3"
}

header() { # HEADER PACKAGE WHAT-FOR
    echo "#include <$1>" | cc -E - >/dev/null 2>&1 || lacks "$2" "$3"
}

# The driver of fuzz targets and the sanitizers' run time come apart from clang, in a package of its
# version; Debian 12's is 14.
fuzzer() { # WHAT-FOR
    local version
    version=$(clang -dumpversion 2>/dev/null) || version=14
    echo 'int LLVMFuzzerTestOneInput(const char *p, long n) { return !p && n; }' |
        clang -fsanitize=fuzzer,address,undefined -x c -o /dev/null - >/dev/null 2>&1 ||
        lacks "libclang-rt-${version%%.*}-dev" "$1"
}

for purpose in "${@:-build}"; do
    case "$purpose" in
    build)
        tool make make "the build"
        tool gcc gcc "the C compiler"
        tool g++ g++ "the C++ compiler, for one file and the link"
        tool pkg-config pkg-config "finds the libraries"
        library rdkafka librdkafka-dev "the Kafka client"
        library libmicrohttpd libmicrohttpd-dev "the HTTP server"
        library libcurl libcurl4-openssl-dev "asking servers over HTTP"
        library libcrypto libssl-dev "signatures"
        library liblz4 liblz4-dev "compression"
        library zlib zlib1g-dev "compressed Avro messages"
        library jemalloc libjemalloc-dev "the allocator"
        library jansson libjansson-dev "JSON"
        library yaml-0.1 libyaml-dev "the configuration"
        library re2 libre2-dev "regular expressions"
        library libxxhash libxxhash-dev "128-bit hashes"
        [ -d dashboards/node_modules ] || tool npm npm "fetches uPlot for the built-in page"
        ;;
    check)
        tool python3 python3 "runs the suites"
        header cmocka.h libcmocka-dev "the unit tests"
        tool clang clang "the second compiler"
        tool java default-jre-headless "runs Kafka and a schema registry"
        tool mvn maven "fetches them"
        tool kcat kcat "produces to Kafka, as others do"
        tool openssl openssl "certificates of the tests"
        python3 -c 'import venv, ensurepip' 2>/dev/null || lacks python3-venv "a Python with what tests need"
        ;;
    fuzz)
        tool clang clang "the compiler of the fuzz targets"
        fuzzer "libFuzzer and the sanitizers"
        ;;
    lint)
        tool python3 python3 "runs the checks"
        tool clang-format clang-format "the formatting"
        tool clang-tidy clang-tidy "the static analysis"
        ;;
    bench)
        tool python3 python3 "runs the benchmark"
        tool java default-jre-headless "runs the broker"
        tool mvn maven "fetches it"
        ;;
    clean-room)
        tool python3 python3 "runs the commands and compares"
        tool debootstrap debootstrap "makes the bare system"
        ;;
    *)
        echo "usage: deploy/install-deps.sh [build] [check] [fuzz] [lint] [bench] [clean-room]" >&2
        exit 2
        ;;
    esac
done

[ ${#missing[@]} -gt 0 ] || exit 0

command=(apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300)
if ! command -v apt-get >/dev/null 2>&1; then
    echo "install-deps: no apt-get here; install by hand what these Debian packages hold:" >&2
    echo "    ${missing[*]}" >&2
    exit 2
fi

root=()
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "install-deps: neither root nor sudo here; let somebody who may run:" >&2
        echo "    apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 2
    fi
    root=(sudo)
    [ -t 0 ] || root=(sudo -n)
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "install-deps: ${root[*]:+${root[*]} }${command[*]} ${missing[*]}"
if ! "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q >"$log" 2>&1 ||
    ! "${root[@]}" env DEBIAN_FRONTEND=noninteractive "${command[@]}" "${missing[@]}" \
        >>"$log" 2>&1 </dev/null; then
    tail -n 30 "$log" >&2
    echo "install-deps: the installation failed; its last lines are above" >&2
    exit 2
fi
