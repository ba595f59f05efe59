"""POST /v1/responses, and what becomes of a response afterwards."""

import json
import time

import harness
from harness import CALL_TEXT, CITY, TWO_CALLS_TEXT, contains, equal, forced

PATH = "/v1/responses"
WEATHER = {"type": "function", "name": "weather", "parameters": CITY, "strict": True}
CLOCK = {"type": "function", "name": "time", "parameters": {"type": "object", "properties": {}}}


def make_server(room):
    return room.server(models=[room.tiny()], template=harness.TEMPLATE, needs_log=True)


def saying(text, **more):
    return {"input": "Hi", "text": {"format": forced(text)}, "max_output_tokens": 400,
            "think_budget": 6} | more


def check_stream(events):
    """The rules that the SDKs and Codex hold a stream to; the final response."""
    equal([data["sequence_number"] for _, data in events], list(range(len(events))))
    for name, data in events:
        equal(name, data["type"], "the event's line")
    equal([name for name, _ in events[:2]], ["response.created", "response.in_progress"])
    final = events[-1][1]["response"]
    equal({data["response"]["id"] for _, data in events if "response" in data}, {final["id"]})
    added, done, texts, parts = {}, {}, {}, set()
    for name, data in events[2:-1]:
        index = data["output_index"]
        if name == "response.output_item.added":
            equal(index, len(added), "items are numbered in their order")
            added[index] = data["item"]
            continue
        assert index in added and index not in done, f"{name} of an item that is not open"
        if name == "response.output_item.done":
            equal(data["item"]["id"], added[index]["id"])
            done[index] = data["item"]
            continue
        equal(data["item_id"], added[index]["id"])
        if name.endswith("_part.added"):
            parts.add(index)
        elif name.endswith(".delta"):
            assert index in parts or "arguments" in name or "input" in name, \
                "a delta before its part"
            texts[index] = texts.get(index, "") + data["delta"]
        elif name.endswith((".done",)) and "part" not in name:
            text = data.get("text", data.get("arguments", data.get("input")))
            equal(text, texts.get(index, ""), name)
    equal(set(added), set(done), "every item is finished")
    equal(final["output"], [done[index] for index in sorted(done)], "the final output is filled")
    return final


def test_stream_announces_items_and_parts_before_their_deltas(server):
    events = server.post(PATH, saying("It rains.", stream=True)).events()
    final = check_stream(events)
    equal(events[-1][0], "response.completed")
    equal([item["type"] for item in final["output"]], ["reasoning", "message"])
    message = final["output"][1]
    equal(message["content"], [{"type": "output_text", "text": "It rains.", "annotations": [],
                                "logprobs": []}])
    equal((message["role"], message["status"]), ("assistant", "completed"))
    names = [name for name, _ in events]
    for name in ("response.content_part.added", "response.reasoning_text.delta",
                 "response.reasoning_text.done", "response.output_text.delta",
                 "response.output_text.done", "response.content_part.done"):
        assert name in names, name


def test_whole_answer_is_the_stream_s_final_response(server):
    body = saying("It rains.", seed=7)
    whole = server.good(PATH, body)
    streamed = check_stream(server.post(PATH, body | {"stream": True}).events())
    for response in (whole, streamed):
        for name in ("id", "created_at", "completed_at", "usage"):
            response.pop(name)
        for item in response["output"]:
            item.pop("id")
    equal(whole, streamed)


def test_usage_is_in_the_shape_of_responses(server):
    usage = server.good(PATH, saying("Yes"))["usage"]
    equal(sorted(usage), ["input_tokens", "input_tokens_details", "output_tokens",
                          "output_tokens_details", "total_tokens"])
    equal(usage["total_tokens"], usage["input_tokens"] + usage["output_tokens"])
    assert usage["output_tokens_details"]["reasoning_tokens"] > 0
    assert "cached_tokens" in usage["input_tokens_details"]


def test_thinking_comes_as_a_summary_where_that_is_asked_for(server):
    events = server.post(PATH, saying("Yes", stream=True, reasoning={"summary": "auto"})).events()
    final = check_stream(events)
    reasoning = final["output"][0]
    equal(reasoning["type"], "reasoning")
    equal(reasoning["summary"][0]["type"], "summary_text")
    assert reasoning["summary"][0]["text"] and "content" not in reasoning
    names = [name for name, _ in events]
    assert names.index("response.reasoning_summary_part.added") < \
        names.index("response.reasoning_summary_text.delta") < \
        names.index("response.reasoning_summary_text.done") < \
        names.index("response.reasoning_summary_part.done")
    assert "response.reasoning_text.delta" not in names, "the same text twice"


def test_effort_none_does_not_think(server):
    answer = server.good(PATH, saying("Yes", reasoning={"effort": "none"}))
    equal([item["type"] for item in answer["output"]], ["message"])


