#!/usr/bin/env python3
"""What goes wrong outside: a broken config, topics and brokers that are not there, a full disk, a port
and a folder in use, damaged files. Each must be said clearly, and must cost no more than it has to.
"""
import glob
import json
import os
import re
import signal
import tempfile
import threading
import time

from lib import DATA, Broker, Larder, Producer, free_port, helper, larder, run, wait_for

CONFIG = os.path.join(DATA, "deliveries.yml")
MISTAKES = os.path.join(DATA, "ten_mistakes.yml")
SHIM = helper("shim/enospc.so")
FIRST_S = 1700000000  # 2023-11-14T22:13:20Z
BLOCK_S = 7200        # a time block of the store


def event(i, time_s, topic="orders", partitions=2):
    """One accepted `placed` event, as a message."""
    payload = {"event_id": "e%d" % i, "type": "placed", "order_id": "o%d" % i,
               "occurred_at": time_s * 1000, "market": "m%d" % (i % 3), "category": "soup"}
    return topic, i % partitions, time_s * 1000 + 500, "o%d" % i, json.dumps(payload)


def events(first, count, span_s=600):
    """Events number first to first + count - 1, spread over the span from FIRST_S."""
    return [event(i, FIRST_S + (i * 7919) % span_s) for i in range(first, first + count)]


def send(broker, messages):
    with Producer(broker.bootstrap) as producer:
        producer.send(messages)


def total(server, span_s=6 * BLOCK_S):
    answer = server.query("sum(increase(orders_total[%ds]))" % (span_s + 600), FIRST_S + span_s)
    return float(answer.get((), 0))


def says(server, *words):
    """Waits for one log line with all the words."""
    def said():
        return any(all(re.search(w, line, re.I) for w in words) for line in server.log().splitlines())
    wait_for("a log line with %s in\n%s" % (list(words), server.log()[-3000:]), said)


def serving(broker=None, folder=None, **kw):
    bootstrap = broker.bootstrap if broker else "127.0.0.1:%d" % free_port()
    kw.setdefault("sets", ["kafka.brokers=" + bootstrap])
    return Larder(CONFIG, folder or os.path.join(tempfile.mkdtemp(prefix="bad-"), "data"), **kw)


def start_refused(server):
    """Starts a server that must not come up: exit status 2 and its log."""
    server.start(wait=False)
    status = server.process.wait(20)
    assert status == 2, "status %d:\n%s" % (status, server.log())
    return server.log()


def config_with_mistakes():
    with open(MISTAKES, encoding="utf-8") as f:
        want = [(number, line.split("#!")[1].strip()) for number, line in enumerate(f, 1)
                if "#!" in line and line[0] != "#"]
    assert len({kind for _, kind in want}) >= 10, want
    status, out, err = larder("check", "config", MISTAKES)
    assert status == 1, "status %d: %s%s" % (status, out, err)
    found = re.findall(r"ten_mistakes\.yml:(\d+):(\d+): (.+)", out + err)
    assert sorted({int(line) for line, _, _ in found}) == [line for line, _ in want], \
        "wanted %s, got:\n%s%s" % (want, out, err)
    for line, kind in want:
        texts = [text for at, _, text in found if int(at) == line]
        assert any(re.search(kind, text) for text in texts), "line %d: want %r in %s" % (line, kind, texts)
    status, out, err = larder("serve", "-c", MISTAKES)
    assert status == 2 and "ten_mistakes.yml:" in err, "serve: status %d: %s" % (status, err)


def good_config():
    status, out, err = larder("check", "config", CONFIG)
    assert status == 0, out + err


def missing_topic():
    with Broker(orders=2) as broker:
        broker.command("hide orders")
        with serving(broker).start() as server:
            says(server, "orders", "topic|partition")
            assert total(server) == 0
            broker.command("show orders")
            send(broker, events(0, 50))
            server.wait_events(50)
            assert total(server) == 50


def missing_broker():
    with Broker(orders=2) as broker:
        folder = os.path.join(tempfile.mkdtemp(prefix="bad-"), "data")
        with serving(broker, folder).start() as server:
            send(broker, events(0, 50))
            server.wait_events(50)
            assert server.stop() == 0
        broker.command("down")
        with serving(broker, folder).start() as server:
            assert total(server) == 50, "what it has is served"
            says(server, "broker|kafka", "refused|down|away|unreachable|cannot")
            assert server.stop() == 0, "a stop waits for no broker"
            server.start()
            broker.command("up")
            send(broker, events(50, 50))
            server.wait_events(100)
            broker.command("down")
            assert total(server) == 100
            broker.command("up")
            send(broker, events(100, 50))
            server.wait_events(150)
            assert total(server) == 150


