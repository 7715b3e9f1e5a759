#!/usr/bin/env python3
"""`larder replay ROLLUP` end to end: rollups are changed by a reload while events flow, and then made anew of what the
topic holds, while more events flow and the server is killed. What a query answers is the old or the new, and nothing
else; afterwards every window is what the definition of now makes of all events.

    LARDER_SEED     of the events and the moments of the kills
    LARDER_ORDERS   how many orders; 20,000
    LARDER_KAFKA    1: on a real Kafka instead of the mock broker; then logs are cut and topics deleted, too
"""
import collections
import json
import os
import random
import subprocess
import tempfile
import threading
import time

from lib import Larder, Producer, Tap, larder, wait_for
from test_reload import (DAY_S, Events, Run, SPAN_S, broker_for, differences, found, hash_of, send, truth,
                         write_config)
import test_reload

SEED = int(os.environ.get("LARDER_SEED", "1"))
ORDERS = int(os.environ.get("LARDER_ORDERS", "20000"))
REAL = os.environ.get("LARDER_KAFKA") == "1"
END_S = DAY_S + SPAN_S + 2 * 3600 + 60  # no order's event lies later
NAMES = {"orders_total": 1, "deliveries_total": 1}

test_reload.HEAD = test_reload.HEAD.replace("lifecycles:", """\
  empties:
    topics: [empties]
    event_time: at
    fields: {at: {type: time, required: true}, n: {type: int, min: 0}, market: {type: string}}
lifecycles:""").replace("localhost:9092\"}", "localhost:9092\", fetch.message.max.bytes: \"20000\"}")
test_reload.DEFINITIONS.update({
    "empties_total": {"n": "{kind: counter, from: empties, value: n}"},
    "orders_open": {"all": "{kind: level, from: order, at: open}"},
    "amounts": {"last": "{kind: gauge, from: orders, value: amount, by: [{order: market}], reduce: last}"},
})


def replay(server, *argv, timeout=120):
    return larder("replay", *argv, "--server", "http://127.0.0.1:%d" % server.port, timeout=timeout)


def status(server):
    code, out, err = replay(server, "status", "--json")
    assert code in (0, 1), (code, err)
    return json.loads(out)


def totals(server, name):
    """What one query tells of all orders: it is of one moment."""
    answer = server.query("sum without () (increase(%s[12h]))" % name, DAY_S + 12 * 3600)
    return {labels: round(float(v)) for labels, v in answer.items() if float(v)}


def sums(windows):
    out = collections.Counter()
    for (labels, end_s), amount in windows.items():
        if end_s <= DAY_S + 12 * 3600:
            out[labels] += amount
    return dict(+out)


class Watch:
    """Asks again and again; only the old and the new are answers, and never the old after the new."""

    def __init__(self, server, name, old, new):
        self.server, self.name, self.old, self.new = server, name, old, new
        self.seen, self.wrong, self.ended = collections.Counter(), [], threading.Event()
        self.thread = threading.Thread(target=self.run)

    def ask(self):
        try:
            answer = totals(self.server, self.name)
        except (AssertionError, KeyError, ValueError):
            return  # it is being killed
        kind = "old" if answer == self.old else "new" if answer == self.new else "wrong"
        if kind == "wrong" or (kind == "old" and self.seen["new"]):
            self.wrong.append((kind, answer))
        self.seen[kind] += 1

    def run(self):
        while not self.ended.is_set():
            self.ask()
            time.sleep(0.005)

    def __enter__(self):
        assert self.old != self.new
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.ended.set()
        self.thread.join()
        if kind is None:
            assert not self.wrong, "%d answers, of %s: %s\nold %s\nnew %s" % (
                len(self.wrong), dict(self.seen), self.wrong[:2], self.old, self.new)
            assert self.seen["old"] > 3 and self.seen["new"], dict(self.seen)


class Load:
    """Orders of the time behind all others, while something is replayed."""

    n = 0  # of all loads

    def __init__(self, bootstrap, events):
        self.producer, self.events = Producer(bootstrap, batch=50), events
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.ended.is_set():
            batch = []
            for _ in range(20):
                Load.n += 1
                at, name = (DAY_S + 13 * 3600) * 1000 + Load.n * 20, "live%d" % Load.n
                batch.append((at / 1000, name, {"id": name, "order_id": name, "type": "placed", "at": at,
                                                "market": "m%d" % (Load.n % 3), "category": "soup", "amount": 1}))
            self.events += batch
            send(self.producer, batch)
            time.sleep(0.02)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.producer.flush()
        self.producer.close()


def truths(events, name, spans):
    orders = collections.defaultdict(set)
    for _, order, event in events:
        orders[order].add(event["type"])
    return truth(name, spans, orders, [event for _, _, event in events])


