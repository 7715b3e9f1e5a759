#!/usr/bin/env python3
"""Events that must not count: for each reason of refusal what it is said of, one event at a time; nesting
without end, bombs of schemas and of zlib, a registry that answers anything. Each is counted once, for
its reason alone, and the server goes on as before.
"""
import json
import os
import tempfile
import time
import zlib

from exactly_once_events import avro_long, avro_text
from lib import DATA, Broker, Larder, Producer, Tap, free_port
from registry_stub import Registry

CONFIG = os.path.join(DATA, "bad_events.yml")
NOW_MS = 1700000000000
HOUR_MS = 3600 * 1000
REASONS = ["malformed", "schema", "missing", "type", "range", "not_allowed", "late", "ahead"]
GOOD = {"id": "e0", "at": NOW_MS, "market": "m"}


def plain(**changes):
    return json.dumps({k: v for k, v in dict(GOOD, **changes).items() if v != "absent"})


def raw(text):
    """The text as a value of a further field."""
    return plain(x="HERE").replace('"HERE"', text)


def nested(depth):
    return raw("[" * depth + "]" * depth)


# Text of one event, and why it is refused; None: it is not.
PLAIN = [
    (plain(), None), (plain(n=100, amount=-5, kind="b", flag=False), None), (plain(n="absent", flag=None), None),
    (plain(at="2023-11-14T22:13:20Z"), None), (plain(at=NOW_MS - 24 * HOUR_MS), None),
    (plain(at=NOW_MS + 5 * 60000), None), (plain(market="x" * 1024), None), (plain(n=3.0), None),
    (plain(amount=0.005), None), (nested(31), None), (raw("1e999"), None), (raw('"\\ud83d\\ude00"'), None),
    ("", "malformed"), (" ", "malformed"), ("{", "malformed"), (plain() + "x", "malformed"),
    (plain() + plain(), "malformed"), ("[]", "malformed"), ("null", "malformed"), ('"text"', "malformed"),
    (raw("01"), "malformed"), (raw("1."), "malformed"), (raw(".5"), "malformed"), (raw("+1"), "malformed"),
    (raw("NaN"), "malformed"), (raw("tru"), "malformed"), (raw("'x'"), "malformed"), (raw('"\\x41"'), "malformed"),
    (raw('"\\ud83d"'), "malformed"), (raw("[1,]"), "malformed"), (raw('{"a":}'), "malformed"),
    (raw('"\t"'), "malformed"), (plain().replace('"id"', '"at": 1, "id"'), "malformed"),
    (b'{"id": "\xff"}', "malformed"), (b'{"id": "\xed\xa0\x80"}', "malformed"), (b"\x00" * 64, "malformed"),
    (nested(32), "malformed"), (nested(450000), "malformed"), ("[" * 500000, "malformed"),
    ('{"a":' * 100000, "malformed"), (plain(x="y" * 900000), None),
    (plain(id="absent"), "missing"), (plain(id=None), "missing"), (plain(at="absent"), "missing"),
    (plain(market=None), "missing"), ("{}", "missing"),
    (plain(id=5), "type"), (plain(market=["m"]), "type"), (plain(at="yesterday"), "type"),
    (plain(at="2023-02-29T00:00:00Z"), "type"), (plain(at=0.5), "type"), (plain(at=True), "type"),
    (plain(n="5"), "type"), (plain(n=1.5), "type"), (plain(amount="1"), "type"), (plain(amount={}), "type"),
    (plain(flag=1), "type"), (plain(flag="true"), "type"), (plain(kind=1), "type"),
    (plain(n=101), "range"), (plain(n=-1), "range"), (plain(n=10**30), "range"), (plain(amount=-5.01), "range"),
    (plain(amount=1e18), "range"), (plain(market="x" * 1025), "range"), (plain(at=10**17), "range"),
    (plain(kind="c"), "not_allowed"), (plain(kind=""), "not_allowed"), (plain(kind="A"), "not_allowed"),
    (plain(at=NOW_MS - 24 * HOUR_MS - 1), "late"), (plain(at=0), "late"),
    (plain(at=NOW_MS + 5 * 60000 + 1), "ahead"), (plain(at="2323-11-14T22:13:20Z"), "ahead"),
    # Of several the first reason of all, whatever comes first in the event.
    (plain(market=5, id=None), "missing"), (plain(n=101, kind=5), "type"), (plain(kind="c", n=101), "range"),
    (plain(kind="c", at=0), "not_allowed"), (plain(id=None) + "x", "malformed"),
]

SCHEMA = {"type": "record", "name": "E", "fields": [
    {"name": "id", "type": "string"}, {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "kind", "type": "string"}, {"name": "n", "type": ["null", "long", "string"]}]}


def message(schema, event_id="e0", at=NOW_MS, kind="a", n=avro_long(0)):
    return b"\0" + schema.to_bytes(4, "big") + avro_text(event_id) + avro_long(at) + avro_text(kind) + n


def record(name, *fields):
    return {"type": "record", "name": name, "fields": [{"name": "f%d" % i, "type": t} for i, t in enumerate(fields)]}


