#!/usr/bin/env python3
"""Ingest benchmark: from the first fetch until a query returns the full count, and how soon an event is seen.

Events of all five topics of larder.yml (bench/support/business.h) lie ready on a broker, in LZ4: a real
Apache Kafka of one node, or librdkafka's mock. Then `larder serve -c larder.yml` starts with an empty
folder: contract, dedupe, lifecycle and every shipped rollup. The clock runs from the start of the process, so
that connecting counts, to the answer that holds every event. CPU is what /proc says of our process; the
broker's is told apart.

Latency: events come at a rate, and a client asks for the count of the window that is now, evaluated at its
end, again and again. The k-th event of a window that the broker has acknowledged is seen when an answer comes
that counts k.

Writes bench/results/ingest.json. Exit status 1 when the answers are not exact.
"""
import argparse
import contextlib
import http.client
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
sys.path.insert(0, os.path.join(ROOT, "tests", "kafka"))
from cluster import Cluster  # noqa: E402
from lib import BUILD, Broker, Larder  # noqa: E402
from registry_stub import Registry  # noqa: E402

CONFIG = os.path.join(ROOT, "larder.yml")
GENERATOR = os.path.join(BUILD, "bench", "gen_events")
TOPICS = ["orders", "fridges", "reviews", "couriers", "payments"]
FIRST_MS = 1700000000000
WINDOW_MS = 5000
TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time so far, of all threads."""
    with open("/proc/%d/stat" % pid, encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def threads_cpu_us(pid, events):
    """CPU per event by the name of the thread, without those that did next to nothing."""
    found = {}
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/stat" % (pid, task), encoding="ascii") as f:
            text = f.read()
        fields = text.rpartition(")")[2].split()
        name = text[text.index("(") + 1:text.rindex(")")]
        found[name] = found.get(name, 0) + (int(fields[11]) + int(fields[12])) / TICK * 1e6 / events
    return {name: round(us, 3) for name, us in sorted(found.items()) if us >= 0.005}


def peak_rss_mib(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        return int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1)) / 1024


def idle_share(seconds=2):
    """Of the machine's processors, just now: what others leave to a benchmark."""
    def read():
        with open("/proc/stat", encoding="ascii") as f:
            values = [int(v) for v in f.readline().split()[1:9]]
        return values[3] + values[4], sum(values)
    idle0, all0 = read()
    time.sleep(seconds)
    idle1, all1 = read()
    return round((idle1 - idle0) / max(1, all1 - all0), 2)


@contextlib.contextmanager
def broker_of(args, folder):
    """A broker with the topics: where it is, and its process."""
    if args.broker == "mock":
        with Broker(**{topic: args.partitions for topic in TOPICS}) as broker:
            yield broker.bootstrap, broker.process.pid
        return
    with Cluster(os.path.join(folder, "kafka")) as kafka:
        for topic in TOPICS:
            # History is a week old and more: it is not to be deleted.
            kafka.create(topic, args.partitions, retention_ms=-1)
        yield kafka.bootstrap, kafka.processes[1].pid


@contextlib.contextmanager
def settings_of(args, form):
    """What larder.yml is changed by; a registry runs for Avro."""
    sets = ["ingest.workers=%d" % args.workers, *args.set]
    if form == "json":
        yield sets
        return
    with Registry() as registry:
        for i, topic in enumerate(TOPICS):
            done = subprocess.run([GENERATOR, "schema", topic], check=True, stdout=subprocess.PIPE, text=True)
            registry.schemas[i + 1] = done.stdout.strip()
        yield sets + ["registry.url=" + registry.url] + ["streams.%s.format=avro" % t for t in TOPICS]


def fill(bootstrap, form, args):
    """Produces the events; what a query must find."""
    argv = [GENERATOR, bootstrap, str(args.partitions), str(args.events), str(FIRST_MS), str(args.rate), form]
    words = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    return {name: int(value) for name, value in zip(words[::2], words[1::2])}


def count(server, end_s, span, what):
    answer = server.query("sum(increase(%s[%ds]))" % (what, span), end_s)
    return float(answer.get((), 0))


