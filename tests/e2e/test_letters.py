#!/usr/bin/env python3
"""Dead letters against the mock broker: every reason, byte for byte; a topic that is away; an outbox
that is full; a broken event that is sent anew after a fix. What transactions promise under kills is
proven on a real Kafka (test_dead_letters.py): the mock has no aborts.
"""
import json
import os
import random
import re
import shutil
import tempfile

from lib import DATA, Broker, Larder, Producer, consume, larder, run, wait_for
from registry_stub import Registry

CONFIG = os.path.join(DATA, "letters.yml")
FIRST_MS = 1700000000000  # 2023-11-14T22:13:20Z
TOPICS = {"orders": 2, "clicks": 1, "letters": 2, "orders.retry": 1, "clicks.retry": 1}


def order(i, **more):
    fields = {"id": "e%d" % i, "order_id": "o%d" % i, "at": FIRST_MS + i * 1000, "market": "berlin",
              "amount": 12.5}
    fields.update(more)
    return json.dumps({k: v for k, v in fields.items() if v is not None}).encode()


def broken():
    """Reason, cause, value, timestamp of an event that is refused so."""
    day_ms = 24 * 3600 * 1000
    at = FIRST_MS
    return [
        ("malformed", "not one JSON object", b"", at),
        ("malformed", "not one JSON object", b"\x00\xff\xfe{", at),
        ("malformed", "'market' is there twice", b'{"market":"berlin","market":"paris"}', at),
        ("malformed", "larger than 1 MiB", b"x" * ((1 << 20) + 1), at),
        ("malformed", "at most 32 levels", b'{"a":' + b"[" * 100000 + b"]" * 100000 + b"}", at),
        ("missing", "'market' is required", order(1, market=None), at),
        ("type", "'amount' is not a decimal", order(2, amount="12"), at),
        ("range", "'amount' lies outside", order(3, amount=-1), at),
        ("range", "'amount'", order(4, amount=10 ** 30), at),
        ("not_allowed", "'market' has a value", order(5, market="rome"), at),
        ("late", "86400001 ms behind", order(0), at + day_ms + 1),
        ("ahead", "300001 ms before", order(0), at - 5 * 60 * 1000 - 1),
    ]


def serving(broker, folder=None, sets=()):
    return Larder(CONFIG, folder or os.path.join(tempfile.mkdtemp(prefix="letters-"), "data"),
                  sets=["kafka.brokers=" + broker.bootstrap, *sets])


def cluster():
    return Broker(**TOPICS)


def send_broken(broker, topic, partition, first, n):
    """Broken events whose values name them. A header of theirs is called as one of Larder's."""
    with Producer(broker.bootstrap, binary=True) as producer:
        producer.headers(("larder-retry", b"orders/0/0"))
        producer.send([(topic, partition, FIRST_MS, "k", b"%s %d" % (topic.encode(), i))
                       for i in range(first, first + n)])


def sent(server, stream="orders"):
    return server.metrics().get('larder_dead_letters_sent_total{stream="%s"}' % stream, 0)


def wait_sent(server, n, stream="orders", seconds=30):
    wait_for("%d letters sent, not %d" % (n, sent(server, stream)),
             lambda: sent(server, stream) >= n, seconds)
    assert sent(server, stream) == n


def trouble(server):
    """What holds the ingestion up, as /metrics says; "": nothing."""
    found = re.search('^larder_ingest_trouble{trouble="(.*)"} 1$', server.get("/metrics")[1], re.M)
    return found.group(1) if found else ""


