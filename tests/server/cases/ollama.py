"""Ollama's API."""

import json
import time

import harness
from harness import CITY, TWO_CALLS_TEXT, contains, equal, forced

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": CITY}}
CLOCK = {"type": "function", "function": {"name": "time"}}
DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


def make_server(room):
    return room.server(models=[room.tiny()], template=harness.TEMPLATE)


def saying(text, **more):
    return {"model": "tiny-qwen2", "format": forced(text), "think": False,
            "messages": [{"role": "user", "content": "Hi"}]} | more


def whole(server, body, path="/api/chat"):
    return server.good(path, body | {"stream": False})


def test_streams_end_with_done_true_counts_and_nanoseconds(server):
    for path, body in (("/api/chat", saying("It rains.")),
                       ("/api/generate", {"model": "tiny-qwen2", "prompt": "Hi", "think": False,
                                          "format": forced("It rains.")})):
        lines = server.post(path, body).lines()
        equal([line["done"] for line in lines], [False] * (len(lines) - 1) + [True])
        text = "".join(line["message"]["content"] if "message" in line else line["response"]
                       for line in lines)
        equal(text, "It rains.")
        last = lines[-1]
        equal(last["done_reason"], "stop")
        assert all(isinstance(last[name], int) for name in DURATIONS), last
        assert 1e4 < last["total_duration"] < 60e9 and last["eval_count"] > 0, last
        assert last["prompt_eval_count"] > 0, last
        assert all(line["created_at"].endswith("Z") for line in lines)


def test_whole_answers_are_one_value(server):
    answer = whole(server, saying("It rains."))
    equal(answer["message"], {"role": "assistant", "content": "It rains."})
    equal((answer["done"], answer["model"]), (True, "tiny-qwen2"))
    named = whole(server, saying("It rains.", model="tiny-qwen2:latest"))
    equal(named["model"], "tiny-qwen2:latest")


def test_think_gives_thinking_apart(server):
    lines = server.post("/api/chat", saying("Yes", think="low", options={
        "num_predict": 30, "seed": 1})).lines()
    assert "".join(line["message"].get("thinking", "") for line in lines), lines[:3]
    equal("".join(line["message"]["content"] for line in lines), "")
    equal(lines[-1]["done_reason"], "length")
    answer = whole(server, {"model": "tiny-qwen2", "prompt": "Hi", "think": True,
                            "options": {"num_predict": 8, "seed": 1}}, "/api/generate")
    assert answer["thinking"] and answer["done_reason"] == "length", answer


def test_tools_have_arguments_as_objects_both_ways(server):
    body = saying(TWO_CALLS_TEXT, tools=[WEATHER, CLOCK])
    lines = server.post("/api/chat", body).lines()
    calls = [call for line in lines for call in line["message"].get("tool_calls", [])]
    equal([call["function"]["arguments"] for call in calls], [{"city": "Paris"}, {}])
    equal([call["function"]["index"] for call in calls], [0, 1])
    answer = whole(server, body)["message"]
    equal([call["function"]["name"] for call in answer["tool_calls"]], ["weather", "time"])
    for call in answer["tool_calls"]:
        call.pop("id")  # older clients know none
    messages = body["messages"] + [answer, {"role": "tool", "tool_name": "time", "content": "9"},
                                   {"role": "tool", "content": "12 degrees"}]
    equal(whole(server, saying("Mild.", tools=[WEATHER, CLOCK],
                               messages=messages))["message"]["content"], "Mild.")


def test_tool_choice_is_honoured(server):
    answer = whole(server, saying(TWO_CALLS_TEXT, tools=[WEATHER, CLOCK], tool_choice="none"))
    assert "tool_calls" not in answer["message"], answer
    equal(server.post("/api/chat", saying("x", tool_choice="often")).status, 400)


def test_format_is_json_or_a_schema(server):
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
              "additionalProperties": False}
    answer = whole(server, saying("", format=schema))
    assert json.loads(answer["message"]["content"])["ok"] in (True, False)
    answer = whole(server, saying("", format="json", options={"num_predict": 1500, "seed": 1}))
    if answer["done_reason"] == "stop":
        json.loads(answer["message"]["content"])
    equal(whole(server, saying("", format="", options={"num_predict": 2}))["done"], True)


