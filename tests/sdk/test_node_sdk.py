"""The official OpenAI SDK for Node against the running server; the calls are in node_calls.mjs."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from fetching import tool

FOLDER = Path(__file__).parent
SCRIPT = FOLDER / "node_calls.mjs"
CALLS = re.findall(r"^  async (\w+)\(\)", SCRIPT.read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def results(server):
    lock, installed = FOLDER / "package-lock.json", FOLDER / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run([tool("npm"), "ci", "--no-audit", "--no-fund"], cwd=FOLDER, check=True, timeout=300)
        installed.touch()
    run = subprocess.run([tool("node"), SCRIPT, server.url], cwd=FOLDER, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("call", CALLS)
def test_node_call(results, call):
    if results[call] is not None:
        pytest.fail(results[call], pytrace=False)


def test_calls_were_found():
    assert "chat_stream" in CALLS and len(CALLS) >= 10
