"""The unmodified `anthropic` package: anthropic_client.py URL MODEL."""

import json

import anthropic
from checks import CALL_TEXT, CITY, MODEL, URL, check, forced, main, wait_until_idle

client = anthropic.Anthropic(base_url=URL, api_key="none", max_retries=0, timeout=120)
HI = [{"role": "user", "content": "Hi"}]
TOOLS = [{"name": "weather", "description": "Of a city", "input_schema": CITY}]
THINKING = {"type": "enabled", "budget_tokens": 8}


def saying(text, **more):
    return {"model": MODEL, "max_tokens": 1600, "messages": HI,
            "extra_body": {"output_config": {"format": forced(text)}}} | more


@check
def message_whole():
    message = client.messages.create(**saying("Hello!", system="Be brief."))
    assert message.content[0].text == "Hello!" and message.stop_reason == "end_turn", message
    assert message.usage.output_tokens > 0 and message.usage.input_tokens >= 0


@check
def message_stream_with_thinking():
    kinds = []
    with client.messages.stream(**saying("It rains.", thinking=THINKING)) as stream:
        for event in stream:
            kinds.append(event.type)
        message = stream.get_final_message()
    assert [block.type for block in message.content] == ["thinking", "text"], message
    assert message.content[0].thinking and message.content[0].signature
    assert message.content[1].text == "It rains."
    assert {"message_start", "thinking", "signature", "text", "message_stop"} <= set(kinds), kinds


@check
def text_stream():
    with client.messages.stream(**saying("One two three.")) as stream:
        assert "".join(stream.text_stream) == "One two three."


@check
def tools_round_trip():
    with client.messages.stream(**saying(CALL_TEXT, tools=TOOLS, thinking=THINKING)) as stream:
        message = stream.get_final_message()
    call = message.content[-1]
    assert (message.stop_reason, call.input) == ("tool_use", {"city": "Paris"}), message
    messages = HI + [{"role": "assistant", "content": [b.model_dump() for b in message.content]},
                     {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id,
                                                   "content": "12 degrees"}]}]
    answer = client.messages.create(**saying("Mild.", tools=TOOLS, messages=messages))
    assert answer.content[0].text == "Mild."
    assert answer.usage.cache_read_input_tokens > 0, answer.usage


@check
def json_schema():
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
              "additionalProperties": False}
    message = client.messages.create(**saying("", extra_body={
        "output_config": {"format": {"type": "json_schema", "schema": schema}}}))
    assert json.loads(message.content[0].text)["ok"] in (True, False), message


@check
def tokens_are_counted():
    count = client.messages.count_tokens(model=MODEL, messages=HI, system="Be brief.")
    usage = client.messages.create(**saying("Yes", system="Be brief.")).usage
    assert count.input_tokens == usage.input_tokens + usage.cache_read_input_tokens


@check
def models_are_listed():
    models = client.models.list()
    assert MODEL in [model.id for model in models.data]
    assert client.models.retrieve(MODEL).display_name == MODEL


@check
def errors_have_their_class():
    for error, more in ((anthropic.BadRequestError, {"extra_body": {"temperature": 3}}),
                        (anthropic.NotFoundError, {"model": "none-such"})):
        try:
            client.messages.create(**saying("x") | more)
        except error as found:
            assert found.body["type"] == "error", found.body
        else:
            raise AssertionError("no error")


@check
def a_stream_that_is_closed_ends_the_answer():
    with client.messages.stream(**saying("word " * 300)) as stream:
        next(iter(stream))
    wait_until_idle()


main()
