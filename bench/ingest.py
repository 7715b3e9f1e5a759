#!/usr/bin/env python3
"""Ingest benchmark: from the first fetch until a query returns the full count.

Order events of 266 bytes lie ready, in LZ4, on 64 partitions of a mock broker in a process of its own.
Then `larder serve` starts with an empty folder, the contract of `orders` as larder.yml ships it and the
rollups of bench/six_rollups.yml. The clock runs from the start of the process, so that connecting counts, to the
answer that holds every event. CPU is what /proc says of our process; the broker's is told apart.

Writes bench/results/ingest.json. Exit status 1 when the answers are not exact.
"""
import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
from lib import BUILD, Broker, Larder  # noqa: E402

FIRST_MS = 1700000000000
EVENT_BYTES = 266
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


def fill(broker, args):
    """Produces the events; what a query must find."""
    argv = [os.path.join(BUILD, "bench", "gen_events"), broker.bootstrap, "orders",
            str(args.partitions), str(args.events), str(FIRST_MS), str(args.rate)]
    words = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    return {name: int(value) for name, value in zip(words[::2], words[1::2])}


def count(server, end_s, span, what="orders_total"):
    answer = server.query("sum(increase(%s[%ds]))" % (what, span), end_s)
    return float(answer.get((), 0))


def write_config(path):
    """The shipped contract of `orders`, cut out of larder.yml, and the six rollups."""
    with open(os.path.join(ROOT, "larder.yml"), encoding="utf-8") as f:
        orders = re.search(r"^  orders:\n(?:    .*\n|\n)+", f.read(), re.M).group(0)
    with open(os.path.join(ROOT, "bench", "six_rollups.yml"), encoding="utf-8") as f:
        rollups = f.read()
    with open(path, "w", encoding="utf-8") as f:
        f.write("streams:\n" + orders + "\n" + rollups)


def measure(args):
    with Broker(orders=args.partitions) as broker, tempfile.TemporaryDirectory() as folder:
        want = fill(broker, args)
        config = os.path.join(folder, "ingest.yml")
        write_config(config)
        end_s = want["last_ms"] // 1000 // 60 * 60 + 120
        span = end_s - FIRST_MS // 1000 + 60
        broker_before = cpu_seconds(broker.process.pid)
        with Larder(config, os.path.join(folder, "data"),
                    ["kafka.brokers=" + broker.bootstrap]) as server:
            begin = time.monotonic()
            server.start()
            ready = time.monotonic()
            while server.events_taken() < want["events"]:
                assert time.monotonic() - begin < 300, "not done after 300 s: %s" % server.log()[-2000:]
                time.sleep(0.02)
            got = count(server, end_s, span)
            end = time.monotonic()
            cpu = cpu_seconds(server.process.pid)
            threads = threads_cpu_us(server.process.pid, want["events"])
            broker_cpu = cpu_seconds(broker.process.pid) - broker_before
            exact = {
                "events": (got, want["events"]),
                "delivered": (count(server, end_s, span, 'orders_total{stage="delivered"}'),
                              want["delivered"]),
                "amount": (round(100 * count(server, end_s, span, "order_amount_total")),
                           want["amount"]),
            }
            metrics = server.metrics()
            rss = peak_rss_mib(server.process.pid)
    return {
        "events": want["events"], "event_bytes": EVENT_BYTES, "partitions": args.partitions,
        "seconds": round(end - begin, 3), "seconds_to_ready": round(ready - begin, 3),
        "events_per_second": round(want["events"] / (end - begin)),
        "cpu_us_per_event": round(cpu * 1e6 / want["events"], 3),
        "broker_cpu_us_per_event": round(broker_cpu * 1e6 / want["events"], 3),
        "threads_us_per_event": threads,
        "steps_us_per_event": steps(metrics, want["events"]),
        "peak_rss_mib": round(rss),
        "exact": {name: got == wanted for name, (got, wanted) in exact.items()},
        "cpus": os.cpu_count(), "machine": platform.machine(),
    }


def steps(metrics, events):
    """CPU of the ingest thread by step, from /metrics."""
    found = {}
    for name, value in metrics.items():
        match = re.match(r'larder_ingest_step_seconds_total\{.*step="(\w+)"', name)
        if match:
            found[match.group(1)] = round(value * 1e6 / events, 3)
    return found


def main():
    parser = argparse.ArgumentParser(description="The ingest benchmark.")
    parser.add_argument("--events", type=int, default=2000000)
    parser.add_argument("--partitions", type=int, default=64)
    parser.add_argument("--rate", type=int, default=1200, help="events per second of event time")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", default=os.path.join(ROOT, "bench", "results", "ingest.json"))
    args = parser.parse_args()
    runs = []
    for i in range(args.runs):
        runs.append(measure(args))
        print("run %d: %s" % (i + 1, json.dumps(runs[-1])), flush=True)
    median = sorted(runs, key=lambda r: r["events_per_second"])[len(runs) // 2]
    os.makedirs(os.path.dirname(args.out), exist_ok=True)
    with open(args.out, "w", encoding="utf-8") as f:
        json.dump({"median": median, "runs": runs}, f, indent=2)
        f.write("\n")
    print("%d events/s; %.2f us of CPU per event, the broker's %.2f apart" %
          (median["events_per_second"], median["cpu_us_per_event"], median["broker_cpu_us_per_event"]))
    print("by thread, us per event: %s" % json.dumps(median["threads_us_per_event"]))
    print("the ingest thread by step: %s" % json.dumps(median["steps_us_per_event"]))
    return 0 if all(all(r["exact"].values()) for r in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
