#!/usr/bin/env python3
"""Schema registries that are not ours: AWS Glue as moto plays it, with signatures checked, and Apicurio,
which speaks Confluent's interface. Avro events through each, whose schemas evolve, refer to others, and
are not there.
"""
import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import uuid
import zlib

from exactly_once_events import avro_bytes, avro_long, avro_text
from lib import DATA, ROOT, Broker, Larder, Producer, Tap, free_port, own_python, wait_for
from test_avro import FIRST_S, V1, V2, framed, message, refused, totals

CONFIG = os.path.join(DATA, "avro.yml")
ENUM = json.dumps({"type": "enum", "name": "Type", "namespace": "shop.v1", "symbols": ["cooked", "placed", "delivered"]})


class Process:
    """A server of somebody else's, until the test ends."""

    def __init__(self, argv, log, **env):
        with open(log, "ab") as out:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            start_new_session=True, env=dict(os.environ, **env))
        self.log = log

    def wait(self, what, condition, seconds=120):
        def ready():
            if self.process.poll() is not None:
                with open(self.log, errors="replace") as f:
                    raise AssertionError("%s ended:\n%s" % (what, f.read()[-3000:]))
            return condition()
        wait_for(what, ready, seconds, 0.2)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def body_v1(i, stage):
    return avro_text("e%d" % i) + avro_text("o%d" % i) + avro_long(i) + avro_long(stage) + \
        avro_long((FIRST_S + i) * 1000) + avro_text("m0")


def body_v2(i, stage, cents):
    return avro_text("e%d" % i) + avro_text("o%d" % i) + avro_long(stage) + avro_long((FIRST_S + i) * 1000) + \
        avro_text("m0") + avro_text("web") + avro_bytes(cents.to_bytes(4, "big", signed=True))


def serving(broker, name, *sets):
    folder = os.path.join(tempfile.mkdtemp(prefix=name + "-"), "data")
    return Larder(CONFIG, folder, ["kafka.brokers=" + broker.bootstrap, "streams.orders.topics=[%s]" % name, *sets])


def check_evolution(server, producer, topic, frames):
    """frames: of the first version, of the second, of one that nobody has registered."""
    first, second, nobody = frames
    rows = [first(body_v1(i, 1)) for i in range(10)] + [second(body_v2(i, 0, 1250)) for i in range(10, 15)] + \
        [first(body_v1(15, 2)), first(body_v1(16, 0)), nobody(body_v1(17, 1)), first(body_v1(18, 1) + b"x")]
    producer.send((topic,) + message(i % 3, i, row)[1:] for i, row in enumerate(rows))
    producer.flush()
    server.wait_events(len(rows))
    assert totals(server) == {("app", "placed"): 10, ("web", "placed"): 5, ("app", "delivered"): 1}, totals(server)
    assert refused(server, "schema") == 2 and refused(server, "malformed") == 1, server.log()[-2000:]


# ---- AWS Glue ----

def glue_frame(version, compressed):
    def frame(body):
        head = (b"\x03\x05" if compressed else b"\x03\x00") + uuid.UUID(version).bytes
        return head + (zlib.compress(body) if compressed else body)
    return frame


