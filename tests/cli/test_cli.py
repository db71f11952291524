"""The program as people type it: help, errors and exit codes, each command, and the life of a server.

Uses the program of tests/conftest.py (MORAINE_BUILD_DIR) and the default model. What each option means is
tested beside the code, in apps/moraine/app_test.cpp.
"""

import contextlib
import csv
import http.client
import io
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time

import pytest

from conftest import MODEL, PROGRAM, ROOT, free_port

@pytest.fixture(autouse=True, scope="module")
def built():
    if not PROGRAM.exists():
        pytest.fail(f"{PROGRAM} is not there; run `make build`", pytrace=False)


@pytest.fixture(scope="module")
def model():
    if not MODEL.exists():
        pytest.fail("run `make model`", pytrace=False)


needs_model = pytest.mark.usefixtures("model")

LIMIT_S = 120


@pytest.fixture(autouse=True)
def no_other_servers(tmp_path, monkeypatch):
    """Servers of other tests are not found here: `run` would let them answer."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))



def moraine(*args, stdin=subprocess.DEVNULL, env=None, cwd=None, text=None):
    """Runs the program to its end; `text` goes to its standard input."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LLAMA_ARG_", "MORAINE_", "HF_"))}
    environment["HOME"] = "/nonexistent"  # where other programs' models may lie
    return subprocess.run([PROGRAM, *args], stdin=None if text is not None else stdin, input=text, capture_output=True,
                          text=True, timeout=LIMIT_S, env=environment | (env or {}), cwd=cwd)


class Running:
    """A server under test: its output is collected by wait_for()."""

    def __init__(self, *args, program=PROGRAM, env=None, ignoring=()):
        self.output = ""
        with contextlib.ExitStack() as restored:
            for number in ignoring:  # what is ignored is inherited
                restored.callback(signal.signal, number, signal.signal(number, signal.SIG_IGN))
            self.process = subprocess.Popen([program, *map(str, args)], stdin=subprocess.DEVNULL,
                                            stderr=subprocess.STDOUT, stdout=subprocess.PIPE, env=os.environ | (env or {}))

    def wait_for(self, pattern):
        deadline = time.monotonic() + LIMIT_S
        while not (found := re.search(pattern, self.output)):
            ready, _, _ = select.select([self.process.stdout], [], [], 1)
            chunk = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            assert chunk or self.process.poll() is None, f"ended with {self.process.wait()}:\n{self.output}"
            assert time.monotonic() < deadline, f"no {pattern!r} in:\n{self.output}"
            self.output += chunk.decode(errors="replace")
        return found

    def end(self):
        """Waits for the end; returns the exit code."""
        rest, _ = self.process.communicate(timeout=LIMIT_S)
        self.output += rest.decode(errors="replace")
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


# --- help, version, errors


def test_alone_it_says_what_it_is_and_what_to_type():
    done = moraine()
    assert done.returncode == 0
    assert "moraine serve MODEL" in done.stdout and "moraine run MODEL" in done.stdout


@pytest.mark.parametrize("args", [["--help"], ["-h"], ["help"]])
def test_help(args):
    done = moraine(*args)
    assert done.returncode == 0
    for command in ("serve", "run", "bench", "inspect"):
        assert re.search(rf"^  {command} ", done.stdout, re.M)


@pytest.mark.parametrize("command", ["serve", "run", "chat", "bench", "inspect"])
def test_help_of_commands(command):
    done = moraine(command, "--help")
    assert done.returncode == 0
    assert "--model FILE" in done.stdout
    assert done.stdout == moraine("help", command).stdout
    assert "\x1b" not in done.stdout  # not a terminal
    assert max(map(len, done.stdout.splitlines())) <= 110


def words_with_help():
    """Everything that can be typed behind `moraine`: commands as its help lists them, and what their usage names."""
    commands = moraine("help").stdout.partition("\nCommands\n")[2].partition("\n\n")[0]
    listed = re.findall(r"^  ([a-z-]+(?: [a-z-]+)?)  ", commands, re.M)
    assert {"serve", "bench", "bench ops", "bench speculation"} <= set(listed)
    for command in listed + ["chat", "version", "completions", "man", "options"]:
        yield command.split(), command
        usage = moraine("help", *command.split()).stdout.splitlines()[0].removeprefix(f"moraine {command}")
        for word in re.findall(r"(?<![\w.-])[a-z][a-z-]*(?![\w.])", usage):
            if word not in ("options", "arguments"):  # these stand for others
                yield [*command.split(), word], command


