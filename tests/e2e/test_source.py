#!/usr/bin/env python3
"""Positions on a real Kafka: topics that are made anew, cut off, compacted or deleted, where reading
begins, patterns, shards, keys and headers, and what an operator does about it all with `larder source`.

    LARDER_CASE=TEXT   runs the cases that have the text in their names
"""
import json
import os
import subprocess
import sys
import tempfile
import time

from lib import DATA, ROOT, Larder, Producer, Tap, helper, larder, wait_for

sys.path.insert(0, os.path.join(ROOT, "tests", "kafka"))
from cluster import Cluster  # noqa: E402

CONFIG = os.path.join(DATA, "deliveries.yml")
FIRST_S = 1700000000  # 2023-11-14T22:13:20Z
SPAN_S = 3600


def payload(i, time_s=None, **more):
    at = FIRST_S + i % 600 if time_s is None else time_s
    event = {"event_id": "e%d" % i, "type": "placed", "order_id": "o%d" % i,
             "occurred_at": at * 1000, "market": "m", "category": "soup"}
    event.update(more)
    return json.dumps({k: v for k, v in event.items() if v is not None})


def send(kafka, topic, numbers, partition=0, time_s=None):
    with Producer(kafka.bootstrap) as producer:
        producer.send((topic, partition, (time_s or FIRST_S + i % 600) * 1000, "o%d" % i, payload(i, time_s))
                      for i in numbers)


def serving(kafka, topic, *sets, config=CONFIG, folder=None):
    sets = ["kafka.brokers=" + kafka.bootstrap, "streams.orders.topics=" + topic, *sets]
    return Larder(config, folder or os.path.join(tempfile.mkdtemp(prefix="source-"), "data"), sets)


def total(server):
    answer = server.query("sum(increase(orders_total[%ds]))" % (2 * SPAN_S), FIRST_S + SPAN_S)
    return int(float(answer.get((), 0)))


def counts(server, want, seconds=30):
    """Until so many orders are counted; then a little longer, for what must not come."""
    wait_for("%d orders, there are %d:\n%s" % (want, total(server), server.log()[-3000:]),
             lambda: total(server) >= want, seconds)
    time.sleep(0.3)
    assert total(server) == want, "%d orders, %d were sent" % (total(server), want)


def source(server, *words, status=0):
    """What `larder source` says, as JSON."""
    code, out, err = larder("source", *words, "--json", "--server", "http://127.0.0.1:%d" % server.port)
    assert code == status, "larder source %s: status %d: %s%s" % (" ".join(words), code, out, err)
    return (json.loads(out)["data"], err) if out else ({}, err)


def rows(server):
    """The partitions that are known by now, by name. The exit status says whether one is halted."""
    code, out, err = larder("source", "list", "--json", "--server", "http://127.0.0.1:%d" % server.port)
    assert code in (0, 1) or "does not run" in err, err
    return {r["partition"]: r for r in json.loads(out)["data"]["partitions"]} if out else {}


def wait_state(server, partition, state, *words, seconds=40):
    def reached():
        row = rows(server).get(partition)
        return row and row["state"] == state and all(w in row["cause"] for w in words) and row
    try:
        return wait_for("%s %s" % (partition, state), reached, seconds, 0.1)
    except AssertionError as e:
        raise AssertionError("%s with %s\n%s\n%s" % (e, words, rows(server), server.log()[-3000:])) from e


def make_anew(kafka, topic, **kw):
    kafka.delete(topic)
    def created():
        try:
            kafka.create(topic, **kw)
            return True
        except AssertionError as e:
            assert "exist" in str(e) or "delet" in str(e).lower(), e
            return False
    wait_for("%s made anew" % topic, created, 30, 0.2)


# ---- fingerprints ----

