"""`moraine ps`, `stop`, `logs`, `run` beside a server, and `service`: what runs on this machine, by its runtime files."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from conftest import MODEL, PROGRAM, free_port

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def home(tmp_path):
    if not MODEL.exists():
        pytest.fail("run `make model`", pytrace=False)
    (tmp_path / "run").mkdir(mode=0o700)
    return tmp_path


def environment(home, **more):
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("LLAMA_", "MORAINE_", "HF_", "XDG_"))}
    return keep | {"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run")} | more


def moraine(home, *args, **more):
    return subprocess.run([PROGRAM, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                          env=environment(home, **more), cwd=home)


def running(home):
    return json.loads(moraine(home, "ps", "--json").stdout)


@pytest.fixture
def serve(home):
    started = []

    def start(*args):
        port = free_port()
        out = (home / f"out-{port}.txt").open("w")
        process = subprocess.Popen([PROGRAM, "serve", MODEL, "--port", str(port), "-c", "1024", "--cache-disk", "off", *map(str, args)],
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment(home), cwd=home)
        started.append(process)
        deadline = time.monotonic() + 120
        while not any(m["url"].endswith(f":{port}") and m["ready"] for m in running(home)):
            assert process.poll() is None and time.monotonic() < deadline, Path(out.name).read_text()
            time.sleep(0.1)
        return process, port

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_a_server_is_seen_used_read_and_stopped(home, serve):
    assert running(home) == []
    assert "No server of yours runs" in moraine(home, "stop").stderr
    process, port = serve("--log-file", home / "log.txt")
    (m,) = running(home)
    assert m["pid"] == process.pid and m["name"] == MODEL.name and m["n_ctx"] == 1024
    assert m["model_path"] == str(MODEL.resolve()) and not m["needs_key"]
    assert os.stat(home / "run/moraine").st_mode & 0o777 == 0o700
    assert f"http://127.0.0.1:{port}" in moraine(home, "ps").stdout

    # The model is not loaded twice.
    answer = moraine(home, "run", MODEL, "Say hello.", "-n", "8", "--temp", "0")
    assert answer.returncode == 0 and "is loaded already" in answer.stderr
    own = moraine(home, "run", MODEL, "Say hello.", "-n", "8", "--temp", "0", "--own")
    assert "is loaded already" not in own.stderr
    assert own.stdout == answer.stdout and own.stdout.strip()
    assert "is loaded already" not in moraine(home, "run", MODEL, "Hi", "-n", "1", "-c", "512").stderr

    shown = moraine(home, "logs", "-n", "1").stdout
    assert shown.count("\n") == 1 and "/v1/chat/completions" in shown
    assert moraine(home, "logs", "-n", "0").stdout == ""

    done = moraine(home, "stop", port)
    assert done.returncode == 0 and "stopped" in done.stderr
    assert process.wait(10) == 0
    assert running(home) == []


def test_what_the_server_refuses_reaches_the_person(home, serve):
    serve()
    done = moraine(home, "run", MODEL, "word " * 3000)
    assert done.returncode == 1 and "context" in done.stderr


def test_two_servers(home, serve):
    first, port1 = serve("-a", "alpha")
    second, port2 = serve("-a", "beta")
    assert [m["name"] for m in running(home)] == ["alpha", "beta"]
    done = moraine(home, "stop")
    assert done.returncode == 1 and "say which" in done.stderr and "alpha" in done.stderr
    assert "writes its log to where it was started" in moraine(home, "logs", "alpha").stderr
    # Killed, it leaves its file behind, which then counts for nothing.
    second.send_signal(signal.SIGKILL)
    second.wait()
    assert [m["name"] for m in running(home)] == ["alpha"]
    assert moraine(home, "stop", "--all").returncode == 0
    assert first.wait(10) == 0 and running(home) == []


def test_a_server_with_a_key_is_not_used_unasked(home, serve):
    serve("--api-key", "secret")
    assert running(home)[0]["needs_key"]
    for file in (home / "run/moraine").iterdir():
        assert "secret" not in file.read_text()
    assert "is loaded already" not in moraine(home, "run", MODEL, "Hi", "-n", "1").stderr


@pytest.mark.parametrize("text", ["", "[]", "{}", "\0" * 100, '{"pid": 1}', '{"pid": "x", "start_ticks": -1}', "[" * 5000])
def test_runtime_files_that_are_none(home, text):
    folder = home / "run/moraine"
    folder.mkdir(mode=0o700)
    (folder / f"{os.getpid()}.json").write_text(text)
    (folder / "1.json").write_text(text)
    assert running(home) == []


def test_another_process_with_the_number_is_never_stopped(home):
    folder = home / "run/moraine"
    folder.mkdir(mode=0o700)
    victim = subprocess.Popen(["sleep", "60"])
    try:
        (folder / f"{victim.pid}.json").write_text(json.dumps({"pid": victim.pid, "start_ticks": 12345, "name": "x", "url": "http://x:1"}))
        assert moraine(home, "stop", victim.pid).returncode == 1
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


# --- service


def test_the_service_is_installed_once_and_its_options_stay(home):
    unit, options = home / ".config/systemd/user/moraine.service", home / ".config/moraine/serve.conf"
    assert moraine(home, "service", "status").returncode == 1
    assert moraine(home, "service", "install").returncode == 2  # which model?
    done = moraine(home, "service", "install", MODEL)
    assert done.returncode == 0 and "systemctl --user enable --now moraine" in done.stderr
    program = str(Path(PROGRAM).resolve())
    assert unit.read_text() == (GOLDEN / "moraine.service").read_text().replace("PROGRAM", program)
    assert f'MORAINE_MODEL="{MODEL}"' in options.read_text()
    assert options.stat().st_mode & 0o777 == 0o600
    options.write_text("MORAINE_MODEL=mine\n")
    done = moraine(home, "service", "install", MODEL)
    assert done.returncode == 0 and "stays as it is" in done.stderr
    assert options.read_text() == "MORAINE_MODEL=mine\n"
    assert "does not run" in moraine(home, "service", "status").stderr
    assert moraine(home, "service", "uninstall").returncode == 0
    assert not unit.exists() and options.exists()
    assert moraine(home, "service", "dance").returncode == 2


def test_systemd_understands_the_unit(home):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here")
    assert moraine(home, "service", "install", MODEL).returncode == 0
    done = subprocess.run(["systemd-analyze", "--user", "verify", home / ".config/systemd/user/moraine.service"], capture_output=True,
                          text=True, env=environment(home))
    assert done.returncode == 0 and done.stderr == "", done.stderr
