"""The prefix cache where there is too little of something: memory while others need it, a disk that is really full, a folder
that can only be read, five hundred clients at once. Answers are those of an undisturbed server, and words say what is.

Full disks and short memory are mounts in a namespace of the server's own: they need root, or user namespaces.
"""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from conftest import PROGRAM, ROOT, Server, free_port, wait_until_ready

LIMIT_S = 120


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    if not PROGRAM.exists():
        pytest.fail(f"{PROGRAM} is not there; run `make build`", pytrace=False)
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    subprocess.run([sys.executable, ROOT / "tools" / "make_models.py", "--arch", "qwen3next", "--preset", "tiny",
                    "--ftype", "q4_k_m", "--out", path], check=True, timeout=LIMIT_S)
    return path


@pytest.fixture(scope="module")
def unshare():
    command = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    try:
        done = subprocess.run([*command, "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt"], capture_output=True, timeout=30)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if done.returncode != 0:
        pytest.skip(f"mounts are not permitted here: {done.stderr.decode().strip()}")
    return command


@pytest.fixture
def serve(model, tmp_path):
    """serve(arguments, within): a server; `within` is shell code that runs in its mounts first."""
    running = []

    def start(*arguments, within=None):
        port, log = free_port(), tmp_path / f"log{len(running)}"
        command = [PROGRAM, "serve", model, "--port", str(port), "-c", "4096", "-t", "2", *arguments]
        if within:
            prefix, code = within
            command = [*prefix, "sh", "-c", f'set -e\n{code}\nexec "$@"', "sh", *command]
        with open(log, "w") as out:
            process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        running.append(process)
        server = Server(f"http://127.0.0.1:{port}", log)
        wait_until_ready(server, process)
        server.process = process
        return server

    yield start
    for process in running:
        process.terminate()
        process.wait(30)


