"""`moraine connect`, `moraine launch` and GET /connect/CLIENT against a running server: what is shown, written,
taken back, refused. What each client is told is tested beside the code (src/agents); that the clients take it, in
tests/agents."""

import json
import os
import stat
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from conftest import PROGRAM, ROOT

CLIENTS = ["opencode", "codex", "claude", "qwen"]
CONTEXT = 128000


@pytest.fixture(scope="session")
def long_model(tmp_path_factory):
    """A random model with room for agents."""
    model = tmp_path_factory.mktemp("model") / "coder.gguf"
    subprocess.run([sys.executable, ROOT / "tools/make_models.py", "--arch", "qwen3next", "--ctx", "131072", "--out",
                    model], check=True, stdout=subprocess.DEVNULL)
    return model


@pytest.fixture(scope="session")
def long_server(start_server, long_model):
    return start_server("-c", str(CONTEXT), "--alias", "coder", model=long_model)


@pytest.fixture(scope="session")
def keyed_server(start_server, long_model):
    return start_server("-c", str(CONTEXT), "--alias", "coder", "--api-key", "s3cret", model=long_model)


class Person:
    """Somebody's home and project."""

    def __init__(self, folder):
        self.home, self.project = folder / "home", folder / "project"
        self.home.mkdir()
        self.project.mkdir()
        foreign = ("ANTHROPIC_", "CLAUDE", "CODEX_", "OPENAI_", "OPENCODE_", "QWEN_", "XDG_", "MORAINE_", "LLAMA_ARG_")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(foreign)} | {"HOME": str(self.home)}
        self.files = {
            "opencode": self.home / ".config/opencode/opencode.json",
            "codex": self.home / ".codex/config.toml",
            "claude": self.project / ".claude/settings.local.json",
            "qwen": self.home / ".qwen/settings.json",
        }

    def moraine(self, *arguments, code=0):
        done = subprocess.run([PROGRAM, *arguments], cwd=self.project, env=self.environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def connect(self, client, server, *more, code=0):
        return self.moraine("connect", client, "--url", server.url, *more, code=code)

    def all_files(self):
        return sorted(str(p) for folder in (self.home, self.project) for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def person(tmp_path):
    return Person(tmp_path)


@pytest.mark.parametrize("client", CLIENTS)
def test_nothing_is_written_unasked(person, long_server, client):
    shown = person.connect(client, long_server)
    assert long_server.url in shown and "coder" in shown and "--write" in shown
    assert person.all_files() == []


@pytest.mark.parametrize("client", CLIENTS)
def test_written_twice_is_written_once_and_taken_back(person, long_server, client):
    person.connect(client, long_server, "--write", "--default")
    file = person.files[client]
    text = file.read_text()
    assert long_server.url in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600  # it may hold a key
    assert "says so already" in person.connect(client, long_server, "--write", "--default")
    assert file.read_text() == text
    person.moraine("connect", client, "--undo")
    assert person.all_files() == []
    person.moraine("connect", client, "--undo", code=1)


def test_comments_commas_and_everything_else_stay(person, long_server):
    file = person.files["opencode"].with_suffix(".jsonc")
    file.parent.mkdir(parents=True)
    before = '{\n  // mine\n  "theme": "dark", /* so */\n  "permission": {"bash": "ask",},\n  "model": "anthropic/x",\n}\n'
    file.write_text(before)
    file.chmod(0o644)
    person.connect("opencode", long_server, "--write")
    text = file.read_text()
    for part in ("// mine", "/* so */", '"permission": {"bash": "ask",}', '"model": "anthropic/x"', long_server.url):
        assert part in text
    assert '"small_model"' not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert file.with_name(file.name + ".before-moraine").read_text() == before
    assert not person.files["opencode"].exists()
    person.moraine("connect", "opencode", "--undo")
    assert file.read_text() == before
    assert person.all_files() == [str(file)]


def test_a_provider_with_this_address_is_updated(person, long_server):
    file = person.files["opencode"]
    file.parent.mkdir(parents=True)
    port = long_server.url.rsplit(":", 1)[1]
    file.write_text(json.dumps({"provider": {"llama.cpp": {
        "npm": "@ai-sdk/openai-compatible", "name": "Mine", "options": {"baseURL": f"http://localhost:{port}/v1/"},
        "models": {"coder": {"name": "The coder", "limit": {"context": 4096, "output": 65536}}}}}}))
    person.connect("opencode", long_server, "--write", "--default")
    config = json.loads(file.read_text())
    assert list(config["provider"]) == ["llama.cpp"]
    provider = config["provider"]["llama.cpp"]
    assert provider["name"] == "Mine" and provider["options"]["baseURL"] == f"http://localhost:{port}/v1/"
    assert provider["options"]["headerTimeout"] is False and provider["options"]["chunkTimeout"] == 900000
    assert provider["models"]["coder"]["name"] == "The coder"
    assert provider["models"]["coder"]["limit"] == {"context": CONTEXT, "output": CONTEXT // 8}
    assert config["model"] == config["small_model"] == "llama.cpp/coder"


def test_why_answers_are_limited(person, long_server):
    shown = person.connect("opencode", long_server)
    assert "16000 tokens, at most an eighth of the context" in shown and "112000 of 128000" in shown


def test_planning_elsewhere(person, long_server):
    person.connect("opencode", long_server, "--write", "--plan", "anthropic/claude-opus-4-5")
    agents = json.loads(person.files["opencode"].read_text())["agent"]
    assert agents == {"plan": {"model": "anthropic/claude-opus-4-5"}, "build": {"model": "moraine/coder"}}
    person.connect("opencode", long_server, "--plan", "nonsense", code=2)
    person.connect("codex", long_server, "--plan", "anthropic/x", code=2)


def test_an_account_is_redirected_only_when_asked(person, long_server):
    person.connect("claude", long_server, "--write")
    account = person.home / ".claude/settings.json"
    assert person.all_files() == [str(person.files["claude"]), str(person.files["claude"]) + ".before-moraine"]
    person.connect("claude", long_server, "--write", "--global")
    assert json.loads(account.read_text())["env"]["ANTHROPIC_BASE_URL"] == long_server.url
    person.moraine("connect", "claude", "--undo", "--global")
    assert not account.exists() and person.files["claude"].exists()


def test_a_broken_file_is_left_alone(person, long_server):
    file = person.files["qwen"]
    file.parent.mkdir(parents=True)
    file.write_text('{"model": \n')
    said = person.connect("qwen", long_server, "--write", code=1)
    assert str(file) in said and "nothing was changed" in said
    assert file.read_text() == '{"model": \n' and person.all_files() == [str(file)]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_short_context_is_refused_with_the_reason(person, server, client):
    if json.loads(urllib.request.urlopen(server.url + "/props").read())["n_ctx"] >= 32768:
        pytest.skip("the server under test has room for agents")
    for command in (["connect", client, "--write"], ["launch", client]):
        said = person.moraine(command[0], command[1], "--url", server.url, *command[2:], code=1)
        assert "at least 32768" in said and "8,000 to 20,000" in said
    assert person.all_files() == []
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{server.url}/connect/{client}")
    assert refused.value.code == 400 and b"at least 32768" in refused.value.read()


def test_keys(person, keyed_server):
    assert "--key" in person.connect("opencode", keyed_server, code=1)
    assert "does not accept" in person.connect("opencode", keyed_server, "--key", "wrong", code=1)
    person.connect("opencode", keyed_server, "--key", "s3cret", "--write")
    config = json.loads(person.files["opencode"].read_text())
    assert config["provider"]["moraine"]["options"]["apiKey"] == "s3cret"


def test_nobody_there_and_clients_unknown(person, long_server):
    assert "does not answer" in person.moraine("connect", "codex", "--url", "http://127.0.0.1:1", code=1)
    assert "opencode, codex, claude or qwen" in person.connect("cursor", long_server, code=2)
    assert "opencode, codex, claude or qwen" in person.moraine("connect", code=2)
    person.connect("codex", long_server, "--write", "--undo", code=2)


def page(server, client, **headers):
    request = urllib.request.Request(f"{server.url}/connect/{client}", headers=headers)
    return urllib.request.urlopen(request, timeout=30).read().decode()


def test_a_laptop_without_moraine(long_server, keyed_server):
    opencode = page(long_server, "opencode")
    config = json.loads("".join(line for line in opencode.splitlines() if not line.startswith("//")))
    assert config["provider"]["moraine"]["options"]["baseURL"] == long_server.url + "/v1"
    script = page(keyed_server, "claude", Authorization="Bearer s3cret") + '\necho "$ANTHROPIC_BASE_URL $ANTHROPIC_AUTH_TOKEN"'
    said = subprocess.run(["sh", "-eu", "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.split() == [keyed_server.url, "s3cret"]
    assert f'base_url = "{long_server.url}/v1"' in page(long_server, "codex")
    assert long_server.url in page(long_server, "qwen")
    with pytest.raises(urllib.error.HTTPError) as refused:
        page(keyed_server, "opencode")
    assert refused.value.code == 401
    with pytest.raises(urllib.error.HTTPError) as unknown:
        page(long_server, "cursor")
    assert unknown.value.code == 404


# A client that tells how it was started.
STAND_IN = """#!/bin/sh
echo "arguments: $*"
env | grep -E '^(ANTHROPIC|OPENCODE|OPENAI|MORAINE|CLAUDE_CODE_MAX|QWEN)' | sort
[ -z "${QWEN_CODE_SYSTEM_SETTINGS_PATH:-}" ] || { echo "settings:"; cat "$QWEN_CODE_SYSTEM_SETTINGS_PATH"; }
exit 7
"""


@pytest.mark.parametrize("client", CLIENTS)
def test_launch_changes_this_run_alone(person, keyed_server, client, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / client).write_text(STAND_IN)
    (programs / client).chmod(0o755)
    person.environment |= {"PATH": f"{programs}:{os.environ['PATH']}", "ANTHROPIC_API_KEY": "the account's",
                           "TMPDIR": str(tmp_path)}
    said = person.moraine("launch", client, "--url", keyed_server.url, "--key", "s3cret", "--", "-p", "two words",
                          code=7)
    assert keyed_server.url in said and "-p two words" in said
    assert person.all_files() == []
    assert not list(tmp_path.glob("moraine-launch-*"))  # what had to be a file is gone
    if client == "claude":
        assert "ANTHROPIC_AUTH_TOKEN=s3cret" in said and "the account's" not in said
        assert "CLAUDE_CODE_MAX_CONTEXT_TOKENS=128000" in said
    if client == "codex":  # others read a command line
        assert "MORAINE_API_KEY=s3cret" in said
        assert "s3cret" not in next(line for line in said.splitlines() if line.startswith("arguments:"))
    if client == "qwen":
        assert '"contextWindowSize": 128000' in said and "OPENAI_API_KEY=s3cret" in said


def test_launch_says_how_a_client_is_installed(person, long_server, tmp_path):
    person.environment["PATH"] = str(tmp_path)
    assert "npm install -g opencode-ai" in person.moraine("launch", "opencode", "--url", long_server.url, code=1)


def test_launch_passes_a_signal_on(person, long_server, tmp_path):
    (tmp_path / "opencode").write_text("#!/bin/sh\ntrap 'echo ended; exit 9' TERM\necho started\nwhile :; do sleep 0.1; done\n")
    (tmp_path / "opencode").chmod(0o755)
    person.environment["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    process = subprocess.Popen([PROGRAM, "launch", "opencode", "--url", long_server.url], cwd=person.project,
                               env=person.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "started\n"
    process.terminate()
    assert process.communicate(timeout=30)[0] == "ended\n" and process.returncode == 9