def wait_state(server, state, seconds=90):
    def there():
        now = status(server)
        assert now["state"] in ("running", state), now
        return now["state"] == state
    wait_for("replay " + state, there, seconds, 0.1)
    return status(server)


def all_taken(server, events, seconds=120):
    try:
        wait_for("all events taken in", lambda: server.metric_sum("larder_events_accepted_total") >= len(events),
                 seconds, 0.1)
    except AssertionError:
        raise AssertionError("%d of %d\n%s" % (server.metric_sum("larder_events_accepted_total"), len(events),
                                               server.log()[-2000:]))
    assert server.metric_sum("larder_events_accepted_total") == len(events)


def bad_inputs(tap, run):
    server = run.server
    with tap.case("what cannot be replayed is refused, with its cause"):
        for argv, code, text in [
                (["nothing_total"], 1, "there is no rollup 'nothing_total'"),
                (["amounts"], 1, "replay of a gauge"),
                (["cancel"], 1, "no replay runs"),
                ([], 2, "which rollup?"),
                (["a", "b"], 2, "one rollup at a time"),
                (["--from", "yesterday", "orders_total"], 2, "--from"),
                (["status", "x"], 2, "too much"),
                (["status", "--from", "1"], 2, "too much")]:
            got = replay(server, *argv)
            assert got[0] == code and text in got[2], (argv, got)
        got = replay(server, "status")
        assert got[0] == 0 and "no replay was asked for yet" in got[1], got
        assert larder("replay", "x", "--server", "http://127.0.0.1:1")[0] == 2
    with tap.case("nothing to replay: nothing was read, or nothing is left behind --from"):
        for argv in (["empties_total"], ["orders_total", "--from", "2100-01-01T00:00:00Z"]):
            got = replay(server, *argv)
            assert got[0] == 1 and "nothing to replay" in got[2], (argv, got)
    with tap.case("a file that says something else than what is in force is told"):
        write_config(run.config, dict(run.chosen, orders_total="soup"))
        got = replay(server, "orders_total")
        assert got[0] == 1 and "SIGHUP takes it over" in got[2], got
        write_config(run.config, run.chosen)


def play(run, producer, events):
    """Half of the events, a reload that changes two rollups while more come, and the rest."""
    half, quarter = len(events) // 2, len(events) // 4
    send(producer, events[:half])
    producer.flush()
    wait_for("a quarter", lambda: run.server.metric_sum("larder_events_accepted_total") >= quarter, 60)
    send(producer, events[half:half + quarter])
    run.reload(orders_total="type", deliveries_total="market")
    send(producer, events[half + quarter:])
    producer.flush()


def check(run, events, name, spans):
    want, have = truths(events, name, spans), found(run.server, name, 1, 16)
    assert len(want) > 200, len(want)
    assert not differences(want, have), "%s\n%s" % (spans, differences(want, have))
    return sums(want)


def replay_under_kills(tap, run, rng, bootstrap, events):
    server, name = run.server, "orders_total"
    with tap.case("before: each window by its own definition; the reload lost nothing"):
        all_taken(server, events)
        old = {n: check(run, events, n, run.spans[n]) for n in NAMES}
    fresh = {n: [(run.spans[n][-1][0], float("-inf"))] for n in NAMES}
    new = {n: sums(truths(events, n, fresh[n])) for n in NAMES}
    with tap.case("a replay that is killed twice goes on; queries see the old or the new, under load"):
        with Load(bootstrap, events), Watch(server, name, old[name], new[name]):
            time.sleep(0.5)
            got = replay(server, "--detach", name)
            assert got[0] == 0, got
            busy = replay(server, "deliveries_total")
            assert busy[0] == 1 and "the replay of orders_total runs" in busy[2], busy
            run.restart()
            assert "replay of orders_total goes on" in server.log()
            wait_for("some progress", lambda: status(server)["recordsRead"] > 0 or
                     status(server)["state"] == "done", 60, 0.02)
            time.sleep(rng.random() * 0.3)
            run.restart()
            now = wait_state(server, "done")
            time.sleep(0.5)
        print("# %s" % json.dumps(now))
        all_taken(server, events)
        check(run, events, name, fresh[name])
        assert not os.path.exists(server.folder + ".replay")
    with tap.case("the replay of a lifecycle's rollup, with its progress"):
        with Load(bootstrap, events), Watch(server, "deliveries_total", old["deliveries_total"],
                                            new["deliveries_total"]):
            try:
                got = replay(server, "--json", "deliveries_total", timeout=60)
            except subprocess.TimeoutExpired:
                raise AssertionError("%s\n%s" % (status(server), server.log()[-3000:]))
            time.sleep(0.2)
        assert got[0] == 0, got
        last = json.loads(got[1].splitlines()[-1])
        assert last["state"] == "done" and last["records"] >= ORDERS and last["cells"] > 0, last
        print("# %s" % json.dumps(last))
        all_taken(server, events)
        check(run, events, "deliveries_total", fresh["deliveries_total"])
        check(run, events, name, fresh[name])
    with tap.case("all windows are of the newest definition, after a restart too"):
        run.restart()
        assert not any(k.startswith("larder_rollup_generation_start") and ("orders_total" in k or "deliveries" in k)
                       for k in server.metrics())
        for n in NAMES:
            check(run, events, n, fresh[n])
            run.spans[n] = fresh[n]


