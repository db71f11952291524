"""The fixture `scripted`: a moraine whose model says what a scenario has written; see docs/testing.md. A test imports
`coder` beside it, its model."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import BUILD, ROOT, Server, free_port, wait_until_ready
from fetching import tokenizer_json

PROGRAM = BUILD / "tests/agents/moraine_scripted"
TEMPLATE = ROOT / "tests/chat/templates/xml_tools.jinja"
CONTEXT = 131072


@dataclass
class Scripted(Server):
    report: Path | None = None
    pid: int = 0

    def reports(self):
        return [json.loads(line) for line in self.report.read_text().splitlines()] if self.report.exists() else []


@pytest.fixture(scope="session")
def coder(tmp_path_factory):
    """A random qwen3next with Qwen3's vocabulary and a template in Qwen3-Coder's manner."""
    path = tmp_path_factory.mktemp("model") / "coder.gguf"
    subprocess.run([sys.executable, ROOT / "tools/make_models.py", "--arch", "qwen3next", "--ctx", str(CONTEXT),
                    "--tokenizer", tokenizer_json("qwen3"), "--chat-template", TEMPLATE, "--out", path],
                   check=True, stdout=subprocess.DEVNULL)
    return path


@pytest.fixture
def scripted(coder, tmp_path):
    """A function that starts the server with a scenario's text: scripted(text, "--api-key", "x") -> Scripted."""
    if not PROGRAM.exists():
        pytest.fail(f"{PROGRAM} is not there; run `make build-all`.", pytrace=False)
    running = []

    def start(scenario, *arguments, env=None):
        folder = tmp_path / f"server-{len(running)}"
        folder.mkdir()
        (folder / "scenario.txt").write_text(scenario)
        port = free_port()
        server = Scripted(f"http://127.0.0.1:{port}", folder / "log.txt", folder / "report.jsonl")
        with server.log.open("w") as out:
            process = subprocess.Popen(
                [PROGRAM, folder / "scenario.txt", server.report, "serve", coder, "--host", "127.0.0.1", "--port",
                 str(port), "-c", str(CONTEXT), "--alias", "coder", *arguments],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                env={**{k: v for k, v in os.environ.items() if not k.startswith(("MORAINE_", "LLAMA_ARG_"))},
                     "MORAINE_CACHE_DISK": "off", "MORAINE_USAGE_FILE": "off", **(env or {})})
        running.append(process)
        server.pid = process.pid
        wait_until_ready(server, process)
        return server

    yield start
    for process in running:
        process.terminate()
    for process in running:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