def restart_reads_on(kafka):
    """Nothing is amiss: restarts compare the last record, and count nothing twice."""
    kafka.create("plain", 2)
    with serving(kafka, "[plain]").start() as server:
        for round in range(4):
            send(kafka, "plain", range(round * 50, round * 50 + 25), 0)
            send(kafka, "plain", range(round * 50 + 25, round * 50 + 50), 1)
            counts(server, (round + 1) * 50)
            wait_state(server, "plain/0", "caught_up")
            server.kill() if round % 2 else server.stop()
            server.start()
        wait_state(server, "plain/1", "caught_up")
        assert all(r["state"] == "caught_up" and r["lost"] == 0 and r["position"] == 100
                   for r in rows(server).values()), rows(server)


def made_anew_with_more(kafka):
    """While nobody read, the topic was made anew, and has more records than were read of the old one."""
    kafka.create("anew")
    with serving(kafka, "[anew]").start() as server:
        send(kafka, "anew", range(30))
        counts(server, 30)
        assert server.stop() == 0
        make_anew(kafka, "anew")
        send(kafka, "anew", range(1000, 1100))
        server.start()
        row = wait_state(server, "anew/0", "halted", "29", "not the one that was read")
        assert row["position"] == 30 and total(server) == 30, row
        assert "seek --to earliest" in row["advice"], row
        shown = larder("source", "list", "--server", "http://127.0.0.1:%d" % server.port)
        assert shown[0] == 1 and row["cause"] in shown[1] and row["advice"] in shown[1], shown
        wait_for("one halted partition in /metrics",
                 lambda: server.metric_sum("larder_ingest_partitions_halted") == 1, 10)
        assert "halted" in server.log()
        trouble = [k for k in server.metrics() if k.startswith("larder_ingest_trouble")]
        assert "anew/0" in trouble[0] and "not the one" in trouble[0], trouble
        # A restart does not talk it round, nor does resume.
        server.kill()
        server.start()
        wait_state(server, "anew/0", "halted", "not the one")
        source(server, "resume", "anew/0")
        wait_state(server, "anew/0", "halted", "not the one")
        data, err = source(server, "seek", "anew/0", "--to", "earliest", "--by", "ann")
        assert "ids are still held" in err, err
        counts(server, 130)
        row = wait_state(server, "anew/0", "caught_up")
        what = [(c["by"], c["what"]) for c in row["changes"]]
        assert ("ann", "seek from 30 to 0") in what and len(what) == 2, what
        assert row["lost"] == 0


def made_anew_with_fewer(kafka):
    """The log ends before the position; skip goes on behind what is there."""
    kafka.create("fewer")
    with serving(kafka, "[fewer]", "streams.orders.out_of_range=skip").start() as server:
        send(kafka, "fewer", range(30))
        counts(server, 30)
        assert server.stop() == 0
        make_anew(kafka, "fewer")
        send(kafka, "fewer", range(1000, 1010))
        server.start()
        wait_state(server, "fewer/0", "halted", "ends at 10", "made anew")
        data, err = source(server, "skip", "fewer/0")
        assert "seek --to earliest" in err, err
        send(kafka, "fewer", range(2000, 2005))
        counts(server, 35)
        wait_state(server, "fewer/0", "caught_up")


def deleted_while_read(kafka):
    kafka.create("brief")
    with serving(kafka, "[brief]").start() as server:
        send(kafka, "brief", range(20))
        counts(server, 20)
        kafka.delete("brief")
        wait_state(server, "brief/0", "halted", "deleted")
        wait_for("the metric", lambda: server.metric_sum("larder_ingest_partitions_halted") == 1, 10, 0.1)
        wait_for("it is made again", lambda: made(kafka, "brief"), 30, 0.2)
        wait_state(server, "brief/0", "halted", "ends at 0")
        send(kafka, "brief", range(100, 107))
        source(server, "seek", "brief/0", "--to", "earliest")
        counts(server, 27)
        # Restarts do not look back at what was.
        server.stop()
        server.start()
        send(kafka, "brief", range(200, 203))
        counts(server, 30)


def made(kafka, topic):
    try:
        kafka.create(topic)
        return True
    except AssertionError:
        return False


