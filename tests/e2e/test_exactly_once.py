#!/usr/bin/env python3
"""Exactly once, counted, on a real Kafka: events of a transactional producer that aborts some, and of a
foreign one, while Larder, the brokers and the registry are killed at random moments, a topic gets more
partitions and the network stands still. Afterwards every metric equals what the produced files alone
say (exactly_once_truth.py). Then two more instances read the same topics, one in other batches, one with
the records of each partition in another order: they must answer with the same bytes.

    LARDER_SEED       of the events and of the faults
    LARDER_CAMPAIGN   1: the whole form: 2 million events, three brokers, 100 kills of Larder
    LARDER_EVENTS, LARDER_KILLS, LARDER_BROKER_KILLS, LARDER_REGISTRY_KILLS, LARDER_NODES: one of these
"""
import collections
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import exactly_once_events as events
import exactly_once_truth
from lib import DATA, ROOT, Larder, Producer, Tap, consume, data_of, free_port, helper, wait_for
from test_lifecycle import open_orders

sys.path.insert(0, os.path.join(ROOT, "tests", "kafka"))
from cluster import Cluster  # noqa: E402

CONFIG = os.path.join(DATA, "exactly_once.yml")
SEED = int(os.environ.get("LARDER_SEED", "1"))
WHOLE = os.environ.get("LARDER_CAMPAIGN") == "1"


def scale(name, short, whole):
    return int(os.environ.get("LARDER_" + name, whole if WHOLE else short))


EVENTS = scale("EVENTS", 20000, 2000000)
KILLS = scale("KILLS", 4, 100)
BROKER_KILLS = scale("BROKER_KILLS", 1, 10)
REGISTRY_KILLS = scale("REGISTRY_KILLS", 1, 5)
NODES = scale("NODES", 1, 3)
PAUSE_S = scale("PAUSE_S", 4, 30)
BATCH = scale("BATCH", 300, 2000)  # messages of a transaction, on average
SLICES = 4  # of what the foreign producer sends

SPAN = "345600s"  # from before the first event to after the last
END_S = events.DAY_S + 345600
HOURS = (events.DAY_S - 7200, events.DAY_S + 36 * 3600, 3600)
SECONDS = 600 + EVENTS // 1000  # for anything to end, on a machine that is busy


class Registry:
    """The stub in a process of its own, to be killed."""

    def __init__(self, folder):
        self.port, self.schemas = free_port(), os.path.join(folder, "schemas.json")
        self.url = "http://127.0.0.1:%d" % self.port
        with open(self.schemas, "w", encoding="ascii") as f:
            json.dump({k: json.dumps(v) for k, v in events.SCHEMAS.items()}, f)
        self.process = None

    def start(self):
        self.process = subprocess.Popen([sys.executable, os.path.join(ROOT, "tests", "e2e", "registry_stub.py"),
                                         str(self.port), self.schemas], stdin=subprocess.DEVNULL)
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()


