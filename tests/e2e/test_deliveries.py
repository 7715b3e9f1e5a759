#!/usr/bin/env python3
"""Real input, end to end: deliveries through a broker into a running larder that is killed twice on the
way, compared with what the CSV alone says.

For each seed the same events arrive in another interleaving, in other batches, with other delays and
other moments of SIGKILL; the answers must be exact each time, and the same bytes every time.

LARDER_SEEDS: how many seeds (3). Without the shared data a small file of our own takes the same path.
"""
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import threading
import time

import deliveries_events
from lib import DATA, ROOT, SHARED, Broker, Larder, Producer, Tap, data_of, wait_for

DAY = 86400
END = 1424304000  # 2015-02-19T00:00:00Z, after all events
SPAN = "150d"     # from before the first event to END
QUANTILES = (0.5, 0.95)
CONFIG = os.path.join(DATA, "deliveries.yml")

# At fixed times, over everything that could depend on the order of arrival: the order of series, sums
# of fractions, buckets, look-back, subqueries.
FIXED = [
    ("query", 'sum(orders_total)', 1423569600),
    ("query", 'orders_total{market="1"}', 1423944005),
    ("query", 'sum by (market) (rate(orders_total{stage="placed"}[1h]))', 1423944000),
    ("query", 'topk(5, sum by (category) (increase(orders_total{stage="delivered"}[1d])))', 1423958400),
    ("query", 'avg(rate(orders_total[7m])) + stddev(rate(orders_total[3h]))', 1423872000),
    ("query", 'sum(increase(orders_total{stage="delivered"}[6h])) / '
              'sum(increase(orders_total{stage="placed"}[6h]))', 1423893600),
    ("query", 'eta_error_seconds{market=~"1|2"}', 1423965600),
    ("query", 'max_over_time(sum(increase(orders_total{stage="placed"}[15m]))[1d:15m])', 1424044800),
    ("range", 'sum by (stage) (increase(orders_total[1h]))', 1423526400, 1423699200, 3600),
    ("range", 'histogram_quantile(0.95, sum by (market) (increase(eta_error_seconds[6h])))',
     1423180800, 1424304000, 21600),
]


def bucket(value):
    """The bounds of the exponential bucket of schema 5 that holds the value."""
    if value == 0:
        return 0.0, 0.0
    index = math.ceil(math.log2(abs(value)) * 32)
    lower, upper = 2 ** ((index - 1) / 32), 2 ** (index / 32)
    return (lower, upper) if value > 0 else (-upper, -lower)


