"""A session of the chat app, as its pages speak to the server: prints what is right, line by line.

    app_session.py MINKE MODEL.gguf

Ask, follow the stream, come back to it in the middle, stop, go on, compare, search, attach, export, import,
back up; kill -9 while an answer runs, and find it again; then summarise a chat that has outgrown the
context, and go on with it.
"""

import json
import os
import pathlib
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

MINKE, MODEL = sys.argv[1:3]
FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="minke-app-"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, *options, model=MODEL, history="history.db"):
        self.port = free_port()
        self.process = subprocess.Popen(
            [MINKE, "serve", str(model), "--port", str(self.port), "--history",
             str(FOLDER / history), "--log", "none", *options],
            stdout=subprocess.DEVNULL)
        for _ in range(600):
            try:
                self.ask("GET", "/state")
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit("the server does not answer")

    def open(self, method, path, body=None, kind="application/json"):
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/app/v1{path}", data,
                                         {"Content-Type": kind}, method=method)
        return urllib.request.urlopen(request, timeout=120)

    def ask(self, method, path, body=None, kind="application/json"):
        with self.open(method, path, body, kind) as answer:
            text = answer.read()
            return json.loads(text) if text else None

    def status_of(self, method, path, body=None):
        try:
            with self.open(method, path, body) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def events(self, generation, after=0):
        """(id, event, data) of an answer's stream, to its end."""
        with self.open("GET", f"/generations/{generation}/events?after={after}") as stream:
            fields = {}
            for line in stream:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    fields[name] = value
                elif "event" in fields:
                    yield int(fields["id"]), fields["event"], json.loads(fields["data"])
                    fields = {}


def texts(events):
    return "".join(data["text"] for _, event, data in events if event == "text")


def message_of(server, conversation, message_id):
    messages = server.ask("GET", f"/conversations/{conversation}")["messages"]
    return next(message for message in messages if message["id"] == message_id)


def check(what, right):
    print(f"{what}: {'yes' if right else 'NO'}", flush=True)


