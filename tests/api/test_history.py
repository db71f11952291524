"""History as it was generated: an answer that comes back in a conversation, as each protocol's clients send it, is found
whole in the cache. Drawn at a high temperature, so that texts are full of tokens that no encoder would choose."""

import json
import random
import subprocess
import sys

import pytest
from conftest import ROOT

from test_live import post

TOKENIZER = ROOT / ".cache/tokenizers/qwen3.json"
TEMPLATE = ROOT / ".cache/chat-templates/Qwen3-Coder.jinja"
WORDS = "file test call main größe 读 return edit the loop \u00e9 {} <b> \"quoted\" 42".split()


def tool(path):
    return {"name": "read", "description": "Reads a file.", "parameters": {
        "type": "object", "required": ["path", "lines"], "additionalProperties": False, "properties": {
            "path": path, "lines": {"enum": [1, 2.5, 400]},
            "how": {"type": "array", "maxItems": 2, "items": {"enum": ["fast", "slow", None, 1.5]}}}}}


class Client:
    def __init__(self, read):
        self.read = read


class Chat(Client):
    """As OpenCode and Qwen Code: content as a string or as parts, the reasoning beside it, compact arguments."""
    path = "/v1/chat/completions"
    one_call = {"tool_choice": "required", "parallel_tool_calls": False}

    def start(self, text, tools):
        body = {"messages": [{"role": "user", "content": text}]}
        return body | ({"tools": [{"type": "function", "function": self.read}]} if tools else {})

    def go_on(self, body, answer, text, parts):
        message = {k: v for k, v in answer["choices"][0]["message"].items() if k != "refusal"}
        if parts and message["content"]:
            message["content"] = [{"type": "text", "text": message["content"]}]
        added = [message]
        for call in message.get("tool_calls", []):
            call["function"]["arguments"] = compact(json.loads(call["function"]["arguments"]))
            added.append({"role": "tool", "tool_call_id": call["id"], "content": "nothing there"})
        said = [{"type": "text", "text": text}] if parts else text
        return body | {"messages": body["messages"] + added + ([] if len(added) > 1 else [{"role": "user", "content": said}])}

    def usage(self, answer):
        usage = answer["usage"]
        return usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"], usage["completion_tokens"]


