#!/usr/bin/env python3
"""The checks of `make lint`, each with file and line:

    order       a folder includes only what stands below it in the house
    own header  a .c file includes its own header before anything else
    alone       every header compiles by itself, also twice
    names       no two files of the tree share a name
    words       no leftovers, no paths of one machine
    metrics     docs/metrics.md tells of every metric of /metrics
    format      .clang-format
    analysis    .clang-tidy

    tests/lint/lint.py            all of them
    tests/lint/lint.py order names
"""
import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# base <- store <- {ingest, query} <- rules <- api <- cmd. Pages are data with a table around them.
RANK = {"base": 0, "dashboards": 1, "store": 1, "ingest": 2, "query": 2, "rules": 3, "api": 4, "cmd": 5}
FLAGS = ["-std=c11", "-I.", "-D_GNU_SOURCE", "-pthread"]
# A third of the usual depth of the analyzer: half the time, and it has found the same so far.
ANALYZER = ["-Xclang", "-analyzer-config", "-Xclang", "max-nodes=75000"]
WORDS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|/(?:work|root|home/\w+)/")
ANY_NAME = {"README.md", "Makefile", ".gitignore", "package.json", "package-lock.json"}


def tree():
    """Every file that git knows or would take."""
    out = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                         cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout.decode()
    return sorted(f for f in set(out.split("\0")) if f and os.path.isfile(os.path.join(ROOT, f)))


def lines(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as f:
        return f.read().splitlines()


def includes(path):
    for number, line in enumerate(lines(path), 1):
        match = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
        if match:
            yield number, match.group(1)


def check_order(files):
    for path in files:
        folder = path.split("/")[0]
        if folder not in RANK or not path.endswith((".c", ".h", ".cc")):
            continue
        for number, name in includes(path):
            other = name.split("/")[0]
            if other not in RANK:
                yield "%s:%d: %s: include it by its path from the root" % (path, number, name)
            elif other != folder and RANK[other] >= RANK[folder]:
                yield "%s:%d: %s may not include %s" % (path, number, folder, name)


def check_own_header(files):
    known = set(files)
    for path in files:
        header = re.sub(r"\.cc?$", ".h", path)
        if header == path or header not in known:
            continue
        first = next((name for _, name in includes(path)), None)
        if first != header:
            yield "%s: includes %s first, not its own header" % (path, first)


def compile_alone(path):
    text = '#include "%s"\n#include "%s"\n' % (path, path)
    done = subprocess.run(["gcc", *FLAGS, "-Wall", "-Werror", "-fsyntax-only", "-x", "c", "-"], cwd=ROOT,
                          input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        yield "%s: does not compile alone:\n%s" % (path, done.stdout.decode())


def check_alone(files):
    # A *_table.h is rows of a macro that its includer defines.
    headers = [f for f in files if f.endswith(".h") and not f.endswith("_table.h")]
    yield from in_parallel(compile_alone, headers)


def check_names(files):
    seen = {}
    for path in files:
        name = os.path.basename(path)
        # Corpora and golden files are named after what they hold.
        if name in ANY_NAME or "/corpus/" in path or "/golden/" in path:
            continue
        if name in seen:
            yield "%s: there is %s already" % (path, seen[name])
        seen[name] = path


def check_words(files):
    for path in files:
        if path == "tests/lint/lint.py" or "/corpus/" in path or path.startswith("LICENSE"):
            continue
        for number, line in enumerate(lines(path), 1):
            match = WORDS.search(line)
            if match:
                yield "%s:%d: %s" % (path, number, match.group(0))


def check_format(files):
    sources = [f for f in files if f.endswith((".c", ".h", ".cc"))]
    done = subprocess.run(["clang-format", "--dry-run", "-Werror", *sources], cwd=ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        places = re.findall(r"^(\S+?:\d+):\d+: error", done.stdout.decode(), re.M)
        counts = {}
        for place in places:
            path = place.split(":")[0]
            counts.setdefault(path, place)
        for path, place in counts.items():
            yield "%s: not formatted; run clang-format -i %s" % (place, path)
        if not places:
            yield done.stdout.decode()


def analyse(path):
    """Findings without the analyzer's path through the code: `clang-tidy FILE -- -I. ...` shows it."""
    known = ["-include", "base/err.h", "-include", "tests/lint/analyzer.h"]
    flags = FLAGS + ANALYZER + (known if path != "base/err.c" else [])
    done = subprocess.run(["clang-tidy", "--quiet", path, "--", *flags], cwd=ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out = done.stdout.decode().replace(ROOT + "/", "")
    found = re.findall(r"^\S+:\d+:\d+: (?:error|warning): .*$", out, re.M)
    if done.returncode and not found:
        found = [out + done.stderr.decode()]
    yield from (f for f in found if not f.startswith("/"))  # inside the headers of a library


def check_analysis(files):
    # Not the unit tests: the analyzer does not know that a failed assertion ends the test.
    sources = [f for f in files if f.endswith(".c") and not os.path.basename(f).startswith("test_")]
    yield from in_parallel(analyse, sources)


def in_parallel(check, files):
    with concurrent.futures.ThreadPoolExecutor(ARGS.jobs) as pool:
        for problems in pool.map(lambda f: list(check(f)), files):
            yield from problems


def check_metrics(files):
    """Every metric of /metrics is told in docs/metrics.md, and no other."""
    told = set(re.findall(r"`((?:larder|process)_\w+)`", "\n".join(lines("docs/metrics.md"))))
    made = {}
    for path in files:
        if path.endswith(".c") and path.split("/")[0] in RANK:
            for number, line in enumerate(lines(path), 1):
                for name in re.findall(r'"((?:larder|process)_[a-z_]+)"', line):
                    made.setdefault(name, "%s:%d" % (path, number))
    for name in sorted(set(made) - told):
        yield "%s: %s is not in docs/metrics.md" % (made[name], name)
    for name in sorted(told - set(made)):
        yield "docs/metrics.md: there is no %s" % name


CHECKS = {
    "order": check_order,
    "own-header": check_own_header,
    "alone": check_alone,
    "names": check_names,
    "words": check_words,
    "metrics": check_metrics,
    "format": check_format,
    "analysis": check_analysis,
}


def main():
    global ARGS
    parser = argparse.ArgumentParser(description="The checks of make lint.")
    parser.add_argument("checks", nargs="*", help="some of: " + " ".join(CHECKS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    ARGS = parser.parse_args()
    files, problems = tree(), 0
    for name, check in CHECKS.items():
        if ARGS.checks and name not in ARGS.checks:
            continue
        begin = time.monotonic()
        found = list(check(files))
        problems += len(found)
        for problem in found:
            print(problem.rstrip())
        print("lint: %-10s %s  %.1f s" % (name, "%d problems" % len(found) if found else "fine",
                                          time.monotonic() - begin), flush=True)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
