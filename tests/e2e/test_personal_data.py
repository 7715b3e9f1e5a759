#!/usr/bin/env python3
"""What the data folder holds of people: event ids and order ids only as hashes, personal fields not at
all, neither in the log, nor in state tables, nor in segments, the server's own log and its answers.

Files are searched for bytes. Ids are random, so that compression finds nothing in them to leave out;
that a search finds what is there is shown by label values of the same kind.
"""
import json
import os
import random
import string
import tempfile

from lib import DATA, ROOT, Broker, Larder, Producer, run, wait_for

FIRST_MS = 1700000000000
HOUR_MS = 3600 * 1000
TOPICS = {"orders": 2, "fridges": 1, "reviews": 1, "couriers": 1, "payments": 1}


class Made:
    """Random words, by what they are."""

    def __init__(self, seed):
        self.chance, self.words = random.Random(seed), {}

    def word(self, kind):
        text = "".join(self.chance.choice(string.ascii_letters + string.digits) for _ in range(24))
        self.words.setdefault(kind, []).append(text)
        return text


def events(made, orders):
    """Rows of (topic, partition, timestamp, key, payload) of two days."""
    rows = []
    for i in range(orders):
        at = FIRST_MS + i * 48 * HOUR_MS // orders
        order, market = made.word("order_id"), made.words["market"][i % 3]
        common = {"order_id": order, "market": market}

        def add(topic, at, **more):
            event = dict(common, event_id=made.word("event_id"), occurred_at=at, **more)
            rows.append((topic, i % TOPICS[topic], at, order, json.dumps(event)))
        for n, stage in enumerate(["placed", "accepted", "prepared", "picked_up", "delivered"]):
            if n < 4 or i % 5:  # some expire
                add("orders", at + n * 60000, type=stage, category="c", amount=12.5, items=3,
                    customer=made.word("customer"), promised_at=at + 1800000)
        add("payments", at + 1000, status="captured", amount=12.5)
        if i % 3 == 0:
            add("reviews", at + HOUR_MS, score=5, nps=9, text=made.word("text"))
    return rows


def files(folder):
    """Those of a running server come and go: what went is not there."""
    for base, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(base, name)
            try:
                with open(path, "rb") as f:
                    data = f.read()
            except FileNotFoundError:
                continue
            yield os.path.relpath(path, folder), data


def found(folder, words):
    """Files that hold a part of one of the words: eight bytes that lie anywhere in it."""
    parts = {w[k:k + 8].encode() for w in words for k in range(0, len(w) - 7)}
    hits = {}
    for name, data in files(folder):
        if any(data[k:k + 8] in parts for k in range(len(data) - 7)):
            hits.setdefault(name, True)
    return sorted(hits)


def search(folder, made, what):
    kinds = {name.split("/")[0] if "/" in name else name for name, _ in files(folder)}
    size = sum(len(data) for _, data in files(folder))
    print("# %s: %d bytes, %s" % (what, size, ", ".join(sorted(kinds))))
    markets = found(folder, made.words["market"])
    assert markets, "the search finds nothing at all"
    for kind in ("event_id", "order_id", "customer", "text"):
        hits = found(folder, made.words[kind])
        assert not hits, "%s: %s stands in %s" % (what, kind, hits)
    return markets


def only_hashes():
    seed = int(os.environ.get("LARDER_SEED", "1"))
    print("# seed %d" % seed)
    made = Made(seed)
    for _ in range(3):
        made.word("market")
    rows = events(made, 400)
    config = os.path.join(ROOT, "larder.yml")
    folder = os.path.join(tempfile.mkdtemp(prefix="personal-"), "data")
    with Broker(**TOPICS) as broker:
        server = Larder(config, folder, sets=["kafka.brokers=" + broker.bootstrap])
        with server.start():
            half = len(rows) // 2
            with Producer(broker.bootstrap) as producer:
                producer.send(rows[:half])
            server.wait_events(half)
            server.kill()
            assert any("wal" in name for name in search(folder, made, "killed")), "the log has them"
            server.start()
            with Producer(broker.bootstrap) as producer:
                producer.send(rows[half:])
            server.wait_events(len(rows))
            assert server.metric_sum("larder_events_accepted_total") == len(rows), server.metrics()
            wait_for("sealed blocks", lambda: any(".seg" in name for name, _ in files(folder)), 60)
            search(folder, made, "running")
            told = server.get("/metrics")[1]
            for path in ("/api/v1/labels", "/api/v1/label/market/values", "/api/v1/status/tsdb"):
                told += server.get(path)[1]
            told += server.get("/api/v1/series", **{"match[]": '{market!=""}'})[1]
            assert server.stop() == 0
            search(folder, made, "stopped")
            told += server.log()
        assert made.words["market"][0] in told
        for kind in ("event_id", "order_id", "customer", "text"):
            said = [w for w in made.words[kind] if w in told]
            assert not said, "%s is told: %s" % (kind, said[:3])


def letters_hold_events():
    """A refused event is held as it came, as the docs say, until its letter is sent."""
    made = Made(7)
    event = json.dumps({"id": made.word("id"), "order_id": made.word("order_id"), "at": FIRST_MS,
                        "market": "nowhere"})
    folder = os.path.join(tempfile.mkdtemp(prefix="personal-"), "data")
    with Broker(orders=1, clicks=1, letters=1, **{"orders.retry": 1, "clicks.retry": 1}) as broker:
        broker.command("hide letters")
        server = Larder(os.path.join(DATA, "letters.yml"), folder,
                        sets=["kafka.brokers=" + broker.bootstrap])
        with server.start():
            with Producer(broker.bootstrap) as producer:
                producer.send([("orders", 0, FIRST_MS, "k", event)])
            server.wait_events(1)
            server.kill()
        assert found(folder, made.words["id"]) and found(folder, made.words["order_id"])
        assert made.words["id"][0] not in server.log()


CASES = [
    ("ids only as hashes, personal fields not at all", only_hashes),
    ("letters hold their events", letters_hold_events),
]


if __name__ == "__main__":
    run(CASES)
