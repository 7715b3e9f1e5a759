#!/usr/bin/env python3
"""Avro events through a schema registry: schemas that evolve, that come late, that are not there."""
import json
import os
import struct
import tempfile

from lib import DATA, Broker, Larder, Producer, Tap, larder, wait_for
from registry_stub import Registry

CONFIG = os.path.join(DATA, "avro.yml")
FIRST_S = 1700000000
SPAN_S = 3600

ID, WORD = {"name": "event_id", "type": "string"}, "string"


def record(*fields):
    return json.dumps({"type": "record", "name": "Order", "namespace": "shop.v1", "fields": list(fields)})


# The first version has another name for the order, more stages than the reader knows, an int of seconds for
# nothing, and no channel. The second has a channel and the amount.
V1 = record(ID, {"name": "id", "type": WORD}, {"name": "seconds", "type": "int"},
            {"name": "type", "type": {"type": "enum", "name": "Type",
                                      "symbols": ["cooked", "placed", "delivered"]}},
            {"name": "occurred_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "market", "type": WORD})
V2 = record(ID, {"name": "order_id", "type": WORD},
            {"name": "type", "type": {"type": "enum", "name": "Type", "symbols": ["placed", "delivered"]}},
            {"name": "occurred_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "market", "type": WORD}, {"name": "channel", "type": WORD},
            {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12,
                                        "scale": 2}})


def long(value):
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def text(value):
    return long(len(value)) + value.encode()


def framed(schema, body):
    return b"\0" + struct.pack(">I", schema) + body


def v1(schema, i, stage, market="m0"):
    body = text("e%d" % i) + text("o%d" % i) + long(i) + long(stage) + long((FIRST_S + i) * 1000) + text(market)
    return framed(schema, body)


def v2(schema, i, stage, cents, channel="web", market="m0"):
    amount = cents.to_bytes(4, "big", signed=True)
    return framed(schema, text("e%d" % i) + text("o%d" % i) + long(stage) + long((FIRST_S + i) * 1000) +
                  text(market) + text(channel) + long(len(amount)) + amount)


def message(partition, i, payload):
    return "orders", partition, (FIRST_S + i) * 1000, "o%d" % i, payload


def totals(server):
    answer = server.query("sum by (channel, stage) (increase(orders_total[%ds]))" % (SPAN_S + 600),
                          FIRST_S + SPAN_S)
    return {tuple(v for _, v in labels): float(value) for labels, value in answer.items()}


def refused(server, reason):
    return server.metric_sum('larder_events_refused_total{stream="orders",reason="%s"}' % reason)


def check_short_waits(tap, registry):
    """Schemas that nobody has asked for yet, in all partitions at once, and answers that come at once: before
    a partition that waits has been given back to the client, or after."""
    partitions, rows = 4, 12000
    folder = os.path.join(tempfile.mkdtemp(prefix="avro-waits-"), "data")
    with Broker(orders=partitions) as broker, Producer(broker.bootstrap, binary=True) as producer:
        registry.schemas.update((1000 + i, V1) for i in range(rows))
        producer.send(message(i % partitions, i // partitions, v1(1000 + i // 400, i, 1)) for i in range(rows))
        producer.flush()
        sets = ["kafka.brokers=" + broker.bootstrap, "registry.url=" + registry.url]
        with Larder(CONFIG, folder, sets) as server, \
                tap.case("partitions that wait a moment, again and again, lose nothing"):
            server.start()
            server.wait_events(rows, 60)
            assert server.stop() == 0


def main():
    tap = Tap()
    folder = os.path.join(tempfile.mkdtemp(prefix="avro-"), "data")
    with Broker(orders=3) as broker, Registry() as registry:
        registry.schemas = {1: V1, 2: V2}
        server = Larder(CONFIG, folder, sets=["kafka.brokers=" + broker.bootstrap,
                                              "registry.url=" + registry.url])
        with server, Producer(broker.bootstrap, binary=True) as producer:
            server.start()

            with tap.case("two versions of a schema, one after the other in one partition"):
                producer.send(message(0, i, v1(1, i, 1)) for i in range(10))
                producer.send(message(0, i, v2(2, i, 0, 1250)) for i in range(10, 15))
                producer.flush()
                server.wait_events(15)
                assert totals(server) == {("app", "placed"): 10, ("web", "placed"): 5}, totals(server)
                amount = server.query("sum(increase(order_amount_total[%ds]))" % (SPAN_S + 600),
                                      FIRST_S + SPAN_S)
                assert float(amount[()]) == 62.5, amount

            with tap.case("a symbol that the reader does not know is refused: schema"):
                producer.send([message(0, 20, v1(1, 20, 0))])
                producer.flush()
                server.wait_events(16)
                assert refused(server, "schema") == 1

            with tap.case("bytes that are no message of the schema, or no framing, are refused: malformed"):
                producer.send([message(0, 21, v1(1, 21, 1) + b"x"), message(0, 22, v1(1, 22, 1)[:-3]),
                               message(0, 23, b"{}"), message(0, 24, b""), message(0, 25, b"\0\0")])
                producer.flush()
                server.wait_events(21)
                assert refused(server, "malformed") == 5

            with tap.case("a schema that the registry does not have is refused: schema, once it has said so twice"):
                asked = registry.requests
                producer.send([message(0, 26, v1(99, 26, 1)), message(0, 27, v1(1, 27, 1))])
                producer.flush()
                server.wait_events(23)
                assert refused(server, "schema") == 2 and registry.requests == asked + 2, registry.requests - asked

            for schema, mode in enumerate(("error", "nonsense", "html", "slow"), 100):
                with tap.case("while the registry answers '%s', the partition waits, and that alone" % mode):
                    before = server.events_taken()
                    registry.mode = mode
                    first = 100 + 10 * (schema - 100)  # ids that nobody has had
                    producer.send(message(1, i, v1(schema, i, 2)) for i in range(first, first + 4))
                    producer.send(message(2, i, v1(1, i, 1)) for i in range(first + 4, first + 9))
                    producer.flush()
                    server.wait_events(before + 5)
                    wait_for("the reason in the log",
                             lambda: "waits for schema %d" % schema in server.log())
                    assert server.events_taken() == before + 5
                    registry.schemas[schema] = V1
                    registry.mode = "ok"
                    server.wait_events(before + 9)

            with tap.case("a restart while a partition waits reads its record again"):
                before = server.events_taken()
                registry.mode = "error"
                producer.send(message(1, i, v1(200, i, 2)) for i in range(50, 53))
                producer.flush()
                wait_for("the partition waits", lambda: "waits for schema 200" in server.log())
                server.kill()
                registry.schemas[200] = V1
                registry.mode = "ok"
                server.start()
                server.wait_events(before + 3)

            with tap.case("an operator leaves out the record that waits, and the partition goes on"):
                before = server.events_taken()
                registry.failing = {201}
                producer.send([message(1, 54, v1(201, 54, 2)), message(1, 55, v1(1, 55, 2))])
                producer.flush()
                wait_for("the partition waits", lambda: "waits for schema 201" in server.log())
                code, _, err = larder("source", "skip", "orders/1", "--to", "latest", "--json", "--server",
                                        "http://127.0.0.1:%d" % server.port)
                assert code == 0, err
                producer.send([message(1, 56, v1(1, 56, 2))])
                producer.flush()
                wait_for("the next event", lambda: server.events_taken() > before, 20)
                registry.failing = set()

            with tap.case("a schema that refers to others"):
                before = server.events_taken()
                registry.subjects[("type", 3)] = {
                    "schema": json.dumps({"type": "enum", "name": "Type", "namespace": "shop.v1",
                                          "symbols": ["placed"]})}
                fields = json.loads(V1)["fields"]
                fields[3]["type"] = "Type"
                registry.schemas[300] = {
                    "schema": record(*fields),
                    "references": [{"name": "shop.v1.Type", "subject": "type", "version": 3}]}
                producer.send([message(0, 60, v1(300, 60, 0))])
                producer.flush()
                server.wait_events(before + 1)
                assert refused(server, "schema") == 2

            with tap.case("schemas of another kind, broken ones, and those that do not resolve are refused: schema"):
                before = server.events_taken()
                registry.schemas[400] = {"schema": "syntax = 'proto3';", "schemaType": "PROTOBUF"}
                registry.schemas[401] = "{\"type\": \"record\"}"
                registry.schemas[402] = record(ID)
                producer.send(message(0, 70 + i, v1(400 + i, 70 + i, 1)) for i in range(3))
                producer.flush()
                server.wait_events(before + 3)
                assert refused(server, "schema") == 5
                for why in ("PROTOBUF", "needs a name", "order_id: the writer has no such field"):
                    assert why in server.log(), why

            with tap.case("a schema that the registry fails to give holds up no other"):
                before = server.events_taken()
                registry.failing = {500}
                registry.schemas[500] = registry.schemas[501] = V1
                producer.send([message(1, 80, v1(500, 80, 1))])
                producer.flush()
                wait_for("the partition waits", lambda: "waits for schema 500" in server.log())
                producer.send([message(0, 81, v1(501, 81, 1))])
                producer.flush()
                server.wait_events(before + 1)
                registry.failing = set()
                server.wait_events(before + 2)

            with tap.case("everything that was accepted is counted"):
                counted = sum(totals(server).values())
                accepted = server.metric_sum("larder_events_accepted_total")
                assert counted == accepted == 15 + 1 + 4 * 9 + 3 + 1 + 1 + 2, (counted, accepted)
            assert server.stop() == 0
    with Registry() as registry:
        check_short_waits(tap, registry)
    tap.end()


if __name__ == "__main__":
    main()