def many_pairs():
    """Each record holds the next one twice: 2^60 values, were they written out."""
    inner = record("R0", "int")
    for i in range(1, 60):
        inner = record("R%d" % i, inner, "R%d" % (i - 1))
    return dict(SCHEMA, fields=SCHEMA["fields"] + [{"name": "x", "type": inner}])


def deep_type(depth):
    return '{"type": "array", "items": ' * depth + '"int"' + "}" * depth


WITHOUT_END = 24  # a record in itself: a fine schema, of which no message can be
BOMBS = {
    20: json.dumps({"type": "record", "name": "E", "fields": [
        {"name": "id", "type": "string"}, {"name": "x", "type": "HERE"}]}).replace('"HERE"', deep_type(5000)),
    21: deep_type(30000),
    22: json.dumps({"type": "record", "name": "E", "fields": [{"name": "f%d" % i, "type": "int"}
                                                              for i in range(40000)]}),
    23: json.dumps({"type": "enum", "name": "E", "symbols": ["s%d" % i for i in range(200000)]}),
    WITHOUT_END: '{"type": "record", "name": "E", "fields": [{"name": "me", "type": "E"}]}',
    25: '"E"', 26: "[]", 27: "{", 28: "", 29: '{"type": {"type": {"type": "int"}}}',
    30: '{"type": "fixed", "name": "F", "size": 99999999999}', 31: '["int", "int"]', 32: "[" * 100000,
}


def counters(server, stream):
    values = server.metrics()
    found = {r: values.get('larder_events_refused_total{stream="%s",reason="%s"}' % (stream, r), 0) for r in REASONS}
    for name in ("accepted", "duplicate", "conflict"):
        found[name] = values.get('larder_events_%s_total{stream="%s"}' % (name, stream), 0)
    return found


class Bench:
    """Sends events one after the other and sees what is counted."""

    def __init__(self, server, producer, stream):
        self.server, self.producer, self.stream, self.n = server, producer, stream, 0

    def one(self, payload):
        """What was counted of the event, as a dictionary."""
        before, taken = counters(self.server, self.stream), self.server.events_taken()
        self.producer.send([(self.stream, 0, NOW_MS, "k", payload)])
        self.producer.flush()
        self.server.wait_events(taken + 1)
        after = counters(self.server, self.stream)
        return {k: after[k] - before[k] for k in after if after[k] != before[k]}

    def fresh(self, payload):
        """With an id of its own where it has the good one's."""
        self.n += 1
        payload = payload if isinstance(payload, bytes) else payload.encode()
        return payload.replace(b'"id": "e0"', b'"id": "f%d"' % self.n)


