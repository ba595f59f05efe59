"""POST /v1/messages and /v1/messages/count_tokens, Anthropic's API."""

import json

import harness
from harness import CALL_TEXT, CITY, TWO_CALLS_TEXT, contains, equal, forced

PATH = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
WEATHER = {"name": "weather", "description": "Of a city", "input_schema": CITY}
CLOCK = {"name": "time", "input_schema": {"type": "object"}}
THINKING = {"type": "enabled", "budget_tokens": 8}


def make_server(room):
    return room.server(models=[room.tiny()], template=harness.TEMPLATE)


def saying(text, **more):
    return {"model": "tiny-qwen2", "max_tokens": 1500, "output_config": {"format": forced(text)},
            "messages": [{"role": "user", "content": "Hi"}]} | more


def check_stream(answer):
    """The rules that the SDKs hold a stream to; the message that it makes."""
    events = answer.events()
    for name, data in events:
        equal(name, data["type"], "every event has its line")
    equal(events[0][0], "message_start")
    equal(events[-1][0], "message_stop")
    message = events[0][1]["message"]
    assert message["usage"]["input_tokens"] > 0, "usage in message_start"
    equal((message["content"], message["stop_reason"]), ([], None))
    is_open = False
    for name, data in events[1:-1]:
        if name == "ping":
            continue
        if name == "content_block_start":
            assert not is_open, "two blocks open"
            equal(data["index"], len(message["content"]), "indices have no gaps")
            message["content"].append(data["content_block"])
            is_open, argument_text = True, ""
        elif name == "content_block_delta":
            equal((data["index"], is_open), (len(message["content"]) - 1, True))
            block, delta = message["content"][-1], data["delta"]
            if delta["type"] == "input_json_delta":
                argument_text += delta["partial_json"]
            else:
                field = delta["type"].removesuffix("_delta")
                block[field] += delta[field]
        elif name == "content_block_stop":
            equal((data["index"], is_open), (len(message["content"]) - 1, True))
            is_open = False
            if message["content"][-1]["type"] == "tool_use":
                message["content"][-1]["input"] = json.loads(argument_text)
        else:
            equal((name, is_open), ("message_delta", False))
            message |= data["delta"]
            assert data["usage"]["output_tokens"] > 0, "usage in message_delta"
            message["usage"] = data["usage"]
    return message


def without(message, *names):
    return {name: value for name, value in message.items() if name not in names}


def test_stream_has_event_lines_usage_twice_and_indices_without_gaps(server):
    message = check_stream(server.post(PATH, saying("It rains.", stream=True, thinking=THINKING)))
    equal([block["type"] for block in message["content"]], ["thinking", "text"])
    assert message["content"][0]["thinking"] and message["content"][0]["signature"]
    equal(message["content"][1]["text"], "It rains.")
    equal((message["stop_reason"], message["stop_sequence"]), ("end_turn", None))
    equal((message["type"], message["role"], message["model"]), ("message", "assistant",
                                                                 "tiny-qwen2"))


def test_whole_message_is_what_the_stream_makes(server):
    body = saying(TWO_CALLS_TEXT, tools=[WEATHER, CLOCK])
    whole = server.good(PATH, body)
    streamed = check_stream(server.post(PATH, body | {"stream": True}))
    for message in (whole, streamed):
        for block in message["content"]:
            block.pop("id", None)
    equal(without(whole, "id", "usage"), without(streamed, "id", "usage"))
    equal(whole["stop_reason"], "tool_use")
    equal([(b["name"], b["input"]) for b in whole["content"][1:]],
          [("weather", {"city": "Paris"}), ("time", {})])


def test_thinking_is_off_unless_asked_for(server):
    for more in ({}, {"thinking": {"type": "disabled"}}):
        message = server.good(PATH, saying("Yes", **more))
        equal(message["content"], [{"type": "text", "text": "Yes"}])
    message = server.good(PATH, saying("Yes", thinking={"type": "adaptive"},
                                       output_config={"effort": "minimal",
                                                      "format": forced("Yes")}))
    equal(message["content"][0]["type"], "thinking")


def test_a_round_trip_of_tools_with_thinking_is_found_in_the_cache(server):
    first = server.good(PATH, saying(CALL_TEXT, tools=[WEATHER], thinking=THINKING))
    call = first["content"][-1]
    equal(first["content"][0]["type"], "thinking")
    messages = [{"role": "user", "content": "Hi"},
                {"role": "assistant", "content": first["content"]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": call["id"],
                     "content": [{"type": "text", "text": "12 degrees"},
                                 {"type": "image", "source": {}}]},
                    {"type": "text", "text": "Go on"}]}]
    second = server.good(PATH, saying("Mild.", tools=[WEATHER], messages=messages))
    equal(second["content"][0]["text"], "Mild.")
    usage = second["usage"]
    assert usage["cache_read_input_tokens"] > first["usage"]["input_tokens"] - 10, usage
    failed = messages[:2] + [{"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": call["id"], "content": "no such city",
         "is_error": True}]}]
    equal(server.good(PATH, saying("Oh.", tools=[WEATHER], messages=failed))["stop_reason"],
          "end_turn")