def full_disk():
    folder = os.path.join(tempfile.mkdtemp(prefix="bad-"), "data")
    flag = folder + ".full"
    env = {"LD_PRELOAD": SHIM, "LARDER_ENOSPC_DIR": folder, "LARDER_ENOSPC_FLAG": flag,
           "ASAN_OPTIONS": "verify_asan_link_order=0"}
    with Broker(orders=2) as broker, serving(broker, folder, env=env).start() as server:
        send(broker, events(0, 50))
        server.wait_events(50)
        with open(flag, "w", encoding="ascii"):
            pass
        send(broker, events(50, 500))
        says(server, "space|full")
        assert total(server) == 50, "it keeps answering, and shows nothing that is not on disk"
        time.sleep(1)
        assert server.process.poll() is None and server.events_taken() == 50
        os.unlink(flag)
        server.wait_events(550)
        assert total(server) == 550
        server.kill()
        server.start()
        assert total(server) == 550, "after a kill"


def full_disk_in_a_reload():
    """The batch fits, and what a new config begins with does not: it is refused, and the one before goes on."""
    folder = os.path.join(tempfile.mkdtemp(prefix="bad-"), "data")
    config, flag = folder + ".yml", folder + ".full"
    with open(CONFIG, encoding="utf-8") as f:
        text = f.read()
    marked = text.replace("by: [market, category, {stage: type}]", "by: [{qzjxwvkq: market}]")
    assert marked != text
    with open(config, "w", encoding="utf-8") as f:
        f.write(text)
    env = {"LD_PRELOAD": SHIM, "LARDER_ENOSPC_DIR": folder, "LARDER_ENOSPC_FLAG": flag,
           "LARDER_ENOSPC_TEXT": "qzjxwvkq", "ASAN_OPTIONS": "verify_asan_link_order=0"}
    with Broker(orders=2) as broker, Larder(config, folder, sets=["kafka.brokers=" + broker.bootstrap],
                                            env=env).start() as server:
        send(broker, events(0, 50))
        server.wait_events(50)
        with open(flag, "w", encoding="ascii"):
            pass
        with open(config, "w", encoding="utf-8") as f:
            f.write(marked)
        server.process.send_signal(signal.SIGHUP)
        wait_for("refused", lambda: server.metrics()["larder_config_last_reload_successful"] == 0, 10)
        says(server, "could not be committed")
        send(broker, events(50, 50))
        server.wait_events(100)
        assert total(server) == 100
        os.unlink(flag)
        server.process.send_signal(signal.SIGHUP)
        wait_for("taken over", lambda: server.metrics()["larder_config_last_reload_successful"] == 1, 10)
        send(broker, events(100, 50))
        server.wait_events(150)
        assert total(server) == 150
        assert server.stop(15) == 0


def full_disk_and_operators():
    """Who asks while nothing can be committed may give up, at any moment of a batch: a stop does."""
    folder = os.path.join(tempfile.mkdtemp(prefix="bad-"), "data")
    flag = folder + ".full"
    env = {"LD_PRELOAD": SHIM, "LARDER_ENOSPC_DIR": folder, "LARDER_ENOSPC_FLAG": flag,
           "ASAN_OPTIONS": "verify_asan_link_order=0"}
    with Broker(orders=2) as broker, serving(broker, folder, env=env).start() as server:
        over = threading.Event()

        def ask():
            while not over.is_set():
                server.post("/api/v1/source/resume", target="orders/0", by="test")

        def flow():
            for i in range(10000):
                if over.is_set():
                    return
                send(broker, events(i * 50, 50))

        threads = [threading.Thread(target=f) for f in [ask, ask, ask, flow]]
        for thread in threads:
            thread.start()
        try:
            time.sleep(2)
            with open(flag, "w", encoding="ascii"):
                pass
            says(server, "space|full")
            time.sleep(1)
            server.stop(15)
        finally:
            over.set()
            for thread in threads:
                thread.join()


def port_in_use():
    with Broker(orders=2) as broker, serving(broker).start() as first:
        log = start_refused(serving(broker, port=first.port))
        assert str(first.port) in log and re.search("in use", log), log


def folder_in_use():
    with Broker(orders=2) as broker, serving(broker).start() as first:
        log = start_refused(serving(broker, first.folder))
        assert first.folder in log and re.search("in use|another process|locked", log), log
        assert total(first) == 0


def last_wal(folder):
    return sorted(glob.glob(os.path.join(folder, "wal", "*.wal")))[-1]


def used_bytes(path):
    """Up to the last byte that is not zero: the rest is allocated ahead."""
    with open(path, "rb") as f:
        return len(f.read().rstrip(b"\0"))


def truncated_wal():
    with Broker(orders=2) as broker:
        with serving(broker).start() as server:
            for i in range(5):
                send(broker, events(i * 50, 50))
                server.wait_events((i + 1) * 50)
            server.kill()
            path = last_wal(server.folder)
            os.truncate(path, used_bytes(path) - 3)
            server.start()
            says(server, "wal|log", "torn|cut")
            server.wait_events(250)  # what was cut off is read from Kafka again
            assert total(server) == 250
            assert server.stop() == 0
            server.start()
            assert total(server) == 250


