"""What end-to-end tests share: a mock broker, a producer, a running larder, HTTP, and TAP output.

Everything started here is a child that ends with the test: brokers and producers when their standard
input closes, servers by their process id. Temporary files lie in one folder that is removed at the end.
"""
import atexit
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.error
import urllib.parse
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("LARDER_BUILD", "build"))
SHARED = os.path.abspath(os.environ.get("LARDER_SHARED") or os.path.join(ROOT, "..", "shared"))
DATA = os.path.join(ROOT, "tests", "data")
LARDER = os.path.join(BUILD, "larder")

tempfile.tempdir = tempfile.mkdtemp(prefix="larder-e2e-")
atexit.register(shutil.rmtree, tempfile.tempdir, ignore_errors=True)


def helper(name):
    return os.path.join(BUILD, "tests", "e2e", name)


class Tap:
    """Counts cases and prints them: with tap.case("what must hold"): assert ..."""

    def __init__(self):
        self.n = 0
        self.failed = 0

    @contextlib.contextmanager
    def case(self, name):
        self.n += 1
        try:
            yield
        except Exception as e:  # any failure of a case is a failed case
            self.failed += 1
            print("not ok %d - %s" % (self.n, name))
            text = str(e) if isinstance(e, AssertionError) and str(e) else traceback.format_exc()
            print("\n".join("# " + line for line in text.splitlines()))
        else:
            print("ok %d - %s" % (self.n, name))
        sys.stdout.flush()

    def skip(self, name, why):
        self.n += 1
        print("ok %d # SKIP %s: %s" % (self.n, name, why), flush=True)

    def end(self):
        print("1..%d" % self.n, flush=True)
        sys.exit(1 if self.failed else 0)


def run(cases, *args, clean=None):
    """Calls case(*args) of each (name, case), then clean(*args); the command line may name some of them.
    Ends the program."""
    tap = Tap()
    for name, case in cases:
        if sys.argv[1:] and case.__name__ not in sys.argv[1:]:
            continue
        with tap.case(name):
            try:
                case(*args)
            finally:
                if clean:
                    clean(*args)
    tap.end()


def wait_for(what, condition, seconds=20, every=0.02):
    """The first true value of condition(); an error that names `what` when time runs out."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("after %d s: not %s" % (seconds, what))
        time.sleep(every)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Broker:
    """with Broker(orders=4) as broker: broker.bootstrap"""

    def __init__(self, **topics):
        argv = [helper("mock_broker")] + ["%s:%d" % t for t in topics.items()]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        word, _, self.bootstrap = self.process.stdout.readline().strip().partition(" ")
        assert word == "bootstrap", "the mock broker did not start"

    def command(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer == "ok", "mock broker: %s: %s" % (line, answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Producer:
    """Sends (topic, partition, timestamp_ms, key, payload); payload None is a tombstone. Payloads are
    texts of one line, or all of them bytes (binary). With a transactional id, commit() or abort() ends
    the transaction of what was sent."""

    def __init__(self, bootstrap, codec="lz4", batch=10000, binary=False, transactional=None):
        argv = [helper("produce"), bootstrap, codec, str(batch)]
        argv += [transactional] if transactional else []
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.binary = binary
        if binary:
            self.process.stdin.write("!hex\n")

    def send(self, messages):
        write = self.process.stdin.write
        for topic, partition, timestamp_ms, key, payload in messages:
            row = [topic, str(partition), str(timestamp_ms), key]
            if payload is not None:
                row.append(payload.hex() if self.binary else payload)
            write("\t".join(row) + "\n")

    def batch(self, messages):
        self.process.stdin.write("!batch %d\n" % messages)

    def headers(self, *pairs):
        """Of all messages from here on: (name, bytes). An empty key is none from then on."""
        self.process.stdin.write("!nokey\n!header\n")
        for name, value in pairs:
            self.process.stdin.write("!header %s %s\n" % (name, value.hex()))

    def flush(self):
        """Waits until the broker has acknowledged everything; returns how many that were."""
        self.process.stdin.write("!flush\n")
        self.process.stdin.flush()
        word, _, count = self.process.stdout.readline().partition(" ")
        assert word == "flushed", "the producer failed"
        return int(count)

    def commit(self):
        """Waits until the transaction is committed; returns how many messages are, of all so far."""
        self.process.stdin.write("!commit\n")
        self.process.stdin.flush()
        word, _, count = self.process.stdout.readline().partition(" ")
        assert word == "committed", "the producer failed"
        return int(count)

    def abort(self):
        self.process.stdin.write("!abort\n")

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(200) == 0, "the producer failed"

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.close()
        else:
            self.process.kill()
            self.process.wait()


class Message:
    """One of a topic: partition, offset, timestamp, key and value (bytes or None), and headers, a list
    of (name, bytes or None)."""

    def __init__(self, row):
        def unhex(text):
            return None if text is None else bytes.fromhex(text)
        self.partition, self.offset, self.timestamp = row["partition"], row["offset"], row["timestamp"]
        self.key, self.value = unhex(row["key"]), unhex(row["value"])
        self.headers = [(name, unhex(value)) for name, value in row["headers"]]

    def header(self, name):
        """The last one's text; None: it has none."""
        found = [value for n, value in self.headers if n == name]
        return found[-1].decode() if found else None


