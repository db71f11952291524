"""`moraine bench agents`: sessions replayed against a server of our own with a tiny hybrid model, which computes nothing
twice; its errors; the script that writes the sessions."""

import json
import subprocess
import sys
import urllib.request

import pytest

from conftest import PROGRAM, ROOT, Server, free_port, wait_until_ready

LIMIT_S = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    if not PROGRAM.exists():
        pytest.fail(f"{PROGRAM} is not there; run `make build`", pytrace=False)
    path = tmp_path_factory.mktemp("agents")
    subprocess.run([sys.executable, ROOT / "tools" / "make_models.py", "--arch", "qwen3next", "--preset", "tiny",
                    "--ftype", "q4_k_m", "--out", path / "tiny.gguf"], check=True, timeout=LIMIT_S)
    subprocess.run([sys.executable, ROOT / "tools" / "agent_sessions.py", "--turns", "8", "--system-bytes", "1200", "--tools", "2",
                    "--tool-result-bytes", "200", "--max-tokens", "4", "--out", path / "sessions.jsonl"], check=True, timeout=LIMIT_S)
    return path


@pytest.fixture
def server(folder):
    port = free_port()
    log = folder / "log"
    with open(log, "w") as out:
        process = subprocess.Popen([PROGRAM, "serve", folder / "tiny.gguf", "--port", str(port), "-c", "8192", "-t", "2"],
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    server = Server(f"http://127.0.0.1:{port}", log)
    try:
        wait_until_ready(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(30)


def agents(*arguments):
    return subprocess.run([PROGRAM, "bench", "agents", *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=LIMIT_S)


def test_what_was_computed_is_not_computed_again(server, folder):
    done = agents(folder / "sessions.jsonl", "--url", server.url, "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    report = json.loads(done.stdout)
    assert report["restarts_skipped"] == 1
    lines = [json.loads(line) for line in open(folder / "sessions.jsonl")]
    restart = next(line for line in lines if line["kind"] == "restart")
    assert len(report["turns"]) == len(lines) - 1
    for turn in report["turns"]:
        if turn["cancelled"]:
            continue
        assert turn["generated"] == (16 if turn["kind"] == "title" else 4)
        assert 0 < turn["evaluated"] <= turn["prompt"]
        assert 0 <= turn["first_token_ms"] <= turn["total_ms"]
        # A hybrid model goes on from states: at the prompt's end, and before the message that was edited. At step 0
        # the title and the turn come together; after the restart, which was left out, the same prompt comes again.
        if turn["kind"] == "turn":
            assert turn["again"] <= (64 if turn["step"] in (0, restart["at"] + 1) else 0), turn
        if turn["kind"] == "edit":
            assert turn["again"] <= 300
    assert report["sums"]["all"]["requests"] == len(report["turns"])
    log = server.log.read_text()
    assert "known up to token" in log  # the edit, and the answers in other words
    with urllib.request.urlopen(server.url + "/metrics", timeout=30) as answer:
        metrics = answer.read().decode()
    cached = next(line for line in metrics.splitlines() if line.startswith("moraine:prompt_tokens_cached_total"))
    assert float(cached.split()[1]) > 5000


def test_a_restart_is_run_and_told(server, folder):
    (folder / "short.jsonl").write_text("".join(
        json.dumps(line) + "\n" for line in [
            {"at": 0, "session": "a", "kind": "turn", "body": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}},
            {"at": 1, "session": "a", "kind": "restart", "body": None},
            {"at": 2, "session": "a", "kind": "turn", "body": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}}]))
    done = agents(folder / "short.jsonl", "--url", server.url, "--restart-cmd", f"touch {folder}/restarted")
    assert done.returncode == 0, done.stderr
    assert (folder / "restarted").exists()
    assert "turn after restart" in done.stdout
    assert agents(folder / "short.jsonl", "--url", server.url, "--restart-cmd", "false").returncode == 1


@pytest.mark.parametrize("text, message", [
    ("", "holds no requests"), ("{", "line 1: it is no JSON object"), ('{"at":0}', "'session' must be a string"),
    ('{"at":1,"session":"a","kind":"restart"}\n{"at":0,"session":"a","kind":"restart"}', "line 2: its step is before"),
    ('{"at":0,"session":"a","kind":"turn"}', "'body' must be a request")])
def test_files_that_are_none(server, tmp_path, text, message):
    (tmp_path / "f.jsonl").write_text(text)
    done = agents(tmp_path / "f.jsonl", "--url", server.url)
    assert done.returncode == 1
    assert message in done.stderr


def test_servers_that_are_none(folder):
    for url, message in ((f"http://127.0.0.1:{free_port()}", "no server answers there"), ("ftp://x", "must begin with http://"),
                         ("http://", "must name a host")):
        done = agents(folder / "sessions.jsonl", "--url", url)
        assert done.returncode == 1
        assert message in done.stderr
    assert agents(folder / "none.jsonl").returncode == 1
    assert agents().returncode == 2
