#!/usr/bin/env python3
"""Exemplars end to end: events with traces in their headers, some sampled, some not, some broken, some that come
twice with another trace, through servers that are killed in between, or have other workers and batches. Each must
answer with the same bytes, and with those events that the headers alone say. Then their hours go.

    LARDER_SEED     of the events; LARDER_EVENTS: how many (6,000)
"""
import collections
import json
import os
import random
import tempfile
import time

from lib import DATA, Broker, Larder, Producer, Tap, data_of, wait_for

SEED = int(os.environ.get("LARDER_SEED", "1"))
EVENTS = int(os.environ.get("LARDER_EVENTS", "6000"))
CONFIG = os.path.join(DATA, "deliveries.yml")
BEGIN_S = 1700000000  # 2023-11-14T22:13:20Z
SPAN_S = 1200
PARTITIONS = 3
SLICES = 5
NOTHING = "[]"
TYPES = ("placed", "accepted", "delivered")
EXPRS = ("sum(rate(orders_total[5m]))", "histogram_quantile(0.9, rate(eta_error_seconds[5m]))",
         'orders_total{market="zrh"} / ignoring (stage) group_left eta_error_seconds')


class Truth:
    """What is to be kept of the events as they were sent, each id once."""

    def __init__(self):
        self.best = {}
        self.last = collections.Counter()

    def add(self, name, labels, value, at_ms, trace):
        series = tuple(sorted(dict(labels, __name__=name).items()))
        rank = (-value, at_ms, trace)
        key = series, at_ms // 60000
        if key not in self.best or rank < self.best[key]:
            self.best[key] = rank

    def event(self, e, trace):
        self.add("orders_total", {"market": e["market"], "category": e["category"], "stage": e["type"]}, 1,
                 e["occurred_at"], trace)
        if e["type"] == "delivered":
            self.add("eta_error_seconds", {"market": e["market"]}, (e["occurred_at"] - e["promised_at"]) / 1000,
                     e["occurred_at"], trace)


def make_events(rng, truth):
    """Rows of (partition, event, header or None), in the order of sending."""
    rows = []
    for i in range(EVENTS):
        at = BEGIN_S * 1000 + i * SPAN_S * 1000 // EVENTS + rng.randrange(-60000, 60000)
        e = {"event_id": "e%d" % i, "type": rng.choice(TYPES), "order_id": "o%d" % i, "occurred_at": at,
             "market": rng.choice(("zrh", "ber", "bsl")), "category": rng.choice(("soup", "pizza")),
             "promised_at": at - rng.randrange(-900, 900) * 100}
        ids = "%032x" % rng.getrandbits(128), "%016x" % rng.getrandbits(64)
        partition = rng.randrange(PARTITIONS)
        kind = rng.random()
        if kind < 0.5:
            header = "00-%s-%s-%02x" % (*ids, rng.choice((1, 1, 3)))
            truth.event(e, ids)
        elif kind < 0.7:
            header = "00-%s-%s-00" % ids
        elif kind < 0.8:
            header = rng.choice(("00-%s-%s" % ids, "ff-%s-%s-01" % ids, "00-%032x-%s-01" % (0, ids[1]), ""))
        else:
            header = None
        rows.append((partition, e, header))
        if rng.random() < 0.05:  # it comes again, with a trace that would win
            rows.append((partition, e, "00-%032x-%016x-01" % (1, 1)))
    return rows


def send(broker, rows):
    with Producer(broker.bootstrap) as producer:
        for partition, e, header in rows:
            producer.headers(*([("traceparent", header.encode())] if header else []))
            producer.send([("orders", partition, e["occurred_at"], e["order_id"], json.dumps(e))])
        producer.flush()


def ask(server, expr, **more):
    """While a server that has just started replays its log it says so."""
    def answered():
        status, body = server.get("/api/v1/query_exemplars", check=False, query=expr, **more)
        assert status in (200, 503), body
        return status == 200 and body
    return wait_for("an answer", answered)


