#!/usr/bin/env python3
"""What only a real Kafka can show, on one of them.

It asks who one is: TLS, TLS with certificates on both sides, SASL by PLAIN, SCRAM and OAUTHBEARER. With
the right credentials events arrive. With wrong ones the log says what is the matter, the server stays
up, and goes on when it is mended. Then a foreign producer with every codec, and a message of 50 MB.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import time

from lib import DATA, ROOT, Larder, Producer, Tap, free_port, wait_for

sys.path.insert(0, os.path.join(ROOT, "tests", "kafka"))
from cluster import Cluster  # noqa: E402

CONFIG = os.path.join(DATA, "deliveries.yml")
FIRST_S = 1700000000
EVENTS = 50
LISTENERS = {"TLS": "SSL", "MUTUAL": "SSL", "ELSEWHERE": "SSL", "LOGIN": "SASL_PLAINTEXT", "BOTH": "SASL_SSL"}


class Certificates:
    """An authority of our own, and what it has signed; PEM files in the folder."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder)
        for name in ("ca", "stranger"):
            self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=" + name,
                         "-keyout", name + ".key", "-out", name + ".crt")
        self.sign("broker", "IP:127.0.0.1")
        self.sign("elsewhere", "DNS:elsewhere.example")
        self.sign("client", "DNS:client")

    def openssl(self, *args):
        subprocess.run(["openssl", *args], cwd=self.folder, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def sign(self, name, alternative):
        self.openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=" + name, "-keyout", name + ".key",
                     "-out", name + ".csr")
        with open(self.path(name + ".ext"), "w", encoding="ascii") as f:
            f.write("subjectAltName=%s\n" % alternative)
        self.openssl("x509", "-req", "-in", name + ".csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                     "-days", "2", "-extfile", name + ".ext", "-out", name + ".crt")
        with open(self.path(name + ".pem"), "wb") as out:
            for part in (".key", ".crt"):
                with open(self.path(name + part), "rb") as f:
                    out.write(f.read())

    def path(self, name):
        return os.path.join(self.folder, name)


class SecureCluster(Cluster):
    def __init__(self, folder, certificates):
        self.certificates = certificates
        self.doors = {name: free_port() for name in LISTENERS}
        super().__init__(folder, format_args=["--add-scram", "SCRAM-SHA-256=[name=larder,password=secret]"])

    def format(self, i):
        broker, controller = self.ports[i]
        pem = self.certificates.path
        names = "".join(",%s://127.0.0.1:%d" % door for door in self.doors.items())
        modules = "org.apache.kafka.common.security."
        self.settings = {
            "listeners": "PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d%s" % (broker, controller, names),
            "advertised.listeners": "PLAINTEXT://127.0.0.1:%d%s" % (broker, names),
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT" + "".join(
                ",%s:%s" % pair for pair in LISTENERS.items()),
            "ssl.keystore.type": "PEM", "ssl.keystore.location": pem("broker.pem"),
            "ssl.truststore.type": "PEM", "ssl.truststore.location": pem("ca.crt"),
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.elsewhere.ssl.keystore.type": "PEM",
            "listener.name.elsewhere.ssl.keystore.location": pem("elsewhere.pem"),
        }
        for name in ("login", "both"):
            self.settings.update({
                "listener.name.%s.sasl.enabled.mechanisms" % name: "PLAIN,SCRAM-SHA-256,OAUTHBEARER",
                "listener.name.%s.plain.sasl.jaas.config" % name:
                    modules + 'plain.PlainLoginModule required user_larder="secret";',
                "listener.name.%s.scram-sha-256.sasl.jaas.config" % name:
                    modules + "scram.ScramLoginModule required;",
                "listener.name.%s.oauthbearer.sasl.jaas.config" % name:
                    modules + 'oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="larder";',
            })
        super().format(i)

    def add_user(self, name, password):
        """As an operator does it, with Kafka's own tool."""
        subprocess.run(self.java("kafka.admin.ConfigCommand", "--bootstrap-server", self.bootstrap, "--alter",
                                 "--add-config", "SCRAM-SHA-256=[password=%s]" % password, "--entity-type", "users",
                                 "--entity-name", name), check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL)


def server_for(cluster, door, **settings):
    sets = {"brokers": "127.0.0.1:%d" % cluster.doors[door], "security.protocol": LISTENERS[door]}
    sets.update({key.replace("_", "."): value for key, value in settings.items()})
    return Larder(CONFIG, os.path.join(tempfile.mkdtemp(prefix="door-"), "data"),
                  ["kafka.%s=%s" % item for item in sets.items()])


def login(mechanism, user="larder", password="secret"):
    return {"sasl_mechanisms": mechanism, "sasl_username": user, "sasl_password": password}


def arrives(server):
    server.wait_events(EVENTS)
    answer = server.query("sum(increase(orders_total[1h]))", FIRST_S + 3000)
    assert float(answer[()]) == EVENTS, answer
    wait_for("connected", lambda: server.metrics()["larder_kafka_connected"] == 1)


def says(server, pattern):
    wait_for("a line with %s in\n%s" % (pattern, server.log()[-2000:]),
             lambda: any(re.search(pattern, line, re.I) for line in server.log().splitlines()))
    time.sleep(0.5)
    assert server.process.poll() is None, "it has ended:\n" + server.log()
    assert server.get("/-/ready")[0] == 200 and server.events_taken() == 0
    assert server.metrics()["larder_kafka_connected"] == 0
    lines = [line for line in server.log().splitlines() if re.search("kafka", line)]
    assert len(lines) < 40, "it says it too often: %d lines\n%s" % (len(lines), "\n".join(lines[:10]))