def test_everything_that_can_be_typed_has_help():
    nested = set()
    for words, command in words_with_help():
        if words != command.split():
            nested.add(" ".join(words))
        helps = [moraine(*words, "--help"), moraine(*words, "-h"), moraine("help", *words), moraine("--help", *words)]
        for done in helps:
            assert done.returncode == 0 and done.stderr == "", done.args
            assert done.stdout == helps[0].stdout and done.stdout.startswith(f"moraine {command}"), done.args
            assert max(map(len, done.stdout.splitlines())) <= 110, done.args
    assert {"service install", "epic plan", "epic escalate", "cache clear", "completions bash"} <= nested


def test_help_helps_whatever_else_is_wrong():
    page = moraine("help", "serve").stdout
    assert moraine("serve", "--help", env={"LLAMA_ARG_PORT": "http"}).stdout == page  # else nothing says what it takes
    for words in (["--help", "--port", "http"], ["--port", "http", "-h"], ["--prot", "80", "--help"]):
        assert moraine("serve", *words).stdout == page
    assert moraine("serve", "--prot", "80", "--", "--help").returncode == 2  # a name, for all that is known
    for words in (["help", "help"], ["help", "--help"], ["--help", "-h"], ["help", "--version"]):
        assert moraine(*words).stdout == moraine("help").stdout


