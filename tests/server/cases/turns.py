"""What a server with one place to run and one to wait takes at once, and what it can never take."""

from harness import contains, equal

HELLO = [{"role": "user", "content": "Hello"}]


def make_server(room):
    return room.server(models=[room.tiny()], options=["--parallel", "1", "--queue", "1"])


def refused_for_good(answer, param):
    error = answer.json()["error"]
    equal((answer.status, error["param"]), (400, param))
    contains(error["message"], "--parallel")
    assert "retry-after" not in answer.headers, answer.headers


def test_as_many_answers_as_there_are_places_are_given(server):
    answer = server.good("/v1/chat/completions", {"messages": HELLO, "n": 2, "max_tokens": 2})
    equal(len(answer["choices"]), 2)


def test_more_answers_than_places_are_refused_for_good(server):
    refused_for_good(server.post("/v1/chat/completions",
                                 {"messages": HELLO, "n": 3, "max_tokens": 2}), "n")


def test_more_prompts_than_places_are_refused_for_good(server):
    refused_for_good(server.post("/v1/completions",
                                 {"prompt": ["a", "b", "c"], "max_tokens": 2}), "prompt")
    refused_for_good(server.post("/v1/completions",
                                 {"prompt": ["a", "b"], "n": 2, "max_tokens": 2}), "prompt")