class Glue:
    """moto, with a user whose keys it checks."""

    def __init__(self, folder):
        self.port = free_port()
        self.url = "http://127.0.0.1:%d" % self.port
        server = os.path.join(os.path.dirname(sys.executable), "moto_server")
        self.process = Process([server, "-H", "127.0.0.1", "-p", str(self.port)], os.path.join(folder, "moto.log"),
                               AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")

    def client(self, service):
        return boto3.client(service, endpoint_url=self.url, region_name="eu-west-1", aws_access_key_id="a",
                            aws_secret_access_key="b")

    def fill(self):
        """Two versions of the schema, and a user who may read them; from then on signatures count."""
        self.process.wait("moto ready", lambda: answers(self.url + "/moto-api/data.json"))
        glue, iam = self.client("glue"), self.client("iam")
        glue.create_registry(RegistryName="shop")
        first = glue.create_schema(RegistryId={"RegistryName": "shop"}, SchemaName="orders", DataFormat="AVRO",
                                   Compatibility="NONE", SchemaDefinition=V1)
        second = glue.register_schema_version(SchemaId={"RegistryName": "shop", "SchemaName": "orders"},
                                              SchemaDefinition=V2)
        iam.create_user(UserName="larder")
        iam.put_user_policy(UserName="larder", PolicyName="read", PolicyDocument=json.dumps({
            "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "glue:*", "Resource": "*"}]}))
        key = iam.create_access_key(UserName="larder")["AccessKey"]
        request = urllib.request.Request(self.url + "/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"})
        assert urllib.request.urlopen(request, timeout=10).status == 200
        return first["SchemaVersionId"], second["SchemaVersionId"], key["AccessKeyId"], key["SecretAccessKey"]


def answers(url):
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def glue_cases(tap, broker, producer, folder):
    glue = Glue(folder)
    with glue.process:
        first, second, key, secret = glue.fill()
        sets = ["registry.type=glue", "registry.url=" + glue.url, "registry.region=eu-west-1",
                "registry.access_key=" + key]
        nobody = "00000000-0000-4000-8000-000000000000"
        for topic, compressed in (("glue", False), ("glue_zlib", True)):
            with tap.case("Glue, %s: two versions of a schema, and one that is not there" %
                          ("compressed" if compressed else "plain")), \
                    serving(broker, topic, *sets, "registry.secret_key=" + secret) as server:
                server.start()
                check_evolution(server, producer, topic,
                                [glue_frame(version, compressed) for version in (first, second, nobody)])
                assert server.stop() == 0
        with tap.case("Glue: a secret that is wrong is said, and waited for"), \
                serving(broker, "glue", *sets, "registry.secret_key=wrong") as server:
            server.start()
            wait_for("a line about it in\n" + server.log(), lambda: "does not let us in" in server.log())
            assert server.events_taken() == 0 and server.stop() == 0


# ---- Apicurio ----

class Apicurio:
    def __init__(self, folder):
        self.port = free_port()
        fetch = os.path.join(ROOT, "tests", "registry", "fetch_registry.sh")
        home = subprocess.run([fetch], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, text=True)
        self.url = "http://127.0.0.1:%d/apis/ccompat/v7" % self.port
        self.process = Process(
            ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dquarkus.http.host=127.0.0.1",
             "-Dquarkus.http.port=%d" % self.port, "-jar", home.stdout.strip()], os.path.join(folder, "apicurio.log"))

    def post(self, path, value):
        request = urllib.request.Request(self.url + path, json.dumps(value).encode(), {
            "Content-Type": "application/vnd.schemaregistry.v1+json"}, method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def register(self, subject, schema, **more):
        return self.post("/subjects/%s/versions" % subject, dict(more, schema=schema))["id"]

    def ready(self):
        self.process.wait("Apicurio ready", lambda: answers(self.url + "/subjects"))


def confluent_cases(tap, broker, producer, folder):
    registry = Apicurio(folder)
    with registry.process, serving(broker, "apicurio", "registry.url=" + registry.url) as server:
        registry.ready()
        server.start()
        first, second = registry.register("orders", V1), registry.register("orders", V2)
        with tap.case("Apicurio: two versions of a schema, and one that is not there"):
            check_evolution(server, producer, "apicurio",
                            [lambda body, n=n: framed(n, body) for n in (first, second, 987654)])
        with tap.case("Apicurio: a schema that refers to another one"):
            registry.register("type", ENUM)
            fields = json.loads(V1)["fields"]
            fields[3]["type"] = "shop.v1.Type"
            third = registry.register("referring", json.dumps(dict(json.loads(V1), fields=fields)), references=[
                {"name": "shop.v1.Type", "subject": "type", "version": 1}])
            before = server.events_taken()
            producer.send([("apicurio",) + message(0, 40, framed(third, body_v1(40, 1)))[1:]])
            producer.flush()
            server.wait_events(before + 1)
            assert refused(server, "schema") == 2, server.log()[-2000:]
        assert server.stop() == 0


def main():
    tap, folder = Tap(), tempfile.mkdtemp(prefix="registries-")
    with Broker(glue=3, glue_zlib=3, apicurio=3) as broker, Producer(broker.bootstrap, binary=True) as producer:
        glue_cases(tap, broker, producer, folder)
        confluent_cases(tap, broker, producer, folder)
    tap.end()


try:
    import boto3
except ImportError:
    if __name__ == "__main__":
        own_python()
    raise

if __name__ == "__main__":
    main()
