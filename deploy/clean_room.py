#!/usr/bin/env python3
"""Runs the two commands of the README where nothing is installed, and says how long they took.

A fresh Debian 12 (debootstrap, with make, git and certificates and nothing else) in a folder; in it a
clone of this repository; in a chroot there `make demo`, timed until it serves, then the headline query
at the truth's time compared with the demo's own truth, then `make check`. What is not committed is
not in the clone.

    deploy/clean_room.py [--dir FOLDER] [--keep] [--no-check]

Needs root, for debootstrap and chroot. The package mirror is the host's own where the host runs the
same release, or LARDER_MIRROR. Proxies, certificates and the package clients' settings of the host
are carried over, so that it works where the host does.
"""
import argparse
import glob
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARED = os.path.abspath(os.environ.get("LARDER_SHARED") or os.path.join(ROOT, "..", "shared"))
RELEASE = "bookworm"
DEFAULT_MIRROR = "http://deb.debian.org/debian"
DEMO_LIMIT_S = 300
HISTORY_S = 3 * 3600
HOME = "/root"  # in the room
QUERY = 'sum by (market) (increase(orders_total{stage="delivered"}[1h]))'

# Settings by which the host reaches its registries.
ENVIRONMENT = re.compile(r"^(https?|ftp|no|all)_proxy$|^npm_config_|^NODE_EXTRA_CA_CERTS$|^PIP_(CERT|"
                         r"INDEX_URL|PROXY)$|^MAVEN_(OPTS|ARGS)$|^SSL_CERT_(FILE|DIR)$|^CURL_CA_BUNDLE$|"
                         r"^REQUESTS_CA_BUNDLE$|^GIT_SSL_CAINFO$", re.I)


def say(text):
    print("clean-room: " + text, flush=True)


def host_release():
    try:
        with open("/etc/os-release", encoding="utf-8") as f:
            return dict(line.strip().split("=", 1) for line in f if "=" in line).get("VERSION_CODENAME")
    except OSError:
        return None


def host_mirror():
    """The first package archive of the host's own sources."""
    if os.environ.get("LARDER_MIRROR"):
        return os.environ["LARDER_MIRROR"]
    if host_release() == RELEASE:
        for path in ["/etc/apt/sources.list"] + sorted(glob.glob("/etc/apt/sources.list.d/*.sources")):
            if os.path.exists(path):
                with open(path, encoding="utf-8") as f:
                    found = re.search(r"^(?:URIs:|deb(?:\s+\[[^]]*\])?)\s+(\S+)", f.read(), re.M)
                if found:
                    return found.group(1)
    return DEFAULT_MIRROR


class Room:
    """The folder with its mounts; leaving it undoes them, whatever happened inside."""

    def __init__(self, folder, keep):
        self.root, self.keep, self.mounts = folder, keep, []

    def path(self, *parts):
        return os.path.join(self.root, *[p.lstrip("/") for p in parts])

    def mount(self, target, *options):
        os.makedirs(self.path(target), exist_ok=True)
        subprocess.run(["mount", *options, self.path(target)], check=True)
        self.mounts.append(self.path(target))

    def copy(self, path, to=None):
        """A file or folder of the host to the same place, or another."""
        target = self.path(to or path)
        if os.path.isdir(path):
            shutil.copytree(path, target, dirs_exist_ok=True)
        elif os.path.exists(path):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(path, target)

    def environment(self):
        env = {k: v for k, v in os.environ.items() if ENVIRONMENT.match(k)}
        env.update(HOME=HOME, LANG="C.UTF-8", PATH="/usr/sbin:/usr/bin:/sbin:/bin")
        return env

    def argv(self, command):
        return ["chroot", self.root, "sh", "-c", "cd /src/larder && exec " + command]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for mount in reversed(self.mounts):
            subprocess.run(["umount", "--lazy", mount], check=False)
        if self.keep:
            say("kept: " + self.root)
        elif not any(os.path.ismount(m) for m in self.mounts):
            subprocess.run(["rm", "-rf", "--one-file-system", self.root], check=True)


def furnish(room):
    """The bare system, this host's way to the registries, and a clone."""
    say("Debian %s into %s" % (RELEASE, room.root))
    with open(room.root + ".log", "w", encoding="utf-8") as log:
        subprocess.run(["debootstrap", "--variant=minbase", "--include=make,git,ca-certificates", RELEASE,
                        room.root, host_mirror()], check=True, stdout=log, stderr=log)
    os.remove(room.root + ".log")
    if host_release() == RELEASE:
        for path in ("/etc/apt/sources.list", "/etc/apt/sources.list.d"):
            if os.path.exists(path):
                shutil.rmtree(room.path(path), ignore_errors=True)
                if os.path.isfile(room.path(path)):
                    os.remove(room.path(path))
                room.copy(path)
        for path in ("/etc/apt/apt.conf.d", "/etc/apt/preferences.d", "/etc/apt/trusted.gpg.d",
                     "/etc/apt/keyrings", "/usr/share/keyrings"):
            room.copy(path)
    for path in ("/etc/resolv.conf", "/etc/hosts", "/usr/local/share/ca-certificates",
                 os.path.expanduser("~/.npmrc"), "/etc/npmrc", "/etc/pip.conf", "/etc/mavenrc"):
        room.copy(path)
    for path in (os.path.expanduser("~/.m2/settings.xml"), "/etc/maven/settings.xml"):
        if os.path.exists(path):  # under /etc it would be in the way of Debian's own
            room.copy(path, os.path.join(HOME, ".m2", "settings.xml"))
            break
    room.mount("/proc", "-t", "proc", "proc")
    room.mount("/dev/shm", "-t", "tmpfs", "tmpfs")
    subprocess.run(["chroot", room.root, "update-ca-certificates"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=room.environment())
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", "file://" + ROOT, room.path("/src/larder")],
                   check=True)
    if os.path.isdir(SHARED):
        room.mount("/src/shared", "--bind", "-o", "ro", SHARED)
    if subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, stdout=subprocess.PIPE).stdout:
        say("note: there are changes that are not committed, and so are not in the clone")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def is_ready(port):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False