def test_count_tokens_is_what_a_message_then_reads(server):
    for more in ({}, {"system": "Be brief."}, {"tools": [WEATHER]}, {"thinking": THINKING}):
        usage = server.good(PATH, saying("Yes", **more))["usage"]
        prompt = usage["input_tokens"] + usage["cache_read_input_tokens"]
        body = without(saying("", **more), "output_config", "max_tokens")
        equal(server.good(COUNT, body), {"input_tokens": prompt})


def test_versions_from_2023_06_01_on_are_taken_and_none_too(server):
    for version in ("2023-06-01", "2024-10-22", "2027-01-01"):
        server.good(PATH, saying("Yes"), headers={"anthropic-version": version,
                                                  "anthropic-beta": "a,b"})
    for version in ("2023-01-01", "1", "latest"):
        answer = server.post(PATH, saying("Yes"), headers={"anthropic-version": version})
        equal(answer.status, 400)
        contains(answer.json()["error"]["message"], "2023-06-01")


def test_errors_are_in_anthropics_shape(server):
    wrong = {"role": "user", "content": [{"type": "image", "source": {}}]}
    for body, status, kind, words in (
            ({}, 400, "invalid_request_error", "model"),
            (without(saying("x"), "max_tokens"), 400, "invalid_request_error", "max_tokens"),
            (saying("x", messages=[]), 400, "invalid_request_error", "messages"),
            (saying("x", temperature=1.5), 400, "invalid_request_error", "in [0, 1]"),
            (saying("x", model="none-such"), 404, "not_found_error", "none-such"),
            (saying("x", messages=[wrong]), 400, "invalid_request_error", "image"),
            (saying("x", messages=[{"role": "user", "content": "a"},
                                   {"role": "assistant", "content": "b"}]), 400,
             "invalid_request_error", "user"),
            (saying("x", thinking={"type": "enabled"}), 400, "invalid_request_error", "budget"),
            (saying("x", thinking={"type": "enabled", "budget_tokens": 9999}), 400,
             "invalid_request_error", "max_tokens"),
            (saying("x", tools=[{"name": "a"}]), 400, "invalid_request_error", "input_schema"),
            (saying("x", system="a " * 9000), 400, "invalid_request_error", "context")):
        answer = server.post(PATH, body)
        error = answer.json()
        equal((answer.status, error["type"], error["error"]["type"]), (status, "error", kind),
              str(body)[:80])
        contains(error["error"]["message"], words)


def test_tools_of_anthropics_servers_are_passed_over(server):
    message = server.good(PATH, saying("Yes", tools=[
        {"type": "web_search_20250305", "name": "web_search"}, WEATHER]))
    equal(message["content"][-1]["text"], "Yes")


def test_stop_sequences_say_which_it_was(server):
    body = {"model": "tiny-qwen2", "max_tokens": 60, "stop_sequences": ["zzz", "end", "END"],
            "messages": [{"role": "user", "content": "Hi"}],
            "output_config": {"format": forced("We end here")}}
    for message in (server.good(PATH, body),
                    check_stream(server.post(PATH, body | {"stream": True}))):
        equal((message["stop_reason"], message["stop_sequence"]), ("stop_sequence", "end"))
        equal(message["content"][0]["text"], "We ")


def test_an_answer_that_is_cut_off_says_max_tokens(server):
    message = server.good(PATH, saying("A longer sentence than that", max_tokens=2))
    equal((message["stop_reason"], message["usage"]["output_tokens"]), ("max_tokens", 2))


def test_claude_codes_billing_line_costs_no_second_reading(server):
    """Claude Code begins its system prompt with a line that differs in every request."""
    def usage_of(line, as_text):
        rest = "You write programs. " * 40
        system = f"{line}\n{rest}" if as_text else [
            {"type": "text", "text": line},
            {"type": "text", "text": rest, "cache_control": {"type": "ephemeral"}}]
        return server.good(PATH, saying("Yes", system=system))["usage"]
    first = usage_of("x-anthropic-billing-header: cc_version=2.1.9; cch=0a1b2;", False)
    for number, as_text in (("ffff1", False), ("ffff2", True)):
        again = usage_of(f"x-anthropic-billing-header: cc_version=2.1.9; cch={number};", as_text)
        equal(again["input_tokens"] + again["cache_read_input_tokens"],
              first["input_tokens"] + first["cache_read_input_tokens"])
        assert again["input_tokens"] <= 2, again


def test_models_are_listed_in_anthropics_words_too(server):
    models = server.get("/v1/models", headers={"anthropic-version": "2023-06-01"}).json()
    own = models["data"][0]
    equal((own["type"], own["display_name"]), ("model", "tiny-qwen2"))
    assert own["created_at"].endswith("Z") and own["created_at"][:2] == "20", own
    equal((models["has_more"], models["first_id"]), (False, own["id"]))
