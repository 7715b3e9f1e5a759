"""An Apache Kafka in KRaft mode on loopback: one node, or three for tests of failures.

    with Cluster(folder, nodes=1) as kafka:
        kafka.bootstrap                     "127.0.0.1:41234,..."
        kafka.create("orders", partitions=4)
        kafka.kill(2); kafka.start(2)       SIGKILL; back with the same ports and files
        kafka.freeze(2); kafka.thaw(2)      SIGSTOP, SIGCONT

Each node is broker and controller. The processes end with the cluster, by their process ids.
"""
import os
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
from lib import free_port, helper, wait_for  # noqa: E402

JAVA = ["-Xms128m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
CLUSTER_ID = "AAAAAAAAQACAAAAAAAAAAQ"
LOGGING = """\
log4j.rootLogger=WARN, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=[%d] %p %m (%c)%n
"""


def jars():
    """The folder of Kafka's jars, fetched when it is not there."""
    done = subprocess.run([os.path.join(HERE, "fetch_kafka.sh")], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, check=True, text=True)
    return done.stdout.strip()


def listens(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 0.5):
            return True
    except OSError:
        return False


class Cluster:
    def __init__(self, folder, nodes=1, settings=None, format_args=()):
        """settings go over those below; format_args are of Kafka's tool that makes the folders."""
        self.folder, self.settings, self.format_args = folder, settings or {}, list(format_args)
        self.ids = list(range(1, nodes + 1))
        self.ports = {i: (free_port(), free_port()) for i in self.ids}
        self.processes, self.jars = {}, jars()
        self.bootstrap = ",".join("127.0.0.1:%d" % self.ports[i][0] for i in self.ids)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "log4j.properties"), "w") as f:
            f.write(LOGGING)
        for i in self.ids:
            self.format(i)

    def java(self, main, *args):
        return ["java", *JAVA, "-Dlog4j.configuration=file:%s/log4j.properties" % self.folder,
                "-cp", self.jars + "/*", main, *args]

    def properties(self, i):
        return os.path.join(self.folder, "%d.properties" % i)

    def format(self, i):
        broker, controller = self.ports[i]
        copies = min(3, len(self.ids))
        voters = ",".join("%d@127.0.0.1:%d" % (k, self.ports[k][1]) for k in self.ids)
        lines = {
            "process.roles": "broker,controller",
            "node.id": i,
            "controller.quorum.voters": voters,
            "listeners": "PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d" % (broker, controller),
            "advertised.listeners": "PLAINTEXT://127.0.0.1:%d" % broker,
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": os.path.join(self.folder, "data%d" % i),
            "offsets.topic.num.partitions": 3,
            "offsets.topic.replication.factor": copies,
            "default.replication.factor": copies,
            "transaction.state.log.num.partitions": 3,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": (copies + 1) // 2,
            "min.insync.replicas": (copies + 1) // 2,
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            "num.network.threads": 2,
            "num.io.threads": 2,
            "log.segment.bytes": 16 << 20,
            "log.retention.ms": -1,  # events of years ago are no old ones
            "log.cleaner.dedupe.buffer.size": 2 << 20,
            "auto.create.topics.enable": "false",
            "controlled.shutdown.enable": "false",
        }
        lines.update(self.settings)
        with open(self.properties(i), "w") as f:
            f.writelines("%s=%s\n" % item for item in lines.items())
        subprocess.run(self.java("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c",
                                 self.properties(i), *self.format_args),
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)

    def log(self, i):
        return os.path.join(self.folder, "%d.log" % i)

    def start(self, i, wait=True):
        with open(self.log(i), "ab") as log:
            self.processes[i] = subprocess.Popen(
                self.java("kafka.Kafka", self.properties(i)), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True)
        if wait:
            self.wait(i)

    def wait(self, i, seconds=120):
        def ready():
            process = self.processes[i]
            if process.poll() is not None:
                with open(self.log(i), errors="replace") as f:
                    raise AssertionError("Kafka's node %d ended with status %d:\n%s" %
                                         (i, process.returncode, f.read()[-3000:]))
            return listens(self.ports[i][0])
        wait_for("Kafka's node %d ready" % i, ready, seconds, 0.1)

    def kill(self, i):
        process = self.processes.pop(i)
        process.kill()
        process.wait()

    def freeze(self, i):
        self.processes[i].send_signal(signal.SIGSTOP)

    def thaw(self, i):
        self.processes[i].send_signal(signal.SIGCONT)

    # What follows is asked of the cluster itself.

    def admin(self, *args):
        done = subprocess.run([helper("kafka_admin"), self.bootstrap, *map(str, args)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        assert done.returncode == 0, "kafka_admin %s: %s" % (" ".join(map(str, args)), done.stderr)
        return done.stdout

    def create(self, topic, partitions=1, **settings):
        pairs = ["%s=%s" % (key.replace("_", "."), value) for key, value in settings.items()]
        self.admin("create", topic, partitions, min(3, len(self.ids)), *pairs)

    def delete(self, topic):
        self.admin("delete", topic)

    def grow(self, topic, partitions):
        self.admin("grow", topic, partitions)

    def truncate(self, topic, partition, offset):
        """Deletes the records before the offset, as retention does."""
        self.admin("truncate", topic, partition, offset)

    def lag(self, group, topic):
        """By partition: the position that the group has committed, and how far the log's end is, as Kafka's
        own tool says."""
        done = subprocess.run(self.java("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
                                        "--bootstrap-server", self.bootstrap, "--describe", "--group", group),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True)
        assert done.returncode == 0, done.stdout
        found = {}
        for line in done.stdout.splitlines():
            words = line.split()
            if len(words) > 5 and words[1] == topic:
                found[int(words[2])] = (int(words[3]), int(words[5]))
        assert found, done.stdout
        return found

    def __enter__(self):
        for i in self.ids:
            self.start(i, wait=False)
        for i in self.ids:
            self.wait(i)
        wait_for("brokers ready", lambda: self.admin("brokers").strip() == str(len(self.ids)), 60, 0.2)
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
