"""Real coding agents on a repository with a failing test, and a model that speaks by a scenario.

A test starts `scripted` (scripted.py) with the client's scenario, sets the client up with `moraine connect` or
starts it with `moraine launch`, and looks at what became of the repository, at the calls the client made, and at
what the engine reported of each generation.
"""

import json
import os
import re
import signal
import stat
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from conftest import PROGRAM
from fetching import npm_package, tool

FOLDER = Path(__file__).parent
TASK = "The tests fail. Make them pass."
THOUGHT = "One step after the other."
THINKING_TEMPLATE = FOLDER.parent / "chat/templates/thinking_tools.jinja"
CLIENT_TIMEOUT_S = 240

BROKEN = '''\
def median(values):
    """The middle value, or the mean of the two in the middle."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2]
'''
MENDED = '''\
def median(values):
    """The middle value, or the mean of the two in the middle."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2 == 0:
        return (ordered[middle - 1] + ordered[middle]) / 2
    return ordered[middle]
'''
TESTS = '''\
import unittest

from stats import median


class Median(unittest.TestCase):
    def test_odd(self):
        self.assertEqual(median([3, 1, 2]), 2)

    def test_even(self):
        self.assertEqual(median([4, 1, 3, 2]), 2.5)

    def test_none(self):
        self.assertRaises(ValueError, median, [])
'''
# The rules of a scenario in the order in which the work goes through them: read, edit, test, see it fail, edit,
# test, finish.
COURSE = ["asked", "read", "edited", "failed", "edited", "passed"]
N_CALLS = 6  # two files are read in one reply


@dataclass
class Call:
    tool: str
    failed: bool


@dataclass
class Run:
    code: int
    text: str  # the client's last words
    calls: list = field(default_factory=list)
    output: str = ""  # all it wrote, for messages


def lines_of_json(text):
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                yield json.loads(line)
            except ValueError:
                pass


class Client:
    """One client: where its program comes from, how it is run without a terminal, how its events are read."""

    name = package = program = ""  # program: within the package's folder
    arguments = ()  # before the task
    environment = {}

    def install(self):
        """A folder with the program under the name people type."""
        if sys.platform != "linux" or os.uname().machine != "x86_64":
            pytest.skip(f"{self.package} is pinned for Linux on x86-64")
        program = npm_package(self.package) / self.program
        folder = program.parents[0] / "moraine-path"
        folder.mkdir(exist_ok=True)
        link = folder / self.name
        if not link.exists():
            if program.suffix == ".js":
                link.write_text(f'#!/bin/sh\nexec "{tool("node")}" "{program}" "$@"\n')
                link.chmod(0o755)
            else:
                program.chmod(program.stat().st_mode | stat.S_IXUSR)
                link.symlink_to(program)
        return folder

    def read(self, events):
        """(last text, calls) from the events it prints."""
        raise NotImplementedError


class OpenCode(Client):
    name, package, program = "opencode", "opencode-linux-x64@1.18.33", "bin/opencode"
    arguments = ("run", "--format", "json")
    environment = {"OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1",
                   "OPENCODE_DISABLE_LSP_DOWNLOAD": "1"}

    def read(self, events):
        text, calls = "", []
        for event in events:
            part = event.get("part", {})
            if event["type"] == "text":
                text = part["text"]
            elif event["type"] == "tool_use":
                calls.append(Call(part["tool"], part["tool"] == "invalid" or part["state"]["status"] != "completed"))
            elif event["type"] == "error":
                calls.append(Call(f"error {event}", True))
        return text, calls


class Codex(Client):
    name, package = "codex", "@openai/codex@0.169.0-linux-x64"
    program = "vendor/x86_64-unknown-linux-musl/bin/codex"
    arguments = ("exec", "--json", "--dangerously-bypass-approvals-and-sandbox")

    def read(self, events):
        text, calls = "", []
        for event in events:
            item = event.get("item", {})
            if event["type"] == "item.completed" and item["type"] == "agent_message":
                text = item["text"]
            elif event["type"] == "item.completed" and item["type"] in ("command_execution", "file_change", "mcp_tool_call"):
                # A command that ends with another code than 0 was called well.
                calls.append(Call(item["type"], item.get("status") not in ("completed", "failed")))
            elif event["type"] in ("error", "turn.failed"):
                calls.append(Call(f"error {event}", True))
        return text, calls


class StreamJson(Client):
    """The events that Claude Code and Qwen Code print alike."""

    def read(self, events):
        text, calls, names = "", [], {}
        for event in events:
            if event["type"] == "result":
                text = event.get("result", "")
            if event["type"] not in ("assistant", "user"):
                continue
            content = event["message"]["content"]
            for part in content if isinstance(content, list) else []:
                if part["type"] == "tool_use":
                    names[part["id"]] = part["name"]
                elif part["type"] == "tool_result":
                    calls.append(Call(names.get(part["tool_use_id"], "?"), bool(part.get("is_error"))))
        return text, calls


class Claude(StreamJson):
    name, package, program = "claude", "@anthropic-ai/claude-code-linux-x64@2.1.330", "claude"
    arguments = ("-p", "--permission-mode", "bypassPermissions", "--output-format", "stream-json", "--verbose")
    # IS_SANDBOX: it may do what it likes here, as root too.
    environment = {"DISABLE_TELEMETRY": "1", "DISABLE_AUTOUPDATER": "1", "IS_SANDBOX": "1"}


