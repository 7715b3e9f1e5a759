#!/usr/bin/env python3
"""Dead letters on a real Kafka: each broken event is in the topic once, byte for byte, whatever is
killed at whatever moment. LARDER_KILLS (12) kills of the server, LARDER_SEED decides when.
"""
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

from lib import DATA, ROOT, Larder, Producer, consume, larder, run, wait_for

sys.path.insert(0, os.path.join(ROOT, "tests", "kafka"))
from cluster import Cluster  # noqa: E402

CONFIG = os.path.join(DATA, "letters.yml")
FIRST_MS = 1700000000000
SEED = int(os.environ.get("LARDER_SEED", "1"))
KILLS = int(os.environ.get("LARDER_KILLS", "12"))


def topics(kafka, **letters):
    kafka.create("orders", partitions=3, max_message_bytes=60000000)
    kafka.create("letters", partitions=2, **letters)
    kafka.create("clicks", max_message_bytes=60000000)
    kafka.create("orders.retry")
    kafka.create("clicks.retry")


def remove(kafka):
    for topic in ("orders", "letters", "clicks", "orders.retry", "clicks.retry"):
        kafka.delete(topic)


def good(i):
    return json.dumps({"id": "e%d" % i, "order_id": "o%d" % i, "at": FIRST_MS + i, "market": "paris",
                       "amount": 1}).encode()


def bad(i, chance):
    """Unlike all others, and of various kinds."""
    kind = i % 5
    if kind == 0:
        return b"%d \x00\xff" % i + bytes(chance.randrange(256) for _ in range(chance.randrange(600)))
    event = json.loads(good(i))
    event.update([{"market": "rome"}, {"amount": -i}, {"at": "noon"}, {"order_id": None}][kind - 1])
    return json.dumps(event).encode()


def serving(kafka, folder=None, sets=()):
    return Larder(CONFIG, folder or os.path.join(tempfile.mkdtemp(prefix="letters-"), "data"),
                  sets=["kafka.brokers=" + kafka.bootstrap, *sets])


def sent(server):
    return server.metric_sum("larder_dead_letters_sent_total")


def all_sent(server):
    return server.metric_sum("larder_dead_letters_queued") == 0


def trouble(server):
    text = server.get("/metrics")[1]
    return [line for line in text.splitlines() if line.startswith("larder_ingest_trouble")]


def wait_sent(server, n, seconds=120):
    wait_for("%d letters sent, not %d; %s" % (n, sent(server), trouble(server)),
             lambda: sent(server) >= n, seconds)
    assert sent(server) == n, "%d letters are said to be sent, not %d" % (sent(server), n)
    wait_for("no letter left", lambda: all_sent(server))


def compare(kafka, broken):
    """The topic's letters are the broken events, each once. broken: value -> (key, timestamp)"""
    letters = consume(kafka.bootstrap, "letters")
    seen = {}
    for m in letters:
        seen.setdefault(m.header("larder-origin"), []).append(m)
    twice = {k: len(v) for k, v in seen.items() if len(v) > 1}
    assert not twice, "%d origins have several letters: %s" % (len(twice), list(twice.items())[:5])
    values = {m.value: m for m in letters}
    lost = [v for v in broken if v not in values]
    assert not lost, "%d of %d broken events have no letter: %r" % (len(lost), len(broken), lost[:3])
    assert len(letters) == len(broken), "%d letters, %d broken events" % (len(letters), len(broken))
    for value, (key, timestamp) in broken.items():
        m = values[value]
        assert (m.key, m.header("larder-timestamp")) == (key, str(timestamp)), m.headers
        assert m.headers[0] == ("trace", b"\x00\x01"), m.headers


