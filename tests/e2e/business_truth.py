"""What the metrics of the shipped larder.yml must be, counted slowly from events alone: each metric of it, by name.

    truth = Truth(events)          of each metric {labels: ...}, labels as sorted tuples without those that events lack
        .counters                  the sum; of money in millionths
        .histograms                [count, sum in millionths]
        .levels                    [(time in ms, change), ...]
        .gauges                    [(time in ms, reading in millionths), ...]
    check(server, truth, begin_s, end_s)    asks a server for all of it
"""
import collections
import json

STAGES = ["placed", "accepted", "prepared", "picked_up", "delivered", "cancelled", "rejected"]
ENDS = ["delivered", "cancelled", "rejected"]
EXPIRE = 6 * 3600000
MILLION = 1000000


def scaled(value):
    return round(value * MILLION)


class Truth:
    def __init__(self, events):
        """events: (topic, payload), each once."""
        self.counters = collections.defaultdict(collections.Counter)
        self.histograms = collections.defaultdict(lambda: collections.defaultdict(lambda: [0, 0]))
        self.levels = collections.defaultdict(lambda: collections.defaultdict(list))
        self.gauges = collections.defaultdict(lambda: collections.defaultdict(list))
        orders = collections.defaultdict(list)
        for topic, payload in events:
            e = json.loads(payload)
            getattr(self, topic)(e)
            if topic == "orders":
                orders[e["order_id"]].append(e)
        for facts in orders.values():
            for life in lives(facts):
                self.life(life)

    def count(self, metric, amount, **labels):
        self.counters[metric][named(labels)] += amount

    def observe(self, metric, value, **labels):
        cell = self.histograms[metric][named(labels)]
        cell[0] += 1
        cell[1] += scaled(value)

    def orders(self, e):
        self.count("orders_total", 1, market=e["market"], category=e.get("category"), stage=e["type"])
        if e["type"] == "placed" and "amount" in e:
            self.count("order_amount_total", scaled(e["amount"]), market=e["market"], category=e.get("category"))

    def fridges(self, e):
        here = named({"fridge": e["fridge"], "sku": e.get("sku")})
        if e["type"] == "level":
            self.gauges["fridge_stock_units"][here].append((e["occurred_at"], scaled(e["level"])))
            self.gauges["fridge_capacity_units"][here].append((e["occurred_at"], scaled(e["capacity"])))
        elif e["type"] == "temperature":
            self.gauges["fridge_temperature_celsius"][here].append((e["occurred_at"], scaled(e["celsius"])))
        elif e["type"] != "door":
            self.count("fridge_units_total", e["units"], fridge=e["fridge"], sku=e["sku"], movement=e["type"])
            sign = 1 if e["type"] == "restocked" else -1
            self.levels["fridge_stock_estimated_units"][here].append((e["occurred_at"], sign * e["units"]))

    def reviews(self, e):
        self.count("ratings_total", 1, market=e["market"], score=str(e["score"]))
        self.observe("rating_score", e["score"], market=e["market"])
        if "nps" in e:
            self.observe("nps_score", e["nps"], market=e["market"])
        self.observe("review_sentiment", e["sentiment"], market=e["market"])

    def couriers(self, e):
        if "eta_seconds" in e:
            self.gauges["courier_eta_seconds"][named({"market": e["market"], "courier": e["courier"]})].append(
                (e["occurred_at"], scaled(e["eta_seconds"])))

    def payments(self, e):
        self.count("payments_total", 1, market=e["market"], status=e["status"])

    def life(self, life):
        first = life["placed"]
        market, category, begin = first["market"], first.get("category"), first["occurred_at"]
        ends = [life[s] for s in ENDS if s in life]
        end = min(ends, key=lambda e: (e["occurred_at"], STAGES.index(e["type"]))) if ends else None
        self.count("order_outcomes_total", 1, market=market, outcome=end["type"] if end else "expired")
        here = named({"market": market})
        self.levels["orders_open"][here] += [(begin, 1), (end["occurred_at"] if end else begin + EXPIRE, -1)]
        steps = sorted(life.values(), key=lambda e: (e["occurred_at"], STAGES.index(e["type"])))
        for a, b in zip(steps, steps[1:]):
            self.observe("stage_seconds", (b["occurred_at"] - a["occurred_at"]) / 1000, market=market,
                         **{"from": a["type"], "to": b["type"]})
        if "delivered" in life:
            at = life["delivered"]["occurred_at"]
            self.observe("delivery_seconds", (at - begin) / 1000, market=market, category=category)
            if "promised_at" in first:
                self.observe("eta_error_seconds", (at - first["promised_at"]) / 1000, market=market)