# ---- retention, compaction, transactions ----

def retention_takes_what_was_read(kafka):
    """The last record is gone: that is no difference."""
    kafka.create("kept")
    with serving(kafka, "[kept]").start() as server:
        send(kafka, "kept", range(40))
        counts(server, 40)
        assert server.stop() == 0
        kafka.truncate("kept", 0, 40)
        server.start()
        send(kafka, "kept", range(100, 110))
        counts(server, 50)
        row = wait_state(server, "kept/0", "caught_up")
        assert row["lost"] == 0 and row["holes"] == [], row


def retention_takes_what_was_not_read(kafka):
    """Halted, then skipped by the operator; the hole is kept through restarts."""
    kafka.create("gone")
    with serving(kafka, "[gone]").start() as server:
        send(kafka, "gone", range(10))
        counts(server, 10)
        assert server.stop() == 0
        send(kafka, "gone", range(10, 60))
        kafka.truncate("gone", 0, 35)
        server.start()
        row = wait_state(server, "gone/0", "halted", "10 to 34", "retention")
        assert total(server) == 10
        source(server, "skip", "gone/0", "--by", "bob")
        counts(server, 35)
        server.kill()
        server.start()
        row = wait_state(server, "gone/0", "caught_up")
        assert row["holes"] == [{"from": 10, "to": 35}] and row["lost"] == 25, row
        assert server.metric_sum("larder_source_lost_total") == 25
        assert row["changes"][0]["by"] == "bob" and "skip from 10 to 35" in row["changes"][0]["what"]


def policy_skips(kafka):
    kafka.create("holes")
    with serving(kafka, "[holes]", "streams.orders.out_of_range=skip").start() as server:
        send(kafka, "holes", range(10))
        counts(server, 10)
        assert server.stop() == 0
        send(kafka, "holes", range(10, 60))
        kafka.truncate("holes", 0, 35)
        server.start()
        counts(server, 35)
        row = wait_state(server, "holes/0", "caught_up")
        assert row["holes"] == [{"from": 10, "to": 35}] and row["changes"] == [], row
        assert "offsets 10 to 34 are gone" in server.log()


def compaction_takes_the_last_record(kafka):
    kafka.create("compact", cleanup_policy="compact", segment_ms=100, min_cleanable_dirty_ratio=0.01,
                 max_compaction_lag_ms=200)
    with serving(kafka, "[compact]").start() as server:
        send(kafka, "compact", [5, 6, 5, 6, 5])
        wait_for("all read", lambda: rows(server).get("compact/0", {}).get("position") == 5, 20)
        assert server.stop() == 0
        time.sleep(0.2)

        later = iter(range(FIRST_S + 600, FIRST_S + 3000, 10))

        def last_is_gone():
            # The same key; and a new segment, by the time of its records, so that old ones are cleaned.
            send(kafka, "compact", [5], time_s=next(later))
            done = subprocess.run(["kcat", "-b", kafka.bootstrap, "-C", "-t", "compact", "-o", "beginning", "-e",
                                   "-q", "-f", "%o "], stdout=subprocess.PIPE, text=True, check=True)
            return "4" not in done.stdout.split()
        wait_for("offset 4 compacted away", last_is_gone, 60, 0.5)
        send(kafka, "compact", range(100, 110))
        server.start()
        wait_for("ten more", lambda: total(server) == 12, 30)
        row = wait_state(server, "compact/0", "caught_up")
        assert row["lost"] == 0


