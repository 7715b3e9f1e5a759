#!/usr/bin/env python3
"""`larder replay dlq`: letters go to the retry topic after a fix, as they were, and count once."""
import json
import os
import tempfile

from lib import DATA, Broker, Larder, Producer, consume, larder, run, wait_for
from registry_stub import Registry

CONFIG = os.path.join(DATA, "letters.yml")
FIRST_MS = 1700000000000  # 2023-11-14T22:13:20Z
HOUR_MS = 3600 * 1000
TOPICS = {"orders": 2, "clicks": 1, "letters": 2, "orders.retry": 1, "clicks.retry": 1}
FIX = ["streams.orders.fields.market={type: string, required: true, allowed: [berlin, paris, rome]}",
       "streams.clicks.fields.page={type: string, required: true, allowed: [home, cart, help]}"]
# The record's own; some have names that Larder uses too.
HEADERS = [("trace", b"\x00\x01"), ("trace", b"2"), ("larder-note", b"own"), ("larder-stream", b"own"),
           ("larder-origin", b"orders/9/9"), ("larder-timestamp", b"1"), ("larder-cut", b"value")]


def order(i, at=None, **more):
    fields = {"id": "e%d" % i, "order_id": "o%d" % i, "at": FIRST_MS + i if at is None else at,
              "market": "berlin", "amount": 2}
    fields.update(more)
    return json.dumps({k: v for k, v in fields.items() if v is not None}).encode()


def click(i, page):
    return json.dumps({"at": FIRST_MS + i, "page": page}).encode()


def serving(broker, folder=None, sets=()):
    return Larder(CONFIG, folder or os.path.join(tempfile.mkdtemp(prefix="letters-"), "data"),
                  sets=["kafka.brokers=" + broker.bootstrap, *sets])


def produce(broker, topic, rows, headers=HEADERS):
    """rows: partition, timestamp, key, value"""
    with Producer(broker.bootstrap, binary=True) as producer:
        producer.headers(*headers)
        producer.send([(topic, *row) for row in rows])


def replay(broker, server, *args, stream="orders", sets=FIX):
    """Status, totals, standard error."""
    argv = ["replay", "dlq", "-c", CONFIG, "--stream", stream, "--server", "http://127.0.0.1:%d" % server.port,
            "--json", *args]
    for item in ["kafka.brokers=" + broker.bootstrap, *sets]:
        argv += ["--set", item]
    status, out, err = larder(*argv)
    return status, json.loads(out) if out else None, err


def count(server, what, stream="orders"):
    return server.metrics().get('larder_%s_total{stream="%s"}' % (what, stream), 0)


def wait_count(server, what, n, stream="orders"):
    wait_for("%s is %d, not %d" % (what, count(server, what, stream), n),
             lambda: count(server, what, stream) >= n, 30)
    assert count(server, what, stream) == n, (what, count(server, what, stream), n)