def every_reason():
    with cluster() as broker, serving(broker).start() as server:
        events = broken()
        headers = [("traceparent", b"00-1"), ("a", b""), ("a", b"\x00\xff")]
        with Producer(broker.bootstrap, binary=True) as producer:
            producer.headers(*headers)
            for i, (_, _, value, at) in enumerate(events):
                producer.send([("orders", i % 2, at, "" if i % 3 == 0 else "key\x01%d" % i, value)])
            producer.send([("orders", 0, FIRST_MS, "ok", order(100))])
        server.wait_events(len(events) + 1)
        wait_sent(server, len(events))
        letters = {m.header("larder-origin"): m for m in consume(broker.bootstrap, "letters")}
        assert len(letters) == len(events), sorted(letters)
        for i, (reason, cause, value, at) in enumerate(events):
            m = letters["orders/%d/%d" % (i % 2, i // 2)]
            assert m.value == value, "%d: another value: %r" % (i, m.value[:100])
            assert m.key == (None if i % 3 == 0 else b"key\x01%d" % i), m.key
            assert m.headers[:3] == headers, m.headers
            assert m.header("larder-reason") == reason, (i, m.headers)
            assert cause in m.header("larder-cause"), (i, m.header("larder-cause"))
            assert m.header("larder-timestamp") == str(at)
            assert m.header("larder-stream") == "orders"
            assert m.header("larder-instance") == "larder-letters"
            assert m.header("larder-cut") is None and m.header("larder-retry") is None
        values = server.metrics()
        assert values['larder_dead_letters_queued{stream="orders"}'] == 0
        assert values['larder_dead_letters_queued_bytes{stream="orders"}'] == 0
        assert values['larder_dead_letters_full{stream="orders"}'] == 0
        assert values['larder_events_accepted_total{stream="orders"}'] == 1
        for reason in {r for r, _, _, _ in events}:
            counted = values['larder_events_refused_total{stream="orders",reason="%s"}' % reason]
            assert counted == sum(r == reason for r, _, _, _ in events), (reason, counted)


def of_avro():
    """Reasons that JSON does not have: a schema that is not there, bytes that are none of it."""
    at = {"name": "at", "type": "long"}
    schemas = {7: [at, {"name": "page", "type": "string"}], 8: [at]}
    events = [("schema", b"\x00\x00\x00\x00\x05abc"), ("missing", b"\x00\x00\x00\x00\x08\x02"),
              ("malformed", b"\x00\x00\x00\x00\x07\x02\x7fhome"), ("malformed", b"home"),
              ("not_allowed", b"\x00\x00\x00\x00\x07\x02\x04me")]
    with cluster() as broker, Registry() as registry:
        for number, fields in schemas.items():
            registry.schemas[number] = json.dumps({"type": "record", "name": "E", "fields": fields})
        sets = ["streams.clicks.format=avro", "registry={url: '%s'}" % registry.url]
        with serving(broker, sets=sets).start() as server:
            with Producer(broker.bootstrap, binary=True) as producer:
                producer.send([("clicks", 0, FIRST_MS, "k", value) for _, value in events])
            server.wait_events(len(events))
            wait_sent(server, len(events), "clicks")
            letters = {m.header("larder-origin"): m for m in consume(broker.bootstrap, "letters")}
            values = server.metrics()
            for i, (reason, value) in enumerate(events):
                m = letters["clicks/0/%d" % i]
                assert (m.header("larder-reason"), m.value) == (reason, value), (i, m.headers)
            for reason in ("schema", "missing", "malformed", "not_allowed"):
                count = values['larder_events_refused_total{stream="clicks",reason="%s"}' % reason]
                assert count == sum(r == reason for r, _ in events), (reason, count)


def over_restarts():
    seed = int(os.environ.get("LARDER_SEED", "1"))
    chance, n = random.Random(seed), 0
    print("# seed %d" % seed)
    with cluster() as broker, serving(broker).start() as server:
        for _ in range(6):
            more = chance.randrange(1, 400)
            with Producer(broker.bootstrap, binary=True) as producer:
                producer.send([("orders", i % 2, FIRST_MS, "k%d" % i, b"broken %d" % i)
                               for i in range(n, n + more)])
            n += more
            if chance.random() < 0.5:
                server.wait_events(n)
            assert server.stop() == 0
            server.start()
        server.wait_events(n)
        wait_sent(server, n)
        values = sorted(m.value for m in consume(broker.bootstrap, "letters"))
        assert values == sorted(b"broken %d" % i for i in range(n)), "%d of %d" % (len(values), n)


def full_outbox():
    """Without the topic letters wait, until the outbox is full; then their stream, and no other."""
    size, n = 100000, 300
    with cluster() as broker:
        broker.command("hide letters")
        with serving(broker).start() as server:
            with Producer(broker.bootstrap, binary=True) as producer:
                producer.batch(5)
                producer.send([("orders", i % 2, FIRST_MS, "k", b"%d " % i + b"x" * size)
                               for i in range(50)])
            wait_for("trouble said", lambda: "letters does not exist" in trouble(server), 30)
            server.wait_events(50)
            assert server.metrics()['larder_dead_letters_queued{stream="orders"}'] == 50
            assert "outbox" not in trouble(server)
            for begin in range(50, n, 10):  # the mock keeps 5 MiB of a partition, as it was sent
                with Producer(broker.bootstrap, binary=True) as producer:
                    producer.send([("orders", i % 2, FIRST_MS, "k", b"%d " % i + b"x" * size)
                                   for i in range(begin, begin + 10)])
            name = 'larder_dead_letters_full{stream="orders"}'
            wait_for("the stream standing still", lambda: server.metrics()[name] == 1)
            assert "outbox" in trouble(server) and "full" in trouble(server), trouble(server)
            held = server.metrics()['larder_dead_letters_queued_bytes{stream="orders"}']
            assert 15 << 20 < held <= 16 << 20, held
            taken = server.events_taken()
            assert 150 < taken < 170, taken
            with Producer(broker.bootstrap, binary=True) as producer:
                producer.send([("clicks", 0, FIRST_MS, "", b'{"at":%d,"page":"home"}' % FIRST_MS)])
            server.wait_events(taken + 1)  # of another stream
            server.kill()
            server.start()
            broker.command("show letters")
            server.wait_events(n + 1)
            wait_sent(server, n)
            assert server.metrics()[name] == 0
            wait_for("no trouble", lambda: not trouble(server))
            numbers = sorted(int(m.value.split()[0]) for m in consume(broker.bootstrap, "letters"))
            assert set(numbers) <= set(range(n)) and len(numbers) == len(set(numbers))
            assert re.search("outbox.*full", server.log())


def each_once(broker, n):
    """n letters, of as many origins."""
    places = [m.header("larder-origin") for m in consume(broker.bootstrap, "letters")]
    twice = sorted({p for p in places if places.count(p) > 1})
    assert not twice, "%d origins have several letters: %s" % (len(twice), twice[:5])
    assert len(places) == n, "%d letters, not %d" % (len(places), n)


def queued(server, stream):
    return server.metrics().get('larder_dead_letters_queued{stream="%s"}' % stream)


def sent_not_noted():
    """Letters of two streams are in their topic, and in their outboxes still: the crash was between the
    two. Then one stream goes on without the other, and there is another crash."""
    with cluster() as broker, serving(broker).start() as server:
        send_broken(broker, "orders", 0, 0, 10)
        send_broken(broker, "clicks", 0, 0, 10)
        wait_sent(server, 10)
        wait_sent(server, 10, "clicks")
        assert server.stop() == 0
        broker.command("hide letters")
        server.start()
        send_broken(broker, "orders", 0, 10, 50)
        send_broken(broker, "clicks", 0, 10, 50)
        wait_for("letters queued", lambda: [queued(server, s) for s in ("orders", "clicks")] == [50, 50])
        server.kill()
        copy = server.folder + ".copy"
        shutil.copytree(server.folder, copy)
        broker.command("show letters")
        server.start()
        wait_sent(server, 60)
        wait_sent(server, 60, "clicks")
        server.kill()
        send_broken(broker, "orders", 0, 60, 5)
        broker.command("hide elsewhere")
        sets = ["streams.clicks.dead_letters=elsewhere"]
        with serving(broker, copy, sets).start() as server:
            wait_sent(server, 65)
            assert queued(server, "clicks") == 50
            server.kill()
        with serving(broker, copy).start() as server:
            wait_sent(server, 60, "clicks")
            send_broken(broker, "clicks", 0, 60, 5)
            wait_sent(server, 65, "clicks")
            each_once(broker, 130)


def order_source(server, what):
    url = "http://127.0.0.1:%d" % server.port
    wait_for("%s done" % what, lambda: larder(
        "source", what, "orders/1", "--by", "test", "--server", url)[0] == 0)


def put_back():
    """A data folder that is put back as it was, and is killed when it has sent more, while there is more
    that it refuses once again."""
    with cluster() as broker, serving(broker).start() as server:
        send_broken(broker, "orders", 0, 0, 10)
        wait_sent(server, 10)
        order_source(server, "pause")
        server.kill()
        copy = server.folder + ".copy"
        shutil.copytree(server.folder, copy)
        server.start()
        order_source(server, "resume")
        send_broken(broker, "orders", 0, 10, 50)
        send_broken(broker, "orders", 1, 0, 50)
        wait_sent(server, 110)
        server.kill()
        with serving(broker, copy).start() as server:
            send_broken(broker, "orders", 0, 60, 5)
            wait_for("more sent", lambda: sent(server) >= 65)
            server.kill()
            server.start()
            order_source(server, "resume")
            send_broken(broker, "orders", 1, 50, 5)
            wait_sent(server, 120)
            each_once(broker, 120)


CASES = [
    ("every reason of refusal: a letter with the event byte for byte", every_reason),
    ("every reason of Avro's", of_avro),
    ("restarts: each letter once", over_restarts),
    ("letters of two streams that were sent and not noted, and two crashes", sent_not_noted),
    ("a data folder that is put back and killed sends nothing again", put_back),
    ("a topic that is away: letters wait; an outbox that is full stops its stream alone", full_outbox),
]


if __name__ == "__main__":
    run(CASES)