def steps(metrics, events):
    """CPU of the workers by step, from /metrics."""
    found = {}
    for name, value in metrics.items():
        match = re.match(r'larder_ingest_step_seconds_total\{.*step="(\w+)"', name)
        if match:
            found[match.group(1)] = round(value * 1e6 / events, 3)
    return found


def check_answers(server, want, end_s, span):
    found = {
        "orders": (count(server, end_s, span, "orders_total"), want["orders"]),
        "payments": (count(server, end_s, span, "payments_total"), want["payments"]),
        "reviews": (count(server, end_s, span, "ratings_total"), want["reviews"]),
        "captured": (count(server, end_s, span, 'payments_total{status="captured"}'), want["captured"]),
        "amount": (round(100 * count(server, end_s, span, "order_amount_total")), want["amount"]),
    }
    for outcome in ("delivered", "cancelled", "rejected"):
        what = 'order_outcomes_total{outcome="%s"}' % outcome
        found[outcome] = (count(server, end_s, span, what), want[outcome])
    wrong = {name: pair for name, pair in found.items() if pair[0] != pair[1]}
    if wrong:
        print("not exact: %s" % json.dumps(wrong), file=sys.stderr)
    return not wrong


def drain(bootstrap, broker_pid, sets, want, folder):
    """One run over what lies ready."""
    end_s = want["last_ms"] // 1000 // 60 * 60 + 120
    span = end_s - FIRST_MS // 1000 + 60
    idle = idle_share()
    broker_before = cpu_seconds(broker_pid)
    with Larder(CONFIG, tempfile.mkdtemp(dir=folder), ["kafka.brokers=" + bootstrap] + sets) as server:
        begin = time.monotonic()
        server.start()
        ready = time.monotonic()
        while server.events_taken() < want["events"]:
            assert time.monotonic() - begin < 600, "not done after 600 s: %s" % server.log()[-2000:]
            time.sleep(0.05)
        seen = count(server, end_s, span, "orders_total")
        end = time.monotonic()
        cpu = cpu_seconds(server.process.pid)
        threads = threads_cpu_us(server.process.pid, want["events"])
        broker_cpu = cpu_seconds(broker_pid) - broker_before
        exact = check_answers(server, want, end_s, span) and seen == want["orders"]
        metrics = server.metrics()
        rss = peak_rss_mib(server.process.pid)
    return {
        "events": want["events"], "event_bytes": round(want["bytes"] / want["events"], 1),
        "seconds": round(end - begin, 3), "seconds_to_ready": round(ready - begin, 3),
        "events_per_second": round(want["events"] / (end - begin)),
        "cpu_us_per_event": round(cpu * 1e6 / want["events"], 3),
        "broker_cpu_us_per_event": round(broker_cpu * 1e6 / want["events"], 3),
        "threads_us_per_event": threads, "steps_us_per_event": steps(metrics, want["events"]),
        "peak_rss_mib": round(rss), "exact": exact, "idle_before": idle,
    }