def talk(server):
    talked = server.ask("POST", "/conversations", {"settings": {"temperature": 0, "tokens_max": 40}})
    path = f"/conversations/{talked['id']}"
    said = server.ask("POST", path + "/messages", {"parent_id": None, "content": "Hello whale"})
    answer = said["answer"]
    all_events = list(server.events(answer["generation_id"]))
    done = all_events[-1][2]["message"]
    check("the stream ends with the message", all_events[-1][1] == "done" and
          done["content"] == texts(all_events))
    check("ids count up from 1", all_events[0][0] >= 1 and
          [i for i, _, _ in all_events] == sorted({i for i, _, _ in all_events}))
    # Events that were past when the stream was opened may have come joined: cut at one that was seen.
    cut = all_events[len(all_events) // 2][0]
    seen = [e for e in all_events if e[0] <= cut]
    later = list(server.events(answer["generation_id"], after=cut))
    check("coming back loses and doubles nothing", texts(seen) + texts(later) == done["content"])
    check("the message is kept", message_of(server, talked["id"], answer["id"]) == done)
    check("and counted", done["usage"]["answer_tokens"] == 40 and done["finish_reason"] == "length")

    gone_on = server.ask("POST", path + "/continue", {"message_id": answer["id"]})["answer"]
    more = list(server.events(gone_on["generation_id"]))[-1][2]["message"]
    check("it goes on in the same message", more["id"] == answer["id"] and
          more["content"].startswith(done["content"]) and len(more["content"]) > len(done["content"]))

    two = server.ask("POST", path + "/answers",
                     {"parent_id": said["message"]["id"], "count": 2})["answers"]
    for one in two:
        list(server.events(one["generation_id"]))
    messages = server.ask("GET", path)["messages"]
    check("two more answers are its siblings",
          [m["parent_id"] for m in messages].count(said["message"]["id"]) == 3)
    hits = server.ask("GET", "/search?q=HELLO%20wh")["hits"]
    check("it is found", hits[0]["message_id"] == said["message"]["id"])
    file = server.ask("POST", "/attachments?name=note.txt", b"Its name is Ole.", "text/plain")
    asked = server.ask("POST", path + "/messages", {
        "parent_id": answer["id"], "content": "And?", "attachments": [file["id"]]})
    list(server.events(asked["answer"]["generation_id"]))
    check("a file goes with a message", asked["message"]["attachments"] == [file])
    check("what is wrong is refused",
          [server.status_of("POST", path + "/messages", {"content": 7}),
           server.status_of("POST", path + "/messages", {"content": "x", "parent_id": "nobody"}),
           server.status_of("PATCH", path, {"settings": {"temperature": 9}}),
           server.status_of("GET", "/conversations/nobody"),
           server.status_of("GET", "/generations/nobody/events")] == [400, 400, 400, 404, 404])
    return talked["id"]


def transfer(server, conversation):
    with server.open("GET", "/export") as answer:
        exported = answer.read()
    report = server.ask("POST", "/import", exported)
    check("an export is known again", report["skipped"][0]["why"] == "it is here already")
    with server.open("GET", "/backup") as answer:
        (FOLDER / "backup.db").write_bytes(answer.read())
    count = len(server.ask("GET", f"/conversations/{conversation}")["messages"])
    kept = sqlite3.connect(FOLDER / "backup.db").execute("SELECT count(*) FROM messages").fetchone()
    check("a backup has everything", kept == (count,))


def long_chat(server):
    """A chat of more tokens than the context has, brought from elsewhere: its id and its leaf."""
    node = {f"m{i}": {
        "parent": f"m{i - 1}", "message": {
            "author": {"role": "assistant" if i % 2 else "user"},
            "content": {"content_type": "text",
                        "parts": ["A whale of words. " * (1000 if i == 7 else 30)]}}}
            for i in range(30)}
    server.ask("POST", "/import", [{"title": "Long", "conversation_id": "long",
                                    "current_node": "m29", "mapping": node}])
    chat = server.ask("GET", "/conversations")["conversations"][0]
    return chat["id"], chat["leaf_id"]


def outgrow():
    model = FOLDER / "synth.gguf"
    subprocess.run([MINKE, "synth", "tiny-qwen2", "Q8_0", str(model)], check=True,
                   capture_output=True)
    server = Server(model=model, history="long.db")
    chat, leaf = long_chat(server)
    path = f"/conversations/{chat}"
    server.ask("PATCH", path, {"settings": {"temperature": 0}})

    def end_of(answer):
        return list(server.events(answer["generation_id"]))[-1][2]["message"]

    def say(parent):
        return server.ask("POST", path + "/messages", {
            "parent_id": parent, "content": "And now?", "settings": {"tokens_max": 8}})["answer"]

    def tokens(at):
        return server.ask("GET", f"{path}/context?leaf={at}")["tokens"]

    failed = end_of(say(leaf))
    check("a chat that has outgrown the context fails for that reason",
          (failed["status"], failed["finish_reason"]) == ("failed", "context"))
    all_tokens = tokens(leaf)
    check("and is measured", all_tokens > 4 * 2048)
    stopped = server.ask("POST", path + "/compaction", {"leaf_id": leaf})["answer"]
    server.ask("POST", f"/generations/{stopped['generation_id']}/stop", {})
    check("a summary is stopped between its parts", end_of(stopped)["status"] == "stopped")
    check("and stands for nothing then", tokens(stopped["id"]) == all_tokens)
    check("and does not go on", server.status_of("POST", path + "/continue", {
        "message_id": stopped["id"]}) == 400)
    running = server.ask("POST", path + "/compaction", {"leaf_id": leaf})["answer"]
    events = list(server.events(running["generation_id"]))
    summary = events[-1][2]["message"]
    read = [data["read_tokens"] / data["prompt_tokens"] for _, kind, data in events
            if kind == "reading"]
    check("it is summarised part by part", summary["status"] == "complete" and
          summary["content"].strip() != "" and texts(events) == summary["content"])
    check("and how far that is, is told", read == sorted(read) and read[-1] <= 1)
    check("then there is room again", tokens(summary["id"]) < 1536)
    check("and it goes on", end_of(say(summary["id"]))["status"] == "complete")
    server.process.send_signal(signal.SIGINT)
    server.process.wait(timeout=60)


def start_long(server, conversation):
    asked = server.ask("POST", f"/conversations/{conversation}/messages", {
        "parent_id": None, "content": "Go on", "settings": {"tokens_max": 100000}})["answer"]
    return asked


def stop_and_kill(server, conversation):
    # A model of random weights may end by itself before it is told to: then another answer.
    ends = []
    while "stopped" not in ends and len(ends) < 50:
        long = start_long(server, conversation)
        server.ask("POST", f"/generations/{long['generation_id']}/stop", {})
        ends.append(list(server.events(long["generation_id"]))[-1][2]["message"]["status"])
    check("a stopped answer says so", set(ends) - {"complete"} == {"stopped"})
    long = start_long(server, conversation)
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    again = Server()
    kept = message_of(again, conversation, long["id"])
    # A small model may have been quicker than the signal.
    check("an answer that was acknowledged is there when the server was killed",
          kept["status"] in ("interrupted", "complete") and kept["generation_id"] is None)
    again.ask("DELETE", f"/conversations/{conversation}")
    check("what is deleted is gone", again.status_of("GET", f"/conversations/{conversation}") == 404)
    again.process.send_signal(signal.SIGINT)
    check("it ends when it is told to", again.process.wait(timeout=60) == 0)


def main():
    server = Server()
    conversation = talk(server)
    transfer(server, conversation)
    stop_and_kill(server, conversation)
    outgrow()
    for path in FOLDER.iterdir():
        path.unlink()
    os.rmdir(FOLDER)


if __name__ == "__main__":
    main()
