#!/usr/bin/env python3
"""`larder demo`: what its metrics answer equals its truth file, minute by minute, while it runs and in the folder
that it leaves; the page is there; its end, orderly or by kill -9, leaves no process and no folder."""
import collections
import decimal
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time

from lib import LARDER, Larder, Tap, free_port, larder, wait_for

METRICS = ["orders_total", "order_amount_total", "fridge_units_total", "ratings_total", "payments_total"]
LEVELS = {"orders_open": 6 * 3600, "fridge_stock_estimated_units": 24 * 3600}  # with their stale_after
REASONS = {"malformed", "missing", "type", "range", "not_allowed", "late", "ahead"}
RATE = 60


class Demo(Larder):
    """A running demo, in a session of its own; its standard output says where it listens."""

    def __init__(self, *options, tmpdir=None):
        super().__init__(None, None)
        env = dict(os.environ, TMPDIR=tmpdir) if tmpdir else None
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([LARDER, "demo", "--port", "0", *options], env=env, text=True,
                                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                                            start_new_session=True)
        self.greeting = ""
        for line in self.process.stdout:
            self.greeting += line
            if "Ctrl-C" in line:
                break
        page = re.search(r"page +http://127\.0\.0\.1:(\d+)/", self.greeting)
        assert page, "no page in the greeting: %s%s" % (self.greeting, self.log())
        self.port = int(page.group(1))

    def is_live(self):
        return "live now" in self.log()

    def end(self, sig=signal.SIGINT, seconds=30):
        self.process.send_signal(sig)
        return self.process.wait(seconds)


def members(session):
    """Processes of a session that are not dead, as their command lines."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % pid) as f:
                fields = f.read().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(pid)
        except (OSError, IndexError):
            pass
    return found


class Truth:
    """The truth file: amounts by (metric, minute, labels), and the last line's state."""

    def __init__(self, path):
        self.amounts, self.complete, self.minutes = {}, None, []
        with open(path) as f:
            lines = f.read().splitlines(keepends=True)
        # What stands behind the last state is being written.
        states = [i for i, line in enumerate(lines) if '"complete"' in line and line.endswith("\n")]
        whole = states[-1] + 1 if states else 0
        self.unfinished = len(lines) - whole
        for line in lines[:whole]:
            row = json.loads(line, parse_float=decimal.Decimal)
            if "metric" in row:
                key = row["metric"], row["minute"], tuple(sorted(row["labels"].items()))
                assert key not in self.amounts, "twice in the truth: %s" % (key,)
                self.amounts[key] = decimal.Decimal(row["amount"])
            elif "complete" in row:
                self.complete, self.produced = row["complete"], row["produced"]
                self.twice, self.refused = row["twice"], row["refused"]
        self.minutes = [minute for _, minute, _ in self.amounts]
        assert not self.amounts or max(self.minutes) <= self.complete


def answered(server, metric, truth):
    """What the server says for every minute of the truth: {(metric, minute, labels): amount}, without zeros."""
    text = server.query_range_text("increase(%s[1m])" % metric, min(truth.minutes), truth.complete, 60)
    amounts = {}
    for series in json.loads(text)["data"]["result"]:
        labels = tuple(sorted((k, v) for k, v in series["metric"].items() if k != "__name__"))
        for t, value in series["values"]:
            if value != "0":
                amounts[metric, int(t), labels] = decimal.Decimal(value)
    return amounts


def level_difference(server, metric, truth):
    """Where what a level stands at differs from the truth, which has a line for every minute in which it changed.
    Between two of them it stays; it is shown for as long as stale_after says. That an order has expired shows when
    the watermark has passed it, some minutes later."""
    lines = collections.defaultdict(dict)
    for (name, minute, labels), amount in truth.amounts.items():
        if name == metric:
            lines[labels][minute] = amount
    assert len(lines) >= 9, "%d series of %s in the truth" % (len(lines), metric)
    text = server.query_range_text(metric, min(truth.minutes), truth.complete, 60)
    found = {tuple(sorted((k, v) for k, v in s["metric"].items() if k != "__name__")):
             {int(t): decimal.Decimal(v) for t, v in s["values"]} for s in json.loads(text)["data"]["result"]}
    wrong = []
    for labels in sorted(set(lines) | set(found)):
        stands, changed = 0, None
        for minute in range(min(truth.minutes), truth.complete - 600, 60):
            if minute in lines[labels]:
                stands, changed = lines[labels][minute], minute
            value = found.get(labels, {}).get(minute)
            gone = value is None and (changed is None or minute - changed >= LEVELS[metric])
            if value != stands and not gone:
                wrong.append("%s %s at %d: %s, the truth is %s" % (metric, labels, minute, value, stands))
    return wrong


