"""What the exactly-once test produces: the events of orders, payments and fridges in the order in which
they arrive, in transactions of which some are aborted, as a file that the producer reads as it is. 5%
of the events come late, 5% a second time, 1% are broken, in every way that there is.

    TOPIC <tab> PARTITION <tab> TIMESTAMP_MS <tab> KEY <tab> PAYLOAD in hexadecimal
    !commit | !abort                    ends the transaction
    !grow TOPIC PARTITIONS              the topic gets more partitions

Events of `reviews` are for a foreign producer: KEY <tab> PAYLOAD, a file for each partition.
"""
import json
import random
import struct

DAY_S = 1700006400  # 2023-11-15T00:00:00Z
HOUR_MS = 3600 * 1000
DAY_MS = DAY_S * 1000
EXPIRE_MS = 6 * HOUR_MS
LAST_MS = DAY_MS + 72 * HOUR_MS  # of the events that close the streams
PARTITIONS = {"orders": 4, "payments": 2, "readings": 3, "reviews": 2}
GROWN = 6  # partitions of orders, from the middle of the file on
NO_SCHEMA = 77

SCHEMAS = {
    1: {"type": "record", "name": "Reading", "namespace": "shop.v1", "fields": [
        {"name": "event_id", "type": "string"}, {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "celsius", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}}]},
    2: {"type": "record", "name": "Reading", "namespace": "shop.v2", "fields": [
        {"name": "fridge", "type": "string"}, {"name": "event_id", "type": "string"},
        {"name": "level", "type": "int"}, {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "market", "type": "string"},
        {"name": "celsius", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}]},
}


def avro_long(value):
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def avro_bytes(value):
    return avro_long(len(value)) + value


def avro_text(value):
    return avro_bytes(value.encode())


def reading_v1(event_id, fridge, at, cents, schema=1):
    body = avro_text(event_id) + avro_text(fridge) + avro_long(at) + avro_bytes(cents.to_bytes(3, "big", signed=True))
    return b"\0" + struct.pack(">I", schema) + body


def reading_v2(event_id, fridge, at, cents, market, level):
    body = avro_text(fridge) + avro_text(event_id) + avro_long(level) + avro_long(2) + avro_text("a") + \
        avro_text("b") + avro_long(0) + avro_text(market) + avro_bytes(cents.to_bytes(4, "big", signed=True)) + \
        avro_long(at)
    return b"\0" + struct.pack(">I", 2) + body


def partition_of(key, partitions):
    return (sum(key.encode()) * 2654435761 % 2**32 >> 8) % partitions


