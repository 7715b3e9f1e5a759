#!/usr/bin/env python3
"""Reload end to end: while events flow, some late and some twice, the config is changed by SIGHUP and the server
is killed. Afterwards every window of every rollup is what the definition of that window makes of the events
that were produced; a config that does not check changes nothing.

    LARDER_SEED     of the events, their order and the kills
    LARDER_ORDERS   how many orders; 3,000
    LARDER_KAFKA    1: on a real Kafka instead of the mock broker
"""
import collections
import datetime
import json
import os
import random
import signal
import sys
import tempfile
import urllib.error
import urllib.request

from lib import Broker, Larder, Producer, Tap, wait_for

SEED = int(os.environ.get("LARDER_SEED", "1"))
ORDERS = int(os.environ.get("LARDER_ORDERS", "3000"))
DAY_S = 1700006400  # 2023-11-15T00:00:00Z
SPAN_S = 8 * 3600   # in which orders are placed
PARTITIONS = 4

HEAD = """\
kafka: {brokers: "localhost:9092"}
streams:
  orders:
    topics: [orders]
    key: order_id
    event_time: at
    event_id: id
    late: 24h
    idle_after: 1h
    fields:
      id: {type: string, required: true}
      order_id: {type: string, required: true, unbounded: true}
      type: {type: string, required: true}
      at: {type: time, required: true}
      market: {type: string}
      category: {type: string}
      amount: {type: decimal, digits: 2, min: 0}
lifecycles:
  order:
    key: order_id
    stages:
      placed: orders.type == "placed"
      delivered: orders.type == "delivered"
    ends: [delivered]
    expire: 6h
rollups:
  ended_amount_total: {kind: counter, from: order, at: end, value: placed.amount}
"""
# Definitions by name of the rollup; the model below has a function for each.
DEFINITIONS = {
    "orders_total": {
        "market": "{kind: counter, from: orders, by: [market], every: 1m}",
        "type": "{kind: counter, from: orders, by: [market, {stage: type}], every: 1m}",
        "soup": "{kind: counter, from: orders, when: category == \"soup\", every: 1m}"},
    "amount_total": {
        "all": "{kind: counter, from: orders, value: amount, every: 1m, by: [category]}",
        "more": "{kind: counter, from: orders, value: \"amount + amount\", every: 1m, by: [category]}"},
    "deliveries_total": {
        "both": "{kind: counter, from: order, at: delivered, every: 1m, by: [market, category]}",
        "market": "{kind: counter, from: order, at: delivered, every: 1m, by: [market]}"},
    "placed_amount_total": {
        "all": "{kind: counter, from: order, at: placed, every: 1m, by: [market], value: placed.amount}"},
}


def write_config(path, chosen):
    """chosen: name of the rollup to the name of its definition."""
    part = path + ".part"
    with open(part, "w") as f:
        f.write(HEAD)
        f.writelines("  %s: %s\n" % (name, DEFINITIONS[name][which]) for name, which in chosen.items())
    os.rename(part, path)


class Events:
    """Orders with two events each, some without their second, sent out of order and some twice."""

    def __init__(self, rng):
        self.rng, self.all, self.n = rng, [], 0

    def add(self, order, kind, at_ms, market, category, amount=None):
        self.n += 1
        event = {"id": "e%d" % self.n, "order_id": order, "type": kind, "at": at_ms, "market": market,
                 "category": category}
        if amount is not None:
            event["amount"] = amount / 100
        late_s = self.rng.random() * (1800 if self.rng.random() < 0.1 else 5)
        self.all.append((at_ms / 1000 + late_s, order, event))

    def make(self, orders):
        r = self.rng
        for i in range(orders):
            at = DAY_S * 1000 + r.randrange(SPAN_S * 1000)
            market, category = "m%d" % r.randrange(3), r.choice(["soup", "pizza"])
            self.add("o%d" % i, "placed", at, market, category, r.randrange(100, 5000))
            if r.random() < 0.8:
                self.add("o%d" % i, "delivered", at + r.randrange(1, 7200000), market, category)
        self.all.sort(key=lambda e: e[0])
        return self.all


# ---- the model ----

def outputs(name, which, orders, events):
    """(time, labels, amount) of everything that a definition makes of the events."""
    for e in events:
        labels = {"market": e["market"]}
        if name == "orders_total" and which == "market":
            yield e["at"], labels, 1
        elif name == "orders_total" and which == "type":
            yield e["at"], dict(labels, stage=e["type"]), 1
        elif name == "orders_total" and e["category"] == "soup":
            yield e["at"], {}, 1
        elif name == "amount_total" and "amount" in e:
            yield e["at"], {"category": e["category"]}, round(e["amount"] * 100) * (2 if which == "more" else 1)
        elif name == "deliveries_total" and e["type"] == "delivered" and "placed" in orders[e["order_id"]]:
            yield e["at"], dict(labels, category=e["category"]) if which == "both" else labels, 1
        elif name == "placed_amount_total" and e["type"] == "placed":
            yield e["at"], labels, round(e["amount"] * 100)