def difference(server, truth):
    """The first few places where server and truth differ; empty when they are equal."""
    wrong = [w for metric in LEVELS for w in level_difference(server, metric, truth)]
    for metric in METRICS:
        want = {k: v for k, v in truth.amounts.items() if k[0] == metric}
        assert want, "no %s in the truth" % metric
        got = answered(server, metric, truth)
        wrong += ["%s: %s, the truth is %s" % (k, got.get(k), want.get(k))
                  for k in sorted(set(got) | set(want)) if got.get(k) != want.get(k)]
    return wrong


def check_equal(server, truth, seconds=20):
    """Equal within some seconds: what is acknowledged need not be read yet."""
    wrong = [None]

    def equal():
        wrong[0] = difference(server, truth)
        return not wrong[0]
    try:
        wait_for("equal to the truth", equal, seconds, every=0.5)
    except AssertionError:
        raise AssertionError("%d amounts differ from the truth, such as\n%s" %
                             (len(wrong[0]), "\n".join(wrong[0][:5])))


def run_and_compare(tap, folder):
    data, path = os.path.join(folder, "data"), os.path.join(folder, "truth.jsonl")
    demo = Demo("--rate", str(RATE), "--seed", "5", "--dir", data, "--truth", path)
    session = demo.process.pid
    try:
        with tap.case("the demo answers from the first second"):
            demo.get("/-/healthy")
            wait_for("ready", lambda: demo.get("/-/ready", check=False)[0] == 200, 10)
        with tap.case("the page and its parts are served"):
            assert "<title>Larder</title>" in demo.get("/")[1]
            for part in ["/app.js", "/charts.js", "/style.css", "/favicon.svg", "/uplot.js", "/uplot.css"]:
                assert len(demo.get(part)[1]) > 100, part
            assert "uPlot" in demo.get("/uplot.js")[1]
        with tap.case("the history is loaded, and the demo goes live"):
            wait_for("live", demo.is_live, 90)
        with tap.case("increase of every headline metric, and every level, equals the truth while the demo runs"):
            wait_for("a truth of an hour", lambda: len(set(Truth(path).minutes)) > 60, 30)
            check_equal(demo, Truth(path))
        with tap.case("the hour that the README asks for equals the truth"):
            truth = Truth(path)
            want = collections.Counter()
            for (metric, minute, labels), amount in truth.amounts.items():
                if metric == "orders_total" and ("stage", "delivered") in labels and minute > truth.complete - 3600:
                    want[dict(labels)["market"]] += amount
            status, out, err = larder("query", "--server", "http://127.0.0.1:%d" % demo.port, "--json",
                                      "--time", str(truth.complete),
                                      'sum by (market) (increase(orders_total{stage="delivered"}[1h]))')
            assert status == 0, err
            got = {r["metric"]["market"]: decimal.Decimal(r["value"][1])
                   for r in json.loads(out)["data"]["result"]}
            assert len(want) == 9 and got == want, "%s, the truth is %s" % (got, dict(want))
        with tap.case("events are refused for every reason there is"):
            names = re.findall(r'larder_events_refused_total\{stream="\w+",reason="(\w+)"\} [1-9]',
                               demo.get("/metrics")[1])
            assert set(names) == REASONS, names
        time.sleep(3)
        with tap.case("Ctrl-C ends it with status 0"):
            assert demo.end() == 0, demo.log()
        with tap.case("every event was counted, or refused as it was meant to be"):
            truth = Truth(path)
            assert truth.unfinished == 0, "%d lines behind the last state" % truth.unfinished
            sums = re.search(r"(\d+) events sent, (\d+) counted, (\d+) refused, (\d+) for the second time",
                             demo.process.stdout.read())
            sent, counted, refused, twice = map(int, sums.groups())
            assert sent == truth.produced and refused == sum(truth.refused.values()), sums.group(0)
            assert twice == truth.twice > 0 and counted == sent - refused - twice, sums.group(0)
        with tap.case("no process is left, and the folder that was named is kept"):
            wait_for("everything ended", lambda: not members(session), 5)
            assert sorted(os.listdir(data)) == ["data", "larder.yml"], os.listdir(data)
    finally:
        if demo.process.poll() is None:
            demo.kill()
    compare_kept(tap, data, path)


