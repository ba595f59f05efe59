"""The unmodified `openai` package: openai_client.py URL MODEL."""

import asyncio
import json

import openai
import pydantic
from checks import CALL_TEXT, CITY, MODEL, URL, check, forced, main, wait_until_idle

client = openai.OpenAI(base_url=URL + "/v1", api_key="none", max_retries=0, timeout=120)
HI = [{"role": "user", "content": "Hi"}]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": CITY}}]
RESPONSE_TOOLS = [{"type": "function", "name": "weather", "parameters": CITY}]
BUDGET = {"think_budget": 8}


class Mood(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    happy: bool


@check
def chat_whole():
    answer = client.chat.completions.create(model=MODEL, messages=HI, max_tokens=64,
                                            response_format=forced("Hello!"), extra_body=BUDGET)
    assert answer.choices[0].message.content == "Hello!", answer
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens_details.reasoning_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


@check
def chat_stream_with_thinking_and_usage():
    thought = text = ""
    usage = None
    for chunk in client.chat.completions.create(
            model=MODEL, messages=HI, stream=True, stream_options={"include_usage": True},
            response_format=forced("It rains."), extra_body=BUDGET):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            thought += getattr(choice.delta, "reasoning_content", None) or ""
            text += choice.delta.content or ""
    assert thought and text == "It rains.", (thought, text)
    assert usage.prompt_tokens_details.cached_tokens >= 0


@check
def chat_free_text():
    answer = client.chat.completions.create(model=MODEL, messages=HI, max_tokens=12, temperature=0,
                                            extra_body={"think": False})
    assert answer.choices[0].finish_reason in ("length", "stop"), answer
    again = client.chat.completions.create(model=MODEL, messages=HI, max_tokens=12, temperature=0,
                                           extra_body={"think": False})
    assert answer.choices[0].message.content == again.choices[0].message.content


@check
def chat_tools_round_trip_with_the_stream_helper():
    with client.chat.completions.stream(model=MODEL, messages=HI, tools=TOOLS,
                                        response_format=forced(CALL_TEXT),
                                        extra_body=BUDGET) as stream:
        final = stream.get_final_completion()
    message = final.choices[0].message
    call = message.tool_calls[0]
    assert final.choices[0].finish_reason == "tool_calls"
    assert json.loads(call.function.arguments) == {"city": "Paris"}, call
    answer = client.chat.completions.create(
        model=MODEL, tools=TOOLS, response_format=forced("Mild."), extra_body=BUDGET,
        messages=HI + [message.model_dump(exclude_none=True),
                       {"role": "tool", "tool_call_id": call.id, "content": "12 degrees"}])
    assert answer.choices[0].message.content == "Mild."


@check
def chat_parse_holds_to_a_schema():
    answer = client.chat.completions.parse(model=MODEL, messages=HI, response_format=Mood,
                                           max_tokens=400, extra_body=BUDGET)
    assert isinstance(answer.choices[0].message.parsed.happy, bool)


@check
def chat_n_and_logprobs():
    answer = client.chat.completions.create(model=MODEL, messages=HI, n=3, max_tokens=4, seed=5,
                                            logprobs=True, top_logprobs=2,
                                            extra_body={"think": False})
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len(answer.choices[0].logprobs.content[0].top_logprobs) == 2


@check
def response_whole_and_its_text():
    answer = client.responses.create(model=MODEL, input="Hi", instructions="Be brief.",
                                     text={"format": forced("Hello!")}, extra_body=BUDGET)
    assert answer.output_text == "Hello!", answer
    assert answer.status == "completed" and answer.usage.output_tokens_details.reasoning_tokens > 0
    assert answer.output[0].type == "reasoning" and answer.output[0].content[0].text


@check
def response_stream_helper_and_the_final_response():
    kinds = []
    with client.responses.stream(model=MODEL, input="Hi", text={"format": forced("It rains.")},
                                 reasoning={"summary": "auto"}, extra_body=BUDGET) as stream:
        for event in stream:
            kinds.append(event.type)
        final = stream.get_final_response()
    assert final.output_text == "It rains." and final.output[0].summary[0].text, final
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed", kinds


@check
def response_tools_round_trip():
    with client.responses.stream(model=MODEL, input="Hi", tools=RESPONSE_TOOLS,
                                 text={"format": forced(CALL_TEXT)}, extra_body=BUDGET) as stream:
        for _ in stream:
            pass
        final = stream.get_final_response()
    call = [item for item in final.output if item.type == "function_call"][0]
    assert json.loads(call.arguments) == {"city": "Paris"}
    answer = client.responses.create(
        model=MODEL, previous_response_id=final.id, tools=RESPONSE_TOOLS,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "12"}],
        text={"format": forced("Mild.")}, extra_body=BUDGET)
    assert answer.output_text == "Mild."