class Flow(threading.Thread):
    """Produces orders at a rate, and half as many clicks, which share the letters' topic; every sixth order
    and every fourth click is broken."""

    def __init__(self, kafka, count, seconds, chance):
        super().__init__()
        self.kafka, self.count, self.seconds, self.broken = kafka, count, seconds, {}
        self.rows = []
        for i in range(count):
            at, key = FIRST_MS + i, "k%d" % i
            value = bad(i, chance) if i % 6 == 0 else good(i)
            if i % 6 == 0:
                self.broken[value] = (key.encode(), at)
            self.rows.append(("orders", i % 3, at, key, value))
            if i % 2 == 0:
                click = b'{"at":%d,"page":"%s"}' % (at, b"rome%d" % i if i % 8 == 0 else b"home")
                if i % 8 == 0:
                    self.broken[click] = (key.encode(), at)
                self.rows.append(("clicks", 0, at, key, click))

    def run(self):
        with Producer(self.kafka.bootstrap, binary=True, transactional="flow") as producer:
            producer.headers(("trace", b"\x00\x01"))
            step = max(1, len(self.rows) // 100)
            for i in range(0, len(self.rows), step):
                producer.send(self.rows[i:i + step])
                producer.commit()
                time.sleep(self.seconds / 100)


def kills(kafka):
    print("# seed %d, %d kills" % (SEED, KILLS), flush=True)
    chance = random.Random(SEED)
    topics(kafka)
    flow = Flow(kafka, 18000, KILLS * 1.6, chance)
    with serving(kafka).start() as server:
        flow.start()
        for n in range(KILLS):
            time.sleep(chance.random() * 2)
            server.kill()
            if n % 5 == 3:
                kafka.kill(1)
                if n % 2:
                    time.sleep(chance.random())
                kafka.start(1)
            server.start()
        flow.join()
        server.wait_events(27000, 180)
        wait_sent(server, len(flow.broken))
        compare(kafka, flow.broken)
        values = server.metrics()
        assert values['larder_events_accepted_total{stream="orders"}'] == 15000
        assert values['larder_events_accepted_total{stream="clicks"}'] == 6750


def broker_restarts(kafka):
    """While the server runs on: what was doubtful is looked up, and nothing is sent twice."""
    chance = random.Random(SEED + 1)
    topics(kafka)
    flow = Flow(kafka, 9000, 12, chance)
    with serving(kafka).start() as server:
        flow.start()
        for _ in range(3):
            time.sleep(1 + 2 * chance.random())
            kafka.kill(1)
            time.sleep(chance.random())
            kafka.start(1)
        flow.join()
        # The last transaction is there when its markers are, a moment after its commit.
        wait_for("9000 orders on the broker", lambda: len(consume(kafka.bootstrap, "orders")) == 9000, 60,
                 0.5)
        server.wait_events(13500, 180)
        wait_sent(server, len(flow.broken))
        compare(kafka, flow.broken)


def produce_broken(kafka, first, n):
    broken = {b"broken %d" % i: (b"k", FIRST_MS) for i in range(first, first + n)}
    with Producer(kafka.bootstrap, binary=True) as producer:
        producer.headers(("trace", b"\x00\x01"))
        producer.send([("orders", i % 3, FIRST_MS, "k", v) for i, v in enumerate(broken)])
    return broken


def put_back(kafka):
    """A data folder that is put back as it was refuses again what it had refused, and sends none of it."""
    topics(kafka)
    with serving(kafka).start() as server:
        broken = produce_broken(kafka, 0, 500)
        wait_sent(server, 500)
        server.kill()
        shutil.copytree(server.folder, server.folder + ".copy")
        server.start()
        broken.update(produce_broken(kafka, 500, 500))
        wait_sent(server, 1000)
        server.kill()
    with serving(kafka, server.folder + ".copy").start() as server:
        broken.update(produce_broken(kafka, 1000, 10))
        wait_sent(server, 1010)
        compare(kafka, broken)


def held_up(kafka):
    """A transaction of somebody else on the letters' topic hides what lies behind it: nobody can tell what is
    there, so letters wait, and say why; then they go on."""
    topics(kafka)
    with serving(kafka).start() as server:
        broken = produce_broken(kafka, 0, 50)
        wait_sent(server, 50)
        server.kill()
        other = Producer(kafka.bootstrap, binary=True, transactional="other")
        other.send([("letters", p, FIRST_MS, "k", b"of somebody else") for p in (0, 1)])
        other.flush()
        broken.update(produce_broken(kafka, 50, 50))
        server.start()
        wait_for("it said", lambda: any("a transaction is open there" in t for t in trouble(server)), 60)
        assert sent(server) == 50 and server.metric_sum("larder_dead_letters_queued") == 50
        other.abort()
        other.close()
        wait_sent(server, 100)
        compare(kafka, broken)
        wait_for("no trouble", lambda: trouble(server) == ["larder_ingest_trouble 0"], 60)


def deleted(kafka):
    """The letters' topic goes while it is known: letters wait, the server ends in time, and when there is
    another topic of this name they go there."""
    topics(kafka)
    with serving(kafka).start() as server:
        produce_broken(kafka, 0, 50)
        wait_sent(server, 50)
        kafka.delete("letters")
        broken = produce_broken(kafka, 50, 50)
        wait_for("it said", lambda: any("dead letters wait" in t for t in trouble(server)), 60)
        assert server.stop() == 0
        server.start()
        kafka.create("letters", partitions=2)
        wait_sent(server, 100)
        compare(kafka, broken)
        assert server.stop() == 0


def put_back_killed(kafka):
    """A data folder that is put back as it was, and killed again and again while it refuses once more."""
    print("# seed %d" % SEED)
    chance = random.Random(SEED + 2)
    topics(kafka)
    with serving(kafka).start() as server:
        broken = produce_broken(kafka, 0, 500)
        wait_sent(server, 500)
        server.kill()
        shutil.copytree(server.folder, server.folder + ".copy")
        server.start()
        broken.update(produce_broken(kafka, 500, 20000))
        wait_sent(server, 20500)
        server.kill()
    with serving(kafka, server.folder + ".copy") as server:
        for n in range(8):
            broken.update(produce_broken(kafka, 20500 + n * 100, 100))
            server.start()
            time.sleep(chance.random() * 0.3)
            server.kill()
        server.start()
        wait_sent(server, 21300)
        compare(kafka, broken)


def fenced(kafka):
    """Whoever comes last under a name goes on alone; the other one says why, and keeps its letters."""
    topics(kafka)
    with serving(kafka).start() as old:
        produce_broken(kafka, 0, 1)
        wait_sent(old, 1)
        with serving(kafka).start() as new:
            wait_sent(new, 1)
            produce_broken(kafka, 1, 50)
            wait_for("the old one shut out", lambda: any("taken over" in t for t in trouble(old)), 60)
            assert "another instance of 'larder-letters' has taken over" in old.log()
            wait_sent(new, 51)
            assert trouble(new) == ["larder_ingest_trouble 0"], trouble(new)
            wait_for("what it keeps", lambda: old.metrics()[
                'larder_dead_letters_queued{stream="orders"}'] == 50)
            assert sent(old) == 1, "it sends no more"
            places = [m.header("larder-origin") for m in consume(kafka.bootstrap, "letters")]
            assert len(places) == 52 and len(set(places)) == 51, places


def fenced_reload(kafka):
    """A reload is no new beginning: whoever was shut out stays so."""
    topics(kafka)
    config = os.path.join(tempfile.mkdtemp(), "letters.yml")
    shutil.copy(CONFIG, config)
    reloaded = "larder_config_last_reload_success_timestamp_seconds"
    with serving(kafka).start() as old:
        old.stop()
        old.config = config
        old.start()
        produce_broken(kafka, 0, 1)
        wait_sent(old, 1)
        with serving(kafka).start() as new:
            wait_sent(new, 1)
            produce_broken(kafka, 1, 5)
            wait_for("the old one shut out", lambda: any("taken over" in t for t in trouble(old)), 60)
            with open(config, "a") as f:
                f.write("  more_total: {kind: counter, from: orders}\n")
            before = old.metrics()[reloaded]
            old.process.send_signal(signal.SIGHUP)
            wait_for("reload", lambda: old.metrics().get(reloaded, before) > before, 40)
            produce_broken(kafka, 6, 5)
            old.wait_events(11)
            wait_sent(new, 11)
            produce_broken(kafka, 11, 5)
            wait_sent(new, 16)
            assert trouble(new) == ["larder_ingest_trouble 0"], trouble(new)
            wait_for("it still says so", lambda: any("taken over" in t for t in trouble(old)))
            assert sent(old) == 1, "it sends no more"


def shards(kafka):
    """Shards of one group are not each other's successors."""
    topics(kafka)
    with serving(kafka, sets=["shard=1/2"]).start() as one, serving(kafka, sets=["shard=2/2"]).start() as two:
        broken = {}
        for n in range(3):
            broken.update(produce_broken(kafka, n * 300, 300))
            wait_sent(one, (n + 1) * 200)
            wait_sent(two, (n + 1) * 100)
        compare(kafka, broken)
        assert trouble(one) == trouble(two) == ["larder_ingest_trouble 0"], (trouble(one), trouble(two))
        names = {(m.header("larder-origin").split("/")[1], m.header("larder-instance"))
                 for m in consume(kafka.bootstrap, "letters")}
        assert names == {("0", "larder-letters-1-of-2"), ("1", "larder-letters-2-of-2"),
                         ("2", "larder-letters-1-of-2")}, names


def large(kafka):
    """What the outbox or the topic does not take is cut, and says so; those around it are whole."""
    topics(kafka, max_message_bytes=1000000)
    sizes = [10, 990000, 999990, 3000000, 9000000, 50000000, 100]
    with serving(kafka).start() as server:
        with Producer(kafka.bootstrap, binary=True, codec="none") as producer:
            producer.headers(("trace", b"\x00\x01"))
            for i, size in enumerate(sizes):
                producer.send([("orders", 0, FIRST_MS, "k", bytes([97 + i]) * size)])
        wait_sent(server, len(sizes))
        letters = {m.header("larder-origin"): m for m in consume(kafka.bootstrap, "letters")}
        assert len(letters) == len(sizes)
        for i, size in enumerate(sizes):
            m = letters["orders/0/%d" % i]
            assert m.key == b"k" and m.headers[0] == ("trace", b"\x00\x01")
            if m.header("larder-cut") is None:
                assert m.value == bytes([97 + i]) * size, size
                continue
            assert m.header("larder-cut") == "value", m.headers
            assert m.header("larder-value-bytes") == str(size)
            assert len(m.header("larder-value-crc32c")) == 8
            assert m.value == bytes([97 + i]) * 65536
        cut = [i for i in range(len(sizes)) if letters["orders/0/%d" % i].header("larder-cut")]
        print("# of %s bytes these are cut: %s" % (sizes, [sizes[i] for i in cut]))
        assert 4 in cut and 5 in cut and not {0, 1, 6} & set(cut), cut


def tiny_topic(kafka):
    """A topic that takes next to nothing gets letters without their events."""
    topics(kafka, max_message_bytes=2000)
    with serving(kafka).start() as server:
        with Producer(kafka.bootstrap, binary=True) as producer:
            producer.headers(("trace", b"\x00\x01"))
            producer.send([("orders", 0, FIRST_MS, "k", os.urandom(n)) for n in (50, 5000, 60)])
        wait_sent(server, 3)
        letters = consume(kafka.bootstrap, "letters")
        found = {m.header("larder-origin"): (len(m.value), m.header("larder-cut")) for m in letters}
        assert found == {"orders/0/0": (50, None), "orders/0/1": (0, "key,headers,value"),
                         "orders/0/2": (60, None)}, found


def others_whole(kafka):
    """A letter that is too large is cut, and none of another stream with it."""
    topics(kafka)
    kafka.delete("letters")
    with serving(kafka).start() as server:
        with Producer(kafka.bootstrap, binary=True, batch=5) as producer:
            producer.headers(("trace", b"\x00\x01"))
            producer.send([("orders", i % 3, FIRST_MS, "k", os.urandom(100000)) for i in range(100)])
            producer.send([("clicks", 0, FIRST_MS, "k", os.urandom(3000000))])
        queued = 'larder_dead_letters_queued{stream="%s"}'
        wait_for("101 letters queued", lambda: [server.metrics().get(queued % s) for s in (
            "orders", "clicks")] == [100, 1])
        kafka.create("letters", partitions=2, max_message_bytes=1000000)
        wait_sent(server, 101)
        letters = consume(kafka.bootstrap, "letters")
        cut = [m.header("larder-origin") for m in letters if m.header("larder-cut")]
        assert cut == ["clicks/0/0"] and len(letters) == 101, (len(cut), cut[:5], len(letters))


def full_outbox(kafka):
    """Without its topic letters wait, then their stream does, loudly; when the topic is there again all go on."""
    topics(kafka)
    kafka.delete("letters")
    with serving(kafka).start() as server:
        sizes = {b"%d " % i + b"x" * 100000: (b"k", FIRST_MS) for i in range(250)}
        with Producer(kafka.bootstrap, binary=True, batch=5) as producer:
            producer.headers(("trace", b"\x00\x01"))
            producer.send([("orders", i % 3, FIRST_MS, "k", v) for i, v in enumerate(sizes)])
        full = 'larder_dead_letters_full{stream="orders"}'
        wait_for("the stream standing still", lambda: server.metrics().get(full) == 1, 60)
        assert "outbox" in trouble(server)[-1] and "full" in trouble(server)[-1], trouble(server)
        assert "the outbox of its stream's dead letters is full" in server.log()
        taken = server.events_taken()
        assert 150 < taken < 170 and sent(server) == 0, taken
        server.kill()
        server.start()
        kafka.create("letters", partitions=2)
        wait_sent(server, 250, 180)
        compare(kafka, sizes)
        wait_for("no trouble", lambda: trouble(server) == ["larder_ingest_trouble 0"], 60)
        assert server.metrics()[full] == 0


def replayed(kafka):
    """Letters go to the retry topic after a fix, while the server is killed: each event counts once."""
    fix = "streams.orders.fields.market={type: string, required: true, allowed: [berlin, paris, rome]}"
    topics(kafka)
    with serving(kafka).start() as server:
        events = [json.dumps({"id": "e%d" % i, "order_id": "o", "at": FIRST_MS + i, "market": "rome",
                              "amount": 1}).encode() for i in range(3000)]
        with Producer(kafka.bootstrap, binary=True) as producer:
            producer.send([("orders", i % 3, FIRST_MS + i, "k", v) for i, v in enumerate(events)])
        wait_sent(server, 3000)
        assert server.stop() == 0
        server.sets.append(fix)
        server.start()
        for n in range(3):
            status, out, err = larder(
                "replay", "dlq", "-c", CONFIG, "--stream", "orders", "--set", fix, "--set",
                "kafka.brokers=" + kafka.bootstrap, "--server", "http://127.0.0.1:%d" % server.port)
            assert status == 0 and "3000 letters of stream orders: 3000 sent" in out, (status, out, err)
            if n < 2:
                server.kill()
                server.start()
        server.wait_events(12000, 120)
        values = server.metrics()
        assert values['larder_events_accepted_total{stream="orders"}'] == 3000
        assert values['larder_events_duplicate_total{stream="orders"}'] == 6000
        assert len(consume(kafka.bootstrap, "letters")) == 3000


CASES = [
    ("kills of the server and the broker: each broken event once, byte for byte", kills),
    ("restarts of the broker while the server runs", broker_restarts),
    ("a data folder that is put back sends nothing again", put_back),
    ("and when it is killed again and again", put_back_killed),
    ("a transaction of somebody else holds letters up", held_up),
    ("a topic that is deleted while letters are sent to it", deleted),
    ("an instance that has a successor is shut out", fenced),
    ("and stays so when it reloads", fenced_reload),
    ("shards send each under a name of its own", shards),
    ("a letter that is too large is cut", large),
    ("a topic that takes next to nothing", tiny_topic),
    ("a letter that is cut leaves those of other streams whole", others_whole),
    ("an outbox that is full stops its stream loudly, until letters are taken again", full_outbox),
    ("letters that are sent once more count once", replayed),
]


def main():
    folder, settings = os.path.join(tempfile.mkdtemp(), "kafka"), {"log.segment.bytes": 128 << 20}
    with Cluster(folder, settings=settings) as kafka:
        run(CASES, kafka, clean=remove)


if __name__ == "__main__":
    main()
