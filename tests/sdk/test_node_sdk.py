"""The official SDKs for Node against the running server; the calls are in node_calls.mjs (OpenAI) and node_messages.mjs
(Anthropic)."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from fetching import tool

FOLDER = Path(__file__).parent
SCRIPTS = ["node_calls.mjs", "node_messages.mjs"]
CALLS = [(script, call) for script in SCRIPTS
         for call in re.findall(r"^  async (\w+)\(\)", (FOLDER / script).read_text(), re.MULTILINE)]


@pytest.fixture(scope="module")
def results(server):
    lock, installed = FOLDER / "package-lock.json", FOLDER / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run([tool("npm"), "ci", "--no-audit", "--no-fund"], cwd=FOLDER, check=True, timeout=300)
        installed.touch()
    found = {}
    for script in SCRIPTS:
        run = subprocess.run([tool("node"), script, server.url], cwd=FOLDER, capture_output=True, text=True, timeout=600)
        assert run.returncode == 0, run.stderr
        found[script] = json.loads(run.stdout)
    return found


@pytest.mark.parametrize("script, call", CALLS)
def test_node_call(results, script, call):
    if results[script][call] is not None:
        pytest.fail(results[script][call], pytrace=False)


def test_calls_were_found():
    assert ("node_calls.mjs", "chat_stream") in CALLS and ("node_messages.mjs", "stream") in CALLS and len(CALLS) >= 15
