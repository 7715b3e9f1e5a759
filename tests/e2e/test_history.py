#!/usr/bin/env python3
"""History that comes in parts, with pauses: streams are idle in between, and complete up to now, but what is sent
then is not late: its records are as old as its events. What comes a second time does not count, and what a pause
had made final is corrected.
"""
import json
import os
import tempfile
import time

from lib import DATA, Broker, Larder, Producer, Tap, wait_for

CONFIG = os.path.join(DATA, "exactly_once.yml")
DAY_S = 1700006400  # 2023-11-15T00:00:00Z
ORDERS = 200
IDLE = ["streams.%s.idle_after=300ms" % s for s in ("orders", "payments", "readings", "reviews")]


def day(number):
    """Orders of a day; each is paid, and delivered half an hour later."""
    rows = []
    for i in range(ORDERS):
        at = (DAY_S + number * 86400) * 1000 + i * 86000000 // ORDERS
        key = "o%d-%d" % (number, i)
        for kind, when in (("placed", at), ("delivered", at + 1800000)):
            rows.append(("orders", i % 2, when, key, json.dumps(
                {"event_id": key + kind, "order_id": key, "type": kind, "occurred_at": when, "market": "m",
                 "category": "soup", "amount": 1})))
        rows.append(("payments", 0, at, key, json.dumps(
            {"id": key, "order_id": key, "at": at, "status": "captured"})))
    return rows


def watermark(server, stream):
    return server.metrics().get('larder_watermark_timestamp_seconds{stream="%s"}' % stream, 0)


def wait_idle(server):
    for stream in ("orders", "payments"):
        wait_for("an idle stream", lambda s=stream: watermark(server, s) > time.time() - 3600)


def send(broker, rows):
    with Producer(broker.bootstrap) as producer:
        producer.send(rows)
        producer.flush()


def outcomes(server):
    found = server.query("increase(order_outcomes_total[30d])", DAY_S + 20 * 86400)
    return {dict(metric)["outcome"]: float(value) for metric, value in found.items() if float(value)}


def count(server, name):
    return server.metric_sum("larder_events_%s_total" % name)


def main():
    tap, sent = Tap(), 0
    with Broker(orders=2, payments=1, readings=1, reviews=1, letters=1) as broker, \
            tempfile.TemporaryDirectory(prefix="history-") as folder, \
            Larder(CONFIG, os.path.join(folder, "data"), ["kafka.brokers=" + broker.bootstrap, *IDLE]) as server:
        server.start()
        with tap.case("a stream that never had any is idle, and then takes its history"):
            wait_idle(server)
            for number in (0, 1):
                send(broker, day(number))
                sent += 3 * ORDERS
                server.wait_events(sent)
                wait_idle(server)
            assert count(server, "accepted") == sent and count(server, "refused") == 0, server.metrics()
            wait_for("the outcomes", lambda: outcomes(server) == {"delivered": 2 * ORDERS}, 20)
        with tap.case("what comes again after the pause, and a kill, does not count"):
            server.kill()
            server.start()
            wait_idle(server)
            send(broker, day(1))
            server.wait_events(sent + 3 * ORDERS)
            assert count(server, "accepted") == sent and count(server, "duplicate") == 3 * ORDERS, server.metrics()
        with tap.case("lives that expired in a pause are corrected"):
            rows = day(2)
            ends = [row for row in rows if "delivered" in row[4]]
            send(broker, [row for row in rows if row not in ends])
            sent += 2 * ORDERS
            server.wait_events(sent + 3 * ORDERS)
            wait_for("expired lives", lambda: outcomes(server) == {"delivered": 2 * ORDERS, "expired": ORDERS}, 20)
            send(broker, ends)
            sent += ORDERS
            server.wait_events(sent + 3 * ORDERS)
            wait_for("the outcomes", lambda: outcomes(server) == {"delivered": 3 * ORDERS}, 20)
            assert count(server, "accepted") == sent, server.metrics()
        with tap.case("what lies more than `late` before the newest is refused"):
            send(broker, day(0)[:3])
            server.wait_events(sent + 3 * ORDERS + 3)
            assert count(server, "refused") == 3, server.metrics()
            assert server.metric_sum('larder_events_refused_total{stream="orders",reason="late"') == 2
            assert server.stop() == 0
    tap.end()


if __name__ == "__main__":
    main()