def named(labels):
    return tuple(sorted((k, v) for k, v in labels.items() if v))


def lives(facts):
    """Each as {stage: event}; the earliest event of a stage counts."""
    out = []
    for f in sorted((f for f in facts if f["type"] == "placed"), key=lambda f: f["occurred_at"]):
        if not out or f["occurred_at"] > out[-1]["placed"]["occurred_at"] + EXPIRE:
            out.append({"placed": f})
    for f in sorted((f for f in facts if f["type"] != "placed"), key=lambda f: f["occurred_at"]):
        for life in out:
            if abs(f["occurred_at"] - life["placed"]["occurred_at"]) <= EXPIRE:
                life.setdefault(f["type"], f)
                break
    return out


# ---- asking a server for the same ----

def asked(server, expr, at_s, scale):
    return {tuple((k, v) for k, v in metric if k != "__name__"): round(float(value) * scale)
            for metric, value in server.query(expr, at_s).items()}


def without_zeros(amounts):
    return {k: v for k, v in amounts.items() if v}


def level_at(changes, at_ms):
    return sum(c for t, c in changes if t <= at_ms)


def reading_at(readings, at_ms):
    """The last of a moment; of several at one time the greatest."""
    return max((r for r in readings if r[0] <= at_ms), default=(0, 0))[1]


def check_level(server, metric, series, at_s):
    """Shown while there is a change in the time that stale_after says."""
    found = asked(server, metric, at_s, 1)
    want = {k: level_at(changes, at_s * 1000) for k, changes in series.items()}
    shown = {k: v for k, v in want.items() if k in found}
    assert found == shown, (metric, at_s, found, want)
    missing = {k for k in want if k not in found and any(at_s - 3600 < t / 1000 <= at_s for t, _ in series[k])}
    assert not missing, (metric, at_s, missing)
    return len(found)


def check_gauge(server, metric, series, from_s, to_s):
    """All columns of its cells: the readings of (from, to], and the last one at the end."""
    span = "(%s[%ds])" % (metric, to_s - from_s)
    inside = {k: [r for r in readings if from_s * 1000 < r[0] <= to_s * 1000] for k, readings in series.items()}
    inside = {k: readings for k, readings in inside.items() if readings}
    for name, of in (("min", lambda r: min(v for _, v in r)), ("max", lambda r: max(v for _, v in r)),
                     ("sum", lambda r: sum(v for _, v in r)), ("count", lambda r: MILLION * len(r)),
                     ("last", lambda r: reading_at(r, to_s * 1000))):
        found = asked(server, name + "_over_time" + span, to_s, MILLION)
        want = {k: of(readings) for k, readings in inside.items()}
        assert found == want, (metric, name, [(k, found.get(k), v) for k, v in want.items() if found.get(k) != v][:5])
    return len(inside)


def check(server, truth, begin_s, end_s):
    """Every metric over all of the time, levels and gauges at some moments of it; times divide by a window. Returns
    the names of the metrics that it has seen something of."""
    span, seen = "[%ds]" % (end_s - begin_s), set()
    for metric, want in truth.counters.items():
        scale = MILLION if metric == "order_amount_total" else 1
        found = asked(server, "increase(%s%s)" % (metric, span), end_s, scale)
        assert without_zeros(found) == without_zeros(want), (metric, found, want)
        seen.add(metric)
    for metric, want in truth.histograms.items():
        for i, part in enumerate(("count", "sum")):
            found = asked(server, "histogram_%s(increase(%s%s))" % (part, metric, span), end_s, (1, MILLION)[i])
            counts = {k: v[i] for k, v in want.items()}
            assert found == counts, (metric, part, found, counts)
        seen.add(metric)
    for metric, series in truth.levels.items():
        for at_s in range(begin_s + 3600, begin_s + 11 * 3600, 4000):
            if check_level(server, metric, series, at_s):
                seen.add(metric)
    for metric, series in truth.gauges.items():
        for from_s, to_s in ((begin_s, end_s), (begin_s + 7200, begin_s + 10800)):
            if check_gauge(server, metric, series, from_s, to_s):
                seen.add(metric)
    return seen