def test_num_ctx_is_honoured_and_unsaid_it_is_the_models(server):
    long = [{"role": "user", "content": "word " * 300}]
    equal(whole(server, saying("Yes", messages=long))["message"]["content"], "Yes")
    refused = server.post("/api/chat", saying("Yes", messages=long, options={"num_ctx": 100}))
    equal(refused.status, 400)
    contains(refused.json()["error"], "100 tokens that the request allows")
    free = {"model": "tiny-qwen2", "think": False, "messages": [{"role": "user", "content": "Hi"}]}
    cut = whole(server, free | {"options": {"num_ctx": 40}, "format": forced("word " * 200)})
    equal(cut["done_reason"], "length")
    equal(cut["prompt_eval_count"] + cut["eval_count"], 40)


def test_options_are_taken(server):
    body = {"model": "tiny-qwen2", "prompt": "Hi", "think": False}
    first = whole(server, body | {"options": {"seed": 3, "num_predict": 12}}, "/api/generate")
    again = whole(server, body | {"options": {"seed": 3, "num_predict": 12}}, "/api/generate")
    equal(first["response"], again["response"])
    stopped = whole(server, body | {"options": {"stop": ["end"]}, "format": forced("The end.")},
                    "/api/generate")
    equal((stopped["response"], stopped["done_reason"]), ("The ", "stop"))
    whole(server, body | {"options": {
        "temperature": 0, "top_k": -1, "top_p": 0.9, "min_p": 0.1, "seed": -1, "num_predict": 2,
        "repeat_penalty": 1.1, "repeat_last_n": -1, "presence_penalty": 0.5, "num_gpu": 99,
        "frequency_penalty": 0.5, "mirostat": 1, "num_thread": 8}}, "/api/generate")
    for name, value in (("temperature", "hot"), ("top_p", 2), ("num_ctx", 0), ("num_predict", -3),
                        ("stop", 3)):
        answer = server.post("/api/generate", body | {"options": {name: value}})
        equal(answer.status, 400, name)
        contains(answer.json()["error"], f"options.{name}")


def test_generate_raw_has_no_template(server):
    body = {"model": "tiny-qwen2", "prompt": "Hi", "options": {"num_predict": 2}}
    raw = whole(server, body | {"raw": True}, "/api/generate")
    assert raw["prompt_eval_count"] <= 2, raw
    framed = whole(server, body | {"system": "Be brief."}, "/api/generate")
    assert framed["prompt_eval_count"] > 15, framed
    whole(server, body | {"context": [1, 2, 3]}, "/api/generate")


def test_what_is_refused_says_why_in_one_string(server):
    chat, generate = "/api/chat", "/api/generate"
    message = {"role": "user", "content": "x"}
    for path, body, status, words in (
            (chat, {}, 400, "model"),
            (chat, saying("x", model="none-such"), 404, "none-such"),
            (chat, saying("x", messages=[message | {"images": ["aGk="]}]), 400, "images"),
            (chat, saying("x", messages=[message | {"role": "robot"}]), 400, "role"),
            (chat, saying("x", format="xml"), 400, "format"),
            (chat, saying("x", format={"type": "strange"}), 400, "format"),
            (chat, saying("x", keep_alive="soon"), 400, "keep_alive"),
            (chat, saying("x", think="hugely"), 400, "think"),
            (generate, {"model": "tiny-qwen2", "prompt": "x", "suffix": "y"}, 400, "suffix"),
            (generate, {"model": "tiny-qwen2", "prompt": "x", "template": "y"}, 400, "template"),
            (generate, {"model": "tiny-qwen2", "prompt": "x", "images": ["aGk="]}, 400, "images"),
            ("/api/show", {}, 400, "model"),
            ("/api/show", {"model": "none-such"}, 404, "none-such"),
            ("/api/pull", {"model": "none-such:9b"}, 404, "none-such"),
            ("/api/copy", {"source": "a", "destination": "b"}, 400, "not supported"),
            ("/api/create", {"model": "a"}, 400, "not supported"),
            ("/api/push", {"model": "a"}, 400, "not supported")):
        answer = server.post(path, body)
        equal(answer.status, status, str(body)[:80])
        equal(list(answer.json()), ["error"])
        contains(answer.json()["error"], words)


