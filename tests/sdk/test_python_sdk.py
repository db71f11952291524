"""The official OpenAI Python SDK against the running server: each call, whole and streamed."""

import openai
import pytest

HELLO = [{"role": "user", "content": "Say hello."}]


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=120) as sdk:
        yield sdk


@pytest.fixture(scope="module")
def model(client):
    return client.models.list().data[0].id


def test_models(client, model):
    page = client.models.list()
    assert [m.object for m in page] == ["model"]
    assert client.models.retrieve(model).id == model
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")


def test_chat(client, model):
    answer = client.chat.completions.create(model=model, messages=HELLO, max_tokens=8)
    choice = answer.choices[0]
    assert choice.message.role == "assistant" and choice.message.content
    assert choice.finish_reason in ("stop", "length")
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert 0 < usage.completion_tokens <= 8
    assert usage.prompt_tokens_details.cached_tokens >= 0


def test_any_model_name_is_served(client):
    answer = client.chat.completions.create(model="gpt-4o", messages=HELLO, max_completion_tokens=1)
    assert answer.model == "gpt-4o"


def test_chat_stream(client, model):
    stream = client.chat.completions.create(model=model, messages=HELLO, max_tokens=8, stream=True,
                                            stream_options={"include_usage": True})
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text
    finishes = [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason]
    assert len(finishes) == 1
    assert chunks[-1].choices == [] and 0 < chunks[-1].usage.completion_tokens <= 8
    assert all(c.usage is None for c in chunks[:-1])
    assert len({c.id for c in chunks}) == 1


def test_a_stream_says_what_a_whole_answer_says(client, model):
    settings = dict(model=model, messages=HELLO, max_tokens=12, temperature=0)
    whole = client.chat.completions.create(**settings)
    stream = client.chat.completions.create(**settings, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in stream) == whole.choices[0].message.content


def test_a_seed_repeats_an_answer(client, model):
    def answer():
        settings = dict(model=model, messages=HELLO, max_tokens=12, temperature=1, seed=7)
        return client.chat.completions.create(**settings).choices[0].message.content

    assert answer() == answer()


def test_several_choices(client, model):
    answer = client.chat.completions.create(model=model, messages=HELLO, max_tokens=4, n=3)
    assert [c.index for c in answer.choices] == [0, 1, 2]
    texts = {}
    for chunk in client.chat.completions.create(model=model, messages=HELLO, max_tokens=4, n=3, stream=True):
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    assert sorted(texts) == [0, 1, 2]


def test_stop_strings_are_not_shown(client, model):
    settings = dict(model=model, messages=HELLO, max_tokens=40, temperature=0)
    text = client.chat.completions.create(**settings).choices[0].message.content
    stop = text[3:5]
    whole = client.chat.completions.create(**settings, stop=[stop, "never this"]).choices[0]
    assert whole.message.content == text[:text.index(stop)]
    assert whole.finish_reason == "stop"
    streamed = client.chat.completions.create(**settings, stop=stop, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in streamed) == text[:text.index(stop)]


def test_chat_logprobs(client, model):
    answer = client.chat.completions.create(model=model, messages=HELLO, max_tokens=4, logprobs=True, top_logprobs=2,
                                            temperature=0)
    content = answer.choices[0].logprobs.content
    assert b"".join(bytes(t.bytes) for t in content).decode() == answer.choices[0].message.content
    for token in content:
        assert token.logprob <= 0 and len(token.top_logprobs) == 2
        assert token.top_logprobs[0].logprob >= token.top_logprobs[1].logprob
        assert token.top_logprobs[0].token == token.token  # greedy


def test_completions(client, model):
    answer = client.completions.create(model=model, prompt="Once upon a time", max_tokens=6)
    assert answer.choices[0].text
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage.completion_tokens <= 6
    several = client.completions.create(model=model, prompt=["one", "two"], n=2, max_tokens=1)
    assert [c.index for c in several.choices] == [0, 1, 2, 3]


def test_completion_stream(client, model):
    chunks = list(client.completions.create(model=model, prompt="Once upon a time", max_tokens=6, stream=True))
    assert "".join(c.choices[0].text for c in chunks)
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")


def test_completion_logprobs(client, model):
    answer = client.completions.create(model=model, prompt="Once", max_tokens=3, logprobs=2, temperature=0)
    logprobs = answer.choices[0].logprobs
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.top_logprobs) == len(logprobs.text_offset)
    assert all(value <= 0 for value in logprobs.token_logprobs)


def test_completion_of_token_ids(client, model):
    assert client.completions.create(model=model, prompt=[1, 2, 3], max_tokens=1).usage.prompt_tokens == 3


def test_logit_bias_bans_a_token(client, model):
    settings = dict(model=model, messages=HELLO, max_tokens=1, temperature=0)
    first = client.chat.completions.create(**settings, logprobs=True).choices[0].logprobs.content[0]
    banned = client.chat.completions.create(**settings, logprobs=True, logit_bias={str(first.id): -100})
    content = banned.choices[0].logprobs.content
    assert not content or content[0].id != first.id


def test_errors_have_types(client, model):
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(model=model, messages=[])
    assert wrong.value.param == "messages" and wrong.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError) as long:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "1 2 " * 50000}])
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as long_stream:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "1 2 " * 50000}], stream=True)
    assert long_stream.value.code == "context_length_exceeded"
    with pytest.raises(openai.InternalServerError) as later:
        client.embeddings.create(model=model, input="x")
    assert later.value.status_code == 501


def test_a_stream_left_early_leaves_the_server_well(client, model):
    stream = client.chat.completions.create(model=model, messages=HELLO, max_tokens=400, stream=True)
    for _ in zip(range(2), stream):
        pass
    stream.close()
    assert client.chat.completions.create(model=model, messages=HELLO, max_tokens=1).choices
