#!/usr/bin/env python3
"""`larder check events`: a contract tried on files of events, good and bad, without a broker."""
import json
import os
import subprocess
import tempfile
import uuid

from lib import DATA, LARDER, larder, run
from registry_stub import Registry

CONFIG = os.path.join(DATA, "letters.yml")
AT = 1700000000000


def order(**more):
    fields = {"id": str(uuid.uuid4()), "order_id": "o", "at": AT, "market": "berlin", "amount": 1}
    fields.update(more)
    return json.dumps({k: v for k, v in fields.items() if v is not None})


def check(lines, *args, stream="orders"):
    """Status, output and errors, of a file with these lines (texts or bytes)."""
    with tempfile.NamedTemporaryFile(suffix=".json") as f:
        f.write(b"".join((x.encode() if isinstance(x, str) else x) + b"\n" for x in lines))
        f.flush()
        status, out, err = larder("check", "events", "-c", CONFIG, "--stream", stream, *args, f.name)
        return status, out.replace(f.name, "FILE").splitlines(), err


def every_reason():
    good = order(id="first")
    bad = [
        (b"", None),
        (b"\xff\xfe{", "malformed"), (b"{} {}", "malformed"), (b"[1,2]", "malformed"),
        (b'{"market":"berlin",  "market":"paris"}', "malformed"),
        (b'{"x":' + b"[" * 100000, "malformed"),
        (b"y" * ((1 << 20) + 1), "malformed"),
        (order(market=None), "missing"), (order(at="noon"), "type"), (order(amount="12"), "type"),
        (order(amount=-1), "range"), (order(amount=10 ** 30), "range"), (order(id="i" * 1025), "range"),
        (order(market="rome"), "not_allowed"),
        (order(at=AT - 86400001), "late"), (order(at=AT + 300001), "ahead"),
        (good, None), (order(id="first", amount=2), "conflict"),
    ]
    status, out, err = check([good] + [line for line, _ in bad], "--at", "2023-11-14T22:13:20Z")
    assert status == 1 and not err, (status, err)
    told = [line.split(": ") for line in out[:-1]]
    want = [(n + 2, reason) for n, (_, reason) in enumerate(bad) if reason]
    assert [(int(t[0].split(":")[1]), t[1]) for t in told] == want, out
    columns = {t[0] for t in told}
    assert {"FILE:5:1", "FILE:6:22", "FILE:7:37"} <= columns, columns  # no object, twice, too deep
    assert "FILE:8: malformed: the message is larger than 1 MiB" in out
    assert any(line.endswith("its id is that of line 1 of FILE, with other content: the first one counts")
               for line in out)
    assert out[-1] == ("FILE: 18 events: 1 accepted, 1 duplicate, 1 in conflict, 15 refused (6 malformed, "
                       "1 missing, 2 type, 3 range, 1 not_allowed, 1 late, 1 ahead)"), out[-1]


def by_partition():
    """With arrival: partition early is told by the time, late by a partition that nobody knows here."""
    past = ["--set", "streams.orders.arrival=partition", "--at", "2023-11-14T22:13:20Z"]
    lines = [order(at=AT), order(at=AT - 400 * 86400000), order(at=AT + 300000), order(at=AT + 300001)]
    status, out, err = check(lines, *past)
    assert status == 1 and not err and out[0].startswith("FILE:4: ahead: "), (out, err)
    assert out[1] == "FILE: 4 events: 3 accepted, 1 refused (1 ahead)", out


def no_values():
    """Causes name fields and bounds, never what an event holds: it may be personal."""
    secret = "anna.virtanen@example.org"
    lines = [order(market=secret), order(amount=secret), order(at=secret), order(id=secret * 50),
             '{"%s": 1' % secret]
    status, out, err = check(lines)
    assert status == 1 and len(out) == 7 and secret not in "\n".join(out) + err, out


def good_files():
    status, out, err = check([order(), "", order(), "\r"], "--at", "2023-11-14T22:13:20Z")
    assert (status, out, err) == (0, ["FILE: 2 events: 2 accepted, 0 refused"], ""), (out, err)
    status, out, _ = check([])
    assert status == 0 and out[0] == "FILE: 0 events: 0 accepted, 0 refused"
    assert out[1] == "late and ahead were not judged: --at says against which time"


def as_json():
    status, out, _ = check([order(), order(market="rome")], "--json")
    rows = [json.loads(line) for line in out]
    assert status == 1 and rows[0]["line"] == 2 and rows[0]["reason"] == "not_allowed", rows
    assert rows[0]["file"] == "FILE" and rows[0]["column"] > 1 and "market" in rows[0]["cause"]
    assert rows[1]["events"] == 2 and rows[1]["accepted"] == 1
    assert rows[1]["refused"]["not_allowed"] == 1 and rows[1]["refused"]["late"] == 0
    status, out, _ = check([order(market="rome")], "--quiet")
    assert status == 1 and len(out) == 2, out


