"""The unmodified `ollama` package: ollama_client.py URL MODEL."""

import json

import ollama
from checks import CALL_TEXT, CITY, MODEL, URL, check, forced, main, wait_until_idle

client = ollama.Client(host=URL, timeout=120)
HI = [{"role": "user", "content": "Hi"}]
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Of a city",
                                           "parameters": CITY}}]


@check
def chat_whole():
    answer = client.chat(MODEL, HI, format=forced("Hello!"), think=False)
    assert answer.message.content == "Hello!" and answer.done_reason == "stop", answer
    assert answer.total_duration > 0 and answer.eval_count > 0


@check
def chat_stream_with_thinking():
    parts = list(client.chat(MODEL, HI, format=forced("It rains."), think=True, stream=True,
                             options={"num_predict": 40}))
    assert "".join(part.message.thinking or "" for part in parts)
    assert parts[-1].done and not any(part.done for part in parts[:-1])


@check
def tools_round_trip():
    answer = client.chat(MODEL, HI, tools=TOOLS, format=forced(CALL_TEXT), think=False)
    call = answer.message.tool_calls[0]
    assert call.function.arguments == {"city": "Paris"}, call
    messages = HI + [answer.message, {"role": "tool", "tool_name": "weather", "content": "12"}]
    again = client.chat(MODEL, messages, tools=TOOLS, format=forced("Mild."), think=False)
    assert again.message.content == "Mild."


@check
def generate():
    answer = client.generate(MODEL, "Hi", format=forced("Hello!"), think=False)
    assert answer.response == "Hello!" and answer.done
    text = "".join(part.response for part in client.generate(
        MODEL, "Hi", format=forced("It rains."), think=False, stream=True))
    assert text == "It rains."


@check
def json_schema():
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
              "additionalProperties": False}
    answer = client.chat(MODEL, HI, format=schema, think=False)
    assert json.loads(answer.message.content)["ok"] in (True, False), answer


@check
def models():
    assert MODEL in [model.model for model in client.list().models]
    shown = client.show(MODEL)
    assert "completion" in shown.capabilities and shown.modelinfo["general.architecture"]
    client.generate(MODEL, "", keep_alive="5m")
    running = client.ps().models[0]
    assert running.model == MODEL and running.expires_at.year >= 2026, running


@check
def embeddings():
    answer = client.embed(MODEL, ["One", "Two"])
    assert len(answer.embeddings) == 2 and len(answer.embeddings[0]) > 100


@check
def errors():
    for status, call in ((404, lambda: client.chat("none-such", HI)),
                         (400, lambda: client.chat(MODEL, HI, options={"temperature": 9})),
                         (400, lambda: client.create("x", from_="y"))):
        try:
            call()
        except ollama.ResponseError as found:
            assert found.status_code == status and found.error, found
        else:
            raise AssertionError("no error")


@check
def a_stream_that_is_left_ends_the_answer():
    stream = client.chat(MODEL, HI, format=forced("word " * 300), think=False, stream=True)
    next(stream)
    stream.close()
    wait_until_idle()


main()
