"""/v1/messages by Anthropic's official Python SDK: whole, streamed, with tools, counted."""

import anthropic
import pytest

ASK = [{"role": "user", "content": "Say hello."}]
READ = {"name": "read", "description": "Reads a file.",
        "input_schema": {"type": "object", "properties": {"path": {"type": "string", "enum": ["a.c", "b.c"]}}, "required": ["path"]}}


@pytest.fixture(scope="module")
def client(server):
    with anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0, timeout=120) as sdk:
        yield sdk


def n_input(usage):
    return usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens


def test_a_whole_message(client):
    message = client.messages.create(model="x", max_tokens=16, messages=ASK, system="Be brief.")
    assert message.role == "assistant" and message.model == "x"
    assert message.content[0].type == "text" and message.content[0].text
    assert message.stop_reason in ("end_turn", "max_tokens")
    assert 0 < message.usage.output_tokens <= 16 and n_input(message.usage) > 0


def test_a_stream_says_what_a_whole_message_says(client):
    settings = dict(model="x", max_tokens=12, messages=ASK, extra_body={"temperature": 0})
    whole = client.messages.create(**settings)
    with client.messages.stream(**settings) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == whole.content[0].text == final.content[0].text
    assert final.stop_reason == whole.stop_reason
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert n_input(final.usage) == n_input(whole.usage)


def test_events_in_their_order(client):
    types = [event.type for event in client.messages.create(model="x", max_tokens=4, messages=ASK, stream=True)
             if event.type != "ping"]
    assert types[:2] == ["message_start", "content_block_start"]
    assert types[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(types[2:-3]) == {"content_block_delta"}


def test_a_call_and_its_result(client):
    settings = dict(model="x", max_tokens=200, tools=[READ], messages=ASK)
    with client.messages.stream(**settings, tool_choice={"type": "any", "disable_parallel_tool_use": True}) as stream:
        final = stream.get_final_message()
    calls = [block for block in final.content if block.type == "tool_use"]
    assert final.stop_reason == "tool_use" and calls[0].name == "read"
    assert calls[0].input["path"] in ("a.c", "b.c")
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "int x;"}]} for call in calls]
    messages = [*ASK, {"role": "assistant", "content": [block.model_dump(include={"type", "id", "name", "input", "text"})
                                                        for block in final.content]},
                {"role": "user", "content": results}]
    after = client.messages.create(**settings | {"messages": messages, "max_tokens": 4})
    assert after.usage.cache_read_input_tokens >= n_input(final.usage) + final.usage.output_tokens - 1


def test_one_tool_by_name_and_one_at_a_time(client):
    other = {"name": "other", "input_schema": {"type": "object", "properties": {}}}
    message = client.messages.create(model="x", max_tokens=200, tools=[other, READ], messages=ASK,
                                     tool_choice={"type": "tool", "name": "read", "disable_parallel_tool_use": True})
    calls = [block for block in message.content if block.type == "tool_use"]
    assert [call.name for call in calls] == ["read"]


def test_stop_sequences(client):
    settings = dict(model="x", max_tokens=40, messages=ASK, extra_body={"temperature": 0})
    text = client.messages.create(**settings).content[0].text
    cut = client.messages.create(**settings, stop_sequences=[text[3:5]])
    assert cut.stop_reason == "stop_sequence" and cut.stop_sequence == text[3:5]
    assert cut.content[0].text == text[:text.index(text[3:5])]


def test_counting(client):
    settings = dict(model="x", messages=ASK, system=[{"type": "text", "text": "Be brief."}], tools=[READ])
    counted = client.messages.count_tokens(**settings).input_tokens
    assert counted == n_input(client.messages.create(**settings, max_tokens=1).usage)


def test_errors(client):
    with pytest.raises(anthropic.BadRequestError) as wrong:
        client.messages.create(model="x", max_tokens=1, messages=[{"role": "wizard", "content": "x"}])
    assert wrong.value.body["error"]["type"] == "invalid_request_error"
    with pytest.raises(anthropic.BadRequestError) as long:
        client.messages.create(model="x", max_tokens=1, messages=[{"role": "user", "content": "1 2 " * 50000}])
    assert "exceeds the available context size" in str(long.value)
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.create(requests=[])