def several_files():
    """They are one stream: an id counts once. Standard input is one of them."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a.json")
        with open(path, "w", encoding="utf-8") as f:
            f.write(order(id="x") + "\n")
        status, out, _ = larder("check", "events", "-c", CONFIG, "--stream", "orders", path, "-",
                                stdin=order(id="x", amount=3) + "\n")
        assert status == 1 and out.startswith("-:1: conflict: its id is that of line 1 of " + path), out
        assert "total: 2 events: 1 accepted, 1 in conflict, 0 refused" in out


def keys():
    sets = ["--set", "streams.orders.fields.order_id={type: string, required: true, from: key}"]
    status, out, _ = check(["k1|" + order(), "k2|" + order(market="rome")], *sets, "-K", "|")
    assert status == 1 and out[0].startswith("FILE:2:") and "1 accepted" in out[1], out
    column = int(out[0].split(":")[2])
    assert ("k2|" + order(market="rome"))[column - 1:].startswith('"market"'), out
    status, out, err = check([order()], *sets)
    assert status == 1 and "missing: field 'order_id'" in out[0], out
    status, _, err = check(["no separator"], "-K", "|")
    assert status == 2 and ":1: there is no key separator in the line" in err, err


def zigzag(n):
    n, out = (n << 1) ^ (n >> 63), b""
    while n >= 128:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def avro():
    schema = {"type": "record", "name": "E", "fields": [{"name": "at", "type": "long"},
                                                        {"name": "page", "type": "string"}]}
    def message(page, number=7):
        text = page.encode()
        return (b"\x00" + number.to_bytes(4, "big") + zigzag(AT) + zigzag(len(text)) + text).hex()
    with Registry() as registry:
        registry.schemas[7] = json.dumps(schema)
        sets = ["--set", "streams.clicks.format=avro", "--set", "registry={url: '%s'}" % registry.url]
        lines = [message("home"), message("elsewhere"), message("cart").upper(), "00", message("x", 8)]
        status, out, err = check(lines, *sets, "--hex", stream="clicks")
        assert status == 1 and "schema 8: the registry has no /schemas/ids/8" in err, (out, err)
        assert out[0].startswith("FILE:2: not_allowed: field 'page'"), out
        assert out[1].startswith("FILE:4: malformed: ") and out[2].startswith("FILE:5: schema: "), out
        assert out[3].startswith("FILE: 5 events: 2 accepted, 3 refused"), out
        status, _, err = check(["0g"], *sets, "--hex", stream="clicks")
        assert status == 2 and ":1: the message is not written in hexadecimal" in err, err
        status, _, err = check(lines, *sets, stream="clicks")
        assert status == 2 and "--hex" in err, err


def huge():
    """A line of 60 MB is refused in little memory (a sanitizer takes more than any limit)."""
    limit = "ulimit -v 400000; " if os.environ.get("LARDER_BUILD", "build") == "build" else ""
    argv = ["bash", "-c", limit + 'exec "$0" "$@"', LARDER, "check", "events", "-c", CONFIG,
            "--stream", "orders", "-"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        for _ in range(60):
            child.stdin.write("x" * 1000000)
        child.stdin.write("\n" + order() + "\n")
        child.stdin.close()
        out = child.stdout.read()
        assert child.wait() == 1 and out.startswith("-:1: malformed: the message is larger than 1 MiB")
        assert "2 events: 1 accepted, 1 refused" in out, out


def usage():
    cases = [(["-c", CONFIG, "x"], "which stream? --stream, one of: orders, clicks"),
             (["-c", CONFIG, "--stream", "order", "x"], "no stream 'order', but: orders, clicks"),
             (["-c", CONFIG, "--stream", "orders"], "which file?"),
             (["-c", CONFIG, "--stream", "orders", "/nowhere"], "cannot read /nowhere: No such file"),
             (["-c", CONFIG, "--stream", "orders", "/"], "cannot read /: Is a directory"),
             (["-c", "/nowhere.yml", "x"], "/nowhere.yml"),
             (["-c", CONFIG, "--at", "tomorrow", "x"], "--at is a time such as"),
             (["-c", CONFIG, "-K", "", "x"], "--key-separator is empty"),
             (["-c", CONFIG, "--strict", "x"], "unknown or incomplete option")]
    for args, want in cases:
        status, out, err = larder("check", "events", *args)
        assert status == 2 and want in err and not out, (args, status, out, err)
    status, out, err = larder("check", "events", "--help")
    assert status == 0 and out.startswith("usage: larder check events") and not err


CASES = [
    ("every reason is told with line, column and cause; totals by outcome", every_reason),
    ("history: early by its time, late by nothing", by_partition),
    ("values of fields are not told", no_values),
    ("good files, and empty ones", good_files),
    ("JSON, and totals alone", as_json),
    ("several files are one stream", several_files),
    ("keys in front of events", keys),
    ("Avro in hexadecimal", avro),
    ("a line of 60 MB", huge),
    ("wrong usage", usage),
]


if __name__ == "__main__":
    run(CASES)