def produce(cluster):
    cluster.create("orders", partitions=2)
    with Producer(cluster.bootstrap) as producer:
        producer.send(("orders", i % 2, (FIRST_S + i) * 1000, "o%d" % i, order(i)) for i in range(EVENTS))


def order(i):
    return json.dumps({"event_id": "e%d" % i, "type": "placed", "order_id": "o%d" % i,
                       "occurred_at": (FIRST_S + i) * 1000, "market": "m1", "category": "soup"})


def codecs(cluster):
    """By kcat, whose records carry the time of their sending."""
    cluster.create("foreign", partitions=2)
    names = ["none", "lz4", "zstd", "snappy", "gzip"]
    for n, codec in enumerate(names):
        lines = "".join("o%d\t%s\n" % (i, order(i)) for i in range(n * 1000, n * 1000 + 1000))
        subprocess.run(["kcat", "-q", "-P", "-b", cluster.bootstrap, "-t", "foreign", "-p", str(n % 2), "-K", "\\t",
                        "-z", codec], input=lines, text=True, check=True, timeout=60)
    with plain_server(cluster, "foreign") as server:
        server.sets.append("streams.orders.arrival=partition")
        server.start()
        server.wait_events(5000)
        answer = server.query("sum(increase(orders_total[2h]))", FIRST_S + 6000)
        assert float(answer[()]) == 5000, answer
        assert server.stop() == 0


def rss_mib(server):
    with open("/proc/%d/status" % server.process.pid, encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024


def large(cluster):
    """It is refused like any that is too long, and what stands behind it is read."""
    cluster.create("large", partitions=1, max_message_bytes=60000000, segment_bytes=100000000)
    with Producer(cluster.bootstrap, codec="none", batch=1) as producer, plain_server(cluster, "large") as server:
        server.start()
        for i, payload in enumerate([order(0), "{" + "x" * 50000000, order(1), '{"a": "' + "y" * 50000000 + '"}',
                                     order(2)]):
            producer.send([("large", 0, (FIRST_S + i) * 1000, "k", payload)])
        producer.flush()
        server.wait_events(5)
        values = server.metrics()
        assert values['larder_events_refused_total{stream="orders",reason="malformed"}'] == 2
        assert values['larder_events_accepted_total{stream="orders"}'] == 3
        assert rss_mib(server) < 500, rss_mib(server)
        assert server.stop() == 0


def plain_server(cluster, topic):
    return Larder(CONFIG, os.path.join(tempfile.mkdtemp(prefix="plain-"), "data"),
                  ["kafka.brokers=" + cluster.bootstrap, "streams.orders.topics=[%s]" % topic])


def main():
    tap, folder = Tap(), tempfile.mkdtemp(prefix="real-kafka-")
    certificates = Certificates(os.path.join(folder, "pem"))
    pem = certificates.path
    ours = {"ssl_ca_location": pem("ca.crt")}
    client = {"ssl_certificate_location": pem("client.crt"), "ssl_key_location": pem("client.key")}
    bearer = {"sasl_mechanisms": "OAUTHBEARER", "enable_sasl_oauthbearer_unsecure_jwt": "true",
              "sasl_oauthbearer_config": "principal=larder"}
    right = [("TLS", "TLS", ours), ("TLS with a certificate of our own", "MUTUAL", dict(ours, **client)),
             ("SASL PLAIN", "LOGIN", login("PLAIN")), ("SASL SCRAM", "LOGIN", login("SCRAM-SHA-256")),
             ("SASL OAUTHBEARER", "LOGIN", bearer), ("SASL SCRAM in TLS", "BOTH", dict(ours, **login("SCRAM-SHA-256")))]
    wrong = [("an authority that nobody knows", "TLS", {"ssl_ca_location": pem("stranger.crt")}, "certificate"),
             ("a broker that is somebody else", "ELSEWHERE", ours, "certificate|hostname|mismatch"),
             ("no certificate where one is asked for", "MUTUAL", ours, "certificate|SSL|disconnected"),
             ("a wrong password in PLAIN", "LOGIN", login("PLAIN", password="wrong"), "authentication"),
             ("a wrong password in SCRAM", "LOGIN", login("SCRAM-SHA-256", password="wrong"), "authentication"),
             ("a mechanism that the broker does not take", "LOGIN", login("SCRAM-SHA-512"), "mechanism")]
    with SecureCluster(os.path.join(folder, "kafka"), certificates) as cluster:
        produce(cluster)
        for name, door, settings in right:
            with tap.case(name + ": events arrive"), server_for(cluster, door, **settings) as server:
                server.start()
                arrives(server)
                assert server.stop() == 0
        for name, door, settings, pattern in wrong:
            with tap.case(name + ": said, and waited for"), server_for(cluster, door, **settings) as server:
                server.start()
                says(server, pattern)
                assert server.stop() == 0, "it stops all the same"
        with tap.case("a user that comes later: it goes on by itself"):
            with server_for(cluster, "LOGIN", **login("SCRAM-SHA-256", "later")) as server:
                server.start()
                says(server, "authentication")
                cluster.add_user("later", "secret")
                arrives(server)
                assert server.stop() == 0
        with tap.case("a foreign producer, and each codec"):
            codecs(cluster)
        with tap.case("messages of 50 MB"):
            large(cluster)
    tap.end()


if __name__ == "__main__":
    main()
