"""Embeddings take their turn as answers do, are counted, and end when nobody wants them."""

import http.client
import json
import time

from harness import contains, equal, wait_until_idle

PATH = "/v1/embeddings"
MANY = {"input": ["a b c d " * 220] * 2048}  # some seconds of work


def make_server(room):
    server = room.server(models=[room.tiny()], options=["--parallel", "1", "--queue", "1"])
    server.room = room
    return server


def begin(server, path=PATH, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", path, json.dumps(body or MANY), {"Content-Type": "application/json"})
    return connection


def wait_for(server, running, waiting):
    began = time.monotonic()
    while True:
        health = server.get("/health").json()
        if (health["requests_running"], health["requests_waiting"]) == (running, waiting):
            return
        assert time.monotonic() - began < 20, health
        time.sleep(0.01)


def test_one_request_s_texts_come_in_their_order(server):
    texts = [f"text {i}" for i in range(20)]
    many = server.good(PATH, {"input": texts})
    equal([entry["index"] for entry in many["data"]], list(range(20)))
    for i in (0, 7, 19):
        one = server.good(PATH, {"input": texts[i]})["data"][0]["embedding"]
        equal(one, many["data"][i]["embedding"])


def test_they_wait_for_their_turn_and_are_refused_when_too_many_do(server):
    first = begin(server)
    wait_for(server, 1, 0)
    second = begin(server, "/api/embed", {"model": "tiny-qwen2", "input": "one text"})
    wait_for(server, 1, 1)
    third = server.post(PATH, {"input": "one text"})
    equal((third.status, third.json()["error"]["code"]), (429, "queue_full"))
    assert int(third.headers["retry-after"]) >= 1
    equal(server.post("/v1/chat/completions", {
        "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}).status, 429)
    first.close()
    equal(second.getresponse().status, 200, "its turn has come")
    second.close()
    wait_until_idle(server)


def test_a_client_that_goes_ends_what_it_asked_for(server):
    before = server.get("/metrics").body.decode()
    contains(before, "minke_answers_total")
    running = begin(server)
    wait_for(server, 1, 0)
    waiting = begin(server)
    wait_for(server, 1, 1)
    waiting.close()
    wait_for(server, 1, 0)
    running.close()
    began = time.monotonic()
    wait_until_idle(server)
    assert time.monotonic() - began < 1, "a step has to be enough"
    server.good(PATH, {"input": "one text"})


def test_many_leave_places_to_answers(server):
    wide = server.room.server(models=[server.room.tiny()], options=["--parallel", "4"])
    many = [begin(wide) for _ in range(3)]
    wait_for(wide, 2, 1)
    for _ in range(3):
        equal(wide.post("/v1/chat/completions", {
            "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}).status, 200)
    wait_for(wide, 2, 1)
    for one in many:
        one.close()
    wait_until_idle(wide)
    equal(wide.close(), 0)


def test_vectors_are_shortened_and_never_lengthened(server):
    whole = server.good(PATH, {"input": "one text"})["data"][0]["embedding"]
    for size in (8, len(whole)):
        short = server.good(PATH, {"input": "one text", "dimensions": size})
        equal(len(short["data"][0]["embedding"]), size)
    answer = server.post(PATH, {"input": "one text", "dimensions": len(whole) + 1})
    equal((answer.status, answer.json()["error"]["param"]), (400, "dimensions"))


def test_who_waits_too_long_is_told_that_the_turn_did_not_come(server):
    busy = server.room.server(models=[server.room.tiny()],
                              options=["--parallel", "1", "--wait", "1"])
    first = begin(busy)
    wait_for(busy, 1, 0)
    answer = busy.post(PATH, {"input": "one text"})
    equal(answer.status, 503)
    contains(answer.json()["error"]["message"], "turn did not come within 1 seconds")
    first.close()
    wait_until_idle(busy)
    equal(busy.close(), 0)


def test_a_wrong_text_is_named(server):
    for wrong in (["a", "word " * 3000], [[999_999_999]]):
        answer = server.post(PATH, {"input": wrong})
        equal((answer.status, answer.json()["error"]["param"]), (400, "input"))