def consume(bootstrap, topic):
    """All committed messages of the topic, by partition and offset."""
    done = subprocess.run([helper("consume"), bootstrap, topic], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, check=True, text=True)
    found = [Message(json.loads(line)) for line in done.stdout.splitlines()]
    return sorted(found, key=lambda m: (m.partition, m.offset))


class Larder:
    """A `larder serve` on a free port. The folder outlives it; start again to recover."""

    def __init__(self, config, folder, sets=(), env=None, port=None, flags=()):
        self.config, self.folder, self.sets, self.env = config, folder, list(sets), env or {}
        self.flags = list(flags)
        self.port = port or free_port()
        self.log_path = tempfile.mkstemp(prefix="larder-", suffix=".log")[1]
        self.process = None

    def start(self, wait=True):
        argv = [LARDER, "serve", "-c", self.config] + self.flags
        sets = ["http.listen=127.0.0.1:%d" % self.port, "store.path=%s" % self.folder] + self.sets
        for item in sets:
            argv += ["--set", item]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=dict(os.environ, **self.env))
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=30):
        def ready():
            assert self.process.poll() is None, \
                "larder ended with status %d:\n%s" % (self.process.returncode, self.log()[-4000:])
            return self.get("/-/ready", check=False)[0] == 200
        wait_for("ready", ready, seconds)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def get(self, path, check=True, timeout=30, **params):
        """Status and body; status 0 when nobody listens."""
        url = "http://127.0.0.1:%d%s" % (self.port, path)
        if params:
            url += "?" + urllib.parse.urlencode(params)
        try:
            with urllib.request.urlopen(url, timeout=timeout) as answer:
                status, body = answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            status, body = e.code, e.read().decode()
        except OSError:
            status, body = 0, ""
        if check:
            assert status == 200, "%s: status %d: %s" % (url, status, body[:500])
        return status, body

    def post(self, path, timeout=30, **form):
        """Status and body; status 0 when nobody listens, or answers."""
        url = "http://127.0.0.1:%d%s" % (self.port, path)
        try:
            with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode(), timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""

    def query(self, expr, time_s):
        """The result vector of an instant query as {labels as sorted tuple: value text or histogram}."""
        data = json.loads(self.query_text(expr, time_s))["data"]
        assert data["resultType"] == "vector", data["resultType"]
        return {tuple(sorted(r["metric"].items())): (r["value"][1] if "value" in r else r["histogram"][1])
                for r in data["result"]}

    def query_text(self, expr, time_s):
        return self.get("/api/v1/query", query=expr, time=str(time_s))[1]

    def query_range_text(self, expr, start_s, end_s, step_s):
        return self.get("/api/v1/query_range", query=expr, start=str(start_s), end=str(end_s),
                        step=str(step_s))[1]

    def metrics(self):
        """/metrics as {'name{labels}': value}."""
        values = {}
        for line in self.get("/metrics")[1].splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                values[name] = float(value)
        return values

    def metric_sum(self, prefix):
        """The sum of all series whose name and labels begin so."""
        return sum(v for k, v in self.metrics().items()
                   if k == prefix or k.startswith(prefix + "{") or ("{" in prefix and k.startswith(prefix)))

    def events_taken(self):
        """Events that were accepted, refused, or came twice, since the folder began."""
        values = self.metrics()
        return sum(v for k, v in values.items()
                   if k.startswith(("larder_events_accepted_total", "larder_events_refused_total",
                                    "larder_events_duplicate_total", "larder_events_conflict_total")))

    def wait_events(self, count, seconds=60):
        wait_for("%d events taken in" % count, lambda: self.events_taken() >= count, seconds)
        taken = self.events_taken()
        assert taken == count, "%d events taken in, %d were sent" % (taken, count)

    def wait_frontier(self, time_s, seconds=20):
        """Until the stream is known to be read up to the time: zeros are said no further than that."""
        wait_for("a frontier past %d" % time_s, lambda: min(
            (v for k, v in self.metrics().items() if k.startswith("larder_frontier_timestamp_seconds")),
            default=0) >= time_s, seconds)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds=20):
        """SIGTERM; returns the exit status."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                return self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError("SIGTERM did not stop it within %d s" % seconds)
        return self.process.returncode if self.process else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.kill()


def data_of(body):
    """The bytes of an answer's `data`; what stands beside it says how far the clocks are, and may differ."""
    begin = body.index('"data":') + len('"data":')
    return body[begin:json.JSONDecoder().raw_decode(body, begin)[1]]


def own_python():
    """Begins the script again in the interpreter that has what tests/python/requirements.txt names."""
    fetch = os.path.join(ROOT, "tests", "python", "fetch_python.sh")
    python = subprocess.run([fetch], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, text=True)
    shutil.rmtree(tempfile.tempdir, ignore_errors=True)
    os.execv(python.stdout.strip(), [python.stdout.strip(), *sys.argv])


def larder(*argv, stdin="", timeout=60):
    """Runs a subcommand; status, standard output, standard error."""
    done = subprocess.run([LARDER, *argv], input=stdin, text=True, timeout=timeout,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return done.returncode, done.stdout, done.stderr
