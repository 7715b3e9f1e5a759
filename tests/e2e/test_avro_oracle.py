#!/usr/bin/env python3
"""Our Avro resolver against another (fastavro): random readers, writers that are older or newer versions
of them, and messages that the other one has encoded. Both must agree on which messages there are, and on
each value.

    LARDER_SEED     of all of it
    LARDER_PAIRS    how many pairs of schemas (4000)

What is Avro's comes from fastavro, on schemas without logical types. What a value of Avro means for a
field of a contract, logical types among it, is said here once more, in exact arithmetic.
"""
import decimal
import fractions
import io
import json
import math
import os
import random
import struct
import subprocess
import uuid

from exactly_once_events import avro_bytes, avro_long, avro_text
from lib import Tap, helper, own_python

SEED = int(os.environ.get("LARDER_SEED", "1"))
PAIRS = int(os.environ.get("LARDER_PAIRS", "4000"))
MESSAGES = 5
FIELDS = {"s0": "string", "s1": "string", "n0": "int", "n1": "int", "d0": "decimal", "d1": "decimal",
          "t0": "time", "t1": "time", "b0": "bool", "at": "time"}
DIGITS = {"d0": 3, "d1": 0}
NUMBERS = ["int", "long", "float", "double"]
REASONS = ["missing", "type", "range"]
TIMES = {"date": (86400000, 1), "timestamp-millis": (1, 1), "timestamp-micros": (1, 1000),
         "timestamp-nanos": (1, 1000000), "local-timestamp-millis": (1, 1), "local-timestamp-micros": (1, 1000)}
TIME_MIN, TIME_MAX = -62167219200000, 253402300799999


# ---- random schemas ----