class Events:
    """Each is (time of arrival, topic, key, payload)."""

    def __init__(self, rng):
        self.rng, self.n, self.rows, self.reviews = rng, 0, [], [[], []]

    def put(self, topic, key, at, payload):
        """Soon after it happened, or late; once, or twice."""
        r = self.rng
        arrival = at + r.randrange(200, 60000)
        if r.random() < 0.05:
            arrival = at + r.randrange(HOUR_MS, 20 * HOUR_MS)
        self.rows.append((arrival, topic, key, payload))
        if r.random() < 0.05:
            self.rows.append((arrival + r.randrange(0, 3 * HOUR_MS), topic, key, payload))

    def event_id(self):
        self.n += 1
        return "e%d" % self.n

    def order(self, key, kind, at, revision=None):
        r = self.rng
        event = {"event_id": self.event_id(), "order_id": key, "type": kind, "occurred_at": at,
                 "market": "m%d" % r.randrange(3), "category": r.choice(["soup", "pizza", "bao"])}
        if kind == "placed":
            event["promised_at"] = at + 1800 * 1000
            event["amount"] = r.randrange(100, 5000) / 100
        if revision is not None:
            event["revision"] = revision
        if r.random() < 0.015:
            self.broken_order(key, event, at)
        self.put("orders", key, at, json.dumps(event).encode())

    def payment(self, key, at, status):
        event = {"id": self.event_id(), "order_id": key, "at": at, "status": status}
        self.put("payments", key, at, json.dumps(event).encode())

    def broken_order(self, key, event, at):
        """One that resembles the event, and has an id of its own."""
        r = self.rng
        event = dict(event, event_id=self.event_id())
        text = json.dumps(event)
        bad = [lambda: text[:-1], lambda: text + "x", lambda: text.replace('"type"', '"type": "placed", "type"'),
               lambda: text.encode()[:-2] + b"\xff\"}", lambda: "", lambda: "[1]",
               lambda: json.dumps({k: v for k, v in event.items() if k != "market"}),
               lambda: json.dumps(dict(event, market=None)),
               lambda: json.dumps(dict(event, order_id=17)),
               lambda: json.dumps(dict(event, occurred_at="yesterday")),
               lambda: json.dumps(dict(event, amount="12")),
               lambda: json.dumps(dict(event, amount=-1)),
               lambda: json.dumps(dict(event, amount=1e30)),
               lambda: json.dumps(dict(event, category="x" * 1025)),
               lambda: json.dumps(dict(event, type="teleported")),
               lambda: json.dumps(dict(event, occurred_at=at - r.randrange(25, 48) * HOUR_MS)),
               lambda: json.dumps(dict(event, occurred_at=at + 7 * 60000))]
        payload = r.choice(bad)()
        self.rows.append((at + r.randrange(200, 60000), "orders", key,
                          payload if isinstance(payload, bytes) else payload.encode()))

    def life(self, key, at):
        """One life of an order, with what may go wrong in it. Times in ms."""
        r = self.rng
        if r.random() < 0.95:
            self.order(key, "placed", at)
        if r.random() < 0.05:
            self.order(key, "placed", at + r.randrange(1000, 3 * HOUR_MS), r.choice([None, 1, 2]))
        if r.random() < 0.8:
            self.payment(key, at + r.randrange(-60000, 600000), r.choice(["captured", "captured", "failed"]))
        if r.random() < 0.9:
            self.order(key, "accepted", at + r.randrange(0, 900000))
        if r.random() < 0.1:
            self.order(key, "prepared", at + 1000000)
        end = r.random()
        if end < 0.6:
            self.order(key, "delivered", at + r.randrange(-30000, 2 * HOUR_MS))
        elif end < 0.8:
            self.order(key, r.choice(["cancelled", "rejected"]), at + r.randrange(0, 7 * HOUR_MS))
        if r.random() < 0.05:
            self.order(key, "delivered", at + r.randrange(0, 12 * HOUR_MS))

    def reading(self):
        r = self.rng
        at, fridge, event_id = DAY_MS + r.randrange(HOUR_MS, 20 * HOUR_MS), "f%d" % r.randrange(20), self.event_id()
        cents = r.randrange(-2500, 1000)
        if r.random() < 0.5:
            payload = reading_v1(event_id, fridge, at, cents)
        else:
            payload = reading_v2(event_id, fridge, at, cents, "m%d" % r.randrange(3), r.randrange(50))
        self.put("readings", fridge, at, payload)
        if r.random() < 0.01:
            other = self.event_id()
            bad = [lambda: payload + b"x", lambda: payload[:-1], lambda: b"{}", lambda: b"",
                   lambda: reading_v1(other, fridge, at, cents, NO_SCHEMA),
                   lambda: reading_v1(other, fridge, at, 20000),
                   lambda: reading_v1(other, fridge, at - 30 * HOUR_MS, cents),
                   lambda: reading_v1(other, fridge, at + HOUR_MS, cents)]
            self.rows.append((at + 1000, "readings", fridge, r.choice(bad)()))

    def review(self, i, count):
        at = DAY_MS + HOUR_MS + (i * 20 * HOUR_MS // count) + self.rng.randrange(-60000, 60000)
        event_id = self.event_id()
        event = {"id": event_id, "at": at, "score": self.rng.randrange(1, 6)}
        if self.rng.random() < 0.01:
            event["score"] = self.rng.choice([0, 6, "5", None])
        into = self.reviews[i % 2]
        into.append((event_id, json.dumps(event)))
        if self.rng.random() < 0.05:
            into.append(into[-1])

    def make(self, count):
        """About `count` messages."""
        while len(self.rows) < count * 85 // 100:
            key = "o%d" % self.n
            at = DAY_MS + HOUR_MS + self.rng.randrange(0, 9 * HOUR_MS)
            self.life(key, at)
            if self.rng.random() < 0.05:
                self.life(key, at + self.rng.randrange(HOUR_MS, 9 * HOUR_MS))
        while len(self.rows) < count * 95 // 100:
            self.reading()
        reviews = count * 5 // 100
        for i in range(reviews):
            self.review(i, reviews)
        self.rows.sort(key=lambda row: row[0])


def write_row(out, arrival, topic, partition, key, payload):
    out.write("%s\t%d\t%d\t%s\t%s\n" % (topic, partition, arrival, key, payload.hex()))


def write_transactions(out, rows, rng, batch):
    partitions, at = dict(PARTITIONS), 0
    while at < len(rows):
        if partitions["orders"] != GROWN and at > len(rows) // 2:
            partitions["orders"] = GROWN
            out.write("!grow orders %d\n" % GROWN)
        n = rng.randrange(1, 2 * batch)
        if rng.random() < 0.1:  # what comes to nothing: events that nobody else has
            for arrival, topic, key, payload in rows[at:at + n // 4]:
                write_row(out, arrival, topic, partition_of(key, partitions[topic]), key,
                          payload.replace(b': "e', b': "aborted'))
            out.write("!abort\n")
        for arrival, topic, key, payload in rows[at:at + n]:
            write_row(out, arrival, topic, partition_of(key, partitions[topic]), key, payload)
        out.write("!commit\n")
        at += n


def generate(count, seed, path, review_paths, batch):
    """Writes the file of the producer, and those of the foreign one."""
    rng = random.Random("events %s" % seed)
    events = Events(rng)
    events.make(count)
    with open(path, "w", encoding="ascii") as out:
        write_transactions(out, events.rows, rng, batch)
    for rows, review_path in zip(events.reviews, review_paths):
        with open(review_path, "w", encoding="ascii") as out:
            out.writelines("%s\t%s\n" % row for row in rows)


def closing(partitions):
    """Messages far behind everything, one for each partition: all lives have ended then."""
    for p in range(partitions["orders"]):
        yield "orders", p, LAST_MS, "closing", json.dumps(
            {"event_id": "closing%d" % p, "order_id": "closing", "type": "closing", "occurred_at": LAST_MS,
             "market": "closing"}).encode()
    for p in range(partitions["payments"]):
        yield "payments", p, LAST_MS, "closing", json.dumps(
            {"id": "closing%d" % p, "order_id": "closing", "at": LAST_MS, "status": "closing"}).encode()
    for p in range(partitions["readings"]):
        yield "readings", p, LAST_MS, "closing", reading_v2("closing%d" % p, "closing", LAST_MS, 0, "closing", 0)
