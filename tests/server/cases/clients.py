"""Where servers trip real clients: OpenAI's chat completions, and what holds for every dialect."""

import json

import harness
from harness import (BARE_CALL_TEXT, CALL_TEXT, CITY, TWO_CALLS_TEXT, contains, equal, forced,
                     wait_until_idle)

PATH = "/v1/chat/completions"
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": CITY}},
         {"type": "function", "function": {"name": "time"}}]


def make_server(room):
    return room.server(models=[room.tiny()], template=harness.TEMPLATE)


def saying(text, **more):
    return {"messages": [{"role": "user", "content": "Hi"}], "response_format": forced(text),
            "think_budget": 6} | more


def chunks(server, body):
    events = [data for _, data in server.post(PATH, body | {"stream": True}).events()]
    equal(events[-1], "[DONE]")
    return events[:-1]


def test_each_tool_call_has_its_index_and_its_id_in_its_first_delta(server):
    calls = [call for chunk in chunks(server, saying(TWO_CALLS_TEXT, tools=TOOLS))
             for choice in chunk["choices"] for call in choice["delta"].get("tool_calls", [])]
    seen = {}
    for call in calls:
        if call["index"] not in seen:
            assert call["id"] and call["function"]["name"], call
        seen.setdefault(call["index"], "")
        seen[call["index"]] += call["function"]["arguments"]
    equal([json.loads(seen[index]) for index in (0, 1)], [{"city": "Paris"}, {}])


def test_arguments_are_json_as_text_never_an_object(server):
    message = server.good(PATH, saying(CALL_TEXT, tools=TOOLS))["choices"][0]["message"]
    arguments = message["tool_calls"][0]["function"]["arguments"]
    assert isinstance(arguments, str) and json.loads(arguments) == {"city": "Paris"}


def test_calls_without_markers_are_calls_too(server):
    body = saying(BARE_CALL_TEXT, tools=TOOLS)
    choice = server.good(PATH, body)["choices"][0]
    equal((choice["finish_reason"], choice["message"]["content"]), ("tool_calls", None))
    call = choice["message"]["tool_calls"][0]["function"]
    equal((call["name"], json.loads(call["arguments"])), ("weather", {"city": "Paris"}))
    deltas = [choice["delta"] for chunk in chunks(server, body) for choice in chunk["choices"]]
    equal("".join(delta.get("content") or "" for delta in deltas), "")
    equal([call["function"]["name"] for delta in deltas for call in delta.get("tool_calls", [])],
          ["weather"])
    message = server.good("/api/chat", {
        "model": "tiny-qwen2", "messages": body["messages"], "tools": TOOLS, "stream": False,
        "think": False, "format": forced(BARE_CALL_TEXT)})["message"]
    equal(message["tool_calls"][0]["function"]["arguments"], {"city": "Paris"})


def test_calls_that_are_cut_short_are_text_and_no_call(server):
    two = BARE_CALL_TEXT + "\n" + BARE_CALL_TEXT
    for text, most in ((BARE_CALL_TEXT, 40), (two, len(BARE_CALL_TEXT) + 20)):
        body = saying(text, tools=TOOLS, max_tokens=most, think=False, temperature=0)
        choice = server.good(PATH, body)["choices"][0]
        said = choice["message"]["content"]
        equal(choice["finish_reason"], "length")
        assert "tool_calls" not in choice["message"], choice
        assert text.startswith(said) and len(text) > len(said) > most // 3, said
        parts = [choice for chunk in chunks(server, body) for choice in chunk["choices"]]
        equal("".join(part["delta"].get("content") or "" for part in parts), said)
        equal(parts[-1]["finish_reason"], "length")
        assert not any("tool_calls" in part["delta"] for part in parts)


def test_a_prompt_that_is_too_long_is_named_as_the_request_has_it(server):
    long = "word " * 3000
    for path, body, param in (
            (PATH, {"messages": [{"role": "user", "content": long}]}, "messages"),
            ("/v1/completions", {"prompt": [5] * 3000}, "prompt"),
            ("/v1/responses", {"input": long}, "input")):
        answer = server.post(path, body)
        error = answer.json()["error"]
        equal((answer.status, error["param"], error["code"]),
              (400, param, "context_length_exceeded"), path)


