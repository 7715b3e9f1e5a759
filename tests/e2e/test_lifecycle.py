#!/usr/bin/env python3
"""Lifecycles end to end: the events of orders, on two topics, in no order, some twice, some missing, with
kills while they flow. Afterwards every metric equals what a slow model makes of the set of events alone.

    LARDER_SEED     of the events, their order and the kills; LARDER_ORDERS: how many
"""
import collections
import json
import os
import random
import tempfile
import time

from lib import DATA, Broker, Larder, Producer, Tap, wait_for

CONFIG = os.path.join(DATA, "lifecycle.yml")
SEED = int(os.environ.get("LARDER_SEED", "1"))
ORDERS = int(os.environ.get("LARDER_ORDERS", "1500"))
DAY_S = 1700006400  # 2023-11-15T00:00:00Z
HOUR = 3600
EXPIRE = 6 * HOUR
STAGES = ["placed", "paid", "accepted", "delivered", "cancelled"]
ENDS = ("delivered", "cancelled")
OPEN_AT = range(DAY_S - 2 * HOUR, DAY_S + 26 * HOUR, 1800)  # when orders_open is compared
KINDS = {"placed": "placed", "accepted": "accepted", "delivered": "delivered", "cancelled": "cancelled",
         "rejected": "cancelled"}
Fact = collections.namedtuple("Fact", "stage time revision id market category promised amount")