def ask(server, text, n=8, timeout=LIMIT_S):
    body = {"prompt": text, "n_predict": n, "temperature": 0, "ignore_eos": True, "return_tokens": True, "n_probs": 1}
    request = urllib.request.Request(server.url + "/completion", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        got = json.load(answer)
    return got["tokens"], got["completion_probabilities"], got["timings"]


def metric(server, name):
    with urllib.request.urlopen(server.url + "/metrics", timeout=30) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(f"moraine:{name} "):
                return float(line.split()[1])
    raise AssertionError(f"no metric {name}")


def wait_for(condition, what):
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until, f"not seen within 30 s: {what}"
        time.sleep(0.05)


def prompts(n, words=300):
    return [" ".join(f"w{(i * 7919 + j * j) % 1009}" for j in range(words)) for i in range(n)]


def meminfo(path, available_kib):
    """In place: what is mounted is the file, not its name."""
    with open(path, "r+" if path.exists() else "w") as f:
        f.write(f"MemTotal:       16000000 kB\nMemAvailable: {available_kib:>10} kB\nSwapTotal:      0 kB\n")


def test_the_cache_gives_way_before_memory_ends(serve, unshare, tmp_path):
    told = tmp_path / "meminfo"
    meminfo(told, 8_000_000)
    server = serve("--cache-disk", "off", within=(unshare, f"mount --bind '{told}' /proc/meminfo"))
    first = [ask(server, p) for p in prompts(4)]
    assert ask(server, prompts(4)[0])[2]["cache_n"] > 0
    held = metric(server, "cache_bytes_used")
    assert held > 0
    meminfo(told, 100_000)  # others took the rest

    def gave_way():
        ask(server, "A short question.")
        return metric(server, "cache_bytes_used") < held / 2

    wait_for(gave_way, "the cache is smaller")
    again = [ask(server, p) for p in prompts(4)]
    assert [a[:2] for a in again] == [a[:2] for a in first]
    meminfo(told, 8_000_000)
    time.sleep(1.1)
    for p in prompts(4):
        ask(server, p)
    assert ask(server, prompts(4)[0])[2]["cache_n"] > 0, "with room again, prompts are kept again"


def test_a_disk_that_is_full(serve, unshare, tmp_path):
    plain = serve("--cache-disk", "off", "--cache-ram", "0")
    place = tmp_path / "disk"
    place.mkdir(0o700)
    server = serve("--cache-disk", place, "--cache-ram", "1",
                   within=(unshare, f"mount -t tmpfs -o size=3m,mode=700 none '{place}'; head -c 2900000 /dev/zero > '{place}/others'"))
    for p in prompts(6):
        assert ask(server, p)[:2] == ask(plain, p)[:2]
    wait_for(lambda: "No space left on device" in server.log.read_text(), "the log says that the disk is full")
    said = [line for line in server.log.read_text().splitlines() if "No space left on device" in line]
    assert len(said) == 1, said  # once, not once a file
    assert "Answers are not affected" in said[0]
    # Nothing half written is left, and what belongs to others is untouched.
    inside = f"/proc/{server.process.pid}/root{place}"
    sizes = {name: os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(inside) for name in names}
    assert sizes.pop("others") == 2900000
    assert not [name for name in sizes if not name.endswith((".page", ".state", ".json"))], sizes


def test_a_disk_with_little_room_is_used_as_far_as_it_goes(serve, unshare, tmp_path):
    plain = serve("--cache-disk", "off", "--cache-ram", "0")
    place = tmp_path / "disk"
    place.mkdir(0o700)
    server = serve("--cache-disk", place, "--cache-ram", "1", within=(unshare, f"mount -t tmpfs -o size=3m,mode=700 none '{place}'"))
    for p in prompts(10):
        assert ask(server, p)[:2] == ask(plain, p)[:2]
    wait_for(lambda: metric(server, "cache_disk_written_bytes_total") > 0, "files are written")
    fs = os.statvfs(f"/proc/{server.process.pid}/root{place}")
    assert fs.f_bavail * fs.f_frsize > 0
    assert [ask(server, p)[:2] for p in prompts(10)] == [ask(plain, p)[:2] for p in prompts(10)]


def test_a_folder_that_can_only_be_read(serve, unshare, tmp_path):
    plain = serve("--cache-disk", "off", "--cache-ram", "0")
    place = tmp_path / "disk"
    place.mkdir(0o700)
    server = serve("--cache-disk", place, within=(unshare, f"mount --bind '{place}' '{place}'; mount -o remount,ro,bind '{place}'"))
    for p in prompts(2):
        assert ask(server, p)[:2] == ask(plain, p)[:2]
    log = server.log.read_text()
    assert "Read-only file system" in log and "--cache-disk off" in log, log
    assert not list(place.iterdir())


def test_a_budget_smaller_than_a_sequence(serve):
    plain = serve("--cache-disk", "off", "--cache-ram", "0")
    server = serve("--cache-disk", "off", "--cache-ram", "1")  # MiB: less than the state and pages of one prompt
    long = prompts(3, 700)
    for p in [*long, *long]:
        assert ask(server, p)[:2] == ask(plain, p)[:2]
    assert metric(server, "cache_bytes_used") <= 1 << 20


def test_five_hundred_clients_at_once(serve):
    server = serve("--cache-disk", "off")
    texts = prompts(10, 40)
    right = [ask(server, t)[0] for t in texts]
    answers, refused, lock = [], [], threading.Lock()

    def client(i):
        try:
            got = ask(server, texts[i % 10], timeout=300)[0]
            with lock:
                answers.append((i, got))
        except urllib.error.HTTPError as e:
            with lock:
                refused.append((i, e.code, json.load(e)["error"]["message"]))

    threads = [threading.Thread(target=client, args=(i,)) for i in range(500)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(LIMIT_S)
    assert len(answers) + len(refused) == 500, "every client is told something"
    assert all(got == right[i % 10] for i, got in answers)
    assert all(code in (429, 503) and message for _, code, message in refused), refused[:3]
    assert len(answers) >= 250, f"{len(refused)} refused: {refused[:2]}"
    assert ask(server, texts[0])[0] == right[0]
