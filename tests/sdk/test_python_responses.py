"""/v1/responses by the official OpenAI Python SDK: whole, streamed, with tools, in several turns."""

import json

import openai
import pytest

ASK = [{"role": "user", "content": "Say hello."}]
READ = {"type": "function", "name": "read", "description": "Reads a file.", "strict": False,
        "parameters": {"type": "object", "properties": {"path": {"type": "string", "enum": ["a.c", "b.c"]}}, "required": ["path"]}}


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=120) as sdk:
        yield sdk


def test_a_whole_response(client):
    response = client.responses.create(model="x", input="Say hello.", max_output_tokens=16)
    assert response.status in ("completed", "incomplete") and response.error is None
    assert response.output_text and response.output[-1].type == "message"
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    assert 0 < response.usage.output_tokens <= 16 and response.model == "x"


def test_a_stream_says_what_a_whole_response_says(client):
    settings = dict(model="x", input=ASK, max_output_tokens=12, temperature=0)
    whole = client.responses.create(**settings)
    events = list(client.responses.create(**settings, stream=True))
    assert [e.type for e in events[:4]] == ["response.created", "response.in_progress", "response.output_item.added",
                                            "response.content_part.added"]
    assert [e.sequence_number for e in events] == list(range(len(events)))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == whole.output_text
    assert events[-1].type == "response." + whole.status
    assert events[-1].response.output_text == whole.output_text


def test_the_stream_helper(client):
    with client.responses.stream(model="x", input=ASK, max_output_tokens=400, temperature=0) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        assert text == stream.get_final_response().output_text  # which it has only of a completed one


def test_a_call_and_its_result(client):
    settings = dict(model="x", tools=[READ], tool_choice="required", parallel_tool_calls=False, max_output_tokens=200, store=False)
    with client.responses.stream(input=ASK, **settings) as stream:
        arguments = "".join(e.delta for e in stream if e.type == "response.function_call_arguments.delta")
        final = stream.get_final_response()
    calls = [item for item in final.output if item.type == "function_call"]
    assert calls and calls[0].name == "read" and calls[0].status == "completed"
    assert json.loads(calls[0].arguments)["path"] in ("a.c", "b.c")
    assert "".join(call.arguments for call in calls) == arguments
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": "int x;"} for call in calls]
    echoed = [item.model_dump(exclude_none=True) for item in final.output]
    after = client.responses.create(model="x", tools=[READ], input=[*ASK, *echoed, *results], max_output_tokens=4, store=False)
    assert after.usage.input_tokens > final.usage.input_tokens
    known = final.usage.input_tokens + final.usage.output_tokens - 1
    assert after.usage.input_tokens_details.cached_tokens >= known


def test_a_response_goes_on_where_the_last_one_ended(client):
    first = client.responses.create(model="x", input="My name is Ada.", instructions="Be brief.", max_output_tokens=8)
    second = client.responses.create(model="x", input="And mine?", instructions="Be brief.", max_output_tokens=8,
                                     previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert second.usage.input_tokens_details.cached_tokens >= first.usage.input_tokens + first.usage.output_tokens - 1
    assert client.responses.retrieve(first.id).output_text == first.output_text
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)
    with pytest.raises(openai.BadRequestError) as gone:
        client.responses.create(model="x", input="And?", previous_response_id=first.id)
    assert gone.value.code == "previous_response_not_found"


def test_an_answer_in_a_schema(client):
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": False}
    response = client.responses.create(model="x", input=ASK, max_output_tokens=60, text={
        "format": {"type": "json_schema", "name": "verdict", "schema": schema, "strict": True}})
    assert json.loads(response.output_text)["ok"] in (True, False)


def test_errors(client):
    with pytest.raises(openai.BadRequestError) as wrong:
        client.responses.create(model="x", input=[{"role": "wizard", "content": "x"}])
    assert wrong.value.param == "input[0].role"
    with pytest.raises(openai.BadRequestError) as long:
        client.responses.create(model="x", input="1 2 " * 50000, stream=True)
    assert long.value.code == "context_length_exceeded"