@check
def response_parse_holds_to_a_schema():
    answer = client.responses.parse(model=MODEL, input="Hi", text_format=Mood,
                                    max_output_tokens=400, extra_body=BUDGET)
    assert isinstance(answer.output_parsed.happy, bool)


@check
def response_is_kept_and_deleted():
    answer = client.responses.create(model=MODEL, input="Hi", max_output_tokens=16)
    assert client.responses.retrieve(answer.id).id == answer.id
    assert client.responses.input_items.list(answer.id).data[0].role == "user"
    client.responses.delete(answer.id)
    try:
        client.responses.retrieve(answer.id)
    except openai.NotFoundError:
        return
    raise AssertionError("it is still there")


@check
def completion_and_models():
    answer = client.completions.create(model=MODEL, prompt="One, two,", max_tokens=5, logprobs=1,
                                       temperature=0)
    assert answer.choices[0].logprobs.tokens and answer.usage.completion_tokens <= 5
    text = "".join(chunk.choices[0].text for chunk in client.completions.create(
        model=MODEL, prompt="One, two,", max_tokens=5, temperature=0, stream=True))
    assert text == answer.choices[0].text
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).id == MODEL


@check
def embeddings_as_numbers():
    answer = client.embeddings.create(model=MODEL, input=["One", "Two"])
    assert len(answer.data) == 2 and answer.usage.prompt_tokens > 0
    assert abs(sum(x * x for x in answer.data[1].embedding) - 1) < 1e-3


@check
def errors_have_their_class_and_param():
    for error, call in (
            (openai.BadRequestError, lambda: client.chat.completions.create(
                model=MODEL, messages=HI, temperature=9)),
            (openai.BadRequestError, lambda: client.responses.create(
                model=MODEL, input="x", temperature=9)),
            (openai.NotFoundError, lambda: client.chat.completions.create(
                model="none-such", messages=HI))):
        try:
            call()
        except error as found:
            assert found.param == ("model" if error is openai.NotFoundError else "temperature")
            assert found.type == "invalid_request_error", found
        else:
            raise AssertionError("no error")


@check
def a_stream_that_is_closed_ends_the_answer():
    for create in (lambda: client.chat.completions.create(
            model=MODEL, messages=HI, stream=True, response_format=forced("word " * 300)),
                   lambda: client.responses.create(
                       model=MODEL, input="Hi", stream=True,
                       text={"format": forced("word " * 300)})):
        stream = create()
        next(iter(stream))
        stream.close()
        wait_until_idle()


@check
def many_at_once():
    async def run():
        async with openai.AsyncOpenAI(base_url=URL + "/v1", api_key="none",
                                      max_retries=0, timeout=120) as many:
            return await asyncio.gather(*(many.chat.completions.create(
                model=MODEL, messages=HI, response_format=forced(f"Number {i}"),
                extra_body={"think": False}) for i in range(8)))
    answers = asyncio.run(run())
    assert [a.choices[0].message.content for a in answers] == [f"Number {i}" for i in range(8)]


main()