def test_tags_show_and_ps_tell_of_the_model(server):
    own = server.get("/api/tags").json()["models"][0]
    equal((own["name"], own["model"]), ("tiny-qwen2", "tiny-qwen2"))
    equal((own["details"]["family"], own["details"]["quantization_level"]), ("qwen2", "Q8_0"))
    equal((own["details"]["parameter_size"], len(own["digest"])), ("1.44M", 64))
    for key in ("model", "name"):
        shown = server.good("/api/show", {key: "tiny-qwen2"})
        equal(shown["model_info"]["general.architecture"], "qwen2")
        equal(shown["model_info"]["qwen2.context_length"], 2048)
        equal(shown["capabilities"], ["completion", "tools", "thinking"])
        contains(shown["template"], "im_start")
    whole(server, saying("Yes", keep_alive="10m"))
    running = server.get("/api/ps").json()["models"][0]
    equal((running["name"], running["context_length"]), ("tiny-qwen2", 2048))
    assert running["expires_at"] > running["modified_at"] and 0 < running["size"] < 1 << 30


def test_version_is_new_enough_and_says_who_answers(server):
    version = server.get("/api/version").json()
    assert [int(part) for part in version["version"].split(".")] >= [0, 12, 0], version
    assert version["minke"]


def test_a_request_without_a_question_loads_and_unloads(server):
    for path in ("/api/chat", "/api/generate"):
        loaded = server.post(path, {"model": "tiny-qwen2", "keep_alive": -1}).lines()
        equal([(line["done"], line["done_reason"]) for line in loaded], [(True, "load")])
        equal(len(server.get("/api/ps").json()["models"]), 1)
        gone = whole(server, {"model": "tiny-qwen2", "keep_alive": 0}, path)
        equal(gone["done_reason"], "unload")
        for _ in range(50):
            if not server.get("/api/ps").json()["models"]:
                break
            time.sleep(0.1)
        equal(server.get("/api/ps").json()["models"], [])


def test_keep_alive_zero_lets_go_after_the_answer(server):
    equal(whole(server, saying("Yes", keep_alive="0s"))["message"]["content"], "Yes")
    for _ in range(50):
        if not server.get("/api/ps").json()["models"]:
            break
        time.sleep(0.1)
    equal(server.get("/api/ps").json()["models"], [])


def test_a_model_is_deleted_by_its_whole_name_and_a_file_of_ones_own_never(server):
    equal(server.ask("DELETE", "/api/delete", {"model": "none-such"}).status, 404)
    equal(server.ask("DELETE", "/api/delete", {"model": "tiny"}).status, 404)
    whole(server, {"model": "tiny-qwen2", "keep_alive": 0})
    for _ in range(50):
        answer = server.ask("DELETE", "/api/delete", {"model": "tiny-qwen2"})
        if answer.status != 409:
            break
        time.sleep(0.1)
    equal(answer.status, 403)
    contains(answer.json()["error"], "file of yours")


def test_embeddings_are_vectors_of_length_one(server):
    body = {"model": "tiny-qwen2", "input": ["Hi", "word " * 20]}
    answer = server.good("/api/embed", body)
    assert len(answer["embeddings"]) == 2 and answer["prompt_eval_count"] > 20, answer
    for vector in answer["embeddings"]:
        assert abs(sum(x * x for x in vector) - 1) < 1e-3
    one = server.good("/api/embeddings", {"model": "tiny-qwen2", "prompt": "Hi"})
    equal(one["embedding"], answer["embeddings"][0])
    equal(server.good("/api/embed", body | {"input": "Hi"})["embeddings"], answer["embeddings"][:1])
    for wrong in ({"input": []}, {"input": [3]}, {}):
        equal(server.post("/api/embed", {"model": "tiny-qwen2"} | wrong).status, 400)
    equal(server.post("/api/embed", {"model": "tiny-qwen2", "input": "word " * 3000}).status, 400)


def test_head_of_the_root_says_that_somebody_is_there(server):
    equal(server.ask("HEAD", "/").status, 200)


def test_logprobs_come_with_their_pieces(server):
    lines = server.post("/api/chat", saying("Yes", logprobs=True, top_logprobs=2)).lines()
    logprobs = [one for line in lines for one in line.get("logprobs", [])]
    assert logprobs and all(len(one["top_logprobs"]) == 2 for one in logprobs)
