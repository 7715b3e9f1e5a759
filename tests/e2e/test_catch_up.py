#!/usr/bin/env python3
"""A day of history in 64 partitions of a real Kafka, drained at uneven speeds: some partitions have many
times the records of others, and records many times as large. It must not leave more than 5% more
segments than the same events in order, nor another answer; neither when what is fetched has so little
room that partitions which are ahead give theirs back, and are fetched again.

    LARDER_SEEDS=N   N above 1: four times as many events, and the seed N
"""
import json
import os
import random
import re
import sys
import tempfile
import time

from lib import DATA, ROOT, Larder, Producer, Tap, wait_for

sys.path.insert(0, os.path.join(ROOT, "tests", "kafka"))
from cluster import Cluster  # noqa: E402

CONFIG = os.path.join(DATA, "deliveries.yml")
SEEDS = int(os.environ.get("LARDER_SEEDS", "1"))
SCALE = 4 if SEEDS > 1 else 1
PARTITIONS = 64
FIRST_S = 1700006400  # 2023-11-15T00:00:00Z
DAY_S = 86400
MARKETS, CATEGORIES = 100, 400
SMALL_KBYTES = 49152  # of room for what is fetched, which is less than what the partitions have
ROLLUPS = 4  # of one event, so that the open blocks of a day are more than the memory holds


def history(rng):
    """(time in ms, partition, payload): each partition has its own density, and size of records."""
    events, n = [], 0
    for p in range(PARTITIONS):
        count = int(SCALE * 200 * 40 ** rng.random())
        pad = "x" * int(10 * 60 ** rng.random())
        for _ in range(count):
            at = FIRST_S * 1000 + rng.randrange(DAY_S * 1000)
            event = {"event_id": "e%d" % n, "type": "placed", "order_id": "o%d" % n, "occurred_at": at,
                     "market": "m%d" % rng.randrange(MARKETS),
                     "category": "c%d" % rng.randrange(CATEGORIES), "pad": pad}
            events.append((at, p, json.dumps(event)))
            n += 1
    events.sort()
    return events


def produce(kafka, topic, events, spread):
    with Producer(kafka.bootstrap) as producer:
        producer.send((topic, p if spread else 0, at, "k", payload) for at, p, payload in events)


def drain(kafka, topic, total, *more_sets):
    """Reads all of it; how many segments each block of two hours became, the answer, the seconds, and how
    often a partition has given back what was fetched of it."""
    folder = os.path.join(tempfile.mkdtemp(prefix="catch-up-"), "data")
    sets = ["kafka.brokers=" + kafka.bootstrap, "streams.orders.topics=[%s]" % topic,
            "store.head_memory=16MiB", "ingest.memory=64MiB"]
    sets += ["rollups.more_%d={kind: counter, from: orders, by: [market, category]}" % i for i in range(1, ROLLUPS)]
    sets += more_sets
    began = time.monotonic()
    with Larder(CONFIG, folder, sets, flags=["--debug"]).start() as server:
        wait_for("%s: %d events\n%s" % (topic, total, server.log()[-2000:]),
                 lambda: server.metric_sum('larder_events_accepted_total{stream="orders"}') >= total, 300, 0.2)
        seconds = time.monotonic() - began
        refused = server.metric_sum("larder_events_refused_total")
        assert refused == 0, "%d events were refused" % refused
        answer = server.query("sum by (market) (increase(orders_total[24h]))", FIRST_S + DAY_S)
        wait_for("sealed", lambda: server.log().count("sealed") >= 11, 60, 0.2)
        time.sleep(1.5)
        log = server.log()
    sealed = re.findall(r"sealed (\d+)-", log)
    back = log.count("records are given back")
    return [sealed.count(block) for block in sorted(set(sealed))], answer, seconds, back


def uneven_partitions(kafka):
    seed = SEEDS if SEEDS > 1 else int(os.environ.get("LARDER_SEED", "1"))
    events = history(random.Random(seed))
    kafka.create("ordered")
    kafka.create("spread", PARTITIONS)
    produce(kafka, "ordered", events, False)
    produce(kafka, "spread", events, True)
    ordered, truth, ordered_s, _ = drain(kafka, "ordered", len(events))
    print("# seed %d: %d events; in order %d segments, %.1f s" % (seed, len(events), sum(ordered), ordered_s))
    assert sum(int(float(v)) for v in truth.values()) == len(events)
    for room_kbytes in (131072, SMALL_KBYTES):
        room = "kafka.queued.max.messages.kbytes=%d" % room_kbytes
        spread, answer, seconds, back = drain(kafka, "spread", len(events), room)
        print("# 64 uneven partitions, room for %d KiB: %d segments, %.1f s: %+.1f%%; given back %d times" %
              (room_kbytes, sum(spread), seconds, 100.0 * (sum(spread) - sum(ordered)) / sum(ordered), back))
        assert answer == truth
        assert sum(spread) <= 1.05 * sum(ordered), "%s\nin order: %s" % (spread, ordered)
        assert back > 0 or room_kbytes != SMALL_KBYTES, "nothing was given back"


def main():
    tap = Tap()
    with Cluster(tempfile.mkdtemp(prefix="kafka-")) as kafka:
        with tap.case("a day in 64 uneven partitions"):
            uneven_partitions(kafka)
    tap.end()


if __name__ == "__main__":
    main()