def compare_kept(tap, data, path):
    """The folder that the demo kept, served without its broker."""
    truth = Truth(path)
    with Larder(os.path.join(data, "larder.yml"), os.path.join(data, "data"),
                ["kafka.brokers=127.0.0.1:1"]) as server:
        server.start()
        with tap.case("the folder that was kept equals the whole truth"):
            assert truth.complete > time.time() - 120
            assert truth.produced > 6 * 3600 * RATE / 10 * 0.97
            check_equal(server, truth, 1)
        with tap.case("a folder that is in use or not empty is refused"):
            status, out, err = larder("demo", "--dir", data)
            assert status == 2 and "not empty" in err and not out, err
        server.stop()


def leaves_nothing(tap, folder):
    tmp = os.path.join(folder, "tmp")
    os.mkdir(tmp)
    for name, sig, after in [("SIGTERM in the middle of the history", signal.SIGTERM, 1.0),
                             ("Ctrl-C at once", signal.SIGINT, 0.0)]:
        with tap.case("%s leaves no process and no folder" % name):
            demo = Demo("--rate", "2000", tmpdir=tmp)
            assert os.listdir(tmp), "where is the data?"
            time.sleep(after)
            assert demo.end(sig) == 0, demo.log()
            wait_for("everything ended", lambda: not members(demo.process.pid), 5)
            assert os.listdir(tmp) == [], os.listdir(tmp)
    with tap.case("--seconds ends it by itself"):
        begin = time.monotonic()
        status, out, err = larder("demo", "--seconds", "1", "--rate", "10", "--port", "0")
        assert status == 0 and "Ctrl-C" in out, err
        assert 1 <= time.monotonic() - begin < 30
    with tap.case("a demo whose broker dies says so and ends"):
        demo = Demo("--rate", "10", tmpdir=tmp)
        broker, = [int(pid) for pid in members(demo.process.pid) if int(pid) != demo.process.pid]
        os.kill(broker, signal.SIGKILL)
        assert demo.process.wait(30) == 2
        assert "broker has ended" in demo.log(), demo.log()
        assert os.listdir(tmp) == [], os.listdir(tmp)
    with tap.case("kill -9 of the demo takes its broker with it"):
        demo = Demo("--rate", "10", tmpdir=tmp)
        assert len(members(demo.process.pid)) == 2
        demo.kill()
        wait_for("the broker ended", lambda: not members(demo.process.pid), 5)


def refuses_nonsense(tap):
    for options, said in [(["--rate", "0"], "--rate takes a number from 10 to 100000"),
                          (["--rate", "fast"], "not \"fast\""),
                          (["--port", "70000"], "--port takes a number from 0 to 65535"),
                          (["--seed", "1.5"], "whole number"),
                          (["--seconds", "-1"], "--seconds takes"),
                          (["--dir", "/nonexistent/folder/demo"], "/nonexistent/folder/demo"),
                          (["--truth", "/nonexistent/truth", "--port", "0"], "/nonexistent/truth"),
                          (["--nonsense"], "--help"), (["now"], "one argument too many")]:
        with tap.case("refused: demo %s" % " ".join(options)):
            status, out, err = larder("demo", *options)
            assert status == 2 and said in err, "status %d: %s" % (status, err)
    with tap.case("a port in use is named"), socket.socket() as taken:
        port = free_port()
        taken.bind(("127.0.0.1", port))
        taken.listen()
        status, _, err = larder("demo", "--port", str(port))
        assert status == 2 and str(port) in err and "in use" in err, err
    with tap.case("--help says everything"):
        status, out, err = larder("demo", "--help")
        assert status == 0 and not err
        assert all(o in out for o in ["--rate", "--seconds", "--dir", "--port", "--seed", "--truth"])


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix="larder-demo-test-") as folder:
        refuses_nonsense(tap)
        run_and_compare(tap, folder)
        leaves_nothing(tap, folder)
    tap.end()


main()