def test_what_only_looks_like_a_call_is_text(server):
    other = BARE_CALL_TEXT.replace("weather", "climate")
    for text, more in ((other, {"tools": TOOLS}), (BARE_CALL_TEXT + " So.", {"tools": TOOLS}),
                       (BARE_CALL_TEXT, {}),
                       (BARE_CALL_TEXT, {"tools": TOOLS, "tool_choice": "none"})):
        choice = server.good(PATH, saying(text, **more))["choices"][0]
        equal((choice["finish_reason"], choice["message"]["content"]), ("stop", text))
        assert "tool_calls" not in choice["message"]
    schema = {"type": "object", "properties": {
        "name": {"const": "time"}, "arguments": {"type": "object", "additionalProperties": False}},
        "required": ["name", "arguments"], "additionalProperties": False}
    wished = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    message = server.good(PATH, saying("", tools=TOOLS, response_format=wished))["choices"][0]
    equal(json.loads(message["message"]["content"]), {"name": "time", "arguments": {}})


def test_logprobs_are_of_the_content(server):
    body = saying("Yes, it rains.", logprobs=True, top_logprobs=1, seed=3)
    whole = server.good(PATH, body)["choices"][0]
    assert whole["message"]["reasoning_content"]
    tokens = [entry["token"] for entry in whole["logprobs"]["content"]]
    equal("".join(tokens), "Yes, it rains.")
    streamed = []
    for chunk in chunks(server, body):
        for choice in chunk["choices"]:
            if choice["logprobs"]:
                assert choice["delta"].get("content"), choice
                streamed += choice["logprobs"]["content"]
    equal([entry["token"] for entry in streamed], tokens)


def test_a_finish_reason_always_comes(server):
    for body, reason in ((saying("Yes"), "stop"), (saying(CALL_TEXT, tools=TOOLS), "tool_calls"),
                         (saying("Yes", max_tokens=2), "length")):
        reasons = [choice["finish_reason"] for chunk in chunks(server, body)
                   for choice in chunk["choices"] if choice["finish_reason"]]
        equal(reasons, [reason])


def test_error_is_an_object(server):
    error = server.post(PATH, {"messages": []}).json()["error"]
    equal(sorted(error), ["code", "message", "param", "type"])