class Feed:
    """Sends the file of the producer in a thread, and holds still where a fault is due."""

    def __init__(self, cluster, path, review_paths):
        self.cluster, self.path, self.review_paths = cluster, path, review_paths
        self.sent, self.allowed, self.over, self.error = 0, 0, False, None
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            self.send()
        except BaseException as e:  # the main thread tells
            self.error = e
        self.over = True

    def send(self):
        slices = [EVENTS * i // SLICES for i in range(1, SLICES)] + [EVENTS * 2]
        with open(self.path, encoding="ascii") as f, \
                Producer(self.cluster.bootstrap, binary=True, transactional="events") as producer:
            rows = 0
            for line in f:
                if line.startswith("!grow"):
                    self.grow(*line.split()[1:])
                elif line.startswith("!commit"):
                    producer.commit()
                    self.sent = rows
                    if rows > slices[0]:
                        slices.pop(0)
                        self.foreign(SLICES - len(slices))
                    while self.sent > self.allowed and not self.over:
                        time.sleep(0.005)
                else:
                    producer.process.stdin.write(line)
                    rows += not line.startswith("!")
            producer.flush()
        self.foreign(SLICES)

    def grow(self, topic, partitions):
        def grown():
            try:
                self.cluster.grow(topic, int(partitions))
            except AssertionError as e:  # a broker is away; or it had been done all the same
                return "already has" in str(e)
            return True
        wait_for("more partitions", grown, SECONDS, 0.5)

    def foreign(self, number):
        """The slice with this number, from 1, by kcat."""
        for partition, path in enumerate(self.review_paths):
            with open(path, encoding="ascii") as f:
                lines = f.readlines()
            part = lines[len(lines) * (number - 1) // SLICES:len(lines) * number // SLICES]
            subprocess.run(["kcat", "-q", "-P", "-b", self.cluster.bootstrap, "-t", "reviews", "-p", str(partition),
                            "-K", "\\t", "-z", "snappy", "-X", "enable.idempotence=true", "-X", "acks=all"],
                           input="".join(part), text=True, check=True, timeout=SECONDS)


class Faults:
    """Kills, each at a point of the feed that the seed has chosen."""

    def __init__(self, rng, cluster, registry, server, feed):
        self.rng, self.cluster, self.registry = rng, cluster, registry
        self.server, self.feed, self.seen, self.done = server, feed, 0, {}
        kinds = ["kill"] * KILLS + ["broker"] * BROKER_KILLS + ["registry"] * REGISTRY_KILLS + ["pause"]
        rng.shuffle(kinds)
        points = sorted(rng.sample(range(EVENTS // 20, EVENTS * 85 // 100), len(kinds)))
        self.plan = list(zip(points, kinds))

    def run(self):
        for i, (point, kind) in enumerate(self.plan):
            following = self.plan[i + 1][0] if i + 1 < len(self.plan) else EVENTS * 2
            self.feed.allowed = point
            wait_for("%d sent" % point, lambda at=point: self.feed.sent >= at or self.feed.over, SECONDS, 0.002)
            if self.feed.error:
                raise self.feed.error
            self.feed.allowed = following
            getattr(self, "fault_" + kind)()
            self.done[kind] = self.done.get(kind, 0) + 1
        self.feed.allowed = EVENTS * 2

    def look(self):
        """What was seen is never gone. The ingestion has no metrics while the log is replayed."""
        wait_for("metrics", lambda: 'larder_events_accepted_total{stream="orders"}' in self.server.metrics(), SECONDS)
        taken = self.server.events_taken()
        answer = self.server.query("sum(increase(orders_total[%s]))" % SPAN, END_S)
        counted = float(answer.get((), 0))
        assert taken >= self.seen, "%d events were seen before, %d after" % (self.seen, taken)
        # A commit is seen a moment before it is in the metrics.
        wait_for("%d accepted, as were counted" % counted,
                 lambda: count_of(self.server, "larder_events_accepted_total", "orders") >= counted)
        self.seen = taken

    def fault_kill(self):
        if self.rng.random() < 0.7:  # in the middle of its work, else while it starts
            self.server.wait_ready(SECONDS)
            self.look()
            time.sleep(self.rng.random() * 0.4)
        else:
            time.sleep(self.rng.random() * 0.2)
        assert self.server.process.poll() is None, self.server.log()[-4000:]
        self.server.kill()
        self.server.start(wait=False)

    def fault_broker(self):
        node = self.rng.choice(self.cluster.ids)
        self.cluster.kill(node)
        time.sleep(self.rng.random() * 3)
        self.cluster.start(node)

    def fault_registry(self):
        self.registry.kill()
        time.sleep(self.rng.random() * 2)
        self.registry.start()

    def fault_pause(self):
        for node in self.cluster.ids:
            self.cluster.freeze(node)
        time.sleep(PAUSE_S)
        for node in self.cluster.ids:
            self.cluster.thaw(node)


# ---- what the server says ----

def instant(server, expr, factor, *labels):
    found = {}
    for metric, value in server.query(expr, END_S).items():
        values, number = dict(metric), round(float(value) * factor)
        if number:
            found[tuple(values.get(name, "") for name in labels)] = number
    return found


def hourly(server, expr, factor, *labels):
    found = {}
    for series in json.loads(server.query_range_text(expr, *HOURS))["data"]["result"]:
        key = tuple(series["metric"].get(name, "") for name in labels)
        for t, value in series["values"]:
            found[key + (int(t),)] = round(float(value) * factor)
    return {k: v for k, v in found.items() if v}


def answers(server):
    found = open_orders(server)
    for kind, expr, factor, labels in (
            ("outcomes", "increase(order_outcomes_total[%s])", 1, ("market", "outcome")),
            ("amount", "increase(ended_amount_total[%s])", 100, ("outcome",)),
            ("delivery n", "histogram_count(increase(delivery_seconds[%s]))", 1, ("market", "category")),
            ("delivery sum", "histogram_sum(increase(delivery_seconds[%s]))", 1000, ("market", "category")),
            ("eta sum", "histogram_sum(increase(eta_error_seconds[%s]))", 1000, ("market",)),
            ("step n", "histogram_count(increase(stage_seconds[%s]))", 1, ("market", "from", "to")),
            ("step sum", "histogram_sum(increase(stage_seconds[%s]))", 1000, ("market", "from", "to"))):
        found.update({(kind,) + k: v for k, v in instant(server, expr % SPAN, factor, *labels).items()})
    for kind, expr, factor, labels in (
            ("orders", "increase(orders_total[1h])", 1, ("market", "stage")),
            ("money", "increase(order_amount_total[1h])", 100, ("market", "category")),
            ("payments", "increase(payments_total[1h])", 1, ("status",)),
            ("readings", "increase(readings_total[1h])", 1, ("market",)),
            ("celsius", "histogram_sum(increase(reading_celsius[1h]))", 100, ("market",)),
            ("ratings", "increase(ratings_total[1h])", 1, ("score",)),
            ("coldest", "min_over_time(fridge_celsius[1h])", 100, ("fridge",)),
            ("warmest", "max_over_time(fridge_celsius[1h])", 100, ("fridge",)),
            ("newest", "last_over_time(fridge_celsius[1h])", 100, ("fridge",))):
        found.update({(kind,) + k: v for k, v in hourly(server, expr, factor, *labels).items()})
    return found


def wanted(truth):
    want = dict(truth.counts)
    want.update(truth.lives())
    for (fridge, hour), readings in truth.celsius.items():
        want["coldest", fridge, hour] = min(v for _, v in readings)
        want["warmest", fridge, hour] = max(v for _, v in readings)
        want["newest", fridge, hour] = max(readings)[1]
    last = HOURS[1]
    return {k: v for k, v in want.items() if v and not (isinstance(k[-1], int) and k[-1] > last)}


def differences(want, found):
    keys = sorted((k for k in set(want) | set(found) if found.get(k, 0) != want.get(k, 0)), key=str)
    lines = ["%s: %s, the file says %s" % (k, found.get(k, 0), want.get(k, 0)) for k in keys[:20]]
    return "%d of %d differ:\n%s" % (len(keys), len(want), "\n".join(lines)) if keys else ""


QUERIES = [
    ("sum by (stage) (increase(orders_total[1h]))", *HOURS),
    ("orders_total", events.DAY_S + 3600, events.DAY_S + 30 * 3600, 977),
    ("rate(orders_total[7m])", events.DAY_S + 9000, events.DAY_S + 12000, 60),
    ("sum(rate(order_amount_total[30m])) / sum(rate(orders_total{stage=\"placed\"}[30m]))", *HOURS),
    ("increase(order_outcomes_total[2h])", *HOURS),
    ("histogram_quantile(0.9, sum by (market) (increase(delivery_seconds[3h])))", *HOURS),
    ("delivery_seconds", events.DAY_S + 10 * 3600, events.DAY_S + 11 * 3600, 600),
    ("histogram_quantile(0.5, increase(stage_seconds[6h]))", *HOURS),
    ("fridge_celsius", events.DAY_S + 7200, events.DAY_S + 14400, 61),
    ("avg_over_time(fridge_celsius[1h])", *HOURS),
    ("sum_over_time(fridge_celsius[20m])", *HOURS),
    ("topk(2, sum by (fridge) (last_over_time(fridge_celsius[1h])))", *HOURS),
    ("histogram_stddev(increase(reading_celsius[4h]))", *HOURS),
    ("sum by (score) (increase(ratings_total[90m]))", *HOURS),
    ("max_over_time(sum(rate(payments_total[10m]))[1h:10m])", *HOURS),
]


def fixed_answers(server):
    return [data_of(server.query_range_text(expr, *when)) for expr, *when in QUERIES]


# ---- the cases ----

class Campaign:
    def __init__(self, folder, cluster, registry):
        self.folder, self.cluster, self.registry = folder, cluster, registry
        self.path = os.path.join(folder, "produced")
        self.reviews = [os.path.join(folder, "reviews.%d" % i) for i in range(events.PARTITIONS["reviews"])]
        events.generate(EVENTS, SEED, self.path, self.reviews, BATCH)
        self.closing = list(events.closing(dict(events.PARTITIONS, orders=events.GROWN)))

    def server(self, name, **topics):
        sets = ["kafka.brokers=" + self.cluster.bootstrap, "registry.url=" + self.registry.url,
                "kafka.reconnect.backoff.max.ms=500", "kafka.topic.metadata.refresh.interval.ms=2000"]
        sets += ["streams.%s.topics=[%s]" % item for item in topics.items()]
        sets += ["streams.%s.dead_letters=%s" % (stream, letters_of(name)) for stream in events.PARTITIONS]
        sets.append("kafka.group.id=" + name)
        self.cluster.create(letters_of(name), partitions=3)
        return Larder(CONFIG, os.path.join(self.folder, name), sets)

    def produce(self, server):
        for topic, partitions in events.PARTITIONS.items():
            self.cluster.create(topic, partitions=partitions)
        feed = Feed(self.cluster, self.path, self.reviews)
        faults = Faults(random.Random("faults %d" % SEED), self.cluster, self.registry, server, feed)
        feed.thread.start()
        try:
            faults.run()
        finally:
            feed.allowed = EVENTS * 2
            feed.thread.join()
        if feed.error:
            raise feed.error
        server.wait_ready(SECONDS)
        print("# done: %s" % faults.done, flush=True)

    def close_streams(self, topics=lambda topic: topic):
        with Producer(self.cluster.bootstrap, binary=True) as producer:
            producer.send((topics(topic),) + tuple(rest) for topic, *rest in self.closing)
            producer.flush()

    def check_topics(self, truth):
        """The test's own truth: the topics hold what the files say, once the last transaction has ended
        in all of its partitions."""
        found, end = None, time.monotonic() + SECONDS
        while found != dict(truth.records):
            assert time.monotonic() < end, "the topics hold %s, produced were %s" % (found, dict(truth.records))
            found = self.records()

    def records(self):
        found = collections.Counter()
        for topic in events.PARTITIONS:
            consumer = subprocess.Popen([helper("consume"), self.cluster.bootstrap, topic],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
            found.update((topic, json.loads(line)["partition"]) for line in consumer.stdout)
            assert consumer.wait() == 0, topic
        return dict(found)

    def shuffled(self):
        """The committed rows, each partition's in another order: within 40 minutes of arrival, which
        with what is late already stays below a day; reviews in their own, by which they are judged."""
        now_ms = int(time.time() * 1000)
        rng, block, rows = random.Random("order %d" % SEED), None, []
        for topic, partition, arrival, payload in exactly_once_truth.committed(self.path):
            if arrival // 2400000 != block:
                rng.shuffle(rows)
                yield from rows
                rows, block = [], arrival // 2400000
            rows.append((topic + "_again", partition, arrival, "", payload))
        rng.shuffle(rows)
        yield from rows
        for partition, path in enumerate(self.reviews):
            with open(path, encoding="ascii") as f:
                rows = [line.rstrip("\n").split("\t")[1].encode() for line in f]
            yield from (("reviews_again", partition, now_ms, "", payload) for payload in rows)


def letters_of(name):
    return "letters_" + name


def check_letters(cluster, name, truth):
    """The refused events, byte for byte, each once."""
    def say(letters):
        return "%d, for instance %s" % (sum(letters.values()), list(letters.items())[:3])

    want, found, end = collections.Counter(truth.letters), None, time.monotonic() + SECONDS
    while found != want and time.monotonic() < end:
        letters = consume(cluster.bootstrap, letters_of(name))
        origins = [m.header("larder-origin") for m in letters]
        twice = [o for o, n in collections.Counter(origins).items() if n > 1]
        assert not twice, "%d origins have several letters: %s" % (len(twice), [
            (m.partition, m.offset, o) for m, o in zip(letters, origins) if o in twice[:3]])
        found = collections.Counter((m.header("larder-stream"), int(o.split("/")[1]), m.header("larder-reason"), m.value)
                                    for m, o in zip(letters, origins))
        assert not found - want, "letters that are none: " + say(found - want)
        time.sleep(0.5)
    assert found == want, "without a letter: " + say(want - found)


def count_of(server, name, stream, more=""):
    return server.metrics().get('%s{stream="%s"%s}' % (name, stream, more), 0)


def check_counts(server, truth):
    want, found = {}, {}
    for stream in events.PARTITIONS:
        for name, count in (("accepted", truth.accepted[stream]), ("duplicate", truth.duplicates[stream]),
                            ("conflict", 0)):
            want[stream, name] = count
            found[stream, name] = count_of(server, "larder_events_%s_total" % name, stream)
        for reason in exactly_once_truth.REASONS:
            want[stream, "refused", reason] = truth.refused[stream, reason]
            found[stream, "refused", reason] = count_of(server, "larder_events_refused_total", stream,
                                                        ',reason="%s"' % reason)
    assert found == want, differences(want, found)
    assert len(truth.refused) >= 12, truth.refused


def wait_ended(server):
    """Until all lives have ended."""
    past = (events.LAST_MS / 1000) - 600
    for stream in ("orders", "payments"):
        wait_for("the end of the lives", lambda s=stream: count_of(
            server, "larder_watermark_timestamp_seconds", s) >= past, SECONDS)


def check_metrics(server, want):
    assert len(want) > 500, len(want)
    wait_for("the truth", lambda: not differences(want, answers(server)), 60, 1)


def compare(tap, first, server, total, name):
    with tap.case(name):
        server.wait_events(total, SECONDS)
        wait_ended(server)
        server.wait_frontier(HOURS[1], SECONDS)
        for query, got, want in zip(QUERIES, fixed_answers(server), first):
            assert got == want, "%s\ngot  %s\nwant %s" % (query, got[:2000], want[:2000])


def main():
    tap, folder = Tap(), tempfile.mkdtemp(prefix="exactly-once-")
    print("# seed %d: %d events, %d kills of larder, %d of brokers, %d of the registry, %d nodes" %
          (SEED, EVENTS, KILLS, BROKER_KILLS, REGISTRY_KILLS, NODES), flush=True)
    assert shutil.which("kcat"), "kcat is not installed"
    registry = Registry(folder).start()
    with Cluster(os.path.join(folder, "kafka"), NODES) as cluster:
        run = Campaign(folder, cluster, registry)
        try:
            run_cases(tap, run)
        finally:
            registry.kill()
    tap.end()


def run_cases(tap, run):
    with run.server("first") as server:
        with tap.case("events arrive through all kills, and nothing that was seen is lost"):
            server.start()
            run.produce(server)
        if tap.failed:
            return
        truth = exactly_once_truth.compute(run.path, run.reviews)
        total = sum(truth.records.values())
        with tap.case("the topics hold %d records, as the files say" % total):
            run.check_topics(truth)
        with tap.case("each event counted once"):
            server.wait_events(total, SECONDS)
        run.close_streams()
        total += len(run.closing)
        truth = exactly_once_truth.compute(run.path, run.reviews, run.closing)
        want = wanted(truth)
        with tap.case("what was accepted, what came twice, and what was refused for which reason"):
            server.wait_events(total, SECONDS)
            check_counts(server, truth)
        with tap.case("%d numbers are the truth's" % len(want)):
            wait_ended(server)
            server.wait_frontier(HOURS[1], SECONDS)
            try:
                check_metrics(server, want)
            except AssertionError:
                raise AssertionError(differences(want, answers(server))) from None
        if tap.failed:
            return
        with tap.case("%d dead letters are the broken events, each once" % len(truth.letters)):
            check_letters(run.cluster, "first", truth)
        first = fixed_answers(server)
        with tap.case("a last kill changes nothing"):
            server.kill()
            server.start()
            assert not differences(want, answers(server)), differences(want, answers(server))
            assert fixed_answers(server) == first
            check_letters(run.cluster, "first", truth)
            assert server.stop() == 0
    run_again(tap, run, first, total, truth)


def run_again(tap, run, first, total, truth):
    with run.server("second") as server:
        server.sets += ["kafka.max.partition.fetch.bytes=30000", "kafka.queued.min.messages=500"]
        rng = random.Random("second %d" % SEED)
        for _ in range(3):
            server.start(wait=False)
            time.sleep(0.2 + rng.random() * 1.5)
            server.kill()
        server.start()
        compare(tap, first, server, total, "another instance, with batches and kills of its own, answers alike")
        with tap.case("and has sent the same letters"):
            check_letters(run.cluster, "second", truth)
    names = {topic: topic + "_again" for topic in events.PARTITIONS}
    for topic, partitions in events.PARTITIONS.items():
        run.cluster.create(names[topic], partitions=events.GROWN if topic == "orders" else partitions)
    with run.server("third", **names) as server:
        server.start()
        with Producer(run.cluster.bootstrap, binary=True, batch=500) as producer:
            producer.send(run.shuffled())
            producer.flush()
        server.wait_events(total - len(run.closing), SECONDS)
        run.close_streams(names.get)
        compare(tap, first, server, total, "so does one that has had the records of each partition in another order")


if __name__ == "__main__":
    main()
