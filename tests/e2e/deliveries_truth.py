#!/usr/bin/env python3
"""What the metrics of a CSV of food deliveries must be, computed from the CSV alone, as JSON.

It shares no code with the producer of the events or with larder: it counts rows. A row whose text
hashes below 50 of 1000 was sent twice and counts once. A row without a market gives no metrics: its
events are refused. A day is (00:00, 24:00] UTC and is named by its end, in seconds since 1970.

    deliveries_truth.py FILE.csv
"""
import calendar
import collections
import csv
import json
import sys
import time
import zlib

DAY = 24 * 60 * 60


def seconds(text):
    return calendar.timegm(time.strptime(text, "%Y-%m-%d %H:%M:%S"))


def day_end(t):
    return -(-t // DAY) * DAY


def truth(path):
    days = collections.Counter()
    categories = collections.Counter()
    eta = collections.defaultdict(list)
    sent = missing = 0
    with open(path, encoding="utf-8", newline="") as f:
        for text in f.read().splitlines()[1:]:
            (market, created, ended, _store, category, _protocol, _items, _subtotal, _distinct, _min,
             _max, _onshift, _busy, _outstanding, place_s, drive_s) = next(csv.reader([text]))
            copies = 2 if zlib.crc32(b"twice|" + text.encode()) % 1000 < 50 else 1
            stages = [("placed", seconds(created))]
            if ended != "NA":
                stages.append(("delivered", seconds(ended)))
            sent += copies * len(stages)
            if market == "NA":
                missing += copies * len(stages)
                continue
            for stage, t in stages:
                days[market, stage, day_end(t)] += 1
                categories[category, stage] += 1
            if ended != "NA" and place_s != "NA" and drive_s != "NA":
                promised = seconds(created) + int(place_s) + int(drive_s)
                eta[market].append(seconds(ended) - promised)
    return {
        "sent": sent,
        "missing": missing,
        "days": [[*key, n] for key, n in sorted(days.items())],
        "categories": [[*key, n] for key, n in sorted(categories.items())],
        "eta_error_seconds": {market: sorted(values) for market, values in sorted(eta.items())},
    }


if __name__ == "__main__":
    json.dump(truth(sys.argv[1]), sys.stdout)