def test_usage_comes_in_a_last_chunk_without_choices(server):
    all_chunks = chunks(server, saying("Yes", stream_options={"include_usage": True}))
    equal(all_chunks[-1]["choices"], [])
    assert all_chunks[-1]["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0
    equal([chunk["usage"] for chunk in all_chunks[:-1]], [None] * (len(all_chunks) - 1))
    assert all("usage" not in chunk for chunk in chunks(server, saying("Yes")))


def test_reasoning_content_that_comes_back_is_taken(server):
    answer = server.good(PATH, saying("Yes"))["choices"][0]["message"]
    assert answer["reasoning_content"] and answer["reasoning"] == answer["reasoning_content"]
    again = server.good(PATH, saying("Two", messages=[
        {"role": "user", "content": "Hi"}, answer, {"role": "user", "content": "And?"}]))
    equal(again["choices"][0]["message"]["content"], "Two")


def test_a_system_message_in_the_middle_is_folded_in_where_the_template_refuses_it(server):
    for role in ("system", "developer"):
        for messages in (
                [("user", "Hi"), (role, "Be brief."), ("user", "And?")],
                [(role, "One."), (role, "Two."), ("user", "Hi")],
                [("user", "Hi"), ("assistant", "Yes"), (role, "Be brief.")],
                [("user", "One"), ("user", "Two")]):
            body = saying("Yes", messages=[{"role": r, "content": c} for r, c in messages])
            equal(server.good(PATH, body)["choices"][0]["message"]["content"], "Yes")
    system = [{"role": "system", "content": "Be brief."}]
    middle = [{"role": "user", "content": "Hi"}] + system + [{"role": "user", "content": "And?"}]
    server.good("/v1/messages", {"model": "tiny-qwen2", "max_tokens": 3, "messages": middle})
    server.good("/api/chat", {"model": "tiny-qwen2", "messages": middle, "stream": False,
                              "options": {"num_predict": 3}})
    server.good("/v1/responses", {"input": middle, "max_output_tokens": 3})


def test_unknown_members_are_passed_over(server):
    for path, body in ((PATH, saying("Yes")),
                       ("/v1/completions", {"prompt": "a", "max_tokens": 2}),
                       ("/v1/responses", {"input": "a", "max_output_tokens": 2}),
                       ("/v1/messages", {"model": "tiny-qwen2", "max_tokens": 2,
                                         "messages": [{"role": "user", "content": "a"}]}),
                       ("/api/chat", {"model": "tiny-qwen2", "stream": False, "options": {
                           "num_predict": 2}, "messages": [{"role": "user", "content": "a"}]}),
                       ("/api/generate", {"model": "tiny-qwen2", "stream": False, "prompt": "a",
                                          "options": {"num_predict": 2}})):
        server.good(path, body | {"frobnicate": {"deeply": [1, None]}, "service_tier": "auto",
                                  "user": None, "metadata": {"user_id": "x"}})


def test_numbers_that_would_turn_negative_are_refused(server):
    for path, name, rest in (
            (PATH, "max_tokens", saying("x")),
            (PATH, "n", saying("x")),
            (PATH, "top_k", saying("x")),
            ("/v1/completions", "max_tokens", {"prompt": "a"}),
            ("/v1/responses", "max_output_tokens", {"input": "a"}),
            ("/v1/messages", "max_tokens", {"model": "tiny-qwen2",
                                            "messages": [{"role": "user", "content": "a"}]}),
            ("/api/generate", "top_logprobs", {"model": "tiny-qwen2", "prompt": "a"})):
        for value in (-1, 2 ** 31, 2 ** 63, -2 ** 63, 2 ** 64, 1e300):
            answer = server.post(path, rest | {name: value})
            equal(answer.status, 400, f"{path} {name}={value}")
            contains(answer.body.decode(), name)


def test_wrong_values_are_named_as_openai_names_them(server):
    schema = {"type": "json_schema"}
    user = {"role": "user", "content": "x"}
    for body, param, part in (
            ({"max_tokens": 0}, "max_tokens", "in [1, "),
            ({"max_completion_tokens": 0}, "max_completion_tokens", "in [1, "),
            ({"messages": [{"role": "user"}]}, "messages[0].content", "is missing"),
            ({"messages": [user, {"role": "system", "content": None}]}, "messages[1].content",
             "is missing"),
            ({"top_logprobs": 2}, "top_logprobs", "logprobs"),
            ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "at most 4"),
            ({"stop": "x" * 10_000}, "stop", "10000 characters"),
            ({"stop": ""}, "stop", "must not be empty"),
            ({"logit_bias": {"999999999": 1}}, "logit_bias", "vocabulary"),
            ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "no"}}},
             "tool_choice", "'no'"),
            ({"tool_choice": "required"}, "tool_choice", "no tools"),
            ({"response_format": schema}, "response_format.json_schema", "is missing"),
            ({"response_format": schema | {"json_schema": {"name": "x"}}},
             "response_format.json_schema.schema", "is missing")):
        answer = server.post(PATH, {"messages": [user]} | body)
        error = answer.json()["error"]
        equal((answer.status, error["param"]), (400, param), error["message"])
        contains(error["message"], part)
    error = server.post("/v1/completions", {"prompt": [999_999_999]}).json()["error"]
    equal(error["param"], "prompt")


def test_every_seed_is_taken(server):
    for seed in (0, -1, 2 ** 63 - 1, -2 ** 63):
        server.good(PATH, saying("Yes", seed=seed))


def test_an_assistant_may_have_said_nothing(server):
    call = {"id": "c1", "type": "function", "function": {"name": "time", "arguments": "{}"}}
    server.good(PATH, saying("Yes", tools=TOOLS, messages=[
        {"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "noon"}]))


def test_models_tell_their_context_and_abilities(server):
    model = server.get("/v1/models/tiny-qwen2").json()
    equal((model["context_length"], model["capabilities"]),
          (2048, ["completion", "chat", "tools", "thinking"]))


def test_a_client_that_goes_frees_its_slot(server):
    long = {"think": False, "logit_bias": {"0": -100}, "max_tokens": 1900,
            "response_format": forced("word " * 600)}
    for path, body in (
            (PATH, saying("") | long), ("/v1/responses", {"input": "a", "text": {
                "format": long["response_format"]}, "think": False}),
            ("/v1/completions", {"prompt": "a", "max_tokens": 1900, "temperature": 2}),
            ("/v1/messages", {"model": "tiny-qwen2", "max_tokens": 1900, "output_config": {
                "format": long["response_format"]},
                "messages": [{"role": "user", "content": "a"}]}),
            ("/api/chat", {"model": "tiny-qwen2", "think": False, "format":
                           long["response_format"],
                           "messages": [{"role": "user", "content": "a"}]})):
        connection, answer = server.begin(path, body | {"stream": True})
        assert answer.read(20), path
        answer.close()
        connection.close()
        wait_until_idle(server)