def truth(name, spans, orders, events):
    """spans: [(definition or None, after_s)] in order; each window by the definition of its span."""
    want = collections.Counter()
    for i, (which, after_s) in enumerate(spans):
        until_s = spans[i + 1][1] if i + 1 < len(spans) else float("inf")
        for at, labels, amount in outputs(name, which, orders, events) if which else ():
            end_s = -(-at // 60000) * 60
            if after_s < end_s <= until_s:
                want[tuple(sorted(labels.items())), end_s] += amount
    return +want


def found(server, name, scale, hours=14):
    """The same as the server tells it, window by window."""
    have = {}
    start = DAY_S - 3600
    for _ in range(hours):
        text = server.query_range_text("increase(%s[1m])" % name, start, start + 3540, 60)
        for series in json.loads(text)["data"]["result"]:
            labels = tuple(sorted(series["metric"].items()))
            for t, v in series["values"]:
                if float(v):
                    have[labels, t] = round(float(v) * scale)
        start += 3600
    return have


def differences(want, have):
    lines = ["%s: %s, the model says %s" % (k, have.get(k, 0), want.get(k, 0))
             for k in sorted(set(want) | set(have)) if have.get(k, 0) != want.get(k, 0)]
    return "%d of %d differ:\n%s" % (len(lines), len(want), "\n".join(lines[:12])) if lines else ""


class Run:
    """The server, and which definition each rollup had after which time."""

    def __init__(self, server, config, chosen):
        self.server, self.config, self.chosen = server, config, dict(chosen)
        self.spans = {name: [(which, float("-inf"))] for name, which in chosen.items()}

    def start_of(self, name):
        key = 'larder_rollup_generation_start_timestamp_seconds{rollup="%s"}' % name
        return self.server.metrics().get(key, float("-inf"))

    def note(self, name, which):
        spans = self.spans.setdefault(name, [(None, float("-inf"))])
        if spans[-1][0] == which:
            return
        after = self.start_of(name)
        assert after > spans[-1][1], "%s began at %s, after %s" % (which, after, spans[-1][1])
        spans.append((which, after))

    def reload(self, **changes):
        """Other definitions; None takes the rollup away."""
        before = self.server.metrics()["larder_config_last_reload_success_timestamp_seconds"]
        self.chosen.update(changes)
        self.chosen = {k: v for k, v in self.chosen.items() if v}
        write_config(self.config, self.chosen)
        self.server.process.send_signal(signal.SIGHUP)
        wait_for("reload", lambda: self.server.metrics().get(
            "larder_config_last_reload_success_timestamp_seconds", before) > before, 40)
        for name, which in changes.items():
            if which:
                self.note(name, which)

    def restart(self):
        self.server.kill()
        self.server.start()
        wait_for("ingestion", lambda: "larder_kafka_connected" in self.server.metrics(), 30)


def bad_config(run):
    before = run.server.metrics()
    with open(run.config, "w") as f:
        f.write(HEAD + "  orders_total: {kind: counter, from: order}\n")
    run.server.process.send_signal(signal.SIGHUP)
    wait_for("the failed reload told",
             lambda: run.server.metrics()["larder_config_last_reload_successful"] == 0, 20)
    log = run.server.log()
    assert "larder.yml:" in log and "is not taken over" in log, log[-2000:]
    after = run.server.metrics()
    key = "larder_config_last_reload_success_timestamp_seconds"
    assert after[key] == before[key]
    write_config(run.config, run.chosen)


def send(producer, batch):
    producer.send(("orders", hash_of(order) % PARTITIONS, int(sent * 1000) + 1, order, json.dumps(event))
                  for sent, order, event in batch)


def hash_of(key):
    return sum(key.encode()) * 2654435761 % 2**32 >> 8


# What happens in the course of the events: share of them, and what.
PLAN = [
    (0.10, lambda run: run.reload(orders_total="type")),
    (0.15, lambda run: run.restart()),
    (0.20, lambda run: run.reload(amount_total="more", deliveries_total="market")),
    (0.30, lambda run: run.reload(orders_total="market")),
    (0.35, bad_config),
    (0.40, lambda run: run.restart()),
    (0.50, lambda run: run.reload(placed_amount_total="all", orders_total="soup")),
    (0.55, lambda run: run.reload(amount_total=None)),
    (0.70, lambda run: run.restart()),
    (0.75, lambda run: run.reload(orders_total="type")),
]


def play(run, producer, events, rng):
    plan, step = list(PLAN), max(len(events) // 60, 1)
    for i in range(0, len(events), step):
        batch = events[i:i + step]
        send(producer, batch + rng.sample(batch, len(batch) // 20))
        while plan and (i + step) / len(events) >= plan[0][0]:
            # Most is taken in, and some is on its way.
            producer.flush()
            wait_for("most events taken in", lambda: run.server.metric_sum(
                "larder_events_accepted_total") >= i - 2 * step, 60)
            send(producer, events[i + step:i + 2 * step])  # what comes again counts once
            plan.pop(0)[1](run)
    producer.flush()
    assert not plan


def check(tap, run, events):
    orders = collections.defaultdict(set)
    for _, order, event in events:
        orders[order].add(event["type"])
    rows = [event for _, _, event in events]
    # The rollup that was taken away ended with the window of what was read then.
    ended = [line for line in run.server.log().splitlines() if "rollup amount_total: ends with" in line]
    for name, scale in (("orders_total", 1), ("deliveries_total", 1), ("amount_total", 100),
                        ("placed_amount_total", 100)):
        spans = list(run.spans[name])
        if name == "amount_total":
            assert len(ended) == 1, ended
            spans.append((None, parse_time(ended[0].split()[-1])))
        with tap.case("%s: %d definitions, each window by its own" % (name, len(spans))):
            want = truth(name, spans, orders, rows)
            assert len(want) > 200, len(want)
            have = found(run.server, name, scale)
            assert not differences(want, have), "%s\n%s" % (spans, differences(want, have))


def post(server, path):
    request = urllib.request.Request("http://127.0.0.1:%d%s" % (server.port, path), data=b"", method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def parse_time(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def broker_for(folder):
    if os.environ.get("LARDER_KAFKA") != "1":
        return Broker(orders=PARTITIONS)
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "kafka"))
    from cluster import Cluster
    return Cluster(os.path.join(folder, "kafka"))


def main():
    tap, rng = Tap(), random.Random(SEED)
    events = Events(rng).make(ORDERS)
    folder = tempfile.mkdtemp(prefix="reload-")
    config = os.path.join(folder, "larder.yml")
    first = {"orders_total": "market", "amount_total": "all", "deliveries_total": "both"}
    write_config(config, first)
    print("# seed %d, %d events" % (SEED, len(events)))
    with broker_for(folder) as broker:
        if hasattr(broker, "create"):
            broker.create("orders", PARTITIONS)
        server = Larder(config, os.path.join(folder, "data"), sets=["kafka.brokers=" + broker.bootstrap])
        with server, Producer(broker.bootstrap, batch=200) as producer:
            server.start()
            run = Run(server, config, first)
            with tap.case("events flow through reloads and kills, and each is taken in once"):
                play(run, producer, events, rng)
                wait_for("all events taken in", lambda: server.metric_sum(
                    "larder_events_accepted_total") >= len(events), 60)
                assert server.metric_sum("larder_events_accepted_total") == len(events)
            check(tap, run, events)
            with tap.case("a restart with the same config begins no generation"):
                before = {k: v for k, v in server.metrics().items() if k.startswith("larder_rollup_generation")}
                run.restart()
                after = {k: v for k, v in server.metrics().items() if k.startswith("larder_rollup_generation")}
                assert before == after and len(before) >= 6, (before, after)
            with tap.case("late events of windows before a rollup began are told, and none is forgotten"):
                key = 'larder_rollup_events_left_out_total{rollup="placed_amount_total",reason="%s"}'
                run.reload()
                assert all(v == 0 for k, v in server.metrics().items()
                           if k.startswith("larder_rollup_events_left_out_total"))
                producer.send(("orders", 0, DAY_S * 1000, "late", json.dumps(
                    {"id": "late%d" % i, "order_id": "late%d" % i, "type": "placed", "at": DAY_S * 1000 - i,
                     "amount": 1})) for i in range(5))
                producer.flush()
                wait_for("five events left out", lambda: server.metrics().get(key % "absent") == 5, 20)
                assert server.metric_sum(
                    'larder_rollup_events_left_out_total{rollup="orders_total"') == 0
            with tap.case("POST /-/reload does the same"):
                assert post(server, "/-/reload") == (200, "")
                with open(config, "a") as f:
                    f.write("  more: 5\n")
                status, text = post(server, "/-/reload")
                assert status == 500 and "failed to reload config: " in text and "larder.yml:" in text, text
                assert server.get("/-/reload", check=False)[0] == 405
            assert server.stop() == 0
    tap.end()


if __name__ == "__main__":
    main()