def test_each_call_of_a_tool_is_an_item_with_arguments_as_text(server):
    events = server.post(PATH, saying(TWO_CALLS_TEXT, tools=[WEATHER, CLOCK],
                                      stream=True)).events()
    final = check_stream(events)
    equal([item["type"] for item in final["output"]],
          ["reasoning", "message", "function_call", "function_call"])
    first, second = final["output"][2:]
    equal((first["name"], json.loads(first["arguments"])), ("weather", {"city": "Paris"}))
    equal((second["name"], json.loads(second["arguments"])), ("time", {}))
    assert first["call_id"] and first["call_id"] != second["call_id"]
    assert first["id"] not in (first["call_id"], second["id"])


def test_a_round_trip_of_a_tool_is_found_in_the_cache(server):
    first = server.good(PATH, saying(CALL_TEXT, tools=[WEATHER]))
    call = first["output"][-1]
    items = [{"role": "user", "content": "Hi"}] + first["output"] + [
        {"type": "function_call_output", "call_id": call["call_id"], "output": "12 degrees"}]
    second = server.good(PATH, saying("Mild.", tools=[WEATHER], input=items))
    equal(second["output"][-1]["content"][0]["text"], "Mild.")
    assert second["usage"]["input_tokens_details"]["cached_tokens"] > \
        first["usage"]["input_tokens"] - 10, second["usage"]


def test_items_may_be_named_by_their_ids(server):
    """The `ai` package does so with whatever was kept."""
    first = server.good(PATH, saying(CALL_TEXT, tools=[WEATHER]))
    references = [{"type": "item_reference", "id": item["id"]} for item in first["output"]]
    output = {"type": "function_call_output", "call_id": first["output"][-1]["call_id"],
              "output": "12 degrees"}
    user = {"role": "user", "content": "Hi"}
    by_id = server.good(PATH, saying("Mild.", tools=[WEATHER], input=[user, *references, output]))
    whole = server.good(PATH, saying("Mild.", tools=[WEATHER],
                                     input=[user, *first["output"], output]))
    equal(by_id["usage"]["input_tokens"], whole["usage"]["input_tokens"])
    server.ask("DELETE", f"{PATH}/{first['id']}")
    gone = server.post(PATH, saying("Mild.", tools=[WEATHER], input=[user, *references, output]))
    equal((gone.status, gone.json()["error"]["param"]), (400, "input[1]"))


def test_custom_tools_carry_text(server):
    text = '<tool_call>\n{"name": "patch", "arguments": {"input": "*** Begin\\nx"}}\n</tool_call>'
    events = server.post(PATH, saying(text, tools=[{"type": "custom", "name": "patch"}],
                                      stream=True)).events()
    call = check_stream(events)["output"][-1]
    equal((call["type"], call["name"]), ("custom_tool_call", "patch"))
    equal(call["input"], "*** Begin\nx")
    answer = server.good(PATH, saying("Done", tools=[{"type": "custom", "name": "patch"}], input=[
        {"role": "user", "content": "Hi"}, call,
        {"type": "custom_tool_call_output", "call_id": call["call_id"], "output": "ok"}]))
    equal(answer["output"][-1]["content"][0]["text"], "Done")


def test_unknown_tools_and_items_are_passed_over_and_the_log_says_so(server):
    answer = server.good(PATH, saying("Yes", tools=[
        {"type": "web_search"}, {"type": "local_shell"}, WEATHER,
        {"type": "namespace", "name": "mcp", "tools": []}], input=[
            {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {}},
            {"type": "computer_call_output", "output": {"type": "screenshot"}}]))
    equal(answer["output"][-1]["content"][0]["text"], "Yes")
    for _ in range(50):
        lines = [line for line in server.log if "passed over" in line and "web_search" in line]
        if lines:
            break
        time.sleep(0.1)
    contains(lines[0], "tool local_shell")
    contains(lines[0], "item web_search_call")
    assert not any("Hi" in json.loads(line).values() for line in server.log), "a prompt in the log"


def test_json_schema_holds_after_the_thinking(server):
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
              "additionalProperties": False}
    answer = server.good(PATH, saying("") | {"text": {
        "format": {"type": "json_schema", "name": "x", "schema": schema, "strict": True}}})
    equal([item["type"] for item in answer["output"]], ["reasoning", "message"])
    assert json.loads(answer["output"][1]["content"][0]["text"])["ok"] in (True, False)


def test_previous_response_id_goes_on_without_the_old_instructions(server):
    first = server.good(PATH, saying("One", instructions="Count up. " * 20))
    second = server.good(PATH, saying("Two", previous_response_id=first["id"], input="And?"))
    equal(second["previous_response_id"], first["id"])
    third = server.good(PATH, saying("Three", previous_response_id=second["id"], input="Then?"))
    whole = server.good(PATH, saying("Three", input=[
        {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "One"},
        {"role": "user", "content": "And?"}, {"role": "assistant", "content": "Two"},
        {"role": "user", "content": "Then?"}]))
    equal(third["usage"]["input_tokens"], whole["usage"]["input_tokens"])
    assert second["usage"]["input_tokens"] < first["usage"]["input_tokens"]


