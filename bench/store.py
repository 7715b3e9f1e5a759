#!/usr/bin/env python3
"""The store's benchmark: every row of the table of what it must reach, with the target beside it.

The measuring is done by programs in bench/, each pinned to one core. Where the neighbours of a busy
machine would show in a time, CPU seconds of the process are what counts, and the wall time is
written beside them.

Writes bench/results/store.json. Exit status 1 when a target is missed.

    bench/store.py             a few minutes
    bench/store.py --state     the state tables at 100 M ids and 10 M entities too: a quarter of an hour
"""
import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, os.environ.get("LARDER_BUILD", "build"))
ROWS = []


def pinned(argv, cpu):
    """Output of a program that has one core."""
    print("bench/%s" % " ".join(argv), file=sys.stderr, flush=True)
    path = os.path.join(BUILD, "bench", argv[0])
    return subprocess.run(["taskset", "-c", str(cpu), path, *argv[1:]], check=True,
                          stdout=subprocess.PIPE, text=True).stdout


def measure(argv, cpu, scratch):
    """As JSON; the folder that the program asks for is gone afterwards."""
    folder = os.path.join(scratch, "store")
    try:
        return json.loads(pinned([folder if a == "FOLDER" else a for a in argv], cpu))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def row(what, value, unit, target, at_most=True, **more):
    reached = value <= target if at_most else value >= target
    ROWS.append({"what": what, "value": round(value, 4), "unit": unit,
                 "target": ("<= " if at_most else ">= ") + str(target), "reached": reached, **more})
    print("%-62s %10.3f %-12s target %s%g%s" %
          (what, value, unit, "<= " if at_most else ">= ", target, "" if reached else "   MISSED"))


def mix_rows(cpu, scratch):
    mix = measure(["store_mix", "mix", "FOLDER"], cpu, scratch)
    row("bytes_per_sample of the mix, sealed and compacted", mix["bytes_per_unit"], "B", 0.65,
        raw_cells=mix["raw_per_unit"], details=mix)
    hist = measure(["store_mix", "histograms", "FOLDER"], cpu, scratch)
    row("native histograms of delivery times, per bucket", hist["bytes_per_unit"], "B", 0.3,
        per_filled_bucket=hist["bytes_per_filled"], raw_cells=hist["raw_per_unit"], details=hist)


def codec_rows(cpu):
    text = pinned(["codec_speed"], cpu)
    speeds = {m.group(1).strip(): float(m.group(2))
              for m in re.finditer(r"^(\S.*?)\s+[\d.]+\s+(\d+)(?:\s+\d+)?\s*$", text, re.M)}
    mean = speeds.pop("the mix")
    worst = min(speeds, key=speeds.get)
    row("decode to doubles, worst class (%s)" % worst, speeds[worst] / 1e3, "G values/s", 0.5, False,
        classes=speeds)
    row("decode to doubles, mean of the mix", mean / 1e3, "G values/s", 1.0, False)


def million_rows(cpu, scratch):
    runs = {kind: measure(["store_million", kind, "FOLDER"], cpu, scratch)
            for kind in ("counter", "sample", "gauge", "level")}
    counter = runs["counter"]
    row("append to 1 M series in random order, WAL and fdatasync included",
        counter["append_cells_per_cpu_s"] / 1e6, "M cells/s", 4, False,
        wall=round(counter["append_cells_per_s"] / 1e6, 3))
    for kind, most in (("counter", 512), ("sample", 512), ("gauge", 768), ("level", 768)):
        row("memory per active series, %s" % kind, runs[kind]["rss_bytes_per_series"], "B", most)
    for kind in runs:
        row("RSS at 1 M series, %s" % kind, runs[kind]["rss_mb"], "MB", 1200)
    row("open after a clean stop, 1 M series", counter["open_clean_cpu_s"], "CPU s", 2,
        wall=counter["open_clean_s"])
    row("open after kill -9 just before a checkpoint, 1 M series",
        counter["open_after_kill_cpu_s"], "CPU s", 5, wall=counter["open_after_kill_s"],
        first_answer_wall=counter["answer_after_kill_s"],
        first_answer=counter["answer_after_kill_cpu_s"])
    row("select 1,000 of 1 M series by two matchers", counter["two_matchers_ms"], "CPU ms", 1,
        series=counter["two_matchers_series"])
    row("regular expression on 100 k values", counter["regex_ms"], "CPU ms", 20,
        series=counter["regex_series"])
    return runs


def reader_rows(scratch):
    """What a reader of a million series holds others up for: the longest that it has a lock that commits
    take, or is inside the gate. The waits themselves hang on who else has the cores; two of them are needed
    for a writer beside a reader."""
    folder = os.path.join(scratch, "store")
    print("bench/store_readers", file=sys.stderr, flush=True)
    try:
        out = json.loads(subprocess.run([os.path.join(BUILD, "bench", "store_readers"), folder], check=True,
                                        stdout=subprocess.PIPE, text=True).stdout)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    beside = out["beside_a_reader_of_all"]
    hold = beside["longest_hold_by_the_reader_cpu_ms"]
    row("a commit waits for a reader of 1 M series, at most",
        max(v for k, v in hold.items() if k != "other"), "CPU ms", 1, details=out)
    row("a freeze, or a second reader, waits for it at the gate", hold["gate"], "CPU ms", 1)
    row("commits that waited at the gate", beside["pending_waits"], "", 0)


def state_rows(cpu, scratch):
    state = measure(["store_state", "FOLDER"], cpu, scratch)
    most = max(state["rss_most_while_loading_mb"], state["rss_after_gets_mb"])
    row("state tables: 100 M ids and 10 M entities, RSS", most, "MB", 1000, details=state)
    row("state tables: opening them", state["after_open"]["open_wall_seconds"], "s", 5)


def main():
    parser = argparse.ArgumentParser(description="The store's benchmark.")
    parser.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--state", action="store_true", help="state tables at full size, too")
    parser.add_argument("--folder", help="where the stores are made; default: a temporary folder")
    parser.add_argument("--out", default=os.path.join(ROOT, "bench", "results", "store.json"))
    args = parser.parse_args()
    scratch = tempfile.mkdtemp(prefix="larder-bench-", dir=args.folder)
    load = os.getloadavg()[0]
    begin = time.monotonic()
    try:
        mix_rows(args.cpu, scratch)
        codec_rows(args.cpu)
        runs = million_rows(args.cpu, scratch)
        reader_rows(scratch)
        if args.state:
            state_rows(args.cpu, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    result = {"machine": {"cpus": os.cpu_count(), "processor": platform.processor() or platform.machine(),
                          "load_before": round(load, 2)},
              "seconds": round(time.monotonic() - begin, 1), "rows": ROWS, "million": runs}
    with open(args.out, "w", encoding="utf-8") as f:
        json.dump(result, f, indent=1)
        f.write("\n")
    missed = [r["what"] for r in ROWS if not r["reached"]]
    print("%d of %d targets reached; %s" % (len(ROWS) - len(missed), len(ROWS), args.out))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
