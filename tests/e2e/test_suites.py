#!/usr/bin/env python3
"""What runs the suites leaves nothing behind: no folder and no process, whether a job ends, runs out of
time or is killed, or the run itself is ended by a signal, or killed and followed by another.
"""
import os
import signal
import subprocess
import sys
import tempfile

from lib import ROOT, Tap, wait_for

# As a test with a server of its own: a folder in memory, one on disk, and a process in a session of
# its own, whose id it says.
JOB = """
import os, subprocess, sys, tempfile
for where in (os.environ["LARDER_SCRATCH"], os.environ["TMPDIR"]):
    with open(os.path.join(tempfile.mkdtemp(dir=where), "data"), "w") as f:
        f.write("x" * 1000)
if sys.argv[2] == "nothing":
    print("1..1\\nok 1 - it")
    sys.exit()
server = subprocess.Popen(["sleep", "1000"], start_new_session=True)
with open(sys.argv[1], "w") as f:
    f.write(" ".join([str(server.pid), os.environ["LARDER_SCRATCH"], os.environ["TMPDIR"]]))
os.rename(sys.argv[1], sys.argv[1] + ".told")
if sys.argv[2] == "hangs":
    server.wait()
if sys.argv[2] == "dies":
    os.kill(os.getpid(), 9)
print("1..1\\nok 1 - it")
"""

# A run of one suite with that job.
RUN = """
import sys
sys.path.insert(0, sys.argv[1])
import run_suites
told, how, seconds, name = sys.argv[2:]
job = run_suites.Job("job", [sys.executable, "-c", %r, told, how], int(seconds))
run_suites.SUITES = [("one", "", lambda: [], lambda: [job])]
sys.argv = [name]
run_suites.main()
""" % JOB


class Runner:
    def __init__(self, how, seconds=60):
        self.folder = tempfile.mkdtemp(prefix="suites-")
        self.told = os.path.join(self.folder, "told")
        tmp = os.path.join(tempfile.gettempdir(), "disk")
        os.makedirs(tmp, exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, os.path.join(ROOT, "tests"), self.told, how, str(seconds), "run"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=dict(os.environ, TMPDIR=tmp))

    def wait_told(self):
        wait_for("the job has begun", lambda: os.path.exists(self.told + ".told"))
        with open(self.told + ".told") as f:
            pid, *self.rooms = f.read().split()
        self.pid = int(pid)

    def wait(self):
        out, _ = self.process.communicate(timeout=60)
        return out


def runs(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def assert_nothing_left(runner):
    wait_for("the job's process gone", lambda: not runs(runner.pid), 5)
    for room in runner.rooms:
        assert not os.path.exists(os.path.dirname(room)), "%s is still there" % os.path.dirname(room)


def main():
    tap = Tap()
    for how, seconds, line in (("ends", 60, "1 passed, 0 failed"), ("dies", 60, "no case was run"),
                               ("hangs", 2, "no end after 2 s")):
        with tap.case("a job that %s leaves nothing" % how):
            runner = Runner(how, seconds)
            runner.wait_told()
            out = runner.wait()
            assert line in out, out
            assert_nothing_left(runner)
    for number in (signal.SIGINT, signal.SIGTERM):
        with tap.case("nor does a run that signal %d ends" % number):
            runner = Runner("hangs")
            runner.wait_told()
            runner.process.send_signal(number)
            runner.wait()
            assert runner.process.returncode == 128 + number, runner.process.returncode
            assert_nothing_left(runner)
    with tap.case("what a run that was killed has left goes with the next one"):
        runner = Runner("hangs")
        runner.wait_told()
        runner.process.kill()
        runner.process.wait()
        assert runs(runner.pid) and all(map(os.path.exists, runner.rooms))
        assert "1 passed, 0 failed" in Runner("nothing").wait()
        assert_nothing_left(runner)
    with tap.case("and that of one that goes on stays"):
        runner = Runner("hangs")
        runner.wait_told()
        Runner("nothing").wait()
        assert runs(runner.pid) and all(map(os.path.exists, runner.rooms))
        runner.process.terminate()
        runner.wait()
        assert_nothing_left(runner)
    tap.end()


if __name__ == "__main__":
    main()
