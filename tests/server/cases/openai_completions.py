"""POST /v1/completions, OpenAI's older API."""

from harness import contains, equal, wait_until_idle

PATH = "/v1/completions"


def make_server(room):
    return room.server(models=[room.tiny()])


def test_text_goes_on_and_is_cut_at_16_tokens_unless_told_otherwise(server):
    answer = server.good(PATH, {"prompt": "Hello", "temperature": 0, "logit_bias": {"0": -100}})
    equal(answer["object"], "text_completion")
    assert answer["id"].startswith("cmpl-")
    assert answer["usage"]["completion_tokens"] <= 16
    choice = answer["choices"][0]
    equal((choice["index"], choice["logprobs"]), (0, None))
    assert choice["finish_reason"] in ("stop", "length")


def test_prompts_are_text_tokens_or_several_of_either(server):
    one = server.good(PATH, {"prompt": "ab", "max_tokens": 4, "temperature": 0})
    several = server.good(PATH, {"prompt": ["ab", "c"], "max_tokens": 4, "temperature": 0})
    equal([choice["index"] for choice in several["choices"]], [0, 1])
    equal(several["choices"][0]["text"], one["choices"][0]["text"])
    assert several["usage"]["prompt_tokens"] > one["usage"]["prompt_tokens"]
    tokens = server.good(PATH, {"prompt": [64, 65.0], "max_tokens": 4, "temperature": 0})
    lists = server.good(PATH, {"prompt": [[64, 65], [66]], "max_tokens": 4, "temperature": 0})
    equal(lists["choices"][0]["text"], tokens["choices"][0]["text"])
    equal(tokens["usage"]["prompt_tokens"], 2)


def test_n_answers_to_each_prompt_are_numbered_through(server):
    answer = server.good(PATH, {"prompt": ["a", "b"], "n": 2, "max_tokens": 2, "seed": 1})
    equal([choice["index"] for choice in answer["choices"]], [0, 1, 2, 3])
    again = server.good(PATH, {"prompt": ["a", "b"], "n": 2, "max_tokens": 2, "seed": 1})
    equal([c["text"] for c in again["choices"]], [c["text"] for c in answer["choices"]])


def test_echo_gives_the_prompt_first_whole_and_streamed(server):
    body = {"prompt": "Once ", "echo": True, "max_tokens": 3, "temperature": 0}
    text = server.good(PATH, body)["choices"][0]["text"]
    assert text.startswith("Once ") and len(text) > 5, text
    events = server.post(PATH, body | {"stream": True}).events()
    equal("".join(data["choices"][0]["text"] for _, data in events[:-1]), text)
    nothing = server.good(PATH, body | {"max_tokens": 0})
    equal(nothing["choices"][0]["text"], "Once ")


def test_logprobs_are_lists_side_by_side(server):
    body = {"prompt": "Hi", "logprobs": 2, "max_tokens": 5, "temperature": 0}
    logprobs = server.good(PATH, body)["choices"][0]["logprobs"]
    lengths = {name: len(logprobs[name]) for name in
               ("tokens", "token_logprobs", "top_logprobs", "text_offset")}
    assert len(set(lengths.values())) == 1 and lengths["tokens"] >= 4, lengths
    for token, logprob, top in zip(logprobs["tokens"], logprobs["token_logprobs"],
                                   logprobs["top_logprobs"]):
        equal(top[token], logprob)
        assert logprob <= 0 and 2 <= len(top) <= 3, top
    events = server.post(PATH, body | {"stream": True}).events()
    parts = [data["choices"][0]["logprobs"] for _, data in events[:-1]]
    equal(sum((part["tokens"] for part in parts if part), []), logprobs["tokens"])
    equal(sum((part["text_offset"] for part in parts if part), []), logprobs["text_offset"])


def test_stream_ends_with_reasons_usage_and_done(server):
    body = {"prompt": ["a", "b"], "max_tokens": 3, "temperature": 0, "stream": True,
            "stream_options": {"include_usage": True}}
    events = [data for _, data in server.post(PATH, body).events()]
    equal(events[-1], "[DONE]")
    equal(events[-2]["choices"], [])
    assert events[-2]["usage"]["completion_tokens"] <= 6
    reasons = {}
    for event in events[:-2]:
        equal(event["usage"], None)
        equal(event["id"], events[0]["id"])
        for choice in event["choices"]:
            assert choice["index"] not in reasons, "text after the end"
            if choice["finish_reason"]:
                reasons[choice["index"]] = choice["finish_reason"]
    equal(set(reasons), {0, 1})
    whole = server.good(PATH, body | {"stream": False, "stream_options": None})
    for choice in whole["choices"]:
        equal("".join(e["choices"][0]["text"] for e in events[:-2]
                      if e["choices"][0]["index"] == choice["index"]), choice["text"])


def test_stop_strings_end_it(server):
    free = server.good(PATH, {"prompt": "x", "max_tokens": 12, "temperature": 0})["choices"][0]
    stop = free["text"][4:6]
    cut = server.good(PATH, {"prompt": "x", "max_tokens": 12, "temperature": 0, "stop": stop})
    equal(cut["choices"][0]["text"], free["text"][:free["text"].index(stop)])
    equal(cut["choices"][0]["finish_reason"], "stop")


def test_what_is_refused_says_which_member_and_why(server):
    for body, status, param, words in (
            ({}, 400, "prompt", "missing"),
            ({"prompt": 3}, 400, "prompt", "string"),
            ({"prompt": ["a", 3]}, 400, "prompt[1]", "string"),
            ({"prompt": ""}, 400, "prompt", "empty"),
            ({"prompt": []}, 400, "prompt", "empty"),
            ({"prompt": [10 ** 7]}, 400, "prompt", "vocabulary"),
            ({"prompt": [-1]}, 400, "prompt[0]", ""),
            ({"prompt": "a", "suffix": "b"}, 400, "suffix", "not supported"),
            ({"prompt": "a", "best_of": 4}, 400, "best_of", "n"),
            ({"prompt": "a", "echo": True, "logprobs": 1}, 400, "echo", "logprobs"),
            ({"prompt": "a", "max_tokens": -1}, 400, "max_tokens", "in [0,"),
            ({"prompt": ["a"] * 100, "n": 16}, 400, "n", "1600"),
            ({"prompt": "a", "temperature": 3.5}, 400, "temperature", "in [0, 2]"),
            ({"prompt": "a", "model": "none-such"}, 404, "model", "not here"),
            ({"prompt": "a " * 5000}, 400, "prompt", "context")):
        answer = server.post(PATH, body)
        error = answer.json()["error"]
        equal((answer.status, error["param"]), (status, param), str(body)[:80])
        contains(error["message"], words)
        equal(error["type"], "invalid_request_error")


def test_one_prompt_of_several_that_cannot_be_answered_is_the_end_of_all(server):
    for stream in (False, True):
        answer = server.post(PATH, {"prompt": ["a", "b " * 5000], "stream": stream,
                                    "max_tokens": 5})
        if answer.headers["content-type"] == "application/json":
            equal(answer.status, 400)
        else:
            contains(answer.body.decode(), '"error"')
    wait_until_idle(server)
