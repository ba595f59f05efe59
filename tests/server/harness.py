"""A server of one test, and what tests say to it. Standard library alone.

A test is a function `test_...(server)` in a file `cases/*.py`, whose make_server(room) starts the
server that all of the file share. An assertion that fails, or any exception, is a failure; raising
Skip says why a test was left out. A test that is many may return them as (name, what was wrong or
None).
"""

import http.client
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import time

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
TEMPLATE = SOURCE / "tests/server/thinking.jinja"
SECONDS_MAX = 60


class Skip(Exception):
    pass


class Answer:
    """One answer of HTTP, read to its end."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def lines(self):
        """Of a stream of JSON values, one a line."""
        assert self.headers["content-type"] == "application/x-ndjson", self.headers
        assert self.body.endswith(b"\n"), self.body[-100:]
        return [json.loads(line) for line in self.body.decode().split("\n")[:-1]]

    def events(self):
        """Of server-sent events: (event or None, data), comments left out."""
        assert self.headers["content-type"].startswith("text/event-stream"), self.headers
        found = []
        for block in self.body.decode().split("\n\n"):
            fields = [line for line in block.split("\n") if line and not line.startswith(":")]
            if not fields:
                continue
            names = dict(line.split(": ", 1) for line in fields)
            data = names["data"]
            found.append((names.get("event"), data if data == "[DONE]" else json.loads(data)))
        return found


class Server:
    """`minke serve` on a free port of this machine, in a folder of its own."""

    def __init__(self, minke, models=(), template=None, options=(), needs_log=False, cache=None,
                 memory="1500MB", keeps_prompts=False):
        self.folder = tempfile.TemporaryDirectory(prefix="minke-server-")
        command = [str(minke), "serve", *map(str, models), "--port", "0", "--threads", "2",
                   "--memory", memory, "--log", "json" if needs_log else "none",
                   *map(str, options)]
        if not keeps_prompts:
            command.append("--no-disk-cache")
        if template:
            command += ["--chat-template", str(template)]
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith(("MINKE_", "HF_"))}
        environment |= {"HOME": self.folder.name, "LC_ALL": "C.UTF-8",
                        "XDG_CACHE_HOME": str(cache or self.folder.name + "/cache")}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, env=environment, cwd=self.folder.name)
        self.log = []
        self.reader = threading.Thread(target=lambda: self.log.extend(self.process.stderr))
        self.reader.daemon = True
        self.reader.start()
        self.line = line = self.process.stdout.readline()
        if "://" not in line:
            self.process.wait()
            self.reader.join()
            raise AssertionError("the server did not start: " + "".join(self.log))
        self.port = int(line.split("://")[1].split("/")[0].rsplit(":", 1)[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def close(self):
        """Its exit status must be 0."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = "no end within 30 s"
        self.reader.join()
        self.folder.cleanup()
        return status

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS_MAX)

    def ask(self, method, path, body=None, headers=None):
        connection = self.connection()
        data = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
        all_headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, data, all_headers | (headers or {}))
        answer = connection.getresponse()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        result = Answer(answer.status, fields, answer.read())
        connection.close()
        return result

    def get(self, path, **more):
        return self.ask("GET", path, **more)

    def post(self, path, body, **more):
        return self.ask("POST", path, body, **more)

    def good(self, path, body, **more):
        """The JSON of an answer that must be a good one."""
        answer = self.post(path, body, **more)
        assert answer.status == 200, (answer.status, answer.body[:500])
        return answer.json()

    def begin(self, path, body):
        """A connection whose answer has begun and is not read to its end."""
        connection = self.connection()
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        return connection, connection.getresponse()

    def running(self):
        health = self.get("/health").json()
        return health["requests_running"] + health["requests_waiting"]


def equal(got, expected, what=""):
    assert got == expected, f"{what}: got {got!r}, expected {expected!r}"


def wait_until_idle(server):
    """Until nothing runs: what nobody wants any more must be gone within a moment."""
    began = time.monotonic()
    while server.running():
        assert time.monotonic() - began < 5, "what nobody wants goes on"
        time.sleep(0.02)


def contains(text, part):
    assert part in text, f"{part!r} is not in {text!r}"


def forced(text):
    """A response format that leaves a model of random weights nothing but this text to write."""
    special = r"\.^$|?*+()[]{}"
    return {"type": "regex", "regex": "".join("\\" + c if c in special else c for c in text)}


CALL_TEXT = ('Looking. <tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n'
             '</tool_call>')
TWO_CALLS_TEXT = CALL_TEXT + '\n<tool_call>\n{"name": "time", "arguments": {}}\n</tool_call>'
BARE_CALL_TEXT = '```json\n{\n  "name": "weather",\n  "arguments": {"city": "Paris"}\n}\n```'
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
