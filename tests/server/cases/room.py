"""Several models in one memory budget: small ones stay beside each other, and who asks for one for
which there is no room waits for it."""

import json
import threading
import time

import harness
from harness import contains, equal

PATH = "/v1/chat/completions"
NAMES = ("tiny-qwen2", "tiny-llama", "tiny-qwen3")


def make_server(room):
    return Budgets(room)


class Budgets:
    """Makes a server with a budget of its own for each test."""

    def __init__(self, room):
        self.room = room
        self.server = None
        self.log = []

    def start(self, memory, *options):
        self.close()
        self.server = self.room.server(models=[self.room.tiny(name) for name in NAMES],
                                       memory=memory, options=list(options))
        return self.server

    def end(self):
        started, self.server = self.server, None
        self.log = started.log
        equal(started.close(), 0)

    def close(self):
        # What a failed test has left behind.
        left, self.server = self.server, None
        return left.close() if left else 0


def ask(server, model, tokens=3, **more):
    return server.post(PATH, {"model": model, "max_tokens": tokens, "temperature": 2,
                              "logit_bias": {"0": -100, "1": -100, "2": -100},
                              "messages": [{"role": "user", "content": "x"}]} | more)


def begin(server, model, tokens):
    """An answer that is under way."""
    connection, answer = server.begin(PATH, {
        "model": model, "max_tokens": tokens, "stream": True, "temperature": 2,
        "logit_bias": {"0": -100, "1": -100, "2": -100},
        "messages": [{"role": "user", "content": "x"}]})
    equal(answer.status, 200)
    answer.read(10)
    return connection, answer


def loaded(server):
    return server.get("/health").json()["models_loaded"]


def test_small_models_stay_beside_each_other(budgets):
    server = budgets.start("500MB")
    for name in NAMES:
        equal(ask(server, name).status, 200, name)
    equal(sorted(loaded(server)), sorted(NAMES))
    system = server.get("/app/v1/system").json()
    running = {one["name"]: one for one in server.get("/api/ps").json()["models"]}
    equal(sum(one["size"] for one in running.values()), system["memory"]["used"])
    assert system["memory"]["used"] <= system["memory"]["budget"], system["memory"]
    for one in system["models"]:
        equal(one["memory_bytes"], running[one["name"]]["size"], one["name"])
        # No more than all that may run at once can fill: 64 contexts.
        assert one["memory"]["kv_cache_tokens"] <= 64 * one["context_tokens"] + 64, one
    budgets.end()


def test_who_asks_for_another_model_waits_until_the_first_is_done(budgets):
    server = budgets.start("180MB")
    connection, answer = begin(server, NAMES[0], 300)
    other = ask(server, NAMES[1])
    equal(other.status, 200, other.body)
    equal(loaded(server), [NAMES[1]])
    contains(answer.read().decode(), "[DONE]")
    connection.close()
    budgets.end()


def test_who_has_waited_long_enough_is_told_who_holds_the_memory(budgets):
    server = budgets.start("180MB", "--wait", "1")
    holder = server.connection()
    holder.request("POST", "/v1/embeddings", json.dumps({
        "model": NAMES[0], "input": ["a b c d " * 220] * 2048}),
        {"Content-Type": "application/json"})
    while not server.get("/health").json()["requests_running"]:
        time.sleep(0.01)
    began = time.monotonic()
    other = ask(server, NAMES[1])
    equal(other.status, 503, other.body)
    assert int(other.headers["retry-after"]) >= 1
    assert 0.9 < time.monotonic() - began < 10
    error = other.json()["error"]
    equal(error["code"], "model_not_loaded")
    for part in ("--memory", "172 MiB", NAMES[0], "Try again"):
        contains(error["message"], part)
    # What it can be loaded with alone is what it is said to need.
    least, whole = (int(error["message"].split(before)[1].split(" MiB")[0])
                    for before in ("at least about ", "MiB ("))
    assert least < whole and least <= 172, error
    holder.close()
    harness.wait_until_idle(server)
    equal(ask(server, NAMES[1]).status, 200, "when the first has gone there is room")
    budgets.end()


def test_a_model_that_is_always_asked_makes_room_too(budgets):
    server = budgets.start("180MB")
    stop = threading.Event()
    statuses = []

    def keep_asking():
        while not stop.is_set():
            statuses.append(ask(server, NAMES[0], 60).status)

    askers = [threading.Thread(target=keep_asking) for _ in range(3)]
    for one in askers:
        one.start()
    while len(statuses) < 3:
        time.sleep(0.01)
    began = time.monotonic()
    equal(ask(server, NAMES[1]).status, 200)
    assert time.monotonic() - began < 30, "that long nobody may be kept out"
    asked = len(statuses)
    while len(statuses) < asked + 3:
        time.sleep(0.01)
        assert time.monotonic() - began < 60, "the first has to come back"
    stop.set()
    for one in askers:
        one.join()
    equal(set(statuses), {200})
    budgets.end()


def test_a_server_that_is_ended_while_it_loads_a_model_ends(budgets):
    for _ in range(3):
        budgets.start("500MB")
        budgets.end()


def test_a_model_that_never_fits_is_refused_at_once(budgets):
    server = budgets.start("30MB")
    answer = ask(server, NAMES[0])
    equal(answer.status, 503)
    contains(json.dumps(answer.json()), "the memory budget (--memory) is 29 MiB: raise --memory")
    budgets.end()
