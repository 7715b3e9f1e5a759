"""Events of the five topics of larder.yml, with all that goes wrong on the way: they come out of order, late, twice,
on either partition, broken, or never. Everything follows from the seed.

    Business(random.Random(1), orders=1000).logs        {(topic, partition): [(timestamp_ms, key, payload), ...]}
    .good                                               (topic, payload) of those that count, each once

punctual: clocks are right, nothing that counts comes more than 200 s late, and every order was placed.
"""
import json

BEGIN_S = 1700006400  # 2023-11-15T00:00:00Z
HOUR = 3600
SPAN = 10 * HOUR  # in which things begin; all events lie in less than LATE
END_S = BEGIN_S + 2 * SPAN  # nothing is later
LATE = 24 * HOUR
PARTITIONS = {"orders": 4, "fridges": 3, "reviews": 2, "couriers": 2, "payments": 3}
MARKETS = ["zurich", "berlin", "wien", "são paulo"]
CATEGORIES = ["pizza", "sushi", "salad", None]


class Business:
    def __init__(self, rng, orders, punctual=False):
        self.rng, self.n, self.good, self.punctual = rng, 0, [], punctual
        self.sent = []  # (arrival in ms, topic, key, payload)
        for i in range(orders):
            self.order("o%d" % i, BEGIN_S + rng.random() * SPAN)
        for i in range(orders):
            self.fridge("f%d" % rng.randrange(12), BEGIN_S + rng.random() * SPAN)
        for i in range(orders // 2):
            self.courier("c%d" % rng.randrange(20), BEGIN_S + rng.random() * SPAN)
        self.twice(orders // 5)
        for _ in range(orders // 20):
            self.spoil()  # never twice: what came too early would be in time then
        self.logs = self.partition()

    def send(self, topic, key, at, event, delay=None):
        """The event, as it comes some time after it happened."""
        r = self.rng
        self.n += 1
        event = {k: v for k, v in event.items() if v is not None}
        event["event_id"] = "e%d" % self.n
        event["occurred_at"] = int(at * 1000)
        if delay is None:
            delay = r.choice([0, r.random(), r.random() * 10, r.random() * 10, r.random() * 10])
            if r.random() < 0.05:
                delay = r.random() * (200 if self.punctual else 10 * HOUR)
        payload = json.dumps(event, ensure_ascii=False)
        self.sent.append((int((at + delay) * 1000), topic, key, payload))
        if -300 <= delay <= LATE:
            self.good.append((topic, payload))
        assert BEGIN_S - HOUR < at < END_S

    def order(self, key, at, again=False):
        r = self.rng
        market, category = r.choice(MARKETS), r.choice(CATEGORIES)

        def step(kind, when, **more):
            self.send("orders", key, when, dict({"type": kind, "order_id": key, "market": market,
                                                 "category": category}, **more))
        amount = r.randrange(500, 9000) / 100
        if self.punctual or r.random() < 0.97:
            step("placed", at, amount=amount, promised_at=int((at + 1800) * 1000) if r.random() < 0.9 else None)
        if r.random() < 0.04:  # said again, somewhat later
            step("placed", at + r.random() * HOUR, amount=amount)
        if r.random() < 0.8:
            self.payment(key, at + r.random() * 60, market, r.choice(["authorized", "failed"]), amount)
        end = r.random()
        if end < 0.05:
            step("rejected", at + r.random() * 300)
            return
        if r.random() < 0.95:
            step("accepted", at + r.random() * 200)
        if r.random() < 0.9:
            step("prepared", at + 200 + r.random() * 900)
        if end < 0.15:
            step("cancelled", at + r.random() * 2 * HOUR)
            if r.random() < 0.2 and not again:  # and the same order once more
                self.order(key, at + r.random() * 7 * HOUR, again=True)
        elif end < 0.9:
            skewed = not self.punctual and r.random() < 0.05
            done = at - r.random() * 20 if skewed else at + 1200 + r.random() * 3000
            step("picked_up", done - r.random() * 900)
            step("delivered", done)
            self.payment(key, done + 1, market, "captured", amount)
            if r.random() < 0.3:
                self.review(key, done + r.random() * HOUR, market)
        if r.random() < 0.02 and not again and not self.punctual:  # when it was given up
            step("delivered", at + 5 * HOUR + r.random() * 3 * HOUR)

    def payment(self, key, at, market, status, amount):
        self.send("payments", key, at, {"order_id": key, "market": market, "status": status, "amount": amount})

    def review(self, key, at, market):
        r = self.rng
        self.send("reviews", key, at, {"order_id": key, "market": market, "score": r.randrange(1, 6),
                                       "nps": r.choice([None, r.randrange(0, 11)]),
                                       "sentiment": round(r.random() * 2 - 1, 3)})

    def fridge(self, key, at):
        r = self.rng
        kind = r.choice(["level", "level", "restocked", "sold", "expired", "removed", "temperature", "door"])
        event = {"type": kind, "fridge": key, "market": MARKETS[hash_of(key) % 4]}
        if kind == "level":
            event.update(sku="sku%d" % r.randrange(5), level=r.randrange(40), capacity=40)
            at -= at % r.choice([1, 10, 3600])  # also several readings of one moment
        elif kind == "temperature":
            event["celsius"] = r.randrange(-300, 900) / 100
        elif kind != "door":
            event.update(sku="sku%d" % r.randrange(5), units=r.randrange(1, 20))
        self.send("fridges", key, at, event)

    def courier(self, key, at):
        r = self.rng
        self.send("couriers", key, at, {"courier": key, "market": MARKETS[hash_of(key) % 4], "lat": 47.3, "lon": 8.5,
                                        "eta_seconds": r.randrange(-60, 3600)})

    def spoil(self):
        """What is refused, whoever reads it; and a message without a value."""
        r = self.rng
        at, topic = BEGIN_S + r.random() * SPAN, r.choice(sorted(PARTITIONS))
        choice = r.randrange(4)
        if choice == 0:
            self.send("orders", "x", at, {"type": "placed", "order_id": "x", "market": "zurich"}, delay=25 * HOUR)
        elif choice == 1:
            self.send("payments", "x", at, {"market": "zurich", "status": "captured"}, delay=-301)
        elif choice == 2:
            self.sent.append((int(at * 1000), topic, "x", r.choice(['{"event_id": "x"', "[]", '{"event_id": "x"}'])))
        else:
            self.sent.append((int(at * 1000), topic, "x", None))

    def twice(self, count):
        """They come again, up to hours later."""
        for arrival, topic, key, payload in self.rng.sample(self.sent, count):
            if payload is not None:
                self.sent.append((arrival + self.rng.randrange(0, 3600000), topic, key + "!", payload))

    def partition(self):
        logs = {(topic, p): [] for topic, n in PARTITIONS.items() for p in range(n)}
        for arrival, topic, key, payload in sorted(self.sent, key=lambda e: e[0]):
            logs[topic, hash_of(key) % PARTITIONS[topic]].append((arrival, key, payload))
        return logs


def last_events(at_s):
    """One for each partition, which brings all clocks on; they make nothing that is earlier."""
    events = {
        "orders": {"type": "accepted", "order_id": "last", "market": "zurich"},
        "fridges": {"type": "door", "fridge": "last", "market": "zurich"},
        "reviews": {"market": "zurich", "score": 5},
        "couriers": {"market": "zurich"},
        "payments": {"market": "zurich", "status": "failed"},
    }
    return [(topic, p, at_s * 1000, "last", json.dumps(dict(event, event_id="%s-%d" % (topic, p),
                                                            occurred_at=at_s * 1000)))
            for topic, event in events.items() for p in range(PARTITIONS[topic])]


def hash_of(key):
    h = 2166136261
    for c in key.encode():
        h = (h ^ c) * 16777619 % 2**32
    return h >> 7