def counted(server, name, seconds=FIRST_MS // 1000 + 3600):
    """The metric's sums by market or page."""
    found = server.query("sum by (market, page) (increase(%s[2h]))" % name, seconds)
    return {dict(labels).get("market") or dict(labels).get("page"): value for labels, value in found.items()}


def after_a_fix():
    with Broker(**TOPICS) as broker, serving(broker).start() as server:
        rows = [(0, FIRST_MS + i, "k%d" % i, order(i)) for i in range(3)]
        rows += [(1, FIRST_MS + i, "k%d" % i, order(i, market="rome")) for i in range(3, 8)]
        rows += [(1, FIRST_MS, "m", order(8, order_id=None)), (0, FIRST_MS, "m", b"broken"),
                 (0, FIRST_MS + 24 * HOUR_MS + 10, "late", order(9))]
        produce(broker, "orders", rows)
        wait_count(server, "dead_letters_sent", 8)
        # Before the server has the fix they are refused again, and say where they come from.
        status, totals, _ = replay(broker, server)
        assert (status, totals["letters"], totals["sent"]) == (1, 8, 5), totals
        wait_count(server, "dead_letters_sent", 13)
        again = [m for m in consume(broker.bootstrap, "letters") if m.header("larder-retry")]
        assert {m.header("larder-origin") for m in again} == {"orders/1/%d" % i for i in range(5)}
        assert {m.header("larder-retry") for m in again} == {"orders.retry/0/%d" % i for i in range(5)}
        assert all(m.headers[:len(HEADERS)] == HEADERS and m.header("larder-reason") == "not_allowed" for m in again)
        assert server.stop() == 0
        server.sets += FIX
        server.start()
        status, totals, _ = replay(broker, server, "--dry-run")
        assert status == 1 and totals["dry_run"] and totals["sent"] == 5, totals
        assert len(consume(broker.bootstrap, "orders.retry")) == 5
        status, totals, err = replay(broker, server)
        assert status == 1 and not err and totals["refused"] == {
            "malformed": 1, "schema": 0, "missing": 1, "type": 0, "range": 0, "not_allowed": 0, "late": 1,
            "ahead": 0}, (totals, err)
        assert (totals["letters"], totals["sent"], totals["gone"], totals["cut"]) == (8, 5, 0, 0), totals
        wait_count(server, "events_accepted", 8)
        anew = {m.header("larder-origin"): m for m in consume(broker.bootstrap, "orders.retry")[5:]}
        assert len(anew) == 5
        for i in range(3, 8):
            origin = "orders/1/%d" % (i - 3)
            m = anew[origin]
            assert m.value == order(i, market="rome") and m.key == b"k%d" % i, (m.key, m.value)
            assert m.timestamp == FIRST_MS + i, (m.timestamp, FIRST_MS + i)
            assert m.headers == HEADERS + [("larder-origin", origin.encode()),
                                           ("larder-timestamp", b"%d" % (FIRST_MS + i))], m.headers
        status, totals, _ = replay(broker, server, "--reason", "not_allowed")
        assert (status, totals["letters"], totals["sent"]) == (0, 5, 5), totals
        wait_count(server, "events_duplicate", 5)
        assert count(server, "events_accepted") == 8 and count(server, "events_conflict") == 0
        assert counted(server, "orders_total") == {"berlin": "3", "rome": "5"}, counted(server, "orders_total")


def without_ids():
    """Events that have no id are told by their origin; ones that were never refused stay as they are."""
    with Broker(**TOPICS) as broker, serving(broker).start() as server:
        produce(broker, "clicks", [(0, FIRST_MS + i, "", click(i, page)) for i, page in
                                   enumerate(["home", "home", "help", "cart", "help"])])
        wait_count(server, "dead_letters_sent", 2, "clicks")
        assert server.stop() == 0
        server.sets += FIX
        server.start()
        for n in range(3):
            status, totals, err = replay(broker, server, stream="clicks")
            assert status == 0 and totals["sent"] == 2, (totals, err)
            wait_count(server, "events_accepted", 5, "clicks")
            wait_count(server, "events_duplicate", 2 * n, "clicks")
        server.kill()
        server.start()
        produce(broker, "clicks", [(0, FIRST_MS, "", click(0, "home"))])
        wait_count(server, "events_accepted", 6, "clicks")
        assert counted(server, "clicks_total") == {"home": "3", "help": "2", "cart": "1"}


def gone():
    """What lies so far back that its ids are not kept is not sent, nor counted when it is."""
    idle = ["streams.orders.idle_after=1h"]  # so that events alone move the watermark
    with Broker(**TOPICS) as broker, serving(broker, sets=idle).start() as server:
        late = FIRST_MS + 30 * HOUR_MS
        produce(broker, "orders", [(0, FIRST_MS, "k", order(0, market="rome")),
                                   (1, late, "k", order(1, late, market="rome"))])
        wait_count(server, "dead_letters_sent", 2)
        produce(broker, "orders", [(p, late, "k", order(10 + p, late)) for p in (0, 1)])
        produce(broker, "orders.retry", [(0, late, "k", order(12, late))], headers=())
        wait_count(server, "events_accepted", 3)
        mark = 'larder_watermark_timestamp_seconds{stream="orders"}'
        wait_for("the watermark to pass", lambda: server.metrics().get(mark, 0) * 1000 >
                 FIRST_MS + 26 * HOUR_MS)
        assert server.stop() == 0
        server.sets += FIX
        server.start()
        status, totals, _ = replay(broker, server)
        assert (status, totals["letters"], totals["sent"], totals["gone"]) == (1, 2, 1, 1), totals
        wait_count(server, "events_accepted", 4)
        argv = ["replay", "dlq", "-c", CONFIG, "--stream", "orders", "--server",
                "http://127.0.0.1:%d" % server.port, "--dry-run"]
        for item in ["kafka.brokers=" + broker.bootstrap, *FIX]:
            argv += ["--set", item]
        status, out, _ = larder(*argv)
        assert status == 1 and "1 stay: the ids of their hour are not kept any more" in out, out
        assert out.endswith("    larder replay orders_total\n    larder replay order_amount_total\n"), out
        # Whoever sends it all the same does not count it.
        with Producer(broker.bootstrap, binary=True) as producer:
            producer.headers(("larder-origin", b"orders/0/0"), ("larder-timestamp", b"%d" % FIRST_MS))
            producer.send([("orders.retry", 0, FIRST_MS, "k", order(0, market="rome"))])
        wait_count(server, "dead_letters_sent", 3)
        assert count(server, "events_accepted") == 4
        m = [m for m in consume(broker.bootstrap, "letters") if m.header("larder-retry")][0]
        assert m.header("larder-reason") == "late" and "an hour that is over" in m.header("larder-cause")
        assert m.header("larder-origin") == "orders/0/0", m.headers


def chosen():
    """By reason, and by the time of their records; letters of other streams are not touched."""
    with Broker(**TOPICS) as broker, serving(broker).start() as server:
        produce(broker, "orders", [(0, FIRST_MS + i * 1000, "k", order(i * 1000, market="rome"))
                                   for i in range(10)])
        produce(broker, "clicks", [(0, FIRST_MS, "", click(0, "help"))])
        wait_count(server, "dead_letters_sent", 10)
        wait_count(server, "dead_letters_sent", 1, "clicks")
        cases = [([], 10), (["--from", "2023-11-14T22:13:22Z"], 8), (["--to", "2023-11-14T22:13:22Z"], 2),
                 (["--from", "2023-11-14T22:13:23Z", "--to", "2023-11-14T22:13:25Z"], 2),
                 (["--reason", "late"], 0), (["--reason", "not_allowed"], 10)]
        for args, want in cases:
            status, totals, _ = replay(broker, server, "--dry-run", *args)
            assert (status, totals["letters"], totals["sent"]) == (0, want, want), (args, totals)


def wrong_things():
    with Broker(**TOPICS) as broker, serving(broker).start() as server:
        broker.command("hide orders.retry")
        status, _, err = replay(broker, server)
        assert status == 2 and "topic orders.retry does not exist on the broker" in err, err
        broker.command("show orders.retry")
        broker.command("hide letters")
        status, _, err = replay(broker, server)
        assert status == 2 and "topic letters does not exist on the broker" in err, err
        broker.command("show letters")
        status, totals, _ = replay(broker, server)
        assert status == 0 and totals["letters"] == 0, totals
        status, _, err = replay(broker, server, "--server", "http://127.0.0.1:1")
        assert status == 2 and "cannot ask http://127.0.0.1:1" in err, err
        with Registry() as other:  # some other server
            status, _, err = replay(broker, server, "--server", other.url)
            assert status == 2 and "answers with status 404" in err, err
        status, _, err = replay(broker, server, sets=["streams.others={topics: [x], event_time: at, "
                                                      "fields: {at: time}, dead_letters: letters, "
                                                      "retry: others.retry}"], stream="others")
        assert status == 2 and "reads no stream 'others'" in err, err
        status, _, err = replay(broker, server, sets=["streams.others={topics: [x], event_time: at, "
                                                      "fields: {at: time}, dead_letters: letters}"],
                                stream="others")
        assert status == 2 and "stream 'others' has no 'retry' in the config" in err, err
    for args, want in [(["--reason", "bad"], "--reason is one of malformed, schema"),
                       (["--from", "yesterday"], "a time is written"), (["x"], "one argument too many: x"),
                       (["--all"], "unknown or incomplete option")]:
        status, out, err = larder("replay", "dlq", "-c", CONFIG, *args)
        assert status == 2 and want in err and not out, (args, err)
    for args, want in [(["replay", "--help"], "larder replay dlq --help"),
                       (["replay", "dlq", "--help"], "usage: larder replay dlq [-c CONFIG]")]:
        status, out, err = larder(*args)
        assert status == 0 and want in out and not err, (args, out, err)


CASES = [
    ("letters after a fix: as they were, once, and refused again where the fix is missing", after_a_fix),
    ("events without ids: by their origin", without_ids),
    ("letters whose ids are not kept: not sent, not counted, and what is to be done", gone),
    ("letters by reason and time; of the stream alone", chosen),
    ("wrong usage, and what is not there", wrong_things),
]


if __name__ == "__main__":
    run(CASES)
