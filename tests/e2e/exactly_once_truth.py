"""What must come of the files that exactly_once_events.py wrote, computed from them alone: the contract,
the lifecycle and the windows once more, slowly. Nothing here comes from the generator but its file.
"""
import collections
import decimal
import json
import struct

from test_lifecycle import Fact, truth as truth_of_lives

LATE_MS, AHEAD_MS = 24 * 3600 * 1000, 5 * 60 * 1000
HOUR_MS = 3600 * 1000
REASONS = ["malformed", "schema", "missing", "type", "range", "not_allowed", "late", "ahead"]
STAGES = {"placed": "placed", "accepted": "accepted", "delivered": "delivered", "cancelled": "cancelled",
          "rejected": "cancelled"}

# Of each stream the fields in their order: type, whether it is required, its bounds or what is allowed.
CONTRACTS = {
    "orders": {"event_id": ("string", True), "order_id": ("string", True),
               "type": ("string", True, ["placed", "accepted", "prepared", "delivered", "cancelled", "rejected",
                                         "closing"]),
               "occurred_at": ("time", True), "revision": ("int", False), "market": ("string", True),
               "category": ("string", False), "promised_at": ("time", False),
               "amount": ("decimal", False, (0, None)), "customer": ("string", False)},
    "payments": {"id": ("string", True), "order_id": ("string", True), "at": ("time", True),
                 "status": ("string", True, ["captured", "failed", "closing"])},
    "readings": {"event_id": ("string", True), "fridge": ("string", True), "market": ("string", True),
                 "at": ("time", True), "celsius": ("decimal", False, (-10000, 10000)),
                 "level": ("int", False, (0, None))},
    "reviews": {"id": ("string", True), "at": ("time", True), "score": ("int", True, (1, 5))},
}
TIMES = {"orders": "occurred_at", "payments": "at", "readings": "at", "reviews": "at"}
IDS = {"orders": "event_id", "payments": "id", "readings": "event_id", "reviews": "id"}


class Refused(Exception):
    pass


# ---- JSON ----

def no_twice(pairs):
    if len({k for k, _ in pairs}) != len(pairs):
        raise Refused("malformed")
    return dict(pairs)


def no_constant(_):
    raise Refused("malformed")


def parse_json(payload):
    try:
        event = json.loads(payload.decode("utf-8"), object_pairs_hook=no_twice, parse_float=decimal.Decimal,
                           parse_constant=no_constant)
    except ValueError:
        raise Refused("malformed") from None
    if not isinstance(event, dict):
        raise Refused("malformed")
    return event


# ---- Avro ----