class Events:
    """Random events; each is (topic, key, event as sent)."""

    def __init__(self, rng):
        self.rng, self.n, self.sent, self.facts = rng, 0, [], collections.defaultdict(list)

    def order(self, key, kind, at, revision=None):
        r = self.rng
        self.n += 1
        event = {"event_id": "e%d" % self.n, "order_id": key, "type": kind, "occurred_at": int(at * 1000),
                 "market": "m%d" % r.randrange(3), "category": r.choice(["soup", "pizza"])}
        if kind == "placed":
            event["promised_at"] = int((at + 1800) * 1000)
            event["amount"] = r.randrange(100, 5000) / 100
        if revision is not None:
            event["revision"] = revision
        self.sent.append(("orders", key, event["occurred_at"], json.dumps(event)))
        if kind in KINDS:
            self.facts[key].append(Fact(KINDS[kind], event["occurred_at"], revision or 0, event["event_id"],
                                        event["market"], event["category"], event.get("promised_at"),
                                        round(event.get("amount", 0) * 100)))

    def payment(self, key, at, status="captured"):
        self.n += 1
        event = {"id": "p%d" % self.n, "order_id": key, "at": int(at * 1000), "status": status}
        self.sent.append(("payments", key, event["at"], json.dumps(event)))
        if status == "captured":
            self.facts[key].append(Fact("paid", event["at"], 0, event["id"], "", "", None, 0))

    def life(self, key, at):
        """One life of a key, with what may go wrong in it."""
        r = self.rng
        if r.random() < 0.95:
            self.order(key, "placed", at)
        if r.random() < 0.1:
            self.order(key, "placed", at + r.randrange(1, 3 * HOUR), revision=r.choice([None, 1, 2]))
        if r.random() < 0.8:
            self.payment(key, at + r.randrange(-60, 600), r.choice(["captured", "captured", "failed"]))
        if r.random() < 0.9:
            self.order(key, "accepted", at + r.randrange(0, 900))
        if r.random() < 0.1:
            self.order(key, "accepted", at + r.randrange(0, 8 * HOUR))
        if r.random() < 0.1:
            self.order(key, "prepared", at + 1000)
        end = r.random()
        if end < 0.6:
            self.order(key, "delivered", at + r.randrange(-30, 2 * HOUR))
        elif end < 0.8:
            self.order(key, r.choice(["cancelled", "rejected"]), at + r.randrange(0, 7 * HOUR))
        if r.random() < 0.05:
            self.order(key, "delivered", at + r.randrange(0, 12 * HOUR))

    def all(self, count):
        for i in range(count):
            key, at = "o%d" % i, DAY_S + self.rng.randrange(0, 8 * HOUR)
            self.life(key, at)
            if self.rng.random() < 0.05:
                self.life(key, at + self.rng.randrange(HOUR, 9 * HOUR))
        self.sent += self.rng.sample(self.sent, len(self.sent) // 20)  # come twice
        self.rng.shuffle(self.sent)


# ---- the model ----

def better(a, b):
    return (-a.revision, a.time) < (-b.revision, b.time)


def best(facts):
    out = None
    for f in facts:
        if out is None or better(f, out):
            out = f
    return out


def lives(facts):
    """Each life as {stage: fact}."""
    firsts, out = sorted((f for f in facts if f.stage == "placed"), key=lambda f: f.time), []
    for f in firsts:
        if not out or f.time > best(out[-1]["placed"]).time + EXPIRE * 1000:
            out.append({"placed": []})
        out[-1]["placed"].append(f)
    for f in facts:
        for life in out:
            if f.stage != "placed" and abs(f.time - best(life["placed"]).time) <= EXPIRE * 1000:
                life.setdefault(f.stage, []).append(f)
                break
    return [{stage: best(fs) for stage, fs in life.items()} for life in out]


def truth(facts_by_key):
    want = collections.Counter()
    for facts in facts_by_key.values():
        for life in lives(facts):
            first = life["placed"]
            ends = [life[s] for s in ENDS if s in life]
            end = min(ends, key=lambda f: (f.time, STAGES.index(f.stage))) if ends else None
            outcome = end.stage if end else "expired"
            want["outcomes", first.market, outcome] += 1
            want["amount", outcome] += first.amount
            end_ms = end.time if end else first.time + EXPIRE * 1000
            for at in OPEN_AT:
                want["open", at, first.market] += (first.time <= at * 1000) - (end_ms <= at * 1000)
            if "delivered" in life:
                took = life["delivered"].time - first.time
                want["delivery n", first.market, first.category] += 1
                want["delivery sum", first.market, first.category] += took
                want["eta sum", first.market] += life["delivered"].time - first.promised
            steps = sorted(life.values(), key=lambda f: (f.time, STAGES.index(f.stage)))
            for a, b in zip(steps, steps[1:]):
                want["step n", first.market, a.stage, b.stage] += 1
                want["step sum", first.market, a.stage, b.stage] += b.time - a.time
    return {k: v for k, v in want.items() if v}  # a life that ended before it began is -1 in between


def open_orders(server):
    text = server.query_range_text("orders_open", OPEN_AT[0], OPEN_AT[-1], OPEN_AT.step)
    return {("open", int(at), series["metric"].get("market", "")): int(value)
            for series in json.loads(text)["data"]["result"] for at, value in series["values"] if value != "0"}


def asked(server, expr, scale, *labels):
    found = {}
    for metric, value in server.query(expr, DAY_S + 86400).items():
        values = dict(metric)
        number = round(float(value) * scale)
        if number:
            found[tuple(values.get(name, "") for name in labels)] = number
    return found


def answers(server):
    span = "[86400s]"
    found = {}
    for kind, expr, scale, labels in (
            ("outcomes", "increase(order_outcomes_total%s)", 1, ("market", "outcome")),
            ("amount", "increase(ended_amount_total%s)", 100, ("outcome",)),
            ("delivery n", "histogram_count(increase(delivery_seconds%s))", 1, ("market", "category")),
            ("delivery sum", "histogram_sum(increase(delivery_seconds%s))", 1000, ("market", "category")),
            ("eta sum", "histogram_sum(increase(eta_error_seconds%s))", 1000, ("market",)),
            ("step n", "histogram_count(increase(stage_seconds%s))", 1, ("market", "from", "to")),
            ("step sum", "histogram_sum(increase(stage_seconds%s))", 1000, ("market", "from", "to"))):
        for labels_of, value in asked(server, expr % span, scale, *labels).items():
            found[(kind,) + labels_of] = value
    return {**found, **open_orders(server)}


def differences(want, found):
    lines = ["%s: %s, the model says %s" % (k, found.get(k, 0), want.get(k, 0))
             for k in sorted(set(want) | set(found), key=str) if found.get(k, 0) != want.get(k, 0)]
    return "%d differ:\n%s" % (len(lines), "\n".join(lines[:20])) if lines else ""


def check_clocks(server, events, partitions):
    m = server.metrics()
    final = {name: m['larder_metric_watermark_timestamp_seconds{metric="%s"}' % name]
             for name in ("order_outcomes_total", "delivery_seconds", "orders_open", "orders_total")}
    # Lives expire by whole minutes; until they are over any stage may be said again, with another revision.
    assert final["order_outcomes_total"] == final["orders_total"] - 0.001 - EXPIRE, final
    assert final["delivery_seconds"] == final["orders_open"] == final["order_outcomes_total"], final
    answer = json.loads(server.get("/api/v1/query", query="order_outcomes_total + delivery_seconds",
                                   time=str(DAY_S), clocks="1")[1])
    clocks = {c["metric"]: c for c in answer["clocks"]}
    for clock in clocks.values():
        assert clock["clock"] == "order/cohort", clocks
        assert clock["watermark"] == final["order_outcomes_total"] and clock["frontier"] > clock["watermark"], clocks
    names = ["%s/%d" % (topic, i) for topic, n in partitions.items() for i in range(n)]
    for name in names:
        labels = '{stream="%s",partition="%s"}' % (name.split("/")[0], name)
        assert m.get("larder_partition_lag_messages" + labels, 0) == 0, labels
        assert m["larder_partition_frontier_timestamp_seconds" + labels] >= DAY_S + 30 * HOUR, labels
        assert m["larder_partition_watermark_timestamp_seconds" + labels] >= DAY_S + 29 * HOUR, labels
    wait_for("the end of all partitions", lambda: 0 <= server.metrics()[
        'larder_ingest_lag_seconds{stream="orders"}'] < 60, 20)
    # Those of this run, which the last kill began.
    count = m['larder_events_lateness_seconds_count{stream="orders"}']
    assert count > 0 and m['larder_events_lateness_seconds_bucket{stream="orders",le="0.1"}'] == 0
    assert m['larder_events_lateness_seconds_bucket{stream="orders",le="0.5"}'] == count
    assert abs(m['larder_events_lateness_seconds_sum{stream="orders"}'] - count * 0.2) < 1e-6 * count
    assert m['larder_lifecycle_open{lifecycle="order"}'] == 0
    never = sum(1 for facts in events.facts.values() if all(f.stage != "placed" for f in facts))
    held = m['larder_lifecycle_incomplete{lifecycle="order"}']
    gone = m['larder_lifecycle_incomplete_total{lifecycle="order"}']
    assert never > 0 and held + gone == never, (held, gone, never)


def check_final(server, producer, partitions):
    """An order expires in the very minute that the watermark has come to: until it is told, the cohort is not final."""
    edge, end = (DAY_S + 40 * HOUR + 20) * 1000, (DAY_S + 46 * HOUR + 330) * 1000  # the watermark is 5 minutes behind
    producer.send([to_message(partitions, "orders", "edge", edge, json.dumps(
        {"event_id": "edge", "order_id": "edge", "type": "placed", "occurred_at": edge, "market": "m0"}))])
    send_last(producer, partitions, end)
    wait_for("the watermark", lambda: server.metrics()['larder_watermark_timestamp_seconds{stream="orders"}'] ==
             end / 1000 - 300, 20)
    m = server.metrics()
    final = m['larder_metric_watermark_timestamp_seconds{metric="order_outcomes_total"}']
    placed = server.query('sum(increase(orders_total{stage="placed"}[2h]))', int(final))
    known = server.query("sum(increase(order_outcomes_total[2h]))", int(final))
    assert known.get((), 0) == placed.get((), 0), (final, placed, known)
    # What comes behind the watermark is counted; of payments nothing does.
    corrections = 'larder_events_corrections_total{stream="%s"}'
    before = server.metrics()
    producer.send([to_message(partitions, "orders", "late", edge, json.dumps(
        {"event_id": "late", "order_id": "late", "type": "none", "occurred_at": edge}))])
    producer.flush()
    wait_for("a correction", lambda: server.metrics()[corrections % "orders"] ==
             before[corrections % "orders"] + 1, 20)
    assert server.metrics()[corrections % "payments"] == before[corrections % "payments"]
    # A minute later the order is told.
    send_last(producer, partitions, end + 60000)
    wait_for("the order expired", lambda: server.query("sum(increase(order_outcomes_total[2h]))",
                                                       DAY_S + 40 * HOUR + 25) == {(): "1"}, 20)
    final = server.metrics()['larder_metric_watermark_timestamp_seconds{metric="order_outcomes_total"}']
    assert edge / 1000 < final <= (end + 60000) / 1000 - 300 - EXPIRE, final


def send_last(producer, partitions, end):
    producer.send(("orders", p, end + 200, "last", json.dumps(
        {"event_id": "last%d-%d" % (p, end), "order_id": "last", "type": "none", "occurred_at": end}))
        for p in range(partitions["orders"]))
    producer.send(("payments", p, end + 200, "last", json.dumps(
        {"id": "last%d-%d" % (p, end), "order_id": "last", "at": end, "status": "none"}))
        for p in range(partitions["payments"]))
    producer.flush()


def to_message(partitions, topic, key, time_ms, payload):
    return topic, hash_of(key) % partitions[topic], time_ms + 200, key, payload


def hash_of(key):
    return sum(key.encode()) * 2654435761 % 2**32 >> 8


def main():
    tap, rng = Tap(), random.Random(SEED)
    print("# seed %d, %d orders" % (SEED, ORDERS))
    events = Events(rng)
    events.all(ORDERS)
    partitions = {"orders": 4, "payments": 2}
    folder = os.path.join(tempfile.mkdtemp(prefix="lives-"), "data")
    with Broker(**partitions) as broker:
        server = Larder(CONFIG, folder, sets=[
            "kafka.brokers=" + broker.bootstrap, "streams.orders.idle_after=1d", "streams.payments.idle_after=1d"])
        with server, Producer(broker.bootstrap, batch=200) as producer:
            server.start()
            kills = sorted(rng.sample(range(len(events.sent)), 4))
            for i in range(0, len(events.sent), 100):
                producer.send(to_message(partitions, *e) for e in events.sent[i:i + 100])
                if any(i <= k < i + 100 for k in kills):
                    producer.flush()
                    time.sleep(rng.random() / 5)
                    server.kill()
                    server.start()
            producer.flush()
            # Far enough behind everything that all lives have ended.
            send_last(producer, partitions, (DAY_S + 30 * HOUR) * 1000)
            want = truth(events.facts)
            with tap.case("%d events of %d orders make what the model says" % (len(events.sent), ORDERS)):
                wait_for("all events taken in", lambda: server.metric_sum("larder_events_accepted_total") ==
                         events.n + 6, 60)
                wait_for("all lives ended", lambda: not differences(want, answers(server)) or
                         server.metrics().get('larder_watermark_timestamp_seconds{stream="orders"}', 0) >
                         DAY_S + 29 * HOUR, 60)
                wait_for("the answers of the model\n%s" % differences(want, answers(server)),
                         lambda: not differences(want, answers(server)), 10)
                assert len(want) > 60, len(want)
            with tap.case("what came twice was counted once, and told"):
                twice = len(events.sent) - events.n
                assert server.metric_sum("larder_events_duplicate_total") == twice > 0
            with tap.case("what is held, how late it came, and up to when it is final"):
                check_clocks(server, events, partitions)
            with tap.case("what is said to be final is"):
                check_final(server, producer, partitions)
            with tap.case("a restart changes nothing"):
                server.kill()
                server.start()
                assert not differences(want, answers(server)), differences(want, answers(server))
            assert server.stop() == 0
        with tap.case("a lifecycle that was changed does not read the lives of the old one"):
            changed = os.path.join(os.path.dirname(folder), "changed.yml")
            with open(CONFIG) as f:
                text = f.read().replace("accepted: orders", "taken: orders")
            with open(changed, "w") as f:
                f.write(text)
            with Larder(changed, folder, sets=["kafka.brokers=" + broker.bootstrap]) as refused:
                refused.start(wait=False)
                assert refused.process.wait(20) == 2, refused.log()
                assert "give the changed one another name" in refused.log(), refused.log()
    tap.end()


if __name__ == "__main__":
    main()