class Run:
    """One seed: its broker, its events, its server."""

    def __init__(self, csv_path, seed):
        self.chance = random.Random("moments %s" % seed)
        self.partitions, self.messages = deliveries_events.generate(csv_path, seed)
        self.folder = tempfile.mkdtemp(prefix="deliveries-")
        self.seen = 0.0

    def send(self, bootstrap, progress):
        """Sends everything in chunks of changing batch size; tells how many are on the way."""
        with Producer(bootstrap) as producer:
            at = 0
            while at < len(self.messages):
                producer.batch(self.chance.choice([1, 7, 100, 2500, 10000]))
                chunk = self.messages[at:at + self.chance.randint(200, 1500)]
                producer.send(chunk)
                producer.flush()
                at += len(chunk)
                progress.append(at)

    def kill_at(self, server, progress, moment):
        """SIGKILL once so many are sent, then again up; nothing that was seen may be gone."""
        wait_for("%d sent" % moment, lambda: progress and progress[-1] >= moment, 60, 0.001)
        time.sleep(self.chance.random() * 0.05)
        seen = self.total(server)
        server.kill()
        server.start()
        after = self.total(server)
        assert after >= seen, "seen before the kill: %d; after it: %d" % (seen, after)

    @staticmethod
    def total(server):
        answer = server.query("sum(increase(orders_total[%s]))" % SPAN, END)
        return float(answer.get((), 0))

    def feed(self, server, bootstrap):
        progress = []
        moments = sorted(self.chance.sample(range(len(self.messages) // 10, len(self.messages)), 2))
        sender = threading.Thread(target=self.send, args=(bootstrap, progress))
        sender.start()
        try:
            for moment in moments:
                self.kill_at(server, progress, moment)
        finally:
            sender.join()
        server.wait_events(len(self.messages))
        server.wait_frontier(END)


def check_days(server, truth):
    """orders_total per market, stage and day, day by day over the whole range."""
    want = {(market, stage, end): n for market, stage, end, n in truth["days"]}
    first = min(end for _, _, end in want)
    body = server.query_range_text("sum by (market, stage) (increase(orders_total[1d]))", first, END, DAY)
    got = {}
    for series in json.loads(body)["data"]["result"]:
        labels = series["metric"]
        for t, value in series["values"]:
            if float(value) != 0:
                got[labels["market"], labels["stage"], int(t)] = value
    wrong = [(key, got.get(key), want.get(key)) for key in sorted(set(want) | set(got))
             if got.get(key) != str(want.get(key))]
    assert not wrong, "%d of %d days differ (key, got, want), first: %s" % \
        (len(wrong), len(want), wrong[:5])


def check_categories(server, truth):
    got = server.query("sum by (category, stage) (increase(orders_total[%s]))" % SPAN, END)
    want = {(("category", category), ("stage", stage)): str(n)
            for category, stage, n in truth["categories"]}
    assert got == want, "got %s, want %s" % (got, want)


def check_eta(server, truth):
    whole = "sum by (market) (increase(eta_error_seconds[%s]))" % SPAN
    counts = server.query("histogram_count(%s)" % whole, END)
    sums = server.query("histogram_sum(%s)" % whole, END)
    for market, values in truth["eta_error_seconds"].items():
        key = (("market", market),)
        assert counts.get(key) == str(len(values)), (market, counts.get(key), len(values))
        assert sums.get(key) == str(sum(values)), (market, sums.get(key), sum(values))
    assert len(counts) == len(truth["eta_error_seconds"]), counts


def check_quantiles(server, truth):
    everyone = sorted(v for values in truth["eta_error_seconds"].values() for v in values)
    groups = dict(truth["eta_error_seconds"], **{"": everyone})
    whole = "increase(eta_error_seconds[%s])" % SPAN
    for q in QUANTILES:
        answers = server.query("histogram_quantile(%s, sum by (market) (%s))" % (q, whole), END)
        answers.update(server.query("histogram_quantile(%s, sum(%s))" % (q, whole), END))
        for market, values in groups.items():
            key = (("market", market),) if market else ()
            value = values[math.ceil(q * len(values)) - 1]
            lower, upper = bucket(value)
            slack = 1e-12 * max(abs(lower), abs(upper))
            got = float(answers[key])
            assert lower - slack <= got <= upper + slack, \
                "market %r: quantile %s is %s; rank %d of %d is %s, in [%s, %s]" % \
                (market, q, got, math.ceil(q * len(values)), len(values), value, lower, upper)


def check_refused(server, truth):
    missing = server.metric_sum('larder_events_refused_total{stream="orders",reason="missing"')
    refused = server.metric_sum("larder_events_refused_total")
    assert missing == truth["missing"], "refused as missing: %d, not %d" % (missing, truth["missing"])
    assert refused == truth["missing"], "refused for other reasons: %d" % (refused - missing)


def fixed_answers(server):
    """The `data` of the fixed queries, as the bytes that came."""
    answers = []
    for kind, expr, *when in FIXED:
        body = server.query_text(expr, *when) if kind == "query" else server.query_range_text(expr, *when)
        answers.append(data_of(body))
    return answers


def run_seed(tap, csv_path, truth, seed, first_answers):
    run = Run(csv_path, seed)
    with Broker(orders=run.partitions) as broker, \
            Larder(CONFIG, run.folder, ["kafka.brokers=" + broker.bootstrap]) as server:
        with tap.case("seed %s: all events arrive through two kills, nothing seen is lost" % seed):
            assert len(run.messages) == truth["sent"]
            server.start()
            run.feed(server, broker.bootstrap)
        for what, check in (("orders_total per market, stage and day", check_days),
                            ("orders_total per category and stage", check_categories),
                            ("eta_error_seconds count and sum", check_eta),
                            ("eta_error_seconds quantiles 0.5 and 0.95", check_quantiles),
                            ("events without a market are refused as missing", check_refused)):
            with tap.case("seed %s: %s" % (seed, what)):
                check(server, truth)
        with tap.case("seed %s: ten fixed queries give the bytes of the first seed" % seed):
            answers = fixed_answers(server)
            first_answers = first_answers or answers
            for query, got, want in zip(FIXED, answers, first_answers):
                assert got == want, "%s\ngot  %s\nwant %s" % (query, got[:2000], want[:2000])
        with tap.case("seed %s: SIGTERM and a restart change no answer" % seed):
            assert server.stop() == 0
            server.start()
            assert fixed_answers(server) == answers
            server.wait_events(len(run.messages))  # counts are known with the partitions, from the broker
            check_refused(server, truth)
    return first_answers


def main():
    tap = Tap()
    csv_path = os.path.join(SHARED, "data", "deliveries_2015.csv")
    if not os.path.exists(csv_path):
        tap.skip("deliveries", "no %s; the small file of our own goes the same way" % csv_path)
        csv_path = os.path.join(DATA, "deliveries_small.csv")
    script = os.path.join(ROOT, "tests", "e2e", "deliveries_truth.py")
    truth = json.loads(subprocess.run([sys.executable, script, csv_path], check=True,
                                      stdout=subprocess.PIPE).stdout)
    answers = None
    for seed in range(1, int(os.environ.get("LARDER_SEEDS", "3")) + 1):
        answers = run_seed(tap, csv_path, truth, seed, answers)
    tap.end()


if __name__ == "__main__":
    main()
