"""Turns a CSV of food deliveries into the `placed` and `delivered` events of topic `orders`.

Every row gives a `placed` event at created_at and, when it has an end, a `delivered` event at
actual_delivery_time. A value NA is sent as the string "NA", except the market, which is left out.
promised_at is created_at plus the two estimated durations, left out where one of them is NA.

Fixed by the row's own text: which rows are sent twice (5%), which are late (3%), and the spelling of
their times. Chosen by the seed: how late, in what interleaving and in which partitions they arrive.
"""
import csv
import datetime
import json
import random
import zlib

SECOND, HOUR = 1000, 3600 * 1000
LATE_MAX_MS = 3 * HOUR


def row_hash(purpose, line):
    """0 to 999, by the row's text alone."""
    return zlib.crc32(("%s|%s" % (purpose, line)).encode()) % 1000


def is_twice(line):
    return row_hash("twice", line) < 50


def is_late(line):
    return row_hash("late", line) < 30


def epoch(text):
    moment = datetime.datetime.strptime(text, "%Y-%m-%d %H:%M:%S")
    return int(moment.replace(tzinfo=datetime.timezone.utc).timestamp())


def spell(seconds, how):
    """The same moment in the three forms that a contract takes."""
    if how == 0:
        return seconds * 1000
    hours = (0, 0, 3, -5)[how]
    zone = datetime.timezone(datetime.timedelta(hours=hours))
    text = datetime.datetime.fromtimestamp(seconds, zone).isoformat()
    return text.replace("+00:00", "Z") if hours == 0 else text


def row_events(number, line, row):
    """(event time in s, order id, event as a dict) for each event of a row, once."""
    order = "order-%06d" % number
    how = row_hash("spelling", line) % 4
    created = epoch(row["created_at"])
    estimates = [row["estimated_order_place_duration"],
                 row["estimated_store_to_consumer_driving_duration"]]
    common = {"order_id": order, "store": row["store_id"], "channel": row["order_protocol"],
              "category": row["store_primary_category"]}
    if row["market_id"] != "NA":
        common["market"] = row["market_id"]
    if "NA" not in estimates:
        common["promised_at"] = spell(created + sum(map(int, estimates)), how)
    placed = {"event_id": order + "/placed", "type": "placed", "occurred_at": spell(created, how),
              "items": int(row["total_items"]), **common}
    cents = int(row["subtotal"])
    placed["amount"] = "%d.%02d" % (cents // 100, cents % 100)
    yield created, order, placed
    if row["actual_delivery_time"] != "NA":
        delivered = epoch(row["actual_delivery_time"])
        yield delivered, order, {"event_id": order + "/delivered", "type": "delivered",
                                 "occurred_at": spell(delivered, how), **common}


def payload(event):
    """JSON with the amount as the number that the CSV's cents spell, not as a double's text."""
    text = json.dumps(event, separators=(",", ":"))
    if "amount" in event:
        text = text.replace('"amount":"%s"' % event["amount"], '"amount":%s' % event["amount"])
    return text


def read_rows(path):
    """(number, line, row as a dict) from 1."""
    with open(path, encoding="utf-8", newline="") as f:
        lines = f.read().splitlines()
    names = next(csv.reader([lines[0]]))
    for number, line in enumerate(lines[1:], 1):
        yield number, line, dict(zip(names, next(csv.reader([line]))))


def generate(path, seed):
    """Messages (topic, partition, arrival_ms, key, payload) in the order in which they are sent."""
    chance = random.Random(seed)
    partitions = chance.randint(2, 8)
    arrivals = []
    for number, line, row in read_rows(path):
        for time_s, order, event in row_events(number, line, row):
            text = payload(event)
            for _ in range(2 if is_twice(line) else 1):
                delay = chance.randint(0, 5 * SECOND)
                if is_late(line):
                    delay = chance.randint(0, LATE_MAX_MS)
                partition = zlib.crc32(order.encode()) % partitions
                arrivals.append((time_s * 1000 + delay, chance.random(), partition, order, text))
    arrivals.sort()
    # Partitions drift apart: each is a log of its own, and the reader meets them in any order.
    queues = [[a for a in arrivals if a[2] == p] for p in range(partitions)]
    at = [0] * partitions
    messages = []
    while len(messages) < len(arrivals):
        p = chance.choice([p for p in range(partitions) if at[p] < len(queues[p])])
        for arrival_ms, _, _, order, text in queues[p][at[p]:at[p] + chance.randint(1, 400)]:
            messages.append(("orders", p, arrival_ms, order, text))
            at[p] += 1
    return partitions, messages
