"""Fixtures that the tests of the running program share.

`server` is a moraine that serves the default model, started once for the whole run. To test another one
(a second build, the fake engine of tests/api/fake_server.cpp, a machine elsewhere):

    MORAINE_TEST_URL=http://127.0.0.1:8081 .venv/bin/python -m pytest tests/api tests/sdk
"""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("MORAINE_CACHE_DISK", "off")  # tests begin cold, and leave nothing with the user
os.environ.setdefault("MORAINE_USAGE_FILE", "off")
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # behind a script's &; programs under test would ignore it too
    signal.signal(signal.SIGINT, signal.SIG_DFL)
BUILD = Path(os.environ.get("MORAINE_BUILD_DIR", ROOT / "build"))
PROGRAM = BUILD / "moraine"
MODEL = ROOT / "models" / "smollm2-135m-instruct-q4_1.gguf"
START_TIMEOUT_S = 120


@dataclass
class Server:
    url: str  # without a slash at its end
    log: Path | None = None  # what the program wrote; None for one that we did not start

    def get_json(self, path):
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_ready(server, process=None):
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"The program ended with {process.returncode}:\n{server.log.read_text()}")
        try:
            server.get_json("/health")
            return
        except (urllib.error.URLError, ConnectionError):  # not listening, or 503 while it loads
            time.sleep(0.1)
    log = server.log.read_text() if server.log else ""
    raise RuntimeError(f"{server.url} was not ready after {START_TIMEOUT_S} s.\n{log}")


@pytest.fixture(scope="session")
def start_server(tmp_path_factory):
    """A function that starts the program: start_server("--alias", "x") -> Server.

    A request that names no seed draws the same answer in each run: a test fails for what changed, not by luck.
    """
    running = []

    def start(*arguments, model=MODEL):
        for needed, remedy in ((PROGRAM, "make build"), (model, "make model")):
            if not needed.exists():
                pytest.fail(f"{needed} is not there; run `{remedy}`.", pytrace=False)
        port = free_port()
        log = tmp_path_factory.mktemp("server") / "log.txt"
        with log.open("w") as out:
            process = subprocess.Popen(
                [PROGRAM, "serve", "-m", model, "--host", "127.0.0.1", "--port", str(port), "--seed", "1", *arguments],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        running.append(process)
        server = Server(f"http://127.0.0.1:{port}", log)
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


@pytest.fixture(scope="session")
def server(start_server):
    """A server with the default model, shared by all tests that leave it as it was."""
    url = os.environ.get("MORAINE_TEST_URL")
    if url:
        there = Server(url.rstrip("/"))
        wait_until_ready(there)
        return there
    return start_server("-c", "2048")
