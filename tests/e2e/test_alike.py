#!/usr/bin/env python3
"""The same events give the same answers, byte for byte, whoever has read them and how: with the shipped larder.yml,
servers that differ in when they begin, how much they read at once, how many workers they have, how often they are
killed or stopped, and how much fits into their memory; and one that is given the events of each partition in another
order. Once the clocks of all metrics have passed the end, `data` of every query is the same.

    LARDER_SEED     of the first run; LARDER_SEEDS: a quarter of it is how many runs there are, each with a seed of its own
    LARDER_ORDERS   how many orders each has (600, or 2000 when there are several runs): eight records for each
"""
import os
import random
import tempfile
import time

from business_events import BEGIN_S, END_S, HOUR, PARTITIONS, SPAN, Business, last_events
from business_truth import Truth, check
from lib import ROOT, Broker, Larder, Producer, Tap, data_of, wait_for

SEED = int(os.environ.get("LARDER_SEED", "1"))
SEEDS = max(1, int(os.environ.get("LARDER_SEEDS", "1")) // 4)
ORDERS = int(os.environ.get("LARDER_ORDERS", "600" if SEEDS == 1 else "2000"))
CONFIG = os.path.join(ROOT, "larder.yml")
LAST_S = END_S + 8 * HOUR  # lives have expired by then, and cohorts are final

RATED = ["orders_total", "order_amount_total", "order_outcomes_total", "fridge_units_total", "ratings_total",
         "payments_total"]
HISTOGRAMS = ["delivery_seconds", "stage_seconds", "eta_error_seconds", "rating_score", "nps_score",
              "review_sentiment"]
LEVELS = ["orders_open", "fridge_stock_estimated_units"]
GAUGES = ["fridge_stock_units", "fridge_capacity_units", "fridge_temperature_celsius", "courier_eta_seconds"]
METRICS = RATED + HISTOGRAMS + LEVELS + GAUGES


def queries():
    for m in METRICS:
        yield m
        yield "count(%s)" % m
        yield "timestamp(%s)" % m
        yield "count_over_time(%s[17m])" % m
        yield "last_over_time(%s[1h])" % m
    for m in RATED:
        yield "increase(%s[1h])" % m
        yield "rate(%s[7m])" % m
        yield "irate(%s[5m])" % m
        yield "changes(%s[30m])" % m
        yield "sum by (market) (increase(%s[6h]))" % m
        yield "topk(3, sum without (market) (rate(%s[3h])))" % m
        yield "max_over_time(%s[2h:10m])" % m
    for m in HISTOGRAMS:
        yield "increase(%s[1h])" % m
        yield "histogram_quantile(0.9, sum by (market) (rate(%s[2h])))" % m
        yield "histogram_avg(increase(%s[3h]))" % m
        yield "histogram_sum(sum(increase(%s[12h])))" % m
        yield "histogram_count(rate(%s[20m]))" % m
        yield "histogram_fraction(0, 1000, sum(increase(%s[6h])))" % m
    for m in LEVELS + GAUGES:
        for f in ("avg", "min", "max", "sum", "stddev"):
            yield "%s_over_time(%s[45m])" % (f, m)
        yield "quantile_over_time(0.5, %s[2h])" % m
        yield "delta(%s[1h])" % m
        yield "%s - %s offset 1h" % (m, m)
        yield "quantile(0.9, %s)" % m
    yield 'sum(increase(order_outcomes_total{outcome="delivered"}[6h])) / sum(increase(order_outcomes_total[6h]))'
    yield "sum by (market) (orders_open) / on (market) sum by (market) (increase(orders_total[1h]))"
    yield "absent(orders_open)"


def answers(server):
    """By query: the bytes of its data."""
    found = {}
    for expr in queries():
        for at in (BEGIN_S + 5 * HOUR, BEGIN_S + SPAN - 1, BEGIN_S + SPAN + 7 * HOUR + 2.5):
            found[expr, at] = data_of(server.query_text(expr, at))
        found[expr, "range"] = data_of(server.query_range_text(expr, BEGIN_S - HOUR, END_S, 1300))
    for m in METRICS:  # every window of some time
        found[m, "windows"] = data_of(server.query_range_text(m, BEGIN_S + 3 * HOUR, BEGIN_S + 3 * HOUR + 1800, 5))
    span = {"start": str(BEGIN_S), "end": str(END_S)}
    for path in ("/api/v1/labels", "/api/v1/label/market/values", "/api/v1/label/__name__/values"):
        found[path, "span"] = data_of(server.get(path, **span)[1])
    for m in METRICS:
        found["series", m] = data_of(server.get("/api/v1/series", **dict(span, **{"match[]": m}))[1])
    return found


class Reader:
    """A server with a history of its own."""

    def __init__(self, name, folder, bootstrap, *sets, config=CONFIG):
        sets = ["kafka.brokers=" + bootstrap, *sets]
        # Partitions of a test stand still for long; they are behind all the same.
        sets += ["streams.%s.idle_after=1d" % s for s in PARTITIONS]
        self.name, self.server = name, Larder(config, os.path.join(folder, name), sets)

    def restart(self, kill):
        if self.server.process is None:
            self.server.start()
            return
        if kill:
            self.server.kill()
        else:
            assert self.server.stop() == 0
        self.server.start()

    def is_final(self):
        """Every metric of the config is complete up to the end."""
        m = self.server.metrics()
        final = [v for k, v in m.items() if k.startswith("larder_metric_watermark_timestamp_seconds")]
        return len(final) == len(METRICS) and min(final) >= END_S and self.server.events_taken() > 0

    def close(self):
        if self.server.process and self.server.process.poll() is None:
            assert self.server.stop() == 0, self.server.log()[-2000:]


def in_slices(rng, logs, n):
    """The events of all partitions in n parts; in each partition they stay in their order."""
    cuts = {p: sorted(rng.randrange(len(log) + 1) for _ in range(n - 1)) for p, log in logs.items()}
    for i in range(n):
        part = []
        for p, log in sorted(logs.items()):
            edges = [0, *cuts[p], len(log)]
            part += [(p[0], p[1], *e) for e in log[edges[i]:edges[i + 1]]]
        yield part


def feed(rng, business, producers, readers):
    """readers: (reader, chance to begin, chance of a kill, chance of a stop), after each slice."""
    other = {p: rng.sample(log, len(log)) for p, log in business.logs.items()}
    slices = zip(in_slices(rng, business.logs, 24), in_slices(rng, other, 24))
    for number, (part, turned) in enumerate(slices):
        for producer, events in zip(producers, (part, turned)):
            producer.batch(rng.choice([1, 7, 100, 10000]))
            producer.send(events)
            producer.flush()
        for reader, begins, kill, stop in readers:
            if reader.server.process is None and number < begins:
                continue
            if reader.server.process is None or rng.random() < kill + stop:
                time.sleep(rng.random() / 10)
                reader.restart(rng.random() * (kill + stop) < kill)
    for producer in producers:
        producer.send(last_events(LAST_S))
        producer.flush()


def around(text, at):
    return "..." + text[max(0, at - 200):at + 60] + "..."


def difference(key, want, got):
    at = len(os.path.commonprefix((want, got)))
    return "%s, from byte %d on:\n%s\n    is not\n%s" % (key, at, around(got, at), around(want, at))


def differences(want, got):
    lines = [difference(k, v, got[k]) for k, v in want.items() if got[k] != v]
    return "%d of %d differ:\n%s" % (len(lines), len(want), "\n".join(lines[:5])) if lines else ""


def check_truth(reader, business):
    """What the servers agree on is what the events say, of every metric."""
    seen = check(reader.server, Truth(business.good), BEGIN_S - HOUR, END_S)
    assert seen == set(METRICS), set(METRICS) - seen
    outcomes = {dict(k)["outcome"] for k in reader.server.query(
        "sum by (outcome) (increase(order_outcomes_total[1d])) > 0", BEGIN_S + 86400)}
    assert outcomes == {"delivered", "cancelled", "rejected", "expired"}, outcomes
    assert reader.server.metric_sum("larder_lifecycle_corrections_total") > 0
    assert reader.server.metric_sum("larder_events_duplicate_total") > 0


def run(tap, seed):
    rng = random.Random(seed)
    business = Business(rng, ORDERS)
    total = sum(len(log) for log in business.logs.values())
    print("# seed %d: %d records" % (seed, total))
    folder = tempfile.mkdtemp(prefix="alike-")
    with Broker(**PARTITIONS) as broker, Broker(**PARTITIONS) as turned, \
            Producer(broker.bootstrap) as producer, Producer(turned.bootstrap) as producer_turned:
        plain = Reader("plain", folder, broker.bootstrap)
        killed = Reader("killed", folder, broker.bootstrap, "ingest.workers=1", "store.head_memory=16MiB",
                        "kafka.fetch.message.max.bytes=3000")
        stopped = Reader("stopped", folder, broker.bootstrap, "ingest.workers=3", "ingest.memory=16MiB")
        other = Reader("other-order", folder, turned.bootstrap, "kafka.fetch.message.max.bytes=20000")
        readers = [plain, killed, stopped, other]
        try:
            feed(rng, business, (producer, producer_turned),
                 [(plain, 0, 0, 0), (killed, 3, 0.3, 0.05), (stopped, 12, 0, 0.2), (other, 6, 0.1, 0.1)])
            with tap.case("seed %d: the clocks of all metrics come to the end" % seed):
                for r in readers:
                    wait_for("%s has all" % r.name, r.is_final, 60)
            want = answers(plain.server)
            with tap.case("seed %d: every metric is what the events say" % seed):
                check_truth(plain, business)
                empty = [k for k, v in want.items() if '"result":[]' in v]
                assert len(empty) < len(want) // 3, "%d of %d have no result" % (len(empty), len(want))
            for r in readers[1:]:
                with tap.case("seed %d: %s answers as %s, %d queries" % (seed, r.name, plain.name, len(want))):
                    found = differences(want, answers(r.server))
                    assert not found, found
            with tap.case("seed %d: and so after a restart" % seed):
                plain.restart(kill=True)
                found = differences(want, answers(plain.server))
                assert not found, found
        finally:
            for r in readers:
                r.close()


def main():
    tap = Tap()
    for seed in range(SEED, SEED + SEEDS):
        run(tap, seed)
    tap.end()


if __name__ == "__main__":
    main()