class Messages(Client):
    """As Claude Code: blocks, the whole thinking with its signature, input as an object."""
    path = "/v1/messages"
    one_call = {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}}

    def start(self, text, tools):
        body = {"messages": [{"role": "user", "content": text}],
                "system": [{"type": "text", "text": "x-anthropic-billing-header: cch=1;"}, {"type": "text", "text": "Be brief."}]}
        return body | ({"tools": [{"name": self.read["name"], "input_schema": self.read["parameters"]}]} if tools else {})

    def go_on(self, body, answer, text, parts):
        blocks = answer["content"]
        results = [{"type": "tool_result", "tool_use_id": block["id"], "content": "nothing there"}
                   for block in blocks if block["type"] == "tool_use"]
        said = [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}] if parts else text
        system = [{"type": "text", "text": f"x-anthropic-billing-header: cch={len(text)};"}, *body["system"][1:]]
        if not parts and len(blocks) == 1 and blocks[0]["type"] == "text":
            blocks = blocks[0]["text"]
        return body | {"system": system, "messages": body["messages"] + [
            {"role": "assistant", "content": blocks}, {"role": "user", "content": results or said}]}

    def usage(self, answer):
        usage = answer["usage"]
        return usage["input_tokens"] + usage["cache_read_input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]


class Responses(Client):
    """As Codex: every item once more, reasoning sealed, nothing stored; or with the earlier response's id."""
    path = "/v1/responses"
    one_call = {"tool_choice": "required", "parallel_tool_calls": False}

    def start(self, text, tools):
        body = {"input": [{"role": "user", "content": text}], "include": ["reasoning.encrypted_content"], "instructions": "Be brief."}
        return body | ({"tools": [{"type": "function", **self.read}]} if tools else {})

    def go_on(self, body, answer, text, parts):
        new = [{"type": "function_call_output", "call_id": item["call_id"], "output": "nothing there"}
               for item in answer["output"] if item["type"] == "function_call"]
        new = new or [{"role": "user", "content": [{"type": "input_text", "text": text}] if parts else text}]
        if parts:
            return body | {"previous_response_id": answer["id"], "input": new}
        items = [{k: v for k, v in item.items() if not (item["type"] == "reasoning" and k == "content")} for item in answer["output"]]
        for item in items:
            if item["type"] == "function_call":
                item["arguments"] = compact(json.loads(item["arguments"]))
        return body | {"input": body["input"] + items + new}

    def usage(self, answer):
        usage = answer["usage"]
        return usage["input_tokens"], usage["input_tokens_details"]["cached_tokens"], usage["output_tokens"]


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def n_calls(answer):
    if "choices" in answer:
        return len(answer["choices"][0]["message"].get("tool_calls", []))
    return sum(item["type"] in ("tool_use", "function_call") for item in answer.get("content", answer.get("output")))


def converse(server, protocol, seed, n_turns, tools=None, **settings):
    """Each answer of the conversation, and that the next prompt finds it in the cache: its last token apart, which ended it
    or was never computed."""
    rng = random.Random(seed)
    choices = [{}, protocol.one_call] if tools == "called" else [{}]
    say = lambda: " ".join(rng.choices(WORDS, k=rng.randint(3, 12)))  # noqa: E731
    body = protocol.start(say(), tools is not None)
    known = 0
    answers = []
    for turn in range(n_turns):
        choice = choices[-1 - turn % len(choices)]
        limit = {"max_output_tokens" if protocol.path.endswith("responses") else "max_tokens": 300 if choice else rng.randint(20, 90)}
        status, answer = post(server, protocol.path, body | limit | choice | settings | {"seed": rng.randrange(1 << 30)})
        assert status == 200, answer
        n_prompt, n_cached, n_generated = protocol.usage(answer)
        assert n_cached >= known, (protocol.path, seed, turn, n_prompt, n_cached, known, answers)
        assert not choice or n_calls(answer) == 1, answer
        # Half a call, which the limit cut: a template has no way to write that.
        known = n_prompt + n_generated - 1 if choice or not n_calls(answer) else n_prompt
        answers.append(answer)
        body = protocol.go_on(body, answer, say(), parts=bool((seed + turn) % 2))
    return answers


@pytest.mark.parametrize("client", [Chat, Messages, Responses])
@pytest.mark.parametrize("tools", [None, "offered", "called"])
def test_an_answer_that_comes_back_is_known(server, client, tools):
    for seed in range(2):
        converse(server, client(tool({"type": "string", "maxLength": 20})), seed, 3, tools, temperature=1.6)


@pytest.fixture(scope="module")
def random_model(tmp_path_factory, start_server):
    """Weights at random, with recurrent layers, under Qwen3's vocabulary and Qwen3-Coder's template."""
    for needed in (TOKENIZER, TEMPLATE):
        if not needed.exists():
            pytest.skip(f"{needed} is not there; run `make test-all`")
    path = tmp_path_factory.mktemp("model") / "random.gguf"
    subprocess.run([sys.executable, ROOT / "tools/make_models.py", "--arch", "qwen3next", "--preset", "tiny", "--tokenizer", TOKENIZER,
                    "--chat-template", TEMPLATE, "--out", path], check=True, timeout=120, capture_output=True)
    return start_server("-c", "8192", model=path)


@pytest.mark.slow
@pytest.mark.parametrize("client", [Chat, Messages, Responses])
@pytest.mark.parametrize("tools", [None, "offered", "called"])
def test_garbage_that_comes_back_is_known(random_model, client, tools):
    # A text that random weights write would never end: what they may write is given.
    for seed in range(12):
        converse(random_model, client(tool({"enum": ["a.c", "größe.py", "x y", "the \"end\""]})), seed, 5, tools, temperature=1)