def rss_mib(server):
    with open("/proc/%d/status" % server.process.pid, encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024


def check_plain(tap, bench):
    for reason in [None] + REASONS:
        events = [payload for payload, why in PLAIN if why == reason]
        if not events:  # JSON has no schemas
            assert reason == "schema"
            continue
        with tap.case("%d events of JSON are %s" % (len(events), "refused: " + reason if reason else "accepted")):
            for payload in events:
                got = bench.one(bench.fresh(payload))
                assert got == {reason or "accepted": 1}, "%r: counted as %s" % (payload[:200], got)


def check_avro(tap, bench, registry):
    registry.schemas = {1: json.dumps(SCHEMA), 2: json.dumps(many_pairs()), **BOMBS}
    cases = [(message(1, "a1"), "accepted"), (message(1, "a1"), "duplicate"), (message(1, "a1", kind="b"), "conflict"),
             (message(1, "a2", n=avro_long(1) + avro_long(5)), "accepted"),
             (message(1, "a3") + b"x", "malformed"), (message(1, "a3")[:-1], "malformed"),
             (message(1, "a3", n=avro_long(7)), "malformed"), (message(1, "a3", n=avro_long(-1)), "malformed"),
             (message(1, "a3", n=b"\x80" * 11), "malformed"), (b"", "malformed"), (b"\0", "malformed"),
             (b"\x01" + message(1)[1:], "malformed"), (message(1)[:5] + avro_long(-5), "malformed"),
             (message(1)[:5] + avro_long(2**40) + b"x", "malformed"), (message(1)[:5] + b"\x04\xff\xff", "malformed"),
             (message(2, "a4")[:-1], "malformed"),
             (message(1, "a5", n=avro_long(2) + avro_text("5")), "type"),
             (message(1, "a5", n=avro_long(1) + avro_long(101)), "range"), (message(1, "a5", at=2**62), "range"),
             (message(1, "a5", kind="c"), "not_allowed"), (message(1, "a5", at=0), "late"),
             (message(1, "a5", at=NOW_MS + HOUR_MS), "ahead"), (message(99, "a6"), "schema")]
    with tap.case("%d messages of Avro, each for its reason" % len(cases)):
        for payload, reason in cases:
            got = bench.one(payload)
            assert got == {reason: 1}, "%r: counted as %s, not %s" % (payload[:100], got, reason)
    with tap.case("%d schemas that are bombs, or none: refused, in little time and memory" % len(BOMBS)):
        for number, text in BOMBS.items():
            before, begin = rss_mib(bench.server), time.monotonic()
            got = bench.one(message(number))
            want = "malformed" if number == WITHOUT_END else "schema"
            assert got == {want: 1}, "%d, %s: counted as %s" % (number, text[:60], got)
            assert time.monotonic() - begin < 15, "%s took %d s" % (text[:60], time.monotonic() - begin)
            assert rss_mib(bench.server) - before < 200, "%s: %d MiB more" % (text[:60], rss_mib(bench.server) - before)


def check_registry(tap, bench, registry):
    answers = ["", "nonsense", "[]", "5", '{"schema": null}', '{"schema": ["int"]}', '{"schema": 1}', '{"schem": ""}',
               "[" * 100000, "\xff\xfe", '{"schema": "\\"int\\"", "references": 5}x']
    with tap.case("a registry that answers anything: its schemas are waited for, others go on"):
        for i, text in enumerate(answers):
            registry.mode, registry.text = "raw", text
            taken = bench.server.events_taken()
            bench.producer.send([("binary", 1, NOW_MS, "k", message(200 + i, "r%d" % i))])
            bench.producer.send([("binary", 0, NOW_MS, "k", message(1, "g%d" % i))])
            bench.producer.flush()
            bench.server.wait_events(taken + 1)
            time.sleep(0.2)
            assert bench.server.events_taken() == taken + 1, "%r was taken for a schema" % text[:60]
            assert bench.server.process.poll() is None, bench.server.log()[-3000:]
            registry.schemas[200 + i] = json.dumps(SCHEMA)
            registry.mode = "ok"
            bench.server.wait_events(taken + 2)
    with tap.case("an answer that is too large, each time it is asked for, is no schema: schema"):
        before = counters(bench.server, "binary")["schema"]
        registry.mode, registry.text = "raw", '{"schema": "%s' % ("x" * (6 << 20))
        taken = bench.server.events_taken()
        bench.producer.send([("binary", 1, NOW_MS, "k", message(300, "large"))])
        bench.producer.send([("binary", 1, NOW_MS, "k", message(1, "behind"))])
        bench.producer.flush()
        bench.server.wait_events(taken + 2)
        registry.mode = "ok"
        assert counters(bench.server, "binary")["schema"] == before + 1


def check_zlib(tap, broker):
    """A gigabyte of zeros, and what is no zlib. No schema is needed to see that."""
    bomb = zlib.compress(bytes(1 << 30), 1)[:900000]
    small = zlib.compress(bytes((1 << 20) + 1))
    sets = ["kafka.brokers=" + broker.bootstrap, "registry.type=glue", "registry.region=eu-west-1",
            "registry.access_key=a", "registry.secret_key=b", "registry.url=http://127.0.0.1:%d" % free_port(),
            "streams.binary.topics=[bombs]", "streams.plain.topics=[none]"]
    folder = os.path.join(tempfile.mkdtemp(prefix="bad-events-"), "data")
    with Larder(CONFIG, folder, sets) as server, Producer(broker.bootstrap, binary=True) as producer:
        server.start()
        before = rss_mib(server)
        with tap.case("bombs of zlib are refused: malformed"):
            head = b"\x03\x05" + bytes(16)
            for payload in (head + bomb, head + small, head + b"no zlib", head, b"\x03\x07" + bytes(16) + small, b"\x03"):
                taken = server.events_taken()
                producer.send([("bombs", 0, NOW_MS, "k", payload)])
                producer.flush()
                server.wait_events(taken + 1)
            assert counters(server, "binary")["malformed"] == 6, counters(server, "binary")
            assert rss_mib(server) - before < 100, "%d MiB more" % (rss_mib(server) - before)
        assert server.stop() == 0


def main():
    tap = Tap()
    folder = os.path.join(tempfile.mkdtemp(prefix="bad-events-"), "data")
    with Broker(plain=1, binary=2, bombs=1, none=1) as broker, Registry() as registry:
        sets = ["kafka.brokers=" + broker.bootstrap, "registry.url=" + registry.url]
        with Larder(CONFIG, folder, sets) as server, Producer(broker.bootstrap, binary=True) as producer:
            server.start()
            check_plain(tap, Bench(server, producer, "plain"))
            check_avro(tap, Bench(server, producer, "binary"), registry)
            check_registry(tap, Bench(server, producer, "binary"), registry)
            with tap.case("a message without a value is counted by itself"):
                producer.send([("plain", 0, NOW_MS, "k", None)])
                producer.flush()
                producer.send([("plain", 0, NOW_MS, "k", plain(id="last").encode())])
                taken = server.events_taken()
                producer.flush()
                server.wait_events(taken + 1)
                assert server.metric_sum('larder_tombstones_total{stream="plain"}') == 1
            assert server.stop() == 0
        check_zlib(tap, broker)
    tap.end()


if __name__ == "__main__":
    main()
