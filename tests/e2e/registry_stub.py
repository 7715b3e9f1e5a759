"""A Confluent-compatible schema registry for tests of faults: what it knows is put in by the test, and it
can be down, slow, or answer nonsense.

    with Registry() as registry:
        registry.schemas[7] = '{"type": ...}'
        registry.mode = "ok" | "error" | "nonsense" | "slow" | "html" | "raw": what registry.text is

    registry_stub.py PORT FILE      by itself, to be killed: FILE is JSON, {"7": '{"type": ...}', ...}
"""
import http.server
import json
import sys
import threading
import time


class Registry:
    def __init__(self, port=0):
        registry = self
        self.schemas, self.subjects, self.mode, self.requests = {}, {}, "ok", 0
        self.text = ""

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def answer(self, status, body, kind="application/vnd.schemaregistry.v1+json"):
                data = body.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                try:
                    self.wfile.write(data)
                except OSError:  # who asked did not wait
                    pass

            def do_GET(self):
                registry.requests += 1
                if registry.mode == "slow":
                    time.sleep(3)
                if registry.mode == "error":
                    return self.answer(500, json.dumps({"error_code": 50001, "message": "store is away"}))
                if registry.mode == "nonsense":
                    return self.answer(200, "{\"schema\": 5}")
                if registry.mode == "raw":
                    return self.answer(200, registry.text)
                if registry.mode == "html":
                    return self.answer(404, "<html>not here</html>", "text/html")
                if any(self.path.startswith("/schemas/ids/%d" % n) for n in registry.failing):
                    return self.answer(500, "{}")
                found = registry.find(self.path)
                if found is None:
                    return self.answer(404, json.dumps({"error_code": 40403, "message": "not found"}))
                return self.answer(200, json.dumps(found))

        self.failing = set()  # ids that are answered with an error
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = "http://127.0.0.1:%d" % self.port
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def find(self, path):
        parts = path.partition("?")[0].strip("/").split("/")
        if parts[:2] == ["schemas", "ids"]:
            schema = self.schemas.get(int(parts[2]))
            return schema if schema is None or isinstance(schema, dict) else {"schema": schema}
        if parts[0] == "subjects" and parts[2] == "versions":
            return self.subjects.get((parts[1], int(parts[3])))
        return None

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def main():
    registry = Registry(int(sys.argv[1]))
    with open(sys.argv[2], encoding="utf-8") as f:
        registry.schemas = {int(number): text for number, text in json.load(f).items()}
    registry.server.serve_forever()


if __name__ == "__main__":
    main()