def damaged_wal():
    """A frame in the middle, with good ones behind it, is no torn end: starting over it would lose events."""
    with Broker(orders=2) as broker:
        with serving(broker).start() as server:
            for i in range(5):
                send(broker, events(i * 50, 50))
                server.wait_events((i + 1) * 50)
            server.kill()
            path = last_wal(server.folder)
            flip_bit(path, used_bytes(path) // 2)
            log = start_refused(server)
            assert os.path.basename(path) in log, log


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def spoil_payload(path, payload=b"\xf0\x01 is no section"):
    """The last transaction of the log gets a payload that makes no sense, and a checksum that holds."""
    with open(path, "rb") as f:
        data = f.read()
    at, last = 20, None  # docs/format/wal.md
    while int.from_bytes(data[at:at + 4], "little"):
        length = int.from_bytes(data[at:at + 4], "little")
        last = at if data[at + 16] == 1 else last
        at += 24 + length
    front = data[last + 24:last + 24 + int.from_bytes(data[last + 18:last + 20], "little")]
    length = (len(front) + len(payload)).to_bytes(4, "little")
    rest = data[last + 8:last + 17] + b"\0" + data[last + 18:last + 20] + \
        len(payload).to_bytes(4, "little") + front + payload
    frame = length + crc32c(length + rest).to_bytes(4, "little") + rest
    behind = last + 24 + int.from_bytes(data[last:last + 4], "little")
    with open(path, "wb") as f:
        f.write(data[:last] + frame + data[behind:])


def unreadable_wal():
    """What only the second pass over the log finds, when queries are answered already, ends the server."""
    with Broker(orders=2) as broker:
        with serving(broker).start() as server:
            for i in range(3):
                send(broker, events(i * 50, 50))
                server.wait_events((i + 1) * 50)
            server.kill()
            path = last_wal(server.folder)
            spoil_payload(path)
            log = start_refused(server)
            assert os.path.basename(path) in log and "section 240" in log, log
            assert "ready on" in log, log


def flip_bit(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 0x10]))


def segments(folder):
    """Those of raw cells: the header's resolution, at byte 48, is 0."""
    found = []
    for path in sorted(glob.glob(os.path.join(folder, "seg", "*.seg"))):
        with open(path, "rb") as f:
            if f.read(56)[48:] == bytes(8):
                found.append(path)
    return found


def damaged_segment():
    """Never a wrong number: the answer is an error that names the segment, or says what is missing."""
    with Broker(orders=2) as broker:
        with serving(broker).start() as server:
            count = 0
            for block in range(5):  # passing a block seals it
                send(broker, [event(count + i, FIRST_S + block * BLOCK_S + i) for i in range(50)])
                count += 50
                server.wait_events(count)
            wait_for("a sealed block", lambda: segments(server.folder), 30)
            assert total(server) == count
            assert server.stop() == 0
            path = segments(server.folder)[0]
            flip_bit(path, 64 + 16 + 4)  # in the first page of cells, behind the file's and its header
            server.start(wait=False)
            wait_for("an end, or ready", lambda: server.process.poll() is not None or
                     server.get("/-/ready", check=False)[0] == 200)
            name = os.path.basename(path)
            if server.process.poll() is not None:
                assert server.process.returncode == 2 and name in server.log(), server.log()
                return
            status, body = server.get("/api/v1/query", check=False, time=str(FIRST_S + 6 * BLOCK_S),
                                      query="sum(increase(orders_total[%ds]))" % (7 * BLOCK_S))
            told = status != 200 or '"warnings"' in body
            assert told and (name in body or name in server.log()), "%d: %s" % (status, body)
            recent = server.query("sum(increase(orders_total[10m]))", FIRST_S + 4 * BLOCK_S + 300)
            assert recent == {(): "50"}, "other blocks still answer: %s" % recent


CASES = [
    ("a good config passes", good_config),
    ("a config with ten kinds of mistake: each with line, column and text", config_with_mistakes),
    ("a topic that does not exist: said, and read once it is there", missing_topic),
    ("a broker that is away: said, tried again, what is there is served", missing_broker),
    ("a full disk: ingesting stops, answering goes on, room brings it back", full_disk),
    ("a full disk: a reload that it catches is refused, at once", full_disk_in_a_reload),
    ("a full disk: a stop waits for no operator's request", full_disk_and_operators),
    ("a port in use", port_in_use),
    ("a data folder in use", folder_in_use),
    ("a truncated log: the torn frame is cut off and read again", truncated_wal),
    ("a damaged log stops the start", damaged_wal),
    ("a log with a payload that cannot be read ends the server", unreadable_wal),
    ("a segment with a flipped bit gives no wrong number", damaged_segment),
]


if __name__ == "__main__":
    run(CASES)
