"""Tool calls and real templates: the format found, calls read back from how a history is rendered, histories rendered
again as they were generated, and every shape that agents send."""
import copy
import json

import pytest

from agent_contexts import AGENT_TOOLS, history
from test_templates import NOW, real_templates, render  # noqa: F401  (the fixture)

pytestmark = pytest.mark.slow

# What each family's template is found to write. Those not named: json, the fallback.
FORMATS = {
    "qwen-xml": {"Qwen3-Coder", "Qwen3.5-4B", "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "StepFun3.5-Flash"},
    "gemma4": {"google-gemma-4-31B-it", "google-gemma-4-31B-it-interleaved"},
    "mistral": {"Mistral-Small-3.2-24B-Instruct-2506", "unsloth-mistral-Devstral-Small-2507",
                "mistralai-Ministral-3-14B-Reasoning-2512", "mistralai-Mistral-Nemo-Instruct-2407"},
    "hermes": {"Qwen-Qwen2.5-7B-Instruct", "Qwen-Qwen3-0.6B", "Qwen-QwQ-32B", "ibm-granite-granite-4.0",
               "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", "NousResearch-Hermes-3-Llama-3.1-8B-tool_use"},
    "llama3": {"meta-llama-Llama-3.1-8B-Instruct", "meta-llama-Llama-3.2-3B-Instruct", "meta-llama-Llama-3.3-70B-Instruct"},
}
TOOLS = [tool for tool in AGENT_TOOLS if "parameters" in tool["function"]]


def job(template, messages, **more):
    return {"template": template, "bos_token": "<s>", "eos_token": "</s>", "tools": TOOLS, "variables": None,
            "add_generation_prompt": True, "now": NOW, "mend": True, "messages": messages} | more


def rendered(templates, messages, **more):
    return dict(zip(templates, render([job(text, messages, **more) for text in templates.values()])))


def parsed(templates, prompts, answers):
    return dict(zip(templates, render([job(text, [], prompt=prompts[name], answer=answers[name])
                                       for name, text in templates.items()])))


def test_formats(real_templates):  # noqa: F811
    found = parsed(real_templates, dict.fromkeys(real_templates, ""), dict.fromkeys(real_templates, "x"))
    for name in FORMATS:
        expected = FORMATS[name]
        assert expected <= {t for t, answer in found.items() if answer["format"] == name}, name
    print({t: answer["format"] for t, answer in found.items()})


VALUES = {"priority": 1, "target": "text\nof <two> lines\n", "context": ["a", "b"], "name": "007",
          "options": {"name": "n", "deep": {"list": [1, 2.5, True, None, ""]}}, "subagent_type": "plan"}
TURNS = {
    "one call": ("", [("bash", {"command": "ls | \"x\" 'y' \\d", "description": "d\té"})]),
    "text and a call": ("I'll look.", [("read", {"filePath": "/a b", "offset": 5})]),
    "two calls": ("", [("read", {"filePath": "/a"}), ("read", {"filePath": "/b", "limit": None})]),
    "types": ("", [("task", VALUES)]),
    "no arguments": ("", [("lsp_hover", {})]),
}


@pytest.mark.parametrize("turn", TURNS)
def test_a_call_is_read_as_it_is_rendered_and_rendered_as_it_was_read(real_templates, turn):  # noqa: F811
    """The answer that a template's history shows, parsed, gives the calls; these, sent back as agents do, its text."""
    content, calls = TURNS[turn]
    names = set().union(*FORMATS.values())
    templates = {name: text for name, text in real_templates.items() if name in names}
    user = {"role": "user", "content": "Do it."}
    # Nine letters and digits: what Mistral's own ids look like.
    assistant = {"role": "assistant", "content": content, "tool_calls": [
        {"id": f"abcdef00{i}", "type": "function", "function": {"name": n, "arguments": a}} for i, (n, a) in enumerate(calls)]}
    prompts = {n: r.get("text") for n, r in rendered(templates, [user]).items()}
    wholes = {n: r.get("text") for n, r in rendered(templates, [user, assistant], add_generation_prompt=False).items()}
    answers, prefixes = {}, {}
    for name in list(templates):
        prompt, whole = prompts[name], wholes[name]
        if len(calls) > 1 and name in FORMATS["llama3"] or content and (content not in (whole or "")):
            del templates[name]  # one call each, or no text beside calls
            continue
        assert prompt and whole, name
        # A template that writes empty reasoning into the history of what was none.
        common = len(prompt)
        while not whole.startswith(prompt[:common]):
            common -= 1
        if (tag := whole.rfind("<", 0, common)) > whole.rfind(">", 0, common):  # <think> against <tool_call>
            common = tag
            prompt += "</think>"
        answer = whole[common:]
        for end in ("<|im_end|>\n", "<|im_end|>", "</s>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>\n", "<|tool_response>",
                    "<turn|>\n", "<|endoftext|>"):
            if answer.endswith(end):
                answer = answer.removesuffix(end)
                break
        else:
            pytest.fail(f"{name}: the turn ends in {answer[-40:]!r}")
        if answer.lstrip().startswith("</think>"):
            answer = answer.lstrip().removeprefix("</think>")
            prompt += "</think>"
        answers[name] = answer.strip()
        prefixes[name] = prompt
    found = parsed(templates, prefixes, answers)
    for name, message in found.items():
        got = [(c["name"], json.loads(c["arguments"])) for c in message["tool_calls"]]
        assert got == calls or (name.startswith("google") and [(n, dict(sorted(a.items()))) for n, a in calls] ==
                                [(n, dict(sorted(a.items()))) for n, a in got]), (name, answers[name], message)
        assert message["content"] == content, (name, message)
    # As the AI SDK echoes it: compact JSON text.
    echoed = {}
    for name, message in found.items():
        echoed[name] = [user, {"role": "assistant", "content": message["content"], "tool_calls": [
            {"id": f"abcdef00{i}", "type": "function", "function": {
                "name": c["name"], "arguments": json.dumps(json.loads(c["arguments"]), separators=(",", ":"), ensure_ascii=False)}}
            for i, c in enumerate(message["tool_calls"])]}]
    again = render([job(text, echoed[name], add_generation_prompt=False) for name, text in templates.items()])
    for name, answer in zip(templates, again):
        assert answer.get("text") == wholes[name], name


def u(text):
    return {"role": "user", "content": text}


def a(text, *calls, **more):
    message = {"role": "assistant", "content": text, **more}
    if calls:
        message["tool_calls"] = [{"id": i, "type": "function", "function": {"name": n, "arguments": "{\"q\":1}"}} for i, n in calls]
    return message


def t(call_id, text):
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def s(text):
    return {"role": "system", "content": text}


# What clients send: (messages, words that must be in the prompt).
SHAPES = {
    "a history": (history(text_arguments=True), ["nested", "größe"]),
    "null content": (history(text_arguments=True, empty=None), ["nested"]),
    "two users": ([s("sys-1"), u("user-1"), u("user-2")], ["sys-1", "user-1", "user-2"]),
    "two assistants": ([u("user-1"), a("said-1"), a("said-2"), u("user-2")], ["user-1", "said-1", "said-2", "user-2"]),
    "system in the middle": ([s("sys-1"), u("user-1"), a("said-1"), s("sys-2"), u("user-2")], ["sys-1", "sys-2", "user-2"]),
    "system at the end": ([u("user-1"), a("said-1"), u("user-2"), s("sys-2")], ["user-2", "sys-2"]),
    "two systems": ([s("sys-1"), s("sys-2"), u("user-1")], ["sys-1", "sys-2", "user-1"]),
    "system alone": ([s("sys-1")], ["sys-1"]),
    "no user": ([s("sys-1"), a("said-1"), u("user-1")], ["sys-1", "said-1", "user-1"]),
    "no user at all": ([s("sys-1"), a("", ("toolu_1", "bash")), t("toolu_1", "result-1")], ["sys-1", "result-1"]),
    "user after a result": ([u("user-1"), a("", ("toolu_1", "bash")), t("toolu_1", "result-1"), u("user-2")],
                            ["user-1", "result-1", "user-2"]),
    "calls one after the other": ([u("user-1"), a("", ("toolu_1", "bash")), t("toolu_1", "result-1"),
                                   a("", ("toolu_2", "read")), t("toolu_2", "result-2"), a("said-1"), u("user-2")],
                                  ["result-1", "result-2", "said-1", "user-2"]),
    "several calls": ([u("user-1"), a("", ("toolu_1", "bash"), ("toolu_2", "read")), t("toolu_2", "result-2"),
                       t("toolu_1", "result-1")], ["result-1", "result-2"]),
    "a result without its call": ([u("user-1"), t("toolu_9", "result-9"), u("user-2")], ["result-9", "user-2"]),
    "a call without its result": ([u("user-1"), a("", ("toolu_1", "bash")), u("user-2")], ["user-1", "user-2"]),
    "thoughts": ([u("user-1"), a("", ("toolu_1", "bash"), reasoning_content="thought-1"), t("toolu_1", "result-1")], ["result-1"]),
    "empty user": ([s("sys-1"), u("")], ["sys-1"]),
    "parts": ([{"role": r, "content": [{"type": "text", "text": f"{r}-1"}, {"type": "text", "text": f"{r}-2"}]}
               for r in ("system", "user", "assistant", "user")], ["system-1", "system-2", "user-2", "assistant-1", "assistant-2"]),
    "a result in parts": ([u("user-1"), a("", ("toolu_1", "bash")),
                           {"role": "tool", "tool_call_id": "toolu_1", "content": [{"type": "text", "text": "result-1"}]}], ["result-1"]),
    "an assistant last": ([u("user-1"), a("said-1")], ["user-1", "said-1"]),
    "a call last": ([u("user-1"), a("said-1", ("toolu_1", "bash"))], ["user-1"]),
    "thoughts of earlier turns": ([u("user-1"), a("said-1", reasoning_content="thought-1"), u("user-2"),
                                   a("", ("toolu_1", "bash"), reasoning_content="thought-2"), t("toolu_1", "result-1"), u("user-3")],
                                  ["user-1", "said-1", "user-2", "result-1", "user-3"]),
    "compaction": ([s("sys-1"), u("summary-1"), a("said-1"), u("user-2"), s("sys-2"), u("user-3"), u("user-4")],
                   ["sys-1", "summary-1", "said-1", "sys-2", "user-3", "user-4"]),
}


# It wants variables of its own (functions, datetime) and refuses every conversation without them.
NOT_FOR_US = {"fireworks-ai-llama-3-firefunction-v2"}


@pytest.mark.parametrize("tools", ["tools", "no tools"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_renders(real_templates, shape, tools):  # noqa: F811
    messages, words = SHAPES[shape]
    refused, lost = {}, {}
    for name, answer in rendered(real_templates, copy.deepcopy(messages), tools=TOOLS if tools == "tools" else None).items():
        if name in NOT_FOR_US:
            continue
        if "error" in answer:
            refused[name] = answer["error"]
        elif missing := [w for w in words if w not in answer["text"]]:
            lost[name] = missing
    assert refused == {}
    assert lost == {}