def check_truth(answer, truth):
    """Every answered one is right; of the others there are as few as series that meet at one place of a minute."""
    found = {}
    for one in json.loads(answer)["data"]:
        series = tuple(sorted(one["seriesLabels"].items()))
        times = [x["timestamp"] for x in one["exemplars"]]
        assert times == sorted(times), times
        for x in one["exemplars"]:
            at_ms = round(x["timestamp"] * 1000)
            assert (series, at_ms // 60000) not in found, "two of one minute: %s" % (x,)
            found[series, at_ms // 60000] = (-float(x["value"]), at_ms,
                                             (x["labels"]["trace_id"], x["labels"]["span_id"]))
    wrong = {k: v for k, v in found.items() if truth.best.get(k) != v}
    assert not wrong, "%s is kept, %s is to be" % (wrong, {k: truth.best.get(k) for k in wrong})
    return len(found)


def main():
    tap = Tap()
    rng = random.Random(SEED)
    truth = Truth()
    rows = make_events(rng, truth)
    with Broker(orders=PARTITIONS) as broker, tempfile.TemporaryDirectory(prefix="exemplars-") as folder:
        def server(name, *sets):
            return Larder(CONFIG, os.path.join(folder, name), ["kafka.brokers=" + broker.bootstrap, *sets])
        with server("killed", "ingest.workers=1") as killed, server("two", "ingest.workers=2") as two, \
                server("off", "streams.orders.exemplars=0") as off:
            for s in (killed, two, off):
                s.start()
            for i in range(SLICES):
                part = rows[len(rows) * i // SLICES:len(rows) * (i + 1) // SLICES]
                send(broker, part)
                time.sleep(rng.random() * 0.2)
                killed.kill()
                killed.start()
            for s in (killed, two, off):
                s.wait_events(len(rows))

            with tap.case("what is kept is what the headers say, however it was read"):
                kept = 0
                for expr in EXPRS:
                    texts = [data_of(ask(s, expr, start=BEGIN_S - 600, end=BEGIN_S + 3600)) for s in (killed, two)]
                    assert texts[0] == texts[1], "%s\n%s\n%s" % (expr, *texts)
                for name in ("orders_total", "eta_error_seconds"):
                    kept += check_truth(ask(two, name), truth)
                assert len(truth.best) * 0.95 <= kept <= len(truth.best), (kept, len(truth.best))

            with tap.case("a killed server has them when it starts again"):
                before = data_of(ask(killed, "orders_total"))
                killed.kill()
                killed.start()
                wait_for("the same answer", lambda: data_of(ask(killed, "orders_total")) == before, 20)

            with tap.case("none where they are off, none of what has none"):
                assert data_of(ask(off, "orders_total")) == NOTHING
                assert data_of(ask(two, "test", start=BEGIN_S * 1000)) == NOTHING
                status, body = two.get("/api/v1/query_exemplars", check=False, query="up", start=2, end=1)
                assert status == 400 and "end timestamp must not be before start" in body, body

            with tap.case("they go when the watermark has left their hours behind"):
                later = [(p, {"event_id": "later%d" % p, "type": "placed", "order_id": "x", "market": "zrh",
                              "category": "soup", "occurred_at": (BEGIN_S + 27 * 3600) * 1000},
                          "00-%032x-%016x-01" % (7, 7)) for p in range(PARTITIONS)]
                send(broker, later)
                for s in (killed, two):
                    s.wait_events(len(rows) + PARTITIONS)
                    wait_for("old ones gone", lambda s=s: data_of(
                        ask(s, "orders_total", end=BEGIN_S + 3600)) == NOTHING, 20)
                    one, = json.loads(ask(s, "orders_total"))["data"]
                    assert [x["labels"]["trace_id"] for x in one["exemplars"]] == ["%032x" % 7], one
    tap.end()


if __name__ == "__main__":
    main()