class Schemas:
    """A reader's record, and a writer's that was made from it by changes that may or may not resolve."""

    def __init__(self, rng):
        self.rng, self.n = rng, 0

    def name(self, kind):
        self.n += 1
        return "%s%d" % (kind, self.n)

    def simple(self, hint=None):
        r = self.rng
        kinds = {"string": ["string", "string", "bytes", "enum", "fixed", "uuid", "uuid16"],
                 "int": NUMBERS + ["decimal"], "decimal": NUMBERS + ["decimal", "decimal"],
                 "time": ["long", "string", "date", "timestamp-millis", "timestamp-micros", "timestamp-nanos",
                          "local-timestamp-micros", "double"],
                 "bool": ["boolean"]}
        anything = ["null", "boolean", *NUMBERS, "string", "bytes", "enum", "fixed", "decimal", "timestamp-millis"]
        kind = r.choice(kinds[hint] if hint and r.random() < 0.985 else anything)
        if kind == "enum":
            out = {"type": "enum", "name": self.name("E"), "symbols": r.sample("abcdefgh", r.randrange(1, 6))}
            if r.random() < 0.4:
                out["default"] = r.choice(out["symbols"])
            return out
        if kind == "fixed":
            return {"type": "fixed", "name": self.name("X"), "size": r.randrange(0, 6)}
        if kind == "uuid":
            return {"type": "string", "logicalType": "uuid"}
        if kind == "uuid16":
            return {"type": "fixed", "name": self.name("X"), "size": 16, "logicalType": "uuid"}
        if kind == "decimal":
            precision = r.randrange(1, 25)
            out = {"type": "bytes", "logicalType": "decimal", "precision": precision,
                   "scale": r.randrange(0, precision + 1)}
            if r.random() < 0.4:
                out.update(type="fixed", name=self.name("X"), size=12)
            return out
        if kind in TIMES:
            return {"type": "int" if kind == "date" else "long", "logicalType": kind}
        return kind

    def type(self, hint=None, depth=0):
        r = self.rng
        chance = r.random()
        if chance < 0.2 and depth < 3:
            return self.union(hint, depth)
        if chance < 0.3 and depth < 3 and (hint is None or r.random() < 0.3):
            kind = r.choice(["array", "map", "record"])
            if kind == "record":
                return self.record(r.randrange(0, 4), depth + 1)
            return {"type": kind, "items" if kind == "array" else "values": self.type(None, depth + 1)}
        return self.simple(hint)

    def union(self, hint, depth):
        """Numbers from narrow to wide, so that the first that fits is the nearest; one of each kind."""
        r, kinds, out = self.rng, {}, []
        for _ in range(r.randrange(1, 5)):
            branch = self.type(hint, depth + 1)
            if not isinstance(branch, list):
                kinds.setdefault(union_kind(branch), branch)
        if r.random() < 0.6 or not kinds:
            kinds.setdefault("null", "null")
        out = list(kinds.values())
        r.shuffle(out)
        numbers = sorted((b for b in out if base(b) in NUMBERS), key=lambda b: NUMBERS.index(base(b)))
        return [numbers.pop(0) if base(b) in NUMBERS else b for b in out]

    def record(self, n, depth):
        fields = [{"name": "f%d" % i, "type": self.type(None, depth)} for i in range(n)]
        return {"type": "record", "name": self.name("R"), "fields": [self.with_default(f) for f in fields]}

    def with_default(self, field):
        if self.rng.random() < 0.5:
            field["default"] = default_of(self.rng, field["type"])
        return field

    def reader(self):
        fields = []
        for name, hint in FIELDS.items():
            if name == "at":
                fields.append({"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}})
            elif self.rng.random() < 0.7:
                fields.append(self.with_default({"name": name, "type": self.type(hint)}))
        for i in range(self.rng.randrange(0, 4)):
            fields.append(self.with_default({"name": "x%d" % i, "type": self.type()}))
        self.rng.shuffle(fields)
        return {"type": "record", "name": "Event", "fields": fields}

    # -- the writer --

    def narrower(self, kind):
        r = self.rng
        if kind in NUMBERS:
            return r.choice(NUMBERS[:NUMBERS.index(kind) + 1])
        return {"string": "bytes", "bytes": "string"}.get(kind, kind)

    def older(self, schema, wild):
        """A schema whose values should become those of this one; or, where it is wild, perhaps not."""
        r = self.rng
        if r.random() < wild * 0.1:
            return bare(self.type())
        if isinstance(schema, list):
            if r.random() < 0.4:
                return self.older(r.choice(schema), wild)
            branches = {}
            for b in r.sample(schema, r.randrange(1, len(schema) + 1)):
                b = self.older(b, wild)
                if not isinstance(b, list):
                    branches.setdefault(union_kind(b), b)
            if r.random() < wild * 0.3:
                extra = bare(self.simple())
                branches.setdefault(union_kind(extra), extra)
            return list(branches.values()) or schema
        if r.random() < 0.1:
            inner = self.older(schema, wild)
            if isinstance(inner, list) or union_kind(inner) == "null":
                return inner
            return r.choice([[inner], [inner, "null"], ["null", inner]] if wild else [[inner]])
        if isinstance(schema, str):
            return self.narrower(schema) if r.random() < 0.4 else schema
        return self.older_named(schema, dict(schema), wild)

    def older_named(self, reader, schema, wild):
        r, kind = self.rng, schema["type"]
        if kind in ("array", "map"):
            items = "items" if kind == "array" else "values"
            schema[items] = self.older(schema[items], wild)
        elif kind == "record":
            schema["fields"] = self.older_fields(schema["fields"], wild)
        elif kind == "enum":
            if r.random() < 0.4:
                schema["symbols"] = schema["symbols"] + [s for s in "xyz" if r.random() < 0.3]
                r.shuffle(schema["symbols"])
        elif kind == "fixed" and "logicalType" not in schema and r.random() < wild * 0.2:
            schema["size"] += 1
        elif "logicalType" in schema and "name" not in schema and r.random() < 0.2:
            return self.narrower(kind) if kind != "bytes" else "bytes"
        if "name" in schema and r.random() < 0.15 and schema["name"] != "Event":
            apart = r.random() < 0.5 and kind != "record"  # a namespace would reach what is inside
            schema["name"] = "other." + schema["name"] if apart else self.name("N")
            if r.random() < 0.8 or not wild:
                reader.setdefault("aliases", []).append(schema["name"])
            schema.pop("aliases", None)
        return schema

    def older_fields(self, fields, wild):
        r, out = self.rng, []
        for f in fields:
            if f["name"] != "at" and r.random() < (0.2 if "default" in f else wild * 0.1):
                continue
            field = {"name": f["name"], "type": f["type"] if f["name"] == "at" else self.older(f["type"], wild)}
            if r.random() < 0.15:  # the reader knows it by its old name, or does not
                field["name"] = "old_" + f["name"]
                if r.random() < 0.9:
                    f["aliases"] = [field["name"]]
            out.append(field)
        for i in range(r.randrange(0, 3)):
            out.append({"name": "gone%d" % i, "type": self.type(None, 2)})
        r.shuffle(out)
        return out

    def writer(self, reader, wild):
        return dict(reader, fields=self.older_fields(reader["fields"], wild))


def base(schema):
    """The type without what is said about it."""
    return schema if isinstance(schema, str) else schema["type"]


def union_kind(schema):
    """What may be in a union once. Of string and bytes one: the other one takes the first that fits, we the
    same type before one that it becomes."""
    kind = base(schema)
    return "text" if kind in ("bytes", "string") else kind if kind in ("null", "boolean", *NUMBERS) else \
        kind + schema.get("name", "")


def default_of(rng, schema):
    """A default, as JSON."""
    if isinstance(schema, list):
        return default_of(rng, schema[0])
    kind = base(schema)
    if kind == "record":
        return {f["name"]: default_of(rng, f["type"]) for f in schema["fields"]}
    if kind in ("array", "map"):
        return [] if kind == "array" else {}
    if kind == "enum":
        return rng.choice(schema["symbols"])
    if kind == "fixed":
        return "".join(chr(rng.randrange(0, 128)) for _ in range(schema["size"]))
    return {"null": None, "boolean": True, "int": rng.randrange(-5, 2000), "long": rng.randrange(-5, 10**12),
            "float": 0.5, "double": rng.randrange(-8000, 8000) / 8, "bytes": "\u0007%d" % rng.randrange(10),
            "string": "d%d" % rng.randrange(10)}[kind]


def bare(schema):
    """Without logical types: what fastavro gets."""
    if isinstance(schema, list):
        return [bare(b) for b in schema]
    if isinstance(schema, str):
        return schema
    out = {k: v for k, v in schema.items() if k not in ("logicalType", "precision", "scale")}
    if out["type"] == "record":
        out["fields"] = [dict(f, type=bare(f["type"])) for f in out["fields"]]
    for items in ("items", "values"):
        if items in out:
            out[items] = bare(out[items])
    return out if len(out) > 1 else out["type"]


# ---- random values ----

def value_of(rng, schema):
    """Of a union: the number of its branch, and a value of that."""
    if isinstance(schema, list):
        branch = rng.randrange(len(schema))
        return branch, value_of(rng, schema[branch])
    kind = base(schema)
    if kind == "record":
        return {f["name"]: value_of(rng, f["type"]) for f in schema["fields"]}
    if kind == "array":
        return [value_of(rng, schema["items"]) for _ in range(rng.randrange(1, 4))]
    if kind == "map":
        return {"k%d" % i: value_of(rng, schema["values"]) for i in range(rng.randrange(1, 3))}
    if kind == "enum":
        return rng.choice(schema["symbols"])
    if kind in ("fixed", "bytes"):
        letters = b"\x00\x01\x7f\xc3\xff" if rng.random() < 0.2 or "logicalType" in schema else b"abcdef"
        return bytes(rng.choice(letters) for _ in range(schema["size"] if kind == "fixed" else rng.randrange(0, 10)))
    if kind == "string":
        return rng.choice(["", "a", "caf\u00e9", "2023-11-15T10:00:00Z", "2023-11-15T10:00:00.123456+01:00",
                           "no time", "x" * rng.choice([3, 1024, 1025]), str(uuid.UUID(int=rng.getrandbits(128)))])
    if kind == "int":
        return rng.choice([0, 1, -1, 2**31 - 1, -2**31, rng.randrange(-10**6, 10**6)])
    if kind == "long":
        return rng.choice([0, 1, -1, 2**63 - 1, -2**63, 2**53 + 1, rng.randrange(0, 2 * 10**12),
                           rng.randrange(-10**17, 10**17)])
    if kind == "float":
        return struct.unpack("<f", struct.pack("<f", rng.choice([0.0, 0.5, -2.5, 3.0, 1e30, rng.uniform(-9, 9)])))[0]
    if kind == "double":
        return rng.choice([0.0, -0.0, 0.0005, 0.0015, 1e300, math.inf, math.nan, 12345.0, rng.uniform(-1e6, 1e6),
                           float(rng.randrange(-10**15, 10**15)), rng.randrange(-10**6, 10**6) / 16])
    return {"null": None, "boolean": rng.random() < 0.5}[kind]


def encode(schema, value):
    if isinstance(schema, list):
        return avro_long(value[0]) + encode(schema[value[0]], value[1])
    kind = base(schema)
    if kind == "record":
        return b"".join(encode(f["type"], value[f["name"]]) for f in schema["fields"])
    if kind == "array":
        return avro_long(len(value)) + b"".join(encode(schema["items"], v) for v in value) + b"\0"
    if kind == "map":
        return avro_long(len(value)) + b"".join(avro_text(k) + encode(schema["values"], v)
                                                for k, v in value.items()) + b"\0"
    if kind == "enum":
        return avro_long(schema["symbols"].index(value))
    if kind == "string":
        return avro_text(value)
    if kind == "bytes":
        return avro_bytes(value)
    if kind == "float":
        return struct.pack("<f", value)
    if kind == "double":
        return struct.pack("<d", value)
    return {"null": lambda v: b"", "boolean": lambda v: bytes([v]), "fixed": lambda v: v}.get(kind, avro_long)(value)


# ---- what a value means ----

class Why(Exception):
    pass


def scaled(number, digits):
    """Half to even; the value and whether nothing was rounded."""
    exact = fractions.Fraction(number) * 10**digits
    out = round(exact)
    if not -2**63 <= out < 2**63:
        raise Why("range")
    return out, out == exact


def meaning_of(field, schemas, value, written):
    """The value of the contract's field. schemas: the writer's and the reader's type of it, of no union.
    written: the value before it was promoted."""
    kind = FIELDS[field]
    known = [s for s in schemas if isinstance(s, dict) and "logicalType" in s]
    logical = known[0] if known else {}
    word = logical.get("logicalType")
    if isinstance(value, bool) or kind == "bool":
        if isinstance(value, bool) and kind == "bool":
            return int(value)
        raise Why("type")
    if isinstance(value, (dict, list)):
        raise Why("type")
    if kind == "string":
        return text_meaning(value, word, schemas)
    if kind == "time" and any(base(s) == "string" for s in schemas):
        return time_text(value)
    if kind == "time" and (isinstance(value, (bytes, str))):
        raise Why("type")
    if kind == "time" and word in TIMES and word != "timestamp-millis":
        value = written
    return number_meaning(field, kind, value, logical)


def text_meaning(value, word, schemas):
    if isinstance(value, (int, float)) or word == "decimal":
        raise Why("type")
    if word == "uuid" and all(base(s) == "fixed" for s in schemas):
        return str(uuid.UUID(bytes=value))
    raw = value if isinstance(value, bytes) else value.encode()
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Why("type") from None
    if len(raw) > 1024:
        raise Why("range")
    return text


def time_text(value):
    raw = value if isinstance(value, bytes) else str(value).encode()
    known = {b"2023-11-15T10:00:00Z": 1700042400000, b"2023-11-15T10:00:00.123456+01:00": 1700038800123}
    if raw not in known:
        raise Why("type")
    return known[raw]


def number_meaning(field, kind, value, logical):
    word = logical.get("logicalType")
    if word == "decimal" and isinstance(value, (bytes, str)):
        raw = value if isinstance(value, bytes) else value.encode()
        number = fractions.Fraction(int.from_bytes(raw, "big", signed=True), 10**logical["scale"])
    elif isinstance(value, (bytes, str)):
        raise Why("type")
    elif isinstance(value, float) and not math.isfinite(value):
        raise Why("range")
    else:
        number = fractions.Fraction(value)
    if kind == "time" and word in TIMES and word != "timestamp-millis":
        times, over = TIMES[word]
        number = math.floor(number * times / over) if number.denominator == 1 else number
    out, exact = scaled(number, DIGITS.get(field, 0))
    if kind != "decimal" and not exact:
        raise Why("type")
    if kind == "time" and not TIME_MIN <= out <= TIME_MAX:
        raise Why("range")
    return out


# ---- the other one's answer ----

def chosen(schema, value):
    return (schema[value[0]], value[1]) if isinstance(schema, list) else (schema, value)


def branch_for(writer, reader):
    if not isinstance(reader, list):
        return reader
    nothing = {"writer": {}, "reader": {}}
    return next(b for b in reader if match_types(bare(writer), bare(b), nothing))


def of_default(schema, value):
    """The default's type, and its value as a message would have it."""
    schema = schema[0] if isinstance(schema, list) else schema
    return schema, value.encode("latin-1") if base(schema) in ("bytes", "fixed") else value


def field_meaning(name, w_field, r_field, written, found):
    """None: there is no value."""
    if w_field is None:
        reader, value = of_default(r_field["type"], r_field["default"])
        writer, raw = reader, value
    else:
        writer, raw = chosen(w_field["type"], written[w_field["name"]])
        reader, value = branch_for(writer, r_field["type"]), found
    if value is None:
        return None
    if base(reader) == "float" and isinstance(value, float) and math.isfinite(value):
        value = struct.unpack("<f", struct.pack("<f", value))[0]
    return meaning_of(name, (writer, reader), value, raw)


def expected(writer, reader, written, record):
    """The event, or the reason why there is none."""
    fields, reasons = {}, set()
    by_name = {f["name"]: f for f in writer["fields"]}
    for r_field in reader["fields"]:
        name = r_field["name"]
        if name not in FIELDS:
            continue
        w_field = next((by_name[n] for n in [name, *r_field.get("aliases", [])] if n in by_name), None)
        try:
            value = field_meaning(name, w_field, r_field, written, record[name])
        except Why as why:
            reasons.add(str(why))
            continue
        if value is not None:
            fields[name] = value
    if "malformed" in reasons:
        return "malformed"
    return min(reasons, key=REASONS.index) if reasons else fields


class Pair:
    def __init__(self, rng):
        schemas = Schemas(rng)
        self.reader = schemas.reader()
        self.writer = schemas.writer(self.reader, rng.choice([0, 0, 1]))
        self.values = [value_of(rng, self.writer) for _ in range(MESSAGES)]
        for value in self.values:
            value["at"] = 1700000000000
        self.messages = [encode(self.writer, v) for v in self.values]
        self.cut = rng.randrange(len(self.messages[0]))

    def line(self):
        broken = [self.messages[0] + b"\0", self.messages[0][:self.cut]]
        return "\t".join([json.dumps(self.writer), json.dumps(self.reader)] +
                         [m.hex() for m in self.messages + broken])

    def wanted(self):
        """For each message the event, the reason of its refusal, or None: the other one cannot say."""
        writer, reader = parse_schema(bare(self.writer)), parse_schema(bare(self.reader))
        for value, message in zip(self.values, self.messages):
            stream = io.BytesIO(message)
            try:
                record = schemaless_reader(stream, writer, reader)
            except SchemaResolutionError:
                yield "schema"
                continue
            except UnicodeDecodeError:
                yield None
                continue
            assert stream.read() == b"", "the other one has left something"
            yield expected(self.writer, self.reader, value, record)


class Comparison:
    def __init__(self):
        self.kinds = {}

    def count(self, kind):
        self.kinds[kind] = self.kinds.get(kind, 0) + 1

    def compare(self, pair, got):
        """A text when they differ."""
        want = list(pair.wanted())
        if isinstance(got, str):
            self.count("pairs that do not resolve")
            if all(w in ("schema", None) for w in want):
                return None
            return "ours does not resolve: %s; the other one says %s" % (got, want)
        self.count("pairs that resolve")
        for message, ours, theirs in zip(pair.messages, got, want):
            self.count("messages: " + (theirs if isinstance(theirs, str) else "events" if theirs else "unknown"))
            if theirs is not None and ours != theirs and not (theirs == "schema" and ours == "malformed"):
                return "%s: ours %s, the other one's %s" % (message.hex(), ours, theirs)
        if got[MESSAGES:] != ["malformed", "malformed"]:
            return "a byte more, and some less: %s" % got[MESSAGES:]
        return None


def main():
    tap, rng = Tap(), random.Random("avro %d" % SEED)
    comparison, wrong = Comparison(), []
    ours = subprocess.Popen([helper("avro_event")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for _ in range(PAIRS):
        pair = Pair(rng)
        ours.stdin.write(pair.line() + "\n")
        ours.stdin.flush()
        answer = ours.stdout.readline()
        problem = comparison.compare(pair, json.loads(answer)) if answer else "the helper has ended"
        if problem:
            wrong.append("%s\n  writer %s\n  reader %s" % (problem, json.dumps(pair.writer),
                                                          json.dumps(pair.reader)))
        if not answer:
            break
    with tap.case("%d pairs of schemas, %d messages of each: the same events, the same refusals" %
                  (PAIRS, MESSAGES)):
        print("# seed %d: %s" % (SEED, comparison.kinds))
        assert not wrong, "%d differ; first:\n%s" % (len(wrong), "\n".join(wrong[:5]))
    with tap.case("both sides of each question were seen"):
        for kind in ("pairs that do not resolve", "pairs that resolve", "messages: events", "messages: schema",
                     "messages: type", "messages: range"):
            assert comparison.kinds.get(kind, 0) >= PAIRS // 100, (kind, comparison.kinds)
    ours.stdin.close()
    ours.wait()
    tap.end()


try:
    from fastavro import parse_schema, schemaless_reader
    from fastavro._read_common import SchemaResolutionError
    from fastavro._read_py import match_types
except ImportError:
    if __name__ == "__main__":
        own_python()
    raise

if __name__ == "__main__":
    main()