def test_version():
    done = moraine("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"moraine \d+\.\d+\.\d+( \([0-9a-f]+\))?\n", done.stdout)
    verbose = moraine("--version", "--verbose").stdout
    assert verbose.startswith(done.stdout)
    for word in ("compiler", "kernels", "scalar", "llama", "Boost", "OpenSSL", "minijinja"):
        assert word in verbose


@pytest.mark.parametrize("args, words", [
    (["sevre"], ["unknown command sevre", "did you mean serve?"]),
    (["--port", "80"], ["options follow a command", "moraine serve --port"]),
    (["model.gguf"], ["moraine run model.gguf"]),
    (["serve", "--ubtach-size", "5"], ["unknown option --ubtach-size; did you mean --ubatch-size?", "moraine serve --help"]),
    (["serve", "--port", "http", "x.gguf"], ["--port must be a whole number from 0 to 65535"]),
    (["serve", "-c"], ["-c needs a value"]),
    (["serve"], ["no model was named"]),
    (["serve", "-hf", "model"], ["-hf takes USER/REPO[:QUANT]"]),
    (["serve", "x.gguf", "-hfd", "model"], ["-hfd takes USER/REPO[:QUANT]"]),
    (["serve", "x.gguf", "--spec-type", "draft"], ["needs a draft model", "-md FILE"]),
    (["serve", "a.gguf", "b.gguf"], ["unexpected argument b.gguf", "a.gguf is it"]),
    (["bench", "-o", "yaml", "x.gguf"], ["-o must be one of"]),
])
def test_a_command_line_that_cannot_be_meant(args, words, tmp_path):
    done = moraine(*args, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr
    assert len(done.stderr.splitlines()) <= 2  # never the whole help


def test_a_missing_file_names_what_is_near(tmp_path):
    (tmp_path / "qwen3-1.7b-q8_0.gguf").touch()
    for command in ("serve", "run", "bench", "inspect"):
        done = moraine(command, "qwen3-1.7b-q4_0.gguf", cwd=tmp_path)
        assert done.returncode == 1
        assert "There is no file qwen3-1.7b-q4_0.gguf. Did you mean qwen3-1.7b-q8_0.gguf?" in done.stderr
    assert "is a folder; name the file" in moraine("serve", ".", cwd=tmp_path).stderr


def test_what_is_no_model_says_so(tmp_path):
    page = tmp_path / "page.gguf"
    page.write_text("<!DOCTYPE html><html></html>")
    for command, *more in (["serve", "--port=0"], ["run", "-p", "Hi"], ["bench"], ["inspect"]):
        done = moraine(command, page, *more)
        assert done.returncode == 1, command
        assert "page.gguf" in done.stderr


def test_environment_names_are_in_errors():
    done = moraine("serve", "x.gguf", env={"LLAMA_ARG_PORT": "http"})
    assert done.returncode == 2
    assert "LLAMA_ARG_PORT must be a whole number" in done.stderr


# --- inspect, bench, run


@needs_model
def test_inspect():
    done = moraine("inspect", MODEL)
    assert done.returncode == 0
    assert "general.architecture" in done.stdout and "It fits" in done.stdout


@needs_model
def test_inspect_json():
    report = json.loads(moraine("inspect", "-m", MODEL, "--json", "-c", "1024").stdout)
    assert report["architecture"] == "llama"
    assert report["metadata"]["llama.block_count"] == 30
    assert report["metadata"]["tokenizer.ggml.tokens"]["length"] == 49152
    assert sum(t["tensors"] for t in report["tensor_types"].values()) == len(report["tensors"])
    assert sum(t["bytes"] for t in report["tensors"]) < report["size_bytes"] == MODEL.stat().st_size
    memory = report["memory"]
    assert memory["n_ctx"] == 1024
    assert memory["total"] == sum(memory[k] for k in ("weights", "kv", "scratch", "other"))


@needs_model
def test_inspect_tells_of_the_tokenizer_and_the_template():
    text = moraine("inspect", MODEL).stdout
    assert 'byte-level BPE (gpt2), words of "smollm"' in text
    assert re.search(r"end of answer +0 <\|endoftext\|>, 2 <\|im_end\|>", text)
    assert re.search(r"Chat template\n  knows system messages\n", text)
    report = json.loads(moraine("inspect", MODEL, "--json").stdout)
    tokenizer = report["tokenizer"]
    assert (tokenizer["model"], tokenizer["pre"], tokenizer["n_tokens"]) == ("gpt2", "smollm", 49152)
    assert tokenizer["eos"] == {"id": 2, "text": "<|im_end|>"} and tokenizer["add_bos"] is False
    assert [0, 2] == [t["id"] for t in tokenizer["end_of_generation"]][:2]
    assert report["chat_template"]["names"] == ["default"] and report["chat_template"]["tools"] is False


def test_inspect_of_templates(tmp_path):
    def inspect(name, template):
        (tmp_path / "t.jinja").write_text(template)
        model = tmp_path / f"{name}.gguf"
        subprocess.run([sys.executable, ROOT / "tools/make_models.py", "--arch", "llama", "--preset", "tiny", "--meta-only",
                        "--chat-template", tmp_path / "t.jinja", "--out", model], check=True, stdout=subprocess.DEVNULL)
        return moraine("inspect", model).stdout, json.loads(moraine("inspect", model, "--json").stdout)["chat_template"]

    text, report = inspect("tools", (ROOT / "tests/chat/templates/xml_tools.jinja").read_text())
    assert re.search("^  knows system messages, tools", text, re.M)
    assert report["tools"] and report["tool_calls"] and report["tool_results"]
    text, report = inspect("broken", "{% for m in messages %}\n{{ m.content }}\n{% endif %}")
    assert "cannot be compiled" in text and "cannot be compiled" in report["problem"]


def test_inspect_of_an_architecture_that_does_not_run(tmp_path):
    # Magic, version 3, no tensors, one pair: general.architecture = "nonesuch".
    def text(s):
        return len(s).to_bytes(8, "little") + s.encode()
    file = tmp_path / "x.gguf"
    file.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + (0).to_bytes(8, "little") + (1).to_bytes(8, "little") +
                     text("general.architecture") + (8).to_bytes(4, "little") + text("nonesuch"))
    done = moraine("inspect", file)
    assert done.returncode == 0
    assert '"nonesuch"' in done.stdout and "It does not run here" in done.stdout and "llama" in done.stdout
    assert "nonesuch" in json.loads(moraine("inspect", file, "--json").stdout)["problem"]


@needs_model
def test_bench_json_has_llama_benchs_fields():
    done = moraine("bench", MODEL, "-p", "32", "-n", "4", "-t", "2", "-r", "2", "-o", "json")
    assert done.returncode == 0, done.stderr
    prompt, answer = json.loads(done.stdout)
    assert (prompt["n_prompt"], prompt["n_gen"], answer["n_prompt"], answer["n_gen"]) == (32, 0, 0, 4)
    for record in (prompt, answer):
        assert record["n_threads"] == 2
        assert record["model_type"] == "llama 135M Q4_1"
        assert len(record["samples_ns"]) == len(record["samples_ts"]) == 2
        n = record["n_prompt"] + record["n_gen"]
        for ns, ts in zip(record["samples_ns"], record["samples_ts"]):
            assert ts == pytest.approx(n * 1e9 / ns, rel=1e-3)
        assert record["avg_ts"] == pytest.approx(sum(record["samples_ts"]) / 2, rel=1e-3)


@needs_model
def test_bench_at_a_depth_computes_only_what_is_measured():
    done = moraine("bench", MODEL, "-p", "16", "-n", "2", "-d", "0,300", "-r", "1", "-o", "json")
    assert done.returncode == 0, done.stderr  # it fails where the depth's tokens do not come from the cache
    assert [(r["n_depth"], r["n_prompt"], r["n_gen"]) for r in json.loads(done.stdout)] == [
        (0, 16, 0), (0, 0, 2), (300, 16, 0), (300, 0, 2)]


@needs_model
def test_bench_tables():
    arguments = ("bench", MODEL, "-p", "16", "-n", "2", "-r", "1", "--no-warmup")
    table = moraine(*arguments).stdout
    assert re.search(r"^\| model .*\| backend .*\| threads \| +test \| +t/s \|$", table, re.M)
    assert re.search(r"\| +pp16 \| +[\d.]+ ± [\d.]+ \|", table) and "tg2" in table
    rows = list(csv.DictReader(io.StringIO(moraine(*arguments, "-o", "csv").stdout)))
    assert [r["n_gen"] for r in rows] == ["0", "2"]
    lines = moraine(*arguments, "-o", "jsonl").stdout.splitlines()
    assert [json.loads(line)["n_prompt"] for line in lines] == [16, 0]


@needs_model
def test_run_answers_an_argument_and_standard_input_alike():
    options = ["--temp", "0", "-n", "12"]
    answers = [moraine("run", MODEL, "What is two plus two?", *options),
               moraine("run", "-m", MODEL, *options, "What is two plus two?"),
               moraine("chat", MODEL, *options, "-p", "What is two plus two?"),
               moraine("run", MODEL, *options, text="What is two plus two?"),
               moraine("run", MODEL, "-", *options, text="What is two plus two?")]
    for done in answers:
        assert done.returncode == 0, done.stderr
        assert done.stdout == answers[0].stdout
        assert done.stderr == ""  # no timings where nobody watches
    assert len(answers[0].stdout.strip()) > 10
    timed = moraine("run", MODEL, "Hi", "--timings", *options)
    assert re.search(r"\d+ tokens read in [\d.]+ s .* written", timed.stderr)


@needs_model
def test_run_errors():
    assert moraine("run", MODEL, text="").returncode == 2
    assert moraine("run", MODEL, "a", "-p", "b").returncode == 2
    overflow = moraine("run", MODEL, "-c", "256", text="word " * 1000)
    assert overflow.returncode == 1
    assert "256" in overflow.stderr
    warned = moraine("run", MODEL, "Hi", "-n", "1", "--numa", "x", "-ngl", "99")
    assert warned.returncode == 0
    assert len([line for line in warned.stderr.splitlines() if line.startswith("warning:")]) == 2


@needs_model
def test_run_says_what_became_of_a_missing_chat_template(tmp_path):
    file = tmp_path / "base.gguf"  # the key under another name is as good as gone
    file.write_bytes(MODEL.read_bytes().replace(b"tokenizer.chat_template", b"tokenizer.chat_tXmplate", 1))
    done = moraine("run", file, "Hi", "-n", "1")
    assert done.returncode == 0
    assert "warning: The model file has no chat template: ChatML is used" in done.stderr
    assert moraine("run", file, "Hi", "-n", "1", "--chat-template", "chatml").stderr == ""


@needs_model
def test_a_model_larger_than_memory_says_the_numbers():
    done = moraine("serve", MODEL, "--memory-limit", "150M", "--port", "0", "-c", "8192")
    assert done.returncode == 1
    assert "GB" in done.stderr and "-c " in done.stderr


class Terminal:
    """The program on a pseudo-terminal."""

    def __init__(self, *args, env=None):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "xterm", **(env or {})})
            os.execv(PROGRAM, [str(PROGRAM), *map(str, args)])
        self.output = ""

    def wait_for(self, pattern):
        deadline = time.monotonic() + LIMIT_S
        while not re.search(pattern, self.output):
            assert time.monotonic() < deadline, f"no {pattern!r} in:\n{self.output}"
            if select.select([self.fd], [], [], 1)[0]:
                try:
                    self.output += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:  # the program has ended
                    assert re.search(pattern, self.output), f"no {pattern!r} in:\n{self.output}"

    def send(self, text):
        self.output = ""
        os.write(self.fd, text.encode())

    def end(self):
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.output += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    break
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@needs_model
def test_a_conversation_on_a_terminal():
    # Long enough that Ctrl-C meets an answer that is still being written, on a busy machine too.
    terminal = Terminal("run", MODEL, "--temp", "0", "-n", "1000", "--ignore-eos")
    terminal.wait_for(r"> ")
    terminal.send("My name is Ada.\n")
    terminal.wait_for(r"tokens read in .* written")
    terminal.wait_for(r"> ")  # what is typed ahead of the prompt, Ctrl-C would throw away
    terminal.send("Tell me a long story.\n")
    terminal.wait_for(r"story\.\r\n[^\n]*[A-Za-z]{3}")  # the echo, then the first words
    terminal.send("\x03")
    terminal.wait_for(r"written in .*stopped")  # Ctrl-C stops the answer ...
    terminal.wait_for(r"> ")
    terminal.send("\x03")  # ... twice leaves
    assert terminal.end() == 0