class Qwen(StreamJson):
    name, package, program = "qwen", "@qwen-code/qwen-code@0.24.4", "cli.js"
    arguments = ("--yolo", "--output-format", "stream-json", "-p")


OPENCODE, CODEX, CLAUDE, QWEN = OpenCode(), Codex(), Claude(), Qwen()


def environment_for(client, home, repository):
    foreign = ("ANTHROPIC_", "CLAUDE", "CODEX_", "OPENAI_", "OPENCODE_", "QWEN_", "XDG_", "MORAINE_", "LLAMA_ARG_")
    return {**{k: v for k, v in os.environ.items() if not k.startswith(foreign)}, **client.environment,
            "HOME": str(home), "PWD": str(repository), "PATH": f"{client.install()}:{os.environ['PATH']}"}


def make_repository(folder):
    folder.mkdir()
    (folder / "stats.py").write_text(BROKEN)
    (folder / "test_stats.py").write_text(TESTS)
    # What Python and the clients leave beside.
    (folder / ".gitignore").write_text("__pycache__/\n.claude/\n.qwen/\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "A median"]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *command], cwd=folder, check=True,
                       env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull})  # not the user's hooks and signatures
    return folder


def scenario_of(client, repository, thinking):
    text = (FOLDER / "scenarios" / f"{client.name}.txt").read_text().replace("{repo}", str(repository))
    # The prompt of such a model has begun the thought already.
    return re.sub("^(>>> .*\n)", rf"\1{THOUGHT}\n</think>\n\n", text, flags=re.MULTILINE) if thinking else text


def run(client, repository, environment, command):
    """Runs `command` with the client's arguments and the task behind it."""
    process = subprocess.Popen([*command, *client.arguments, TASK], cwd=repository, env=environment, text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               start_new_session=True)
    late = False
    try:
        output, errors = process.communicate(timeout=CLIENT_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        late = True
        os.killpg(process.pid, signal.SIGKILL)  # what it started too
        output, errors = process.communicate()
    if late:
        pytest.fail(f"{client.name} did not finish:\n{output[-3000:]}{errors[-3000:]}", pytrace=False)
    text, calls = client.read(list(lines_of_json(output)))
    return Run(process.returncode, text, calls, output[-6000:] + errors[-3000:])


def work(client, scripted, tmp_path, how, thinking=False):
    """Lets a client that was set up by `how` ("connect", "launch") do its work, and checks all of it. Returns the
    run, the reports of its turns and those of all its requests."""
    repository = make_repository(tmp_path / "repository")
    home = tmp_path / "home"
    home.mkdir()
    environment = environment_for(client, home, repository)
    server = scripted(scenario_of(client, repository, thinking),
                      *(["--chat-template-file", THINKING_TEMPLATE] if thinking else []))
    if how == "connect":
        arguments = ["--url", server.url, "--write", "--default", *(["--global"] if client is QWEN else [])]
        subprocess.run([PROGRAM, "connect", client.name, *arguments], cwd=repository, env=environment, check=True,
                       capture_output=True)
        command = [client.name]
    else:
        command = [PROGRAM, "launch", client.name, "--url", server.url, "--"]
    result = run(client, repository, environment, command)

    reports = server.reports()
    about = f"{result.output}\n{reports}\n{server.log.read_text()[-3000:]}"
    assert result.code == 0, about
    assert (repository / "stats.py").read_text() == MENDED, about
    tests = subprocess.run([sys.executable, "-m", "unittest"], cwd=repository, capture_output=True, text=True)
    assert tests.returncode == 0, tests.stderr
    status = subprocess.run(["git", "status", "--short"], cwd=repository, capture_output=True, text=True)
    assert status.stdout.split() == ["M", "stats.py"], status.stdout
    assert result.text.startswith("All three tests pass."), about

    assert not [r for r in reports if "unmatched" in r or "error" in r], about
    assert not [r for r in reports if r["forbidden"] is not None], about
    assert all(r["finish"] == "stop" for r in reports), about
    turns = [r for r in reports if r["rule"] in COURSE]
    assert [r["rule"] for r in turns] == COURSE, about
    assert len(result.calls) == N_CALLS, about
    assert [c for c in result.calls if c.failed] == [], about
    # What was said stands in the next prompt token for token, and is not computed again.
    for before, turn in zip(turns, turns[1:]):
        assert turn["cached"] >= before["prompt"] + before["generated"] - 1, about
    return result, turns, reports


def summary(client, how, result, turns, reports):
    """One line of what it took, as docs/agents.md has it."""
    evaluated = sum(r["prompt"] - r["cached"] for r in reports)
    return (f"{client.name} by {how}: {len(turns)} turns, {len(reports)} requests, {len(result.calls)} tool calls, "
            f"{sum(c.failed for c in result.calls)} invalid, first prompt {turns[0]['prompt']} tokens, "
            f"{sum(r['prompt'] for r in reports)} prompt tokens in all, {evaluated} evaluated, "
            f"{sum(r['cached'] for r in reports)} cached")
