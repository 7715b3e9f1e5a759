#!/usr/bin/env python3
"""What is said to be final is. Events of all five topics come within 200 s of their time, partitions at uneven speeds,
and the server is killed now and then. While they flow, every metric of the shipped larder.yml is asked for at the time up
to which its clock says that it is complete. In the end the same questions have the same answers, byte for byte.

    LARDER_SEED     of the events; LARDER_ORDERS: how many orders (500)
"""
import os
import random
import tempfile

from business_events import BEGIN_S, END_S, HOUR, PARTITIONS, Business, last_events
from business_truth import Truth, check
from lib import ROOT, Broker, Larder, Producer, Tap, wait_for
from test_alike import GAUGES, HISTOGRAMS, LAST_S, METRICS, data_of, in_slices

SEED = int(os.environ.get("LARDER_SEED", "1"))
ORDERS = int(os.environ.get("LARDER_ORDERS", "500"))


def questions(metric):
    yield metric
    if metric in HISTOGRAMS:
        yield "histogram_count(sum(increase(%s[1h])))" % metric
    elif metric in GAUGES:
        yield "avg_over_time(%s[1h])" % metric
    else:
        yield "sum(sum_over_time(%s[1h]))" % metric


def ask_what_is_final(server, asked):
    """Adds answers to asked: {(question, time): data}. The clocks are read first, and only go on."""
    values = server.metrics()
    for metric in METRICS:
        at = values.get('larder_metric_watermark_timestamp_seconds{metric="%s"}' % metric, 0)
        for question in questions(metric) if at > BEGIN_S - HOUR else ():
            asked[question, at] = data_of(server.query_text(question, at))


def main():
    tap, rng = Tap(), random.Random(SEED)
    business, asked = Business(rng, ORDERS, punctual=True), {}
    print("# seed %d: %d events" % (SEED, len(business.good)))
    sets = ["streams.%s.idle_after=1d" % s for s in PARTITIONS]
    with Broker(**PARTITIONS) as broker, Producer(broker.bootstrap, batch=500) as producer, \
            Larder(os.path.join(ROOT, "larder.yml"), os.path.join(tempfile.mkdtemp(prefix="final-"), "data"),
                   sets + ["kafka.brokers=" + broker.bootstrap]) as server:
        server.start()
        sent = 0
        for part in in_slices(rng, business.logs, 25):
            producer.send(part)
            producer.flush()
            sent += sum(payload is not None for *_, payload in part)
            if rng.random() < 0.15:
                server.kill()
                server.start()
            some = sent * rng.random()
            wait_for("some of it taken in", lambda: server.events_taken() >= some)
            ask_what_is_final(server, asked)
        server.wait_events(sent)
        ask_what_is_final(server, asked)
        producer.send(last_events(LAST_S))
        producer.flush()
        wait_for("the clocks at the end", lambda: min(
            v for k, v in server.metrics().items() if k.startswith("larder_metric_watermark")) >= END_S)
        with tap.case("%d answers were final when their clocks said so" % len(asked)):
            assert len(asked) > 5 * len(METRICS), len(asked)
            assert sum('"result":[]' not in data for data in asked.values()) > len(asked) / 2
            for (question, at), data in asked.items():
                now = data_of(server.query_text(question, at))
                assert now == data, "%s at %s: %s, and later %s" % (question, at, data[:1000], now[:1000])
        with tap.case("every metric is what the events say"):
            seen = check(server, Truth(business.good), BEGIN_S - HOUR, END_S)
            assert seen == set(METRICS), set(METRICS) - seen
        assert server.stop() == 0
    tap.end()


if __name__ == "__main__":
    main()