def test_a_response_is_kept_until_it_is_deleted_unless_store_is_false(server):
    kept = server.good(PATH, saying("Yes", metadata={"a": "b"}))
    equal(server.get(f"{PATH}/{kept['id']}").json(), kept)
    equal(kept["metadata"], {"a": "b"})
    items = server.get(f"{PATH}/{kept['id']}/input_items").json()
    first = items["data"][0]
    assert first["id"], items
    equal(items, {"object": "list", "has_more": False, "first_id": first["id"],
                  "last_id": first["id"],
                  "data": [first | {"type": "message", "role": "user", "content": "Hi"}]})
    equal(server.ask("DELETE", f"{PATH}/{kept['id']}").json(),
          {"id": kept["id"], "object": "response", "deleted": True})
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/input_items"), ("POST", "/cancel")):
        gone = server.ask(method, f"{PATH}/{kept['id']}{path}")
        equal((gone.status, gone.json()["error"]["type"]), (404, "invalid_request_error"))
    passing = server.good(PATH, saying("Yes", store=False))
    equal(server.get(f"{PATH}/{passing['id']}").status, 404)
    refused = server.post(PATH, saying("Yes", previous_response_id=passing["id"]))
    equal((refused.status, refused.json()["error"]["code"]), (400, "previous_response_not_found"))


def test_cancel_ends_an_answer_that_is_under_way(server):
    connection, answer = server.begin(PATH, saying("word " * 300, stream=True, think=False,
                                                   max_output_tokens=1900))
    line = b""
    while not line.startswith(b"data: "):
        line = answer.readline()
    response_id = json.loads(line[6:])["response"]["id"]
    cancelled = server.ask("POST", f"{PATH}/{response_id}/cancel").json()
    equal(cancelled["status"], "cancelled")
    rest = answer.read().decode()
    connection.close()
    contains(rest, '"status":"cancelled"')
    equal(server.get(f"{PATH}/{response_id}").json()["status"], "cancelled")


def test_an_answer_that_is_cut_off_is_incomplete(server):
    events = server.post(PATH, saying("word " * 20, max_output_tokens=12, stream=True)).events()
    final = check_stream(events)
    equal(events[-1][0], "response.incomplete")
    equal((final["status"], final["incomplete_details"]),
          ("incomplete", {"reason": "max_output_tokens"}))


def test_logprobs_where_they_are_included(server):
    final = check_stream(server.post(PATH, saying(
        "Yes", stream=True, include=["message.output_text.logprobs"], top_logprobs=2)).events())
    logprobs = final["output"][-1]["content"][0]["logprobs"]
    assert logprobs and len(logprobs[0]["top_logprobs"]) == 2, logprobs
    assert "bytes" in logprobs[0] and logprobs[0]["logprob"] <= 0
    equal("".join(entry["token"] for entry in logprobs), "Yes", "thinking has none")


def test_what_is_refused_says_which_member_and_why(server):
    for body, status, param, words in (
            ({}, 400, "input", "missing"),
            ({"input": 3}, 400, "input", ""),
            ({"input": []}, 400, "input", "nothing"),
            ({"input": [{"role": "robot", "content": "x"}]}, 400, "input[0].role", "robot"),
            ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, 400,
             "input[0].content[0]", "image"),
            ({"input": [{"role": "user", "content": {"a": 1}}]}, 400, "input[0].content", ""),
            ({"input": [{"role": "user", "content": [3]}]}, 400, "input[0].content", ""),
            ({"input": [{"type": "item_reference", "id": "x"}]}, 400, "input[0]", "id"),
            ({"input": [{"type": "function_call", "call_id": "x"}]}, 400, "input[0].name", ""),
            ({"input": "x", "background": True}, 400, "background", "not supported"),
            ({"input": "x", "conversation": "c"}, 400, "conversation", ""),
            ({"input": "x", "tools": [{"type": "function"}]}, 400, "tools[0].name", "missing"),
            ({"input": "x", "text": {"format": {"type": "odd"}}}, 400, "text.format.type", "odd"),
            ({"input": "x", "text": {"format": {"type": "json_schema"}}}, 400,
             "text.format.schema", "missing"),
            ({"input": "x", "reasoning": {"effort": "huge"}}, 400, "reasoning.effort", "huge"),
            ({"input": "x", "max_output_tokens": 0}, 400, "max_output_tokens", ""),
            ({"input": "x", "model": "none-such"}, 404, "model", "not here")):
        answer = server.post(PATH, body)
        error = answer.json()["error"]
        equal((answer.status, error["param"]), (status, param), str(body)[:80])
        contains(error["message"], words)
        equal(error["type"], "invalid_request_error", "errors carry their type")


def test_ids_of_responses_cannot_be_guessed(server):
    ids = [server.good(PATH, saying("Yes"))["id"] for _ in range(3)]
    assert all(len(one) == len("resp_") + 32 for one in ids), ids
    equal(len({one[5:13] for one in ids}), 3)
