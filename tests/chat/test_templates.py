"""Every template with every context: our rendering against Python's jinja2, byte for byte."""
import hashlib
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from agent_contexts import AGENT_CONTEXTS, AGENT_TOOLS, history
from contexts import CONTEXTS, SAME
from reference import Reference

ROOT = Path(__file__).resolve().parents[2]
NOW = 1_753_950_000  # 31 July 2025, 08:20:00 UTC
# A source package that carries the templates of some seventy real models, for its own tests.
PACKAGE = "llama-cpp-python==0.3.36"
CACHE = ROOT / ".cache/chat-templates"


def jobs_of(template, mend=False):
    for name, (messages, tools, variables, add_generation_prompt) in (CONTEXTS | AGENT_CONTEXTS).items():
        yield name, {
            "template": template, "bos_token": "<s>", "eos_token": "</s>", "messages": messages, "tools": tools,
            "variables": variables, "add_generation_prompt": add_generation_prompt, "now": NOW, "mend": mend,
        }


def render(jobs):
    build = Path(os.environ.get("MORAINE_BUILD_DIR", ROOT / "build"))
    done = subprocess.run([build / "tests/chat/moraine_render"], input=json.dumps(jobs).encode(),
                          stdout=subprocess.PIPE, timeout=600)
    assert done.returncode == 0, f"moraine_render ended with {done.returncode}"
    return json.loads(done.stdout)


def difference(ours, expected):
    """None, or what differs, in a line."""
    if "text" in expected and "text" in ours:
        a, b = ours["text"], expected["text"]
        if a == b:
            return None
        at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
        return f"at {at}: ours {a[max(0, at - 30):at + 40]!r}, Python {b[max(0, at - 30):at + 40]!r}"
    if "text" in expected:
        return f"only ours fails: {ours['error']}"
    if "text" in ours:
        return f"only Python fails: {expected['error'][:150]}"
    if expected["raised"] and expected["error"].split(": ", 1)[1].rstrip(".!") not in ours["error"]:
        return f"other words: ours {ours['error']!r}, Python {expected['error']!r}"
    return None


def compare(templates):
    """({(template, context): what differs}, number of pairs, number of those that both refuse)."""
    names, jobs = [], []
    for template, text in templates.items():
        for context, job in jobs_of(text):
            names.append((template, context))
            jobs.append(job)
    reference = Reference(NOW)
    differences, refused = {}, 0
    for name, job, ours in zip(names, jobs, render(jobs), strict=True):
        expected = reference.render(job)
        refused += "error" in expected
        if (found := difference(ours, expected)) is not None:
            differences[name] = found
    return differences, len(jobs), refused


def test_own_templates():
    templates = {path.stem: path.read_text() for path in sorted((Path(__file__).parent / "templates").glob("*.jinja"))}
    assert len(templates) >= 7
    differences, pairs, refused = compare(templates)
    assert refused < pairs / 2
    assert differences == {}


@pytest.mark.parametrize("file", ["smollm2-135m-instruct-q4_1.gguf"])
def test_template_of_a_model_file(file):
    path = ROOT / "models" / file
    if not path.exists():
        pytest.skip(f"models/{file} is not there; `make model` fetches it")
    gguf = pytest.importorskip("gguf")
    field = gguf.GGUFReader(path).get_field("tokenizer.chat_template")
    differences, pairs, _ = compare({file: field.contents()})
    assert differences == {}
    assert pairs == len(CONTEXTS) + len(AGENT_CONTEXTS)


@pytest.fixture(scope="session")
def real_templates():
    """{name: text}, fetched once by package name; skipped where there is no index to fetch from."""
    if not list(CACHE.glob("*.jinja")):
        packages = ROOT / ".cache/packages"
        packages.mkdir(parents=True, exist_ok=True)
        done = subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:",
                               "-d", packages, PACKAGE], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        archives = list(packages.glob("llama_cpp_python-*.tar.gz"))
        if done.returncode != 0 or not archives:
            pytest.skip(f"{PACKAGE} could not be fetched: {done.stderr.strip()[-300:]}")
        CACHE.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archives[0]) as archive:
            for member in archive:
                if "/models/templates/" in member.name and member.name.endswith(".jinja"):
                    (CACHE / Path(member.name).name).write_bytes(archive.extractfile(member).read())
        archives[0].unlink()
    return {path.stem: path.read_text() for path in sorted(CACHE.glob("*.jinja"))}