def replay_again(tap, run, events):
    server = run.server
    with tap.case("what is made anew already differs by nothing"):
        got = replay(server, "orders_total")
        assert got[0] == 0 and "orders_total is made anew: 0 cells have changed" in got[1], got
    with tap.case("--from leaves what is before as it is, and late events go by the definition of their window"):
        run.reload(orders_total="soup")
        middle = DAY_S + 3 * 3600
        got = replay(server, "--from", str(middle), "orders_total")
        assert got[0] == 0, got
        assert run.start_of("orders_total") == middle
        spans = [("type", float("-inf")), ("soup", middle)]
        late = [((END_S + 60), "late%d" % i, {"id": "late%d" % i, "order_id": "late%d" % i, "type": "placed",
                 "at": (middle + (i - 5) * 600) * 1000, "market": "m1", "category": "soup", "amount": 1})
                for i in range(10)]
        events += late
        with Producer(server.bootstrap) as producer:
            send(producer, late)
            producer.flush()
        all_taken(server, events)
        check(run, events, "orders_total", spans)
        run.spans["orders_total"] = spans
    with tap.case("a replay that is canceled, and one that another config overtakes, change nothing"):
        assert replay(server, "--detach", "orders_total")[0] == 0
        assert replay(server, "cancel")[0] == 0
        now = wait_state(server, "canceled")
        assert now["cells"] == 0, now
        assert replay(server, "status")[0] == 1
        assert replay(server, "--detach", "orders_total")[0] == 0
        run.reload(orders_total="market")
        now = wait_state(server, "failed")
        assert "begin it again" in now["text"] or "SIGHUP" in now["text"], now
        check(run, events, "orders_total", run.spans["orders_total"])
        assert not os.path.exists(server.folder + ".replay")


def logs_are_cut(tap, run, broker, events):
    server = run.server
    with tap.case("what the log has lost stays as it was; what it holds whole is made anew"):
        for partition in range(test_reload.PARTITIONS):
            broker.truncate("orders", partition, len(events) // 12)
        got = replay(server, "--json", "orders_total")
        assert got[0] == 0, "%s\n%s" % (got, server.log()[-3000:])
        last = json.loads(got[1].splitlines()[-1])
        after = last["wholeAfter"]
        print("# whole after %s, of %s to %s" % (after, DAY_S, END_S))
        assert DAY_S + 600 < after < DAY_S + SPAN_S, last
        before = [s for s in run.spans["orders_total"] if s[1] < after]
        check(run, events, "orders_total", before + [("market", after)])
    with tap.case("a level of open lives is made anew as a whole, or not at all"):
        got = replay(server, "orders_open")
        assert got[0] == 1 and "only as a whole" in got[2], got
    with tap.case("a topic that is gone fails the replay, and says so"):
        broker.delete("orders")
        got = replay(server, "orders_total")
        assert got[0] == 1 and ("deleted" in got[2] or "does not exist" in got[2]), got
        check(run, events, "orders_total", before + [("market", after)])


def main():
    tap, rng = Tap(), random.Random(SEED)
    events = Events(rng).make(ORDERS)
    folder = tempfile.mkdtemp(prefix="replay-")
    config = os.path.join(folder, "larder.yml")
    first = {"orders_total": "market", "deliveries_total": "both", "empties_total": "n", "amounts": "last",
             "orders_open": "all"}
    write_config(config, first)
    print("# seed %d, %d events" % (SEED, len(events)))
    with broker_for(folder) as broker:
        if REAL:
            broker.create("orders", test_reload.PARTITIONS)
            broker.create("empties", 1)
        server = Larder(config, os.path.join(folder, "data"), sets=["kafka.brokers=" + broker.bootstrap])
        server.bootstrap = broker.bootstrap
        with server, Producer(broker.bootstrap, batch=200) as producer:
            server.start()
            run = Run(server, config, first)
            with tap.case("rollups are changed while events flow"):
                play(run, producer, events)
                all_taken(server, events)
            bad_inputs(tap, run)
            replay_under_kills(tap, run, rng, broker.bootstrap, events)
            replay_again(tap, run, events)
            assert server.stop() == 0
            if REAL:
                server.start()
                logs_are_cut(tap, run, broker, events)
    tap.end()


if __name__ == "__main__":
    main()