def transactions(kafka):
    """Markers and aborted records lie where the next position is; neither is a gap or a difference."""
    kafka.create("txn")
    with serving(kafka, "[txn]").start() as server:
        producer = subprocess.Popen([helper("produce_txn"), kafka.bootstrap, "txn", "0", "t1",
                                     str(FIRST_S * 1000)],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        sent = 0
        for round in range(6):
            commits = round % 2 == 0
            for i in range(10):
                producer.stdin.write("send %s\n" % payload(round * 10 + i, FIRST_S + 1))
            producer.stdin.write("commit\n" if commits else "abort\n")
            producer.stdin.flush()
            assert producer.stdout.readline() == "ok\n"
            sent += 10 * commits
            counts(server, sent)
            wait_state(server, "txn/0", "caught_up")
            server.kill() if round % 3 else server.stop()
            server.start()
        wait_state(server, "txn/0", "caught_up")
        counts(server, sent)
        producer.stdin.close()
        assert producer.wait(30) == 0


# ---- where reading begins ----

def starts(kafka):
    hour = FIRST_S + 1800
    for topic, start, want in (("from_first", "earliest", 60), ("from_last", "latest", 0),
                               ("from_time", "2023-11-14T22:43:20Z", 20)):
        kafka.create(topic, 2)
        for partition in (0, 1):
            send(kafka, topic, range(partition * 100, partition * 100 + 20), partition, FIRST_S)
            send(kafka, topic, range(partition * 100 + 50, partition * 100 + 60), partition, hour)
        with serving(kafka, "[%s]" % topic, "streams.orders.start=" + start).start() as server:
            wait_state(server, topic + "/0", "caught_up")
            wait_state(server, topic + "/1", "caught_up")
            counts(server, want)
            # A restart begins nowhere anew; what comes later is read whole.
            server.kill()
            send(kafka, topic, range(300, 305), 0)
            kafka.grow(topic, 3)
            send(kafka, topic, range(400, 407), 2, FIRST_S)
            server.start()
            counts(server, want + 12)


def patterns(kafka):
    kafka.create("pat.a", 2)
    kafka.create("other.pat.b")
    send(kafka, "pat.a", range(10))
    with serving(kafka, "['^pat[.].*']", "streams.orders.start=latest").start() as server:
        wait_state(server, "pat.a/0", "caught_up")
        counts(server, 0)
        kafka.create("pat.b")
        send(kafka, "pat.b", range(100, 110))
        send(kafka, "other.pat.b", range(200, 210))
        counts(server, 10)  # a topic that appears later is read whole
        assert set(rows(server)) == {"pat.a/0", "pat.a/1", "pat.b/0"}, rows(server)
        server.kill()
        kafka.create("pat.c")
        send(kafka, "pat.c", range(300, 305))
        server.start()
        counts(server, 15)


def shards(kafka):
    kafka.create("shared", 5)
    for p in range(5):
        send(kafka, "shared", range(p * 100, p * 100 + 10 + p), p)
    with serving(kafka, "[shared]", "shard=1/2").start() as one, \
            serving(kafka, "[shared]", "shard=2/2").start() as two:
        counts(one, 10 + 12 + 14)
        counts(two, 11 + 13)
        assert set(rows(one)) == {"shared/0", "shared/2", "shared/4"}, rows(one)
        assert set(rows(two)) == {"shared/1", "shared/3"}, rows(two)


def unequal_shards(kafka):
    """A lifecycle over topics of 2 and 3 partitions is not read, until they have equally many."""
    kafka.create("life_orders", 2)
    kafka.create("life_payments", 3)
    send(kafka, "life_orders", range(10))
    config = os.path.join(DATA, "lifecycle.yml")
    with serving(kafka, "[life_orders]", "streams.payments.topics=[life_payments]", "shard=1/2",
                 config=config).start() as server:
        row = wait_state(server, "life_orders/0", "waiting", "life_orders has 2", "life_payments has 3")
        assert server.metric_sum('larder_events_accepted_total{stream="orders"}') == 0
        kafka.grow("life_orders", 3)
        wait_state(server, "life_orders/0", "caught_up")
        assert server.metric_sum('larder_events_accepted_total{stream="orders"}') == 10


# ---- beside the value ----

def keys_and_headers(kafka):
    kafka.create("beside")
    sets = ["streams.orders.fields.order_id={type: string, required: true, from: key}",
            "streams.orders.fields.market={type: string, required: true, from: header, name: x-market}",
            "streams.orders.fields.items={type: int, min: 0, from: header, name: x-items}"]
    trace = "traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    def put(i, key, *headers):
        argv = ["kcat", "-P", "-b", kafka.bootstrap, "-t", "beside", "-p", "0"]
        argv += ["-k", key] if key else []
        for header in headers:
            argv += ["-H", header]
        now = int(time.time())
        subprocess.run(argv, input=payload(i, now, order_id=None, market="ignored"), text=True, check=True)
    with serving(kafka, "[beside]", *sets).start() as server:
        put(1, "o1", "x-market=zrh", "x-items=3", trace)
        put(2, "o2", "x-market=first", "x-market=bern")
        put(3, "", "x-market=zrh")                     # no key: missing
        put(4, "o4")                                   # no header: missing
        put(5, "o5", "x-market=zrh", "x-items=three")  # type
        put(6, "o6", "x-market=zrh", "x-items=-1")     # range
        server.wait_events(6)
        now = int(time.time()) + 10
        got = server.query("sum by (market) (increase(orders_total[10m]))", now)
        assert got == {(("market", "zrh"),): "1", (("market", "bern"),): "1"}, got
        values = server.metrics()
        refused = {reason: values['larder_events_refused_total{stream="orders",reason="%s"}' % reason]
                   for reason in ("missing", "type", "range")}
        assert refused == {"missing": 2, "type": 1, "range": 1}, refused


# ---- the operator ----

def pause_and_resume(kafka):
    kafka.create("held", 2)
    with serving(kafka, "[held]").start() as server:
        send(kafka, "held", range(5), 0)
        counts(server, 5)
        data, _ = source(server, "pause", "held/0", "--by", "ann")
        assert data["partitions"][0]["state"] == "paused", data
        send(kafka, "held", range(10, 20), 0)
        send(kafka, "held", range(20, 23), 1)
        counts(server, 8)
        server.kill()
        server.start()
        wait_state(server, "held/1", "caught_up")
        counts(server, 8)
        row = rows(server)["held/0"]
        assert row["state"] == "paused" and row["changes"][0]["by"] == "ann", row
        assert server.metric_sum("larder_ingest_partitions_paused") == 1
        source(server, "resume", "held")
        counts(server, 18)
        what = [c["what"] for c in rows(server)["held/0"]["changes"]]
        assert what == ["resume at 5", "pause at 5"], what
        assert "source: partition held/0: pause at 5, by ann" in server.log()


def skip_and_seek(kafka):
    kafka.create("moved")
    with serving(kafka, "[moved]").start() as server:
        url = "http://127.0.0.1:%d" % server.port
        send(kafka, "moved", range(20))
        counts(server, 20)
        for words, status, text in (
                (("skip", "moved/0"), 1, "not halted"),
                (("skip", "moved/0", "--to", "5"), 1, "was passed"),
                (("skip", "moved/0", "--to", "21"), 1, "holds 0 to 20"),
                (("seek", "moved/0", "--to", "soon"), 1, "must be earliest"),
                (("seek", "moved/1", "--to", "0"), 1, "no topic or partition 'moved/1'"),
                (("seek", "nothing", "--to", "0"), 1, "no topic or partition 'nothing'"),
                (("pause",), 2, "which partition"),
                (("seek", "moved/0"), 2, "--to is missing"),
                (("pause", "moved/0", "--to", "3"), 2, "--to is for"),
                (("move", "moved/0"), 2, "one of list"),
                (("list", "moved/0", "x"), 2, "one argument too many")):
            code, out, err = larder("source", *words, "--server", url)
            assert code == status and text in err, "%s: %d: %s%s" % (words, code, out, err)
        assert larder("source", "list", "--server", "http://127.0.0.1:1")[0] == 2
        code, out, _ = larder("source", "list", "--server", url)
        lines = out.splitlines()
        assert code == 0 and lines[0].split()[:3] == ["PARTITION", "STREAM", "STATE"], out
        assert lines[1].split()[:7] == ["moved/0", "orders", "caught_up", "20", "20", "0", "0"], out
        assert lines[1].endswith("Z"), out
        # Back: what is read again counts once, by its ids.
        _, err = source(server, "seek", "moved/0", "--to", "0")
        assert "ids are still held" in err, err
        wait_for("twenty duplicates", lambda: server.metric_sum("larder_events_duplicate_total") == 20)
        counts(server, 20)
        # Forward: a hole.
        source(server, "pause", "moved/0")
        send(kafka, "moved", range(100, 130))
        source(server, "skip", "moved/0", "--to", "40")
        assert rows(server)["moved/0"]["state"] == "paused"
        source(server, "resume", "moved/0")
        counts(server, 30)
        assert rows(server)["moved/0"]["holes"] == [{"from": 20, "to": 40}], rows(server)
        server.kill()
        server.start()
        wait_state(server, "moved/0", "caught_up")
        counts(server, 30)


def seek_without_ids(kafka):
    """What is read again counts again, so it has to be meant."""
    kafka.create("again")
    with open(CONFIG, encoding="utf-8") as f:
        text = f.read().replace("    event_id: event_id\n", "")
    config = os.path.join(tempfile.mkdtemp(prefix="source-"), "no_ids.yml")
    with open(config, "w", encoding="utf-8") as f:
        f.write(text)
    with serving(kafka, "[again]", config=config).start() as server:
        send(kafka, "again", range(10))
        counts(server, 10)
        _, err = source(server, "seek", "again/0", "--to", "earliest", status=1)
        assert "counts again" in err and "--again" in err, err
        _, err = source(server, "seek", "again/0", "--to", "2023-11-14T22:13:25Z", "--again")
        assert "counts again" in err, err
        counts(server, 15)


def pages_change_nothing(kafka):
    kafka.create("safe")
    with serving(kafka, "[safe]").start() as server:
        wait_state(server, "safe/0", "caught_up")
        done = subprocess.run(
            ["curl", "-s", "-w", "%{http_code}", "-H", "Origin: http://evil.example", "-d",
             "target=safe/0&by=x", "http://127.0.0.1:%d/api/v1/source/pause" % server.port],
            stdout=subprocess.PIPE, text=True, check=True)
        assert done.stdout.endswith("403"), done.stdout
        assert server.get("/api/v1/source/pause", check=False, target="safe/0", by="x")[0] == 405
        assert rows(server)["safe/0"]["state"] == "caught_up"


def lag_is_shown(kafka):
    """Positions are committed to the broker afterwards, under the group, for the usual tools."""
    kafka.create("lagging", 2)
    with serving(kafka, "[lagging]", "kafka.group.id=larder-lag").start() as server:
        send(kafka, "lagging", range(30), 0)
        send(kafka, "lagging", range(30, 40), 1)
        counts(server, 40)
        server.stop()  # tells them once more
    send(kafka, "lagging", range(100, 107), 1)
    assert kafka.lag("larder-lag", "lagging") == {0: (30, 0), 1: (10, 7)}


CASES = [restart_reads_on, made_anew_with_more, made_anew_with_fewer, deleted_while_read,
         retention_takes_what_was_read, retention_takes_what_was_not_read, policy_skips,
         compaction_takes_the_last_record, transactions, starts, patterns, shards, unequal_shards,
         keys_and_headers, pause_and_resume, skip_and_seek, seek_without_ids, pages_change_nothing,
         lag_is_shown]


def main():
    tap = Tap()
    only = os.environ.get("LARDER_CASE", "")
    settings = {"log.cleaner.backoff.ms": 300, "log.segment.delete.delay.ms": 100}
    with Cluster(tempfile.mkdtemp(prefix="kafka-"), settings=settings) as kafka:
        for case in CASES:
            if only in case.__name__:
                with tap.case(case.__name__.replace("_", " ")):
                    case(kafka)
    tap.end()


if __name__ == "__main__":
    main()
