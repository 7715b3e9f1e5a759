#!/usr/bin/env python3
"""Runs all suites of `make check` and ends with one line: N passed, N failed, N skipped.

A suite is a list of jobs; a job is one program that speaks TAP ("ok 1 - name", "not ok 2 - name",
"ok 3 # SKIP name"), run under a time limit in its own process group. Every TAP line is one case. A
job that crashes, hangs, stops before its plan is through or says nothing at all adds one failed
case with its own name, so no program can vanish unseen.

Every job has a folder on disk (TMPDIR) and one in memory (LARDER_SCRATCH), inside folders of the run.
They are removed when it ends, and what it has left running is killed, whichever process group that is
in: its environment names the room. An end by a signal does the same, and what a run that was killed
outright has left goes with the next one.

    tests/run_suites.py                all suites
    tests/run_suites.py unit e2e       some of them
    tests/run_suites.py --list         their names

Environment: LARDER_SHARED, the folder of shared test inputs (../shared): a suite that needs it and
does not find it is one skipped case. CI=true: a skipped case fails the run. LARDER_SEED: of the
random tests, 1 unless it is set, so that two runs of one tree do the same; `make campaign` takes
others.
"""
import argparse
import concurrent.futures
import fcntl
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARED = os.path.abspath(os.environ.get("LARDER_SHARED") or os.path.join(ROOT, "..", "shared"))
BUILD_SECONDS = 900
TAIL_BYTES = 12000


class Job:
    """One program of a suite; it needs a fresh temporary folder and a bound in time."""

    def __init__(self, name, argv, seconds, env=None, parse="tap", at_least=0):
        self.name, self.argv, self.seconds, self.env = name, argv, seconds, env or {}
        self.parse, self.at_least = parse, at_least


class Result:
    def __init__(self, name):
        self.name, self.passed, self.failed, self.skipped = name, 0, [], []
        self.output, self.seconds = "", 0.0


# ---- what a run leaves behind -----------------------------------------------------------------

PREFIX = "larder-run-"


def roots():
    """Where the folders of a run are: on disk, and in memory where the machine has a place for that."""
    return [tempfile.gettempdir(), "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()]


def kill_room(room):
    """Kills what was started in the room, or in one inside it: what it starts meanwhile, too."""
    mark = b"\0LARDER_ROOM=" + os.fsencode(room)
    for _ in range(100):
        found = False
        for path in glob.glob("/proc/[0-9]*/environ"):
            try:
                with open(path, "rb") as f:
                    environment = b"\0" + f.read() + b"\0"
                if mark + b"\0" in environment or mark + b"/" in environment:
                    os.kill(int(path.split("/")[2]), signal.SIGKILL)
                    found = True
            except OSError:  # it has ended, or is somebody else's
                pass
        if not found:
            return
        time.sleep(0.02)


def lock_folder(path):
    """A descriptor that says, as long as it is open, that the folder is somebody's; None: it is."""
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return fd
    except OSError:
        os.close(fd)
        return None


def sweep():
    """What runs that are no more have left."""
    for root in set(roots()):
        for path in glob.glob(os.path.join(root, PREFIX + "*")):
            try:
                fd = lock_folder(path)
            except OSError:
                continue
            if fd is not None:
                kill_room(path)
                shutil.rmtree(path, ignore_errors=True)
                os.close(fd)


def make_folder(root):
    """A locked one, and its descriptor."""
    while True:
        path = tempfile.mkdtemp(prefix=PREFIX, dir=root)
        fd = lock_folder(path)
        if fd is not None and os.path.isdir(path):  # else another run has just swept it away
            return path, fd


class Rooms:
    """The folders of a run, and in them those of its jobs."""

    def __init__(self):
        self.folders, self.locks = zip(*map(make_folder, roots()))
        self.lock, self.n = threading.Lock(), 0

    def begin(self):
        """Folders of one job: on disk, in memory."""
        with self.lock:
            self.n += 1
            name = str(self.n)
        folders = [os.path.join(folder, name + "-" + kind) for folder, kind in zip(self.folders, "dm")]
        for folder in folders:
            os.mkdir(folder)
        return folders

    def end(self, folders):
        kill_room(folders[0])
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    def end_all(self):
        kill_room(self.folders[0])
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)