def read_truth(path):
    """(time up to which it is complete, {minute: {market: delivered}}) as far as it is written; the time
    is None until some hours of the demo's history are."""
    complete, start, minutes = None, None, {}
    try:
        with open(path, encoding="utf-8") as f:
            lines = f.read().split("\n")[:-1]
    except OSError:
        return None, {}
    for line in lines:
        row = json.loads(line)
        start = row.get("start", start)
        if "complete" in row and row["complete"] >= start + HISTORY_S:
            complete = row["complete"]
        elif row.get("metric") == "orders_total" and row["labels"]["stage"] == "delivered":
            markets = minutes.setdefault(row["minute"], {})
            market = row["labels"]["market"]
            markets[market] = markets.get(market, 0) + row["amount"]
    return complete, minutes


def compare(room, port, truth_path):
    """The headline query at the truth's time against the truth; the text of what differs, or None."""
    complete, minutes = read_truth(truth_path)
    want = {}
    for minute, markets in minutes.items():
        if complete - 3600 < minute <= complete:
            for market, n in markets.items():
                want[market] = want.get(market, 0) + n
    argv = room.argv("build/larder query --json --server http://127.0.0.1:%d --time %d '%s'" %
                     (port, complete, QUERY))
    deadline = time.monotonic() + 30
    while True:  # the last events of the truth may be on their way from the broker
        done = subprocess.run(argv, env=room.environment(), stdout=subprocess.PIPE, text=True)
        got = {}
        if done.returncode == 0:
            answer = json.loads(done.stdout)
            for series in answer.get("data", answer)["result"]:
                got[series["metric"]["market"]] = series["value"][1]
        if got == {market: str(n) for market, n in want.items()} and want:
            say("larder query: %s" % got)
            return None
        if time.monotonic() > deadline:
            return "at %d: got %s, the truth is %s" % (complete, got, want)
        time.sleep(1)


def stop(process):
    """Ctrl-C to the whole group, as from a terminal."""
    for sign, seconds in ((signal.SIGINT, 20), (signal.SIGKILL, 10)):
        if process.poll() is None:
            os.killpg(process.pid, sign)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                pass


def run_demo(room):
    """Seconds until `make demo` serves; checks its answer. None: it failed."""
    port = free_port()
    command = "make demo DEMO='--port %d --seconds 900 --truth /src/truth.json'" % port
    say(command)
    begin = time.monotonic()
    demo = subprocess.Popen(room.argv(command), env=room.environment(), stdin=subprocess.DEVNULL,
                            start_new_session=True)
    try:
        while not is_ready(port):
            if demo.poll() is not None or time.monotonic() - begin > 2 * DEMO_LIMIT_S:
                say("make demo ended, or never served")
                return None
            time.sleep(0.25)
        seconds = time.monotonic() - begin
        say("the demo serves after %.0f s" % seconds)
        while read_truth(room.path("/src/truth.json"))[0] is None:
            if demo.poll() is not None or time.monotonic() - begin > 3 * DEMO_LIMIT_S:
                say("no truth was written")
                return None
            time.sleep(1)
        problem = compare(room, port, room.path("/src/truth.json"))
        if problem:
            say("the answer is not the truth: " + problem)
            return None
        return seconds
    finally:
        stop(demo)


def run_check(room):
    """Seconds that `make check` took; None: it failed."""
    say("make check")
    begin = time.monotonic()
    env = dict(room.environment(), CI="true" if os.path.isdir(SHARED) else "")
    done = subprocess.run(room.argv("make check"), env=env, stdin=subprocess.DEVNULL,
                          start_new_session=True)
    return time.monotonic() - begin if done.returncode == 0 else None


def main():
    parser = argparse.ArgumentParser(description="make demo and make check in a fresh Debian 12.")
    parser.add_argument("--dir", help="where to make the system (a new folder under TMPDIR)")
    parser.add_argument("--keep", action="store_true", help="do not remove it afterwards")
    parser.add_argument("--no-check", action="store_true", help="only the demo")
    args = parser.parse_args()
    if os.geteuid() != 0:
        print("clean-room: needs root, for debootstrap and chroot", file=sys.stderr)
        return 2
    # A terminated run must undo its mounts as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = args.dir or tempfile.mkdtemp(prefix="larder-clean-room-")
    with Room(os.path.abspath(folder), args.keep) as room:
        furnish(room)
        demo = run_demo(room)
        check = None if args.no_check else run_check(room)
    say("make demo serves:  %s" % ("%.0f s (limit %d s)" % (demo, DEMO_LIMIT_S) if demo else "FAILED"))
    if not args.no_check:
        say("make check ends:   %s" % ("%.0f s" % check if check else "FAILED"))
    good = demo is not None and demo <= DEMO_LIMIT_S and (args.no_check or check is not None)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