# Where Python's text is an accident nobody wants: `|safe` makes a Markup, and Markup + str escapes HTML.
MARKUP_QUIRK = {"meetkai-functionary-medium-v3.1"}


@pytest.mark.slow
def test_real_templates(real_templates):
    assert len(real_templates) >= 60
    differences, pairs, refused = compare(real_templates)
    # Ours goes on where Python meets None or a generator in a template written for other engines.
    only_python_fails = {name for name, found in differences.items() if found.startswith("only Python fails")}
    print(f"{len(real_templates)} templates, {pairs} pairs: {pairs - len(differences)} equal, "
          f"{len(only_python_fails)} that only Python fails on; Python refuses {refused} in all")
    unexpected = {name: found for name, found in differences.items()
                  if name not in only_python_fails and name[0] not in MARKUP_QUIRK}
    assert unexpected == {}
    assert len(differences) < pairs / 20


@pytest.mark.slow
def test_mended_messages(real_templates):
    """What a template renders as it is, it renders mended; most of what it refuses as it is, it takes then."""
    names, plain, mended = [], [], []
    for template, text in real_templates.items():
        for (context, job), (_, job_mended) in zip(jobs_of(text), jobs_of(text, mend=True)):
            names.append((template, context))
            plain.append(job)
            mended.append(job_mended)
    plain, mended = render(plain), render(mended)
    worse = {name: b["error"] for name, a, b in zip(names, plain, mended) if "text" in a and "error" in b}
    assert worse == {}
    print(f"refused plain: {sum('error' in a for a in plain)}, mended: {sum('error' in b for b in mended)}")


# Templates that tell the shapes apart, and are right about what they do with each.
TELLS_APART = {
    "null content": {"deepseek-ai-DeepSeek-R1-Distill-Qwen-32B"},  # null: a call; "": an answer, and a call
    "no content": {"deepseek-ai-DeepSeek-R1-Distill-Qwen-32B"},
    "text parts": {"Reka-Edge", "ibm-granite-granite-4.0", "ibm-granite-granite-4.1"},  # joined by space, by line
}


@pytest.mark.slow
@pytest.mark.parametrize("shape", SAME)
def test_shapes_that_mean_the_same(real_templates, shape):
    """Content and arguments in another shape give the same prompt."""
    one, other, tools = SAME[shape]
    base = {"bos_token": "<s>", "eos_token": "</s>", "tools": tools, "variables": None, "add_generation_prompt": True,
            "now": NOW, "mend": True}
    a, b = (render([{**base, "template": text, "messages": messages} for text in real_templates.values()])
            for messages in (one, other))
    different = {name: difference(x, {**y, "raised": False}) for name, x, y in zip(real_templates, a, b)
                 if x != y and name not in TELLS_APART.get(shape, ())}
    assert different == {}


@pytest.mark.slow
def test_agents_history_as_it_is_sent(real_templates):
    """Qwen's coding models: arguments as JSON text, content empty or null, render as Python renders the object."""
    templates = {name: text for name, text in real_templates.items() if name.startswith("Qwen3")}
    assert "Qwen3-Coder" in templates
    base = {"bos_token": "", "eos_token": "<|im_end|>", "tools": AGENT_TOOLS, "variables": None, "add_generation_prompt": True,
            "now": NOW, "mend": True}
    reference = Reference(NOW)
    for name, text in templates.items():
        expected = reference.render({**base, "template": text, "messages": history()})
        assert "text" in expected, (name, expected)
        sent = [history(text_arguments, empty) for text_arguments in (False, True) for empty in ("", None)]
        for ours in render([{**base, "template": text, "messages": messages} for messages in sent]):
            assert difference(ours, expected) is None, name