def end_by_signal(number, _):
    ROOMS.end_all()
    os._exit(128 + number)


def run(argv, seconds, env):
    """Exit status and output (both streams, as they came); None as status: it ran out of time."""
    folders = ROOMS.begin()
    merged = dict(os.environ, TMPDIR=folders[0], LARDER_SCRATCH=folders[1], LARDER_ROOM=folders[0],
                  LARDER_SHARED=SHARED, **env)
    merged.setdefault("LARDER_SEED", "1")
    try:
        with tempfile.TemporaryFile() as out:
            child = subprocess.Popen(argv, cwd=ROOT, env=merged, stdin=subprocess.DEVNULL, stdout=out,
                                     stderr=subprocess.STDOUT, start_new_session=True)
            try:
                status = child.wait(seconds)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                try:
                    os.killpg(child.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                child.wait()
            out.seek(0)
            return status, out.read().decode("utf-8", "replace")
    finally:
        ROOMS.end(folders)


TAP = re.compile(r"^(not )?ok\b\s*(\d+)?\s*(?:-\s*)?(.*)$")
PLAN = re.compile(r"^1\.\.(\d+)\s*$")


def parse_tap(result, text):
    """Counts the cases; says what is missing from the plans."""
    planned = seen = 0
    for line in text.splitlines():
        plan = PLAN.match(line)
        if plan:
            planned += int(plan.group(1))
            continue
        case = TAP.match(line)
        if not case:
            continue
        seen += 1
        what = re.sub(r"^#\s*SKIP\s*", "", case.group(3) or case.group(2))
        name = "%s: %s" % (result.name, what)
        if re.search(r"#\s*SKIP", line, re.I):  # cmocka writes "not ok 3 # SKIP name"
            result.skipped.append(name)
        elif case.group(1):
            result.failed.append(name)
        else:
            result.passed += 1
    if seen < planned:
        result.failed.append("%s: %d of %d cases never ended" % (result.name, planned - seen, planned))
    elif seen == 0:
        result.failed.append("%s: no case was run" % result.name)


def parse_promql(result, text, at_least):
    """The sum that `larder test promql` prints last: N passed, N failed, N unsupported."""
    total = re.findall(r"(\d+) passed, (\d+) failed, (\d+) unsupported", text)
    if not total:
        result.failed.append("%s: no sum in the output" % result.name)
        return
    passed, failed, unsupported = map(int, total[-1])
    result.passed += passed
    result.failed += ["%s: failed case %d" % (result.name, i + 1) for i in range(failed)]
    if passed < at_least:
        result.failed.append("%s: %d passed, at least %d were expected" %
                             (result.name, passed, at_least))
    if unsupported:
        result.note = "%s: %d not supported yet" % (result.name, unsupported)


def run_job(job):
    result = Result(job.name)
    begin = time.monotonic()
    try:
        status, text = run(job.argv, job.seconds, job.env)
    except OSError as e:
        result.failed.append("%s: %s" % (job.name, e))
        return result
    result.seconds = time.monotonic() - begin
    result.output = text
    if job.parse == "tap":
        parse_tap(result, text)
    elif job.parse == "promql":
        parse_promql(result, text, job.at_least)
    elif status == 0:
        result.passed += 1
    if status is None:
        result.failed.append("%s: no end after %d s" % (job.name, job.seconds))
    elif status != 0 and not result.failed:
        how = "signal %d" % -status if status < 0 else "exit status %d" % status
        result.failed.append("%s: %s" % (job.name, how))
    return result


def make(variant, *targets):
    """A job that builds; make goes on after an error, so that one file does not hide the rest."""
    argv = [os.environ.get("MAKE", "make"), "-k", "--no-print-directory", "-j%d" % ARGS.jobs]
    argv += [*variant, *targets]
    env = {"MAKEFLAGS": "", "MFLAGS": ""}
    return Job("build " + " ".join(list(variant) + list(targets)), argv, BUILD_SECONDS, env, "status")


def sources(pattern):
    return sorted(glob.glob(os.path.join(ROOT, pattern)))


def program(folder, source):
    return os.path.join(folder, os.path.relpath(source, ROOT))[:-len(".c")]


SANITIZERS = {
    "UBSAN_OPTIONS": "print_stacktrace=1",
    # A server that goes on after a race would be killed by its test, and nobody would read of it.
    "TSAN_OPTIONS": "halt_on_error=1 suppressions=" + os.path.join(ROOT, "tests", "sanitize", "thread.supp"),
}


def unit_jobs(folder, keep=lambda source: True, seconds=120):
    env = dict(SANITIZERS, CMOCKA_MESSAGE_OUTPUT="TAP")
    if folder != "build":  # the long proofs run once, plain; the variants look for something else
        env["LARDER_STEPS"] = "60000"
    jobs = []
    for source in sources("tests/*/test_*.c"):
        if keep(source):
            name = os.path.relpath(source, os.path.join(ROOT, "tests"))[:-2]
            jobs.append(Job(name, [program(folder, source)], seconds, env))
    return sorted(jobs, key=lambda job: not job.name.startswith("store/test_crash"))  # the longest


def fuzz_jobs(folder):
    jobs = []
    for source in sources("tests/fuzz/fuzz_*.c"):
        noun = os.path.basename(source)[len("fuzz_"):-2]
        corpus = os.path.join(ROOT, "tests/fuzz/corpus", noun)
        jobs.append(Job("fuzz/" + noun, [program(folder, source), corpus], 120))
    return jobs


def runs_sanitized(source):
    """The tests that preload a library of their own do not go with a sanitizer's."""
    return not os.path.basename(source).startswith("test_crash")


def uses_threads(source):
    """By the test's folder or its own words: base and query start no threads of their own, nor does the
    store, unless it is to answer while it replays its log: test_replay asks it to."""
    if not runs_sanitized(source):
        return False
    if os.path.basename(os.path.dirname(source)) in ("ingest", "api", "cmd"):
        return True
    with open(source, encoding="utf-8") as f:
        return re.search(r"pthread|base/thread\.h", f.read()) is not None


def skip_job(name, why):
    """A case that is skipped by name."""
    return Job(name, ["printf", "%s\n", "1..1", "ok 1 # SKIP " + why], 10)


def promql_jobs():
    larder = os.path.join(ROOT, "build/larder")
    jobs = []
    own = sources("tests/promql/*.test")
    if own:
        jobs.append(Job("promql/own", [larder, "test", "promql", *own], 120, None, "promql"))
    shared = sorted(glob.glob(os.path.join(SHARED, "promqltest", "*.test")))
    if shared:
        jobs.append(Job("promql/shared", [larder, "test", "promql", *shared], 300, None, "promql", 500))
    else:
        jobs.append(skip_job("promql/shared", "no %s" % os.path.join(SHARED, "promqltest")))
    return jobs


# They wait for servers of others more than they compute, or take long: once, plain.
PLAIN_ONLY = ("exactly_once", "dead_letters", "real_kafka", "registries", "alike", "catch_up", "final",
              "suites")


# What the threads of a server do together: taking in, answering, reloading, replaying, sending letters.
THREAD_E2E = ("replay", "letters", "replay_letters", "reload", "deliveries", "bad_input")


def e2e_jobs(folder="build", names=("*",)):
    """With one seed for the variants of the build: what they look for does not hang on it. The longest
    come first."""
    env = dict(SANITIZERS, LARDER_BUILD=folder)
    if folder != "build":
        env.update(LARDER_SEEDS="1", LARDER_PAIRS="500")
    seconds = 4 * 3600 if os.environ.get("LARDER_CAMPAIGN") == "1" else 900
    jobs = []
    for path in sum((sources("tests/e2e/test_%s.py" % name) for name in names), []):
        name = os.path.basename(path)[len("test_"):-len(".py")]
        if folder == "build" or name not in PLAIN_ONLY:
            jobs.append(Job("e2e/" + name, [sys.executable, path], seconds, env))
    return sorted(jobs, key=lambda job: job.name[len("e2e/"):] not in PLAIN_ONLY)


# Name, what it is, build jobs, test jobs. In the order in which a reader wants to see them fail.
SUITES = [
    ("unit", "unit tests, gcc",
     lambda: [make([], "all", "tests")], lambda: unit_jobs("build", seconds=900)),
    ("fuzz", "fuzz targets over their corpora",
     lambda: [make([], "tests")], lambda: fuzz_jobs("build")),
    ("promql", "PromQL scripts",
     lambda: [make([], "all")], promql_jobs),
    ("e2e", "end to end: broker, server, queries",
     lambda: [make([], "all", "tests")], e2e_jobs),
    ("clang", "unit tests, clang",
     lambda: [make(["CC=clang"], "all", "tests")], lambda: unit_jobs("build/clang")),
    ("address", "all of these under AddressSanitizer and UndefinedBehaviorSanitizer",
     lambda: [make(["SANITIZE=address,undefined"], "all", "tests")],
     lambda: unit_jobs("build/address-undefined", runs_sanitized, 300) +
     fuzz_jobs("build/address-undefined") +
     e2e_jobs("build/address-undefined")),
    ("thread", "tests with threads, and servers end to end, under ThreadSanitizer",
     lambda: [make(["SANITIZE=thread"], *threaded_programs())],
     lambda: unit_jobs("build/thread", uses_threads, 300) +
     e2e_jobs("build/thread", THREAD_E2E)),
]


def threaded_programs():
    helpers = [program("build/thread", s) for s in sources("tests/e2e/*.c")]
    shims = [program("build/thread", s) + ".so" for s in sources("tests/e2e/shim/*.c")]
    tests = [program("build/thread", s) for s in sources("tests/*/test_*.c") if uses_threads(s)]
    return ["all", *helpers, *shims, *tests]


def show(result):
    print("---- %s" % result.name)
    text = result.output
    if len(text) > TAIL_BYTES:
        text = "[...]\n" + text[-TAIL_BYTES:]
    print(text, end="" if text.endswith("\n") else "\n")
    print("----", flush=True)


def run_suite(name, about, builds, tests, built, skipped_before):
    begin = time.monotonic()
    results = []
    for job in builds():
        if job.name not in built:  # several suites share the plain build
            built[job.name] = run_job(job)
            results.append(built[job.name])
    with concurrent.futures.ThreadPoolExecutor(ARGS.jobs) as pool:
        results += pool.map(run_job, tests())
    for result in results:
        if result.failed:
            show(result)
    passed = sum(r.passed for r in results)
    failed = [case for r in results for case in r.failed]
    # The variants of a build skip the same cases: one that is skipped everywhere is one skipped case.
    skipped = [case for r in results for case in r.skipped if case not in skipped_before]
    skipped_before.update(skipped)
    notes = [r.note for r in results if hasattr(r, "note")]
    print("%-8s %5d passed, %d failed, %d skipped  %6.1f s  %s%s" %
          (name, passed, len(failed), len(skipped), time.monotonic() - begin, about,
           " (%s)" % "; ".join(notes) if notes else ""))
    longest = sorted(results, key=lambda r: -r.seconds)[:4]
    if longest[0].seconds > 20:
        print("         longest: " + ", ".join("%s %.0f s" % (r.name, r.seconds) for r in longest))
    for case in failed:
        print("         failed:  %s" % case)
    for case in skipped:
        print("         skipped: %s" % case)
    sys.stdout.flush()
    return passed, len(failed), len(skipped)


def main():
    global ARGS, ROOMS
    parser = argparse.ArgumentParser(description="Runs the suites of make check.")
    parser.add_argument("suites", nargs="*", help="names of suites; none: all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--list", action="store_true")
    ARGS = parser.parse_args()
    names = [s[0] for s in SUITES]
    if ARGS.list:
        for name, about, _, _ in SUITES:
            print("%-8s %s" % (name, about))
        return 0
    for name in ARGS.suites:
        if name not in names:
            parser.error("no suite %s; there are: %s" % (name, " ".join(names)))
    sweep()
    ROOMS = Rooms()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end_by_signal)
    built, skipped, sums = {}, set(), [0, 0, 0]
    try:
        for name, about, builds, tests in SUITES:
            if not ARGS.suites or name in ARGS.suites:
                counts = run_suite(name, about, builds, tests, built, skipped)
                sums = [a + b for a, b in zip(sums, counts)]
    finally:
        ROOMS.end_all()
    bad = sums[1] > 0 or sums[0] == 0
    if sums[2] and os.environ.get("CI") == "true":
        print("a skipped case fails a run under CI=true")
        bad = True
    print("%d passed, %d failed, %d skipped" % tuple(sums), flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