def measure(form, args):
    with tempfile.TemporaryDirectory() as folder, broker_of(args, folder) as (bootstrap, pid), \
            settings_of(args, form) as sets:
        want = fill(bootstrap, form, args)
        runs = []
        for i in range(args.runs):
            runs.append(drain(bootstrap, pid, sets, want, folder))
            print("%s, run %d: %s" % (form, i + 1, json.dumps(runs[-1])), flush=True)
        return {"median": sorted(runs, key=lambda r: r["events_per_second"])[len(runs) // 2], "runs": runs}


# ---- latency ----

class Watcher(threading.Thread):
    """Asks for the count of the window that is now, and for those before until they are counted whole."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.seen, self.stop = port, {}, False

    def ask(self, connection, end_ms):
        query = urllib.parse.urlencode({"query": "sum(increase(orders_total[%ds]))" % (WINDOW_MS // 1000),
                                        "time": "%d" % (end_ms // 1000)})
        connection.request("GET", "/api/v1/query?" + query)
        answer = json.loads(connection.getresponse().read())
        result = answer["data"]["result"]
        self.seen.setdefault(end_ms, []).append(
            (time.time() * 1000, round(float(result[0]["value"][1])) if result else 0))

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        while not self.stop:
            now = time.time() * 1000
            end = -int(-now // WINDOW_MS) * WINDOW_MS
            self.ask(connection, end)
            if now - (end - WINDOW_MS) < 2000:
                self.ask(connection, end - WINDOW_MS)
            time.sleep(0.004)


def delays(acks, seen):
    """Milliseconds from acknowledgement to answer, of all events of windows that were watched whole."""
    by_window = {}
    for event_ms, ack_ms in acks:
        by_window.setdefault(-(-event_ms // WINDOW_MS) * WINDOW_MS, []).append(ack_ms)
    found = []
    for end_ms, times in sorted(by_window.items())[1:-1]:
        answers, at = seen.get(end_ms, []), 0
        for k, ack_ms in enumerate(sorted(times), 1):
            while at < len(answers) and answers[at][1] < k:
                at += 1
            assert at < len(answers), "the window that ends at %d was never whole" % end_ms
            found.append(answers[at][0] - ack_ms)
    return sorted(found)


def measure_latency(args):
    with tempfile.TemporaryDirectory() as folder, broker_of(args, folder) as (bootstrap, _), \
            settings_of(args, "json") as sets, \
            Larder(CONFIG, os.path.join(folder, "data"), ["kafka.brokers=" + bootstrap] + sets) as server:
        server.start()
        idle = idle_share()
        watcher = Watcher(server.port)
        watcher.start()
        done = subprocess.run([GENERATOR, "live", bootstrap, str(args.partitions), str(args.latency_seconds),
                               "5000"], check=True, stdout=subprocess.PIPE, text=True)
        time.sleep(2)
        watcher.stop = True
        watcher.join()
    acks = [(int(w[2]), int(w[3])) for w in map(str.split, done.stdout.splitlines())
            if w[0] == "ack" and w[1] == "orders"]
    found = delays(acks, watcher.seen)
    at = {name: round(found[min(len(found) - 1, int(len(found) * q))], 1)
          for name, q in (("p50_ms", 0.5), ("p99_ms", 0.99), ("max_ms", 1))}
    return {"events_per_second": 5000, "observed": len(found), **at, "idle_before": idle}


def main():
    parser = argparse.ArgumentParser(description="The ingest benchmark.")
    parser.add_argument("--broker", choices=["kafka", "mock"], default="kafka")
    parser.add_argument("--form", choices=["json", "avro", "both", "none"], default="both")
    parser.add_argument("--events", type=int, default=3000000)
    parser.add_argument("--partitions", type=int, default=8, help="of each topic; the mock keeps 5 MiB of one")
    parser.add_argument("--rate", type=int, default=1200, help="events per second of event time")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--latency-seconds", type=int, default=60, help="0: latency is not measured")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of larder.yml")
    parser.add_argument("--out", default=os.path.join(ROOT, "bench", "results", "ingest.json"))
    args = parser.parse_args()
    forms = ["json", "avro"] if args.form == "both" else [] if args.form == "none" else [args.form]
    results = {"broker": args.broker, "partitions": args.partitions, "workers": args.workers,
               "cpus": os.cpu_count(), "machine": platform.machine()}
    for form in forms:
        results[form] = measure(form, args)
    if args.latency_seconds:
        results["latency"] = measure_latency(args)
        print("latency: %s" % json.dumps(results["latency"]))
    os.makedirs(os.path.dirname(args.out), exist_ok=True)
    with open(args.out, "w", encoding="utf-8") as f:
        json.dump(results, f, indent=2)
        f.write("\n")
    for form in forms:
        median = results[form]["median"]
        print("%s: %d events/s; %.2f us of CPU per event, the broker's %.2f apart" %
              (form, median["events_per_second"], median["cpu_us_per_event"],
               median["broker_cpu_us_per_event"]))
        print("  by thread, us per event: %s" % json.dumps(median["threads_us_per_event"]))
        print("  by step: %s" % json.dumps(median["steps_us_per_event"]))
    return 0 if all(run["exact"] for form in forms for run in results[form]["runs"]) else 1


if __name__ == "__main__":
    sys.exit(main())