@needs_model
def test_colours_on_a_terminal_alone_and_not_with_no_color():
    terminal = Terminal("run", MODEL, "Hi", "-n", "1")
    assert terminal.end() == 0
    assert "\x1b[2m" in terminal.output
    assert "\x1b[K" in terminal.output  # the live line
    plain = Terminal("run", MODEL, "Hi", "-n", "1", env={"NO_COLOR": "1"})
    assert plain.end() == 0
    assert "\x1b[2m" not in plain.output


# --- serve


def get(port, path="/health"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@needs_model
def test_serve_from_start_to_sigterm():
    with Running("serve", MODEL, "--port", "0", "-c", "2048") as server:
        port = int(server.wait_for(r"address +http://127\.0\.0\.1:(\d+)")[1])
        server.wait_for(r"try +curl .*\n")
        block = server.output[server.output.index("memory  "):]
        assert len(block.splitlines()) <= 10
        for label in ("model", "device", "context", "memory", "address", "try"):
            assert re.search(rf"^{label} ", block, re.M), block
        assert "2,048 tokens" in block and "this machine alone" in block
        assert get(port)[0] == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.end() == 0
        assert "stopped" in server.output


@needs_model
def test_the_line_of_llama_server_started_under_its_name(tmp_path):
    program = tmp_path / "llama-server"
    program.symlink_to(PROGRAM)
    port = free_port()
    line = (f"-m {MODEL} -md {MODEL} -c 4096 -fa on -ngl 999 -ngld 999 --no-mmap -b 4096 --ubatch-size 2048 "
            f"--host 0.0.0.0 --port {port}")
    with Running(*line.split(), program=program) as server:
        server.wait_for(r"try +curl .*\n")
        for words in ("with the draft model ", "Everything runs on the CPU. ",
                      "-b 4096, --ubatch-size 2048: ", "--no-mmap: ", "ANYONE", "4,096 tokens"):
            assert words in server.output
        assert get(port, "/v1/models")[1]["data"][0]["id"] == MODEL.name
        server.process.send_signal(signal.SIGINT)
        assert server.end() == 0


@needs_model
def test_a_port_in_use():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = moraine("serve", MODEL, "--port", port)
    assert done.returncode == 1
    assert port in done.stderr and "in use" in done.stderr


@needs_model
def test_a_signal_while_loading_ends_at_once():
    for _ in range(10):  # a small model may be there before the signal is
        with Running("serve", MODEL, "--port", "0") as server:
            server.wait_for(r"until the model is loaded")
            server.process.send_signal(signal.SIGTERM)
            assert server.end() == 0
            assert "stopped" in server.output
        if "stopped while loading" in server.output:
            return
    pytest.fail("the model was always loaded before the signal came")


def start_streaming(port, n_tokens):
    """An answer of n_tokens that has begun; returns its connection and response."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    body = {"prompt": "Once upon a time", "n_predict": n_tokens, "ignore_eos": True, "stream": True, "temperature": 0}
    connection.request("POST", "/completion", json.dumps(body))
    response = connection.getresponse()
    assert response.status == 200
    assert response.readline()
    return connection, response


@needs_model
def test_sigterm_lets_an_answer_finish():
    with Running("serve", MODEL, "--port", "0", "-c", "2048") as server:
        port = int(server.wait_for(r"address +http://127\.0\.0\.1:(\d+)")[1])
        connection, response = start_streaming(port, 60)
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("finishing 1 answer")
        events = [json.loads(line[6:]) for line in response.read().splitlines() if line.startswith(b"data: {")]
        assert events[-1]["stop"] and events[-1]["tokens_predicted"] == 60
        connection.close()
        assert server.end() == 0


@needs_model
def test_the_second_signal_ends_at_once_and_the_timeout_is_kept():
    with Running("serve", MODEL, "--port", "0", "-c", "8192") as server:
        port = int(server.wait_for(r"address +http://127\.0\.0\.1:(\d+)")[1])
        connection, _ = start_streaming(port, 8000)
        server.process.send_signal(signal.SIGINT)
        server.wait_for("finishing 1 answer")
        server.process.send_signal(signal.SIGINT)
        assert server.end() == -signal.SIGINT
        connection.close()
    with Running("serve", MODEL, "--port", "0", "-c", "8192", "--drain-timeout", "1") as server:
        port = int(server.wait_for(r"address +http://127\.0\.0\.1:(\d+)")[1])
        connection, _ = start_streaming(port, 8000)
        server.process.send_signal(signal.SIGINT)
        assert server.end() == 0
        assert "cut off after 1 s" in server.output
        connection.close()


@needs_model
def test_ignored_signals_stay_ignored():
    """nohup moraine serve ... outlives its terminal, a script's `moraine serve ... &` the Ctrl-C meant for the script."""
    with Running("serve", MODEL, "--port", "0", "-c", "512", ignoring=[signal.SIGHUP, signal.SIGINT]) as server:
        port = int(server.wait_for(r"address +http://127\.0\.0\.1:(\d+)")[1])
        for number in (signal.SIGHUP, signal.SIGINT):
            server.process.send_signal(number)
        connection, response = start_streaming(port, 20)
        assert b'"stop":true' in response.read()
        connection.close()
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        assert server.end() == 0


@needs_model
def test_log_lines_and_the_log_file(tmp_path):
    log = tmp_path / "log.txt"
    with Running("serve", MODEL, "--port", "0", "-c", "512", "--log-file", log, "--api-key", "sesame") as server:
        port = int(server.wait_for(r"address +http://127\.0\.0\.1:(\d+)")[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        body = json.dumps({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2})
        connection.request("POST", "/v1/chat/completions", body, {"Authorization": "Bearer sesame"})
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
        server.wait_for(r"info: /v1/chat/completions from 127\.0\.0\.1: done, prompt \d+ = .*\n")
        connection.request("POST", "/v1/chat/completions", "{}", {"Authorization": "Bearer sesame"})
        assert connection.getresponse().status == 400
        server.wait_for(r"info: POST /v1/chat/completions refused with 400: 'messages' is missing\.\n")
        server.process.send_signal(signal.SIGTERM)
        assert server.end() == 0
        assert "sesame" not in server.output
    assert "/v1/chat/completions from 127.0.0.1: done" in log.read_text()


@needs_model
def test_an_api_key_file_without_a_key_does_not_open_the_door(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("# nobody yet\n\n")
    done = moraine("serve", MODEL, "--port", "0", "--api-key-file", keys)
    assert done.returncode == 1
    assert "holds no key" in done.stderr
    assert moraine("serve", MODEL, "--port", "0", "--api-key-file", tmp_path / "none").returncode == 1


# --- files for the shell


def test_alone_it_names_the_models_that_are_here(tmp_path):
    assert "moraine doctor" in moraine(cwd=tmp_path).stdout
    (tmp_path / "some.gguf").touch()
    assert "On this disk: some; next: moraine run some\n" in moraine(cwd=tmp_path).stdout


def test_bash_completes_commands_and_options(tmp_path):
    script = moraine("completions", "bash").stdout
    (tmp_path / "c").write_text(script)

    def completed(*words):
        line = f"source {tmp_path}/c; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _moraine; echo ${{COMPREPLY[@]}}"
        return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout.split()

    assert completed("moraine", "ser") == ["serve", "service"]
    assert completed("moraine", "serve", "--ctx") == ["--ctx-size", "--ctx-size-draft"]
    assert completed("moraine", "inspect", "--port") == []
    assert completed("moraine", "bench", "--n-p") == ["--n-prompt"]
    assert completed("moraine", "bench", "agents", "--rest") == ["--restart-cmd"]


def test_completions_of_other_shells_and_the_manual():
    assert moraine("completions", "zsh").stdout.startswith("#compdef moraine\n")
    assert "__fish_seen_subcommand_from serve" in moraine("completions", "fish").stdout
    assert moraine("completions", "tcsh").returncode == 2
    assert moraine("man").stdout.startswith(".TH MORAINE 1")