class Bytes:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if n < 0 or self.at + n > len(self.data):
            raise Refused("malformed")
        self.at += n
        return self.data[self.at - n:self.at]

    def long(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value >> 1 ^ -(value & 1)
            if shift > 63:
                raise Refused("malformed")

    def text(self):
        return self.take(self.long()).decode()

    def cents(self):
        return decimal.Decimal(int.from_bytes(self.take(self.long()), "big", signed=True)) / 100

    def texts(self):
        n = self.long()
        while n:
            for _ in range(n):
                self.text()
            n = self.long()


def parse_avro(payload):
    if len(payload) < 5 or payload[0] != 0:
        raise Refused("malformed")
    schema, data = struct.unpack(">I", payload[1:5])[0], Bytes(payload[5:])
    if schema == 1:
        event = {"event_id": data.text(), "fridge": data.text(), "at": data.long(), "celsius": data.cents(),
                 "market": "m0"}
    elif schema == 2:
        event = {"fridge": data.text(), "event_id": data.text(), "level": data.long()}
        data.texts()
        event.update(market=data.text(), celsius=data.cents(), at=data.long())
    else:
        raise Refused("schema")
    if data.at != len(data.data):
        raise Refused("malformed")
    return event


# ---- the contract ----

def check_field(kind, rule, value):
    """The reason or None, and the value as it counts."""
    if kind == "string":
        if not isinstance(value, str):
            return "type", None
        if len(value.encode()) > 1024:
            return "range", None
        return ("not_allowed" if rule and value not in rule else None), value
    if isinstance(value, bool) or not isinstance(value, (int, decimal.Decimal)):
        return "type", None
    scaled = decimal.Decimal(value) * (100 if kind == "decimal" else 1)
    whole = int(scaled.to_integral_value(decimal.ROUND_HALF_EVEN))
    if whole != scaled and kind != "decimal":
        return "type", None
    lower, upper = rule or (None, None)
    if not -2**63 <= whole < 2**63 or (lower is not None and whole < lower) or (upper is not None and whole > upper):
        return "range", None
    return None, whole


def judge(stream, arrival_ms, payload):
    """The event as a dictionary, or Refused with the reason."""
    event = parse_avro(payload) if stream == "readings" else parse_json(payload)
    reasons, out = set(), {}
    for name, (kind, required, *rule) in CONTRACTS[stream].items():
        value = event.get(name)
        if value is None:
            reasons.update(["missing"] if required else [])
            continue
        reason, out[name] = check_field(kind, rule[0] if rule else None, value)
        reasons.update([reason] if reason else [])
    if reasons:
        raise Refused(min(reasons, key=REASONS.index))
    if arrival_ms is not None and arrival_ms - out[TIMES[stream]] > LATE_MS:
        raise Refused("late")
    if arrival_ms is not None and out[TIMES[stream]] - arrival_ms > AHEAD_MS:
        raise Refused("ahead")
    return out


# ---- all of it ----

def hour_of(time_ms):
    """The end of the hour that it belongs to, in seconds; hours are open at their beginning."""
    return -(-time_ms // HOUR_MS) * 3600


class Truth:
    def __init__(self):
        self.accepted, self.duplicates = collections.Counter(), collections.Counter()
        self.refused, self.letters = collections.Counter(), []
        self.records = collections.Counter()
        self.seen = set()
        self.facts = collections.defaultdict(list)
        self.counts = collections.Counter()
        self.celsius = collections.defaultdict(list)

    def take(self, stream, partition, arrival_ms, payload):
        self.records[stream, partition] += 1
        try:
            event = judge(stream, arrival_ms, payload)
        except Refused as reason:
            self.refused[stream, str(reason)] += 1
            self.letters.append((stream, partition, str(reason), payload))
            return
        event_id = event[IDS[stream]]
        if (stream, event_id) in self.seen:
            self.duplicates[stream] += 1
            return
        self.seen.add((stream, event_id))
        self.accepted[stream] += 1
        getattr(self, "take_" + stream)(event)

    def take_orders(self, e):
        hour, at = hour_of(e["occurred_at"]), e["occurred_at"]
        self.counts["orders", e["market"], e["type"], hour] += 1
        if e["type"] == "placed":
            self.counts["money", e["market"], e["category"], hour] += e["amount"]
        if e["type"] in STAGES:
            self.facts[e["order_id"]].append(Fact(
                STAGES[e["type"]], at, e.get("revision", 0), e["event_id"], e["market"], e["category"],
                e.get("promised_at"), e.get("amount", 0)))

    def take_payments(self, e):
        self.counts["payments", e["status"], hour_of(e["at"])] += 1
        if e["status"] == "captured":
            self.facts[e["order_id"]].append(Fact("paid", e["at"], 0, e["id"], "", "", None, 0))

    def take_readings(self, e):
        hour = hour_of(e["at"])
        self.counts["readings", e["market"], hour] += 1
        self.counts["celsius", e["market"], hour] += e["celsius"]
        self.celsius[e["fridge"], hour].append((e["at"], e["celsius"]))

    def take_reviews(self, e):
        self.counts["ratings", str(e["score"]), hour_of(e["at"])] += 1

    def lives(self):
        return truth_of_lives(self.facts)


def committed(path):
    """The rows of transactions that were committed."""
    rows = []
    with open(path, encoding="ascii") as f:
        for line in f:
            if line.startswith("!"):
                if line.startswith("!commit"):
                    yield from rows
                if not line.startswith("!grow"):
                    rows = []
                continue
            topic, partition, arrival, _, payload = line.rstrip("\n").split("\t")
            rows.append((topic, int(partition), int(arrival), bytes.fromhex(payload)))


def compute(path, review_paths, more=()):
    """more: rows (topic, partition, arrival, key, payload) that came besides."""
    truth = Truth()
    for row in committed(path):
        truth.take(*row)
    for topic, partition, arrival, _, payload in more:
        truth.take(topic, partition, arrival, payload)
    for partition, review_path in enumerate(review_paths):
        with open(review_path, encoding="ascii") as f:
            for line in f:
                truth.take("reviews", partition, None, line.rstrip("\n").split("\t")[1].encode())
    return truth
