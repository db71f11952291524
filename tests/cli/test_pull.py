"""`moraine pull` and `rm` against a server that behaves like the hub (fake_hub.py), faults included."""

import hashlib
import json
import os
import pty
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from conftest import MODEL, PROGRAM
from fake_hub import COMMIT, Hub

MIB = 1 << 20
REPO = "user/Tiny-GGUF"


def some_bytes(n, seed=1):
    return random.Random(seed).randbytes(n)


@pytest.fixture
def hub():
    hubs = []

    def start(files, **options):
        hubs.append(Hub(files, **options))
        return hubs[-1]

    yield start
    for h in hubs:
        h.close()


def environment(home, hub, **more):
    keep = {k: v for k, v in os.environ.items()
            if not k.startswith(("LLAMA_", "MORAINE_", "HF_", "XDG_")) and not k.lower().endswith("_proxy")}
    return keep | {"HOME": str(home), "HF_ENDPOINT": hub.url} | more


def moraine(home, hub, *args, timeout=120, **env):
    return subprocess.run([PROGRAM, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
                          env=environment(home, hub, **env), cwd=home)


def cache(home, repo=REPO):
    return home / ".cache/huggingface/hub" / ("models--" + repo.replace("/", "--"))


def assert_is_here(home, hub, name, repo=REPO):
    link = cache(home, repo) / "snapshots" / COMMIT / name
    assert link.is_symlink() and not os.path.isabs(os.readlink(link))
    assert link.resolve() == (cache(home, repo) / "blobs" / hub.sum(name)).resolve()
    assert link.read_bytes() == hub.files[name]
    assert (cache(home, repo) / "refs/main").read_text() == COMMIT
    assert leftovers(home, repo) == []


def leftovers(home, repo=REPO):
    return [p.name for p in cache(home, repo).rglob("*") if "incomplete" in p.name or p.name.endswith(".tmp")]


# --- the ordinary way


def test_a_model_is_fetched_listed_run_and_removed(hub, tmp_path):
    if not MODEL.exists():
        pytest.fail("run `make model`", pytrace=False)
    h = hub({"tiny-Q4_1.gguf": MODEL.read_bytes()})
    done = moraine(tmp_path, h, "pull", f"{REPO}:q4_1")
    assert done.returncode == 0, done.stderr
    assert "licence apache-2.0" in done.stderr and "SHA-256 checked" in done.stderr
    assert f"Next: moraine serve {REPO}:Q4_1" in done.stderr
    assert "warning" not in done.stderr
    assert_is_here(tmp_path, h, "tiny-Q4_1.gguf")
    # What the verdict read of the header comes on top.
    assert h.bytes_sent < len(h.files["tiny-Q4_1.gguf"]) + 8 * MIB

    assert f"{REPO}:Q4_1" in moraine(tmp_path, h, "list").stdout
    n = len(h.requests)
    assert moraine(tmp_path, h, "run", "tiny", "Hi", "-n", "2").returncode == 0
    assert moraine(tmp_path, h, "run", "-hf", f"{REPO}:Q4_1", "Hi", "-n", "2").returncode == 0
    assert len(h.requests) == n, "what is here is not looked up"
    again = moraine(tmp_path, h, "pull", f"{REPO}:Q4_1", "--json")
    assert json.loads(again.stdout)["path"].endswith("tiny-Q4_1.gguf") and "was here already" in again.stderr

    assert "nobody is there to answer" in moraine(tmp_path, h, "rm", "tiny").stderr
    gone = moraine(tmp_path, h, "rm", "tiny", "--yes")
    assert gone.returncode == 0 and "removed" in gone.stderr
    assert not cache(tmp_path).exists()


def test_huggingface_hub_would_find_it(hub, tmp_path):
    """Its layout, as documented: blobs, refs and relative links."""
    h = hub({"deep/er/x-Q8_0.gguf": some_bytes(3 * MIB)})
    assert moraine(tmp_path, h, "pull", f"{REPO}:Q8_0").returncode == 0
    assert os.readlink(cache(tmp_path) / "snapshots" / COMMIT / "deep/er/x-Q8_0.gguf") == f"../../../../blobs/{h.sum('deep/er/x-Q8_0.gguf')}"


def test_hf_fetches_what_is_missing(hub, tmp_path):
    h = hub({"tiny-Q4_1.gguf": MODEL.read_bytes(), "tiny-Q8_0.gguf": some_bytes(5 * MIB)})
    done = moraine(tmp_path, h, "run", "-hf", f"{REPO}:Q4_1", "Hi", "-n", "1")
    assert done.returncode == 0, done.stderr
    assert_is_here(tmp_path, h, "tiny-Q4_1.gguf")
    done = moraine(tmp_path, h, "inspect", "-hf", REPO, "-hff", "tiny-Q8_0.gguf")
    assert done.returncode == 1 and "tiny-Q8_0.gguf" in done.stderr  # fetched, and no GGUF
    assert_is_here(tmp_path, h, "tiny-Q8_0.gguf")


def test_hfd_fetches_the_draft_model(hub, tmp_path):
    h = hub({"tiny-Q4_1.gguf": MODEL.read_bytes(), "tiny-Q4_0.gguf": MODEL.read_bytes() + b" "})
    done = moraine(tmp_path, h, "inspect", "-hf", f"{REPO}:Q4_1", "-hfd", f"{REPO}:Q4_0", "-c", "512")
    assert done.returncode == 0, done.stderr
    assert "draft" in done.stdout
    assert_is_here(tmp_path, h, "tiny-Q4_1.gguf")
    assert_is_here(tmp_path, h, "tiny-Q4_0.gguf")


def test_without_a_quantisation_it_lists_them(hub, tmp_path):
    h = hub({"x-Q8_0.gguf": some_bytes(5 * MIB), "x-Q4_K_M.gguf": MODEL.read_bytes(), "mmproj-F16.gguf": b"123",
             "BF16/x-BF16-00001-of-00002.gguf": some_bytes(MIB), "BF16/x-BF16-00002-of-00002.gguf": some_bytes(MIB, 2)})
    done = moraine(tmp_path, h, "pull", REPO)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == f"{REPO}: licence apache-2.0"
    assert [line.split()[0] for line in lines[1:4]] == ["BF16", "Q8_0", "Q4_K_M"]
    assert "2 files" in lines[1] and all("fits" in line for line in lines[1:4])
    assert f"Next: moraine pull {REPO}:Q4_K_M" in done.stderr
    assert not cache(tmp_path).exists(), "nothing was fetched"
    offer = json.loads(moraine(tmp_path, h, "pull", REPO, "--json").stdout)
    assert [q["name"] for q in offer["quantizations"] if q["suggested"]] == ["Q4_K_M"]
    assert offer["quantizations"][2]["fits"] and offer["license"] == "apache-2.0"
    # Too large for what is allowed.
    offer = json.loads(moraine(tmp_path, h, "pull", REPO, "--json", "-c", "8000000").stdout)
    assert not offer["quantizations"][2]["fits"]
    # What is not there names what is.
    done = moraine(tmp_path, h, "pull", f"{REPO}:Q2_K")
    assert done.returncode == 1 and "has no Q2_K. It has: BF16, Q8_0, Q4_K_M." in done.stderr


def test_on_a_terminal_it_asks(hub, tmp_path):
    h = hub({"x-Q8_0.gguf": some_bytes(2 * MIB), "x-Q4_0.gguf": some_bytes(MIB, 2)})
    controller, terminal = pty.openpty()
    process = subprocess.Popen([PROGRAM, "pull", REPO], stdin=terminal, stdout=terminal, stderr=terminal,
                               env=environment(tmp_path, h, TERM="xterm"), cwd=tmp_path)
    os.close(terminal)
    seen = ""
    answered = False
    while True:
        ready, _, _ = select.select([controller], [], [], 60)
        assert ready, seen
        try:
            chunk = os.read(controller, 4096).decode(errors="replace")
        except OSError:
            break
        if not chunk:
            break
        seen += chunk
        if "Which one? [Q4_0]" in seen and not answered:
            os.write(controller, b"q8_0\n")
            answered = True
    assert process.wait(60) == 0, seen
    assert_is_here(tmp_path, h, "x-Q8_0.gguf")
    os.close(controller)


def test_a_split_set(hub, tmp_path):
    names = [f"BF16/x-BF16-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    h = hub({name: some_bytes(2 * MIB + i, i) for i, name in enumerate(names)})
    done = moraine(tmp_path, h, "pull", f"{REPO}:BF16")
    assert done.returncode == 0, done.stderr
    for name in names:
        assert_is_here(tmp_path, h, name)


def test_a_renamed_repository(hub, tmp_path):
    h = hub({"x-Q8_0.gguf": some_bytes(MIB)})
    h.renamed_from = "old/Name-GGUF"
    done = moraine(tmp_path, h, "pull", "old/Name-GGUF:Q8_0")
    assert done.returncode == 0, done.stderr
    assert_is_here(tmp_path, h, "x-Q8_0.gguf", repo="old/Name-GGUF")


def test_an_unlinked_small_file_goes_by_gits_sum(hub, tmp_path):
    data = some_bytes(1000)
    h = hub({"x-Q8_0.gguf": data})
    git = hashlib.sha1(b"blob 1000\0" + data).hexdigest()
    h.listing = {"sha": COMMIT, "siblings": [{"rfilename": "x-Q8_0.gguf", "size": 1000, "blobId": git}]}
    h.same_host = True
    assert moraine(tmp_path, h, "pull", f"{REPO}:Q8_0").returncode == 0
    assert (cache(tmp_path) / "blobs" / git).read_bytes() == data


# --- tokens


def test_the_token_goes_to_the_hub_alone(hub, tmp_path):
    h = hub({"x-Q8_0.gguf": some_bytes(5 * MIB)}, gated=True)
    h.token = "hf_secret"
    done = moraine(tmp_path, h, "pull", f"{REPO}:Q8_0", HF_TOKEN="hf_secret")
    assert done.returncode == 0, done.stderr
    assert_is_here(tmp_path, h, "x-Q8_0.gguf")
    assert any("Authorization" in headers for server, _, headers in h.requests if server == "hub")
    elsewhere = [headers for server, _, headers in h.requests if server == "elsewhere"]
    assert elsewhere and not any("Authorization" in headers for headers in elsewhere)
    assert "hf_secret" not in done.stderr + done.stdout


def test_the_token_that_hf_auth_login_left(hub, tmp_path):
    h = hub({"x-Q8_0.gguf": some_bytes(MIB)}, gated=True)
    h.token = "hf_from_file"
    token = tmp_path / ".cache/huggingface/token"
    token.parent.mkdir(parents=True)
    token.write_text("hf_from_file\n")
    assert moraine(tmp_path, h, "pull", f"{REPO}:Q8_0").returncode == 0


@pytest.mark.parametrize("token, words", [("", ["open ", "/user/Tiny-GGUF", "settings/tokens"]),
                                          ("hf_wrong", ["this token's account", "accept them"])])
def test_a_gated_repository_says_what_to_do(hub, tmp_path, token, words):
    h = hub({"x-Q8_0.gguf": some_bytes(MIB)}, gated=True)
    h.token = "hf_right"
    done = moraine(tmp_path, h, "pull", f"{REPO}:Q8_0", HF_TOKEN=token)
    assert done.returncode == 1
    for word in words:
        assert word in done.stderr
    assert "hf_wrong" not in done.stderr and done.stderr.count("moraine: ") == 1 and "warning" not in done.stderr


def test_names_that_are_not_there(hub, tmp_path):
    h = hub({"x-Q8_0.gguf": some_bytes(MIB)})
    done = moraine(tmp_path, h, "pull", "user/Other-GGUF")
    assert done.returncode == 1 and "spelled right" in done.stderr
    done = moraine(tmp_path, h, "pull", REPO, "--revision", "v9")
    assert done.returncode == 1 and "no such revision" in done.stderr
    for name in ("model", "a/b/c", "../x", "a/..", "user/x:../y"):
        assert moraine(tmp_path, h, "pull", name).returncode == 2


def test_offline(hub, tmp_path):
    h = hub({"x-Q8_0.gguf": some_bytes(MIB)})
    for env in ({"HF_HUB_OFFLINE": "1"}, {"LLAMA_ARG_OFFLINE": "true"}):
        done = moraine(tmp_path, h, "pull", f"{REPO}:Q8_0", **env)
        assert done.returncode == 1 and "off the network" in done.stderr
    assert moraine(tmp_path, h, "run", "-hf", REPO, "--offline", "Hi").returncode == 1
    assert h.requests == []


def test_nobody_answers(hub, tmp_path):
    h = hub({"x-Q8_0.gguf": some_bytes(MIB)})
    h.close()
    done = moraine(tmp_path, h, "pull", f"{REPO}:Q8_0", HF_ENDPOINT="nonsense://x")
    assert done.returncode == 2 and "--endpoint takes an address" in done.stderr


def test_a_proxy_is_used(hub, tmp_path):
    h = hub({"x-Q8_0.gguf": some_bytes(MIB)})
    done = moraine(tmp_path, h, "pull", f"{REPO}:Q8_0", HF_ENDPOINT="http://hub.invalid", http_proxy=h.url)
    assert done.returncode == 1
    assert any("hub.invalid" in path for _, path, _ in h.requests)


# --- faults


def test_cut_connections(hub, tmp_path):
    h = hub({"x-Q8_0.gguf": some_bytes(24 * MIB)})
    h.faults.cut_after, h.faults.cuts = 300_000, 12
    done = moraine(tmp_path, h, "pull", f"{REPO}:Q8_0", "--connections", "3")
    assert done.returncode == 0, done.stderr
    assert_is_here(tmp_path, h, "x-Q8_0.gguf")


def test_a_server_that_ignores_ranges(hub, tmp_path):
    h = hub({"x-Q8_0.gguf": some_bytes(24 * MIB)})
    h.faults.no_ranges = True
    h.faults.cut_after, h.faults.cuts = 6 * MIB, 2
    done = moraine(tmp_path, h, "pull", f"{REPO}:Q8_0")
    assert done.returncode == 0, done.stderr
    assert_is_here(tmp_path, h, "x-Q8_0.gguf")


@pytest.mark.parametrize("fault", ["wrong_range", "too_much"])
def test_answers_that_are_not_what_was_asked_for(hub, tmp_path, fault):
    h = hub({"x-Q8_0.gguf": some_bytes(10 * MIB)})
    setattr(h.faults, fault, 3)
    done = moraine(tmp_path, h, "pull", f"{REPO}:Q8_0", "--connections", "2")
    assert done.returncode == 0, done.stderr
    assert_is_here(tmp_path, h, "x-Q8_0.gguf")


def test_an_address_that_expires_is_asked_for_again(hub, tmp_path):
    h = hub({"x-Q8_0.gguf": some_bytes(10 * MIB)})
    h.faults.expired = 2
    done = moraine(tmp_path, h, "pull", f"{REPO}:Q8_0", "--connections", "1")
    assert done.returncode == 0, done.stderr
    assert_is_here(tmp_path, h, "x-Q8_0.gguf")


def test_too_many_requests(hub, tmp_path):
    h = hub({"x-Q8_0.gguf": some_bytes(MIB)})
    h.faults.listing_status = [(429, {"Retry-After": "2"}), (503, {})]
    began = time.monotonic()
    done = moraine(tmp_path, h, "pull", f"{REPO}:Q8_0")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began >= 2
    assert "waiting 2 s for the hub: it answers too many requests (429)" in done.stderr
    h.faults.listing_status = [(429, {"Retry-After": "3600"})]
    done = moraine(tmp_path, h, "pull", f"{REPO}:Q8_0")
    assert done.returncode == 1 and "asks to wait 61 minutes" in done.stderr


def test_server_errors_in_between(hub, tmp_path):
    h = hub({"x-Q8_0.gguf": some_bytes(10 * MIB)})
    h.faults.status = [(500, {}), (502, {}), (429, {"Retry-After": "1"}), (503, {})]
    done = moraine(tmp_path, h, "pull", f"{REPO}:Q8_0", "--connections", "2")
    assert done.returncode == 0, done.stderr
    assert_is_here(tmp_path, h, "x-Q8_0.gguf")


def test_a_wrong_sum_is_never_kept(hub, tmp_path):
    h = hub({"x-Q8_0.gguf": some_bytes(5 * MIB)})
    h.faults.corrupt = True
    done = moraine(tmp_path, h, "pull", f"{REPO}:Q8_0")
    assert done.returncode == 1
    assert "damaged on the way" in done.stderr
    assert leftovers(tmp_path) == [] and not list((cache(tmp_path) / "blobs").iterdir())
    assert not (cache(tmp_path) / "snapshots" / COMMIT).exists()
    h.faults.corrupt = False
    assert moraine(tmp_path, h, "pull", f"{REPO}:Q8_0").returncode == 0


def test_a_file_that_changes_while_it_is_fetched(hub, tmp_path):
    h = hub({"x-Q8_0.gguf": some_bytes(40 * MIB)})
    h.faults.etag_changes_after = 4
    done = moraine(tmp_path, h, "pull", f"{REPO}:Q8_0", "--connections", "2")
    assert done.returncode == 1 and "was changed on the server" in done.stderr
    assert leftovers(tmp_path) == []
    h.faults.etag_changes_after = None
    h.faults.linked_etag = "f" * 64
    done = moraine(tmp_path, h, "pull", f"{REPO}:Q8_0")
    assert done.returncode == 1 and "was changed on the server" in done.stderr


def test_a_hostile_listing(hub, tmp_path):
    h = hub({"x-Q8_0.gguf": some_bytes(MIB)})
    good = {"rfilename": "x-Q8_0.gguf", "size": MIB, "lfs": {"sha256": h.sum("x-Q8_0.gguf"), "size": MIB}}
    evil = [{**good, "rfilename": name} for name in ("../../../../evil-Q8_0.gguf", "/tmp/evil-Q8_0.gguf", "a/../../evil-Q8_0.gguf",
                                                     "evil\u001b[2J-Q8_0.gguf", "..\\evil-Q8_0.gguf", "x" * 300 + "-Q8_0.gguf")]
    evil.append({**good, "rfilename": "sum-Q8_0.gguf", "lfs": {"sha256": "../../../../evil", "size": 5}})
    h.listing = {"sha": COMMIT, "siblings": [*evil, good]}
    before = set(tmp_path.parent.rglob("*evil*"))
    done = moraine(tmp_path, h, "pull", f"{REPO}:Q8_0")
    assert done.returncode == 0, done.stderr
    assert_is_here(tmp_path, h, "x-Q8_0.gguf")
    assert done.stderr.count("left out of the list") == 7 and "\x1b" not in done.stderr
    assert set(tmp_path.parent.rglob("*evil*")) == before
    for listing in ({"sha": "../..", "siblings": []}, [], {"sha": COMMIT}, {"sha": COMMIT, "siblings": []}):
        h.listing = listing or [0]
        assert moraine(tmp_path, h, "pull", REPO).returncode == 1


def test_odd_names_that_are_safe(hub, tmp_path):
    name = "sub dir/x #1 100%ü?-Q8_0.gguf"
    h = hub({name: some_bytes(2 * MIB)})
    done = moraine(tmp_path, h, "pull", f"{REPO}:Q8_0")
    assert done.returncode == 0, done.stderr
    assert_is_here(tmp_path, h, name)


# --- stopped, killed, no room


def start_pull(home, hub, *more):
    return subprocess.Popen([PROGRAM, "pull", f"{REPO}:Q8_0", *more], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, env=environment(home, hub), cwd=home)


def wait_for_bytes(hub, n):
    deadline = time.monotonic() + 60
    while hub.bytes_sent < n:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_it_goes_on_from_there(hub, tmp_path, how):
    size = 96 * MIB
    h = hub({"x-Q8_0.gguf": some_bytes(size)})
    h.faults.bytes_per_second = 8 * MIB  # of each connection
    process = start_pull(tmp_path, h)
    wait_for_bytes(h, 48 * MIB)
    process.send_signal(how)
    out = process.communicate(timeout=60)[0].decode()
    assert process.returncode == (-9 if how == signal.SIGKILL else 130)
    if how == signal.SIGINT:
        assert "goes on from there" in out
    h.faults.bytes_per_second = None
    time.sleep(0.3)  # what the server had under way ends
    done = moraine(tmp_path, h, "pull", f"{REPO}:Q8_0")
    assert done.returncode == 0, done.stderr
    assert "are still to come" in done.stderr
    assert_is_here(tmp_path, h, "x-Q8_0.gguf")
    twice = h.bytes_sent - size
    print(f"fetched twice after {how.name}: {twice / MIB:.1f} MiB of {size / MIB:.0f}")
    assert twice < 16 * MIB


def test_two_at_once(hub, tmp_path):
    h = hub({"x-Q8_0.gguf": some_bytes(16 * MIB)})
    h.faults.bytes_per_second = 2 * MIB
    process = start_pull(tmp_path, h)
    wait_for_bytes(h, 6 * MIB)
    done = moraine(tmp_path, h, "pull", f"{REPO}:Q8_0")
    assert done.returncode == 1 and "Another program is fetching this file" in done.stderr
    h.faults.bytes_per_second = None
    assert process.wait(60) == 0
    assert_is_here(tmp_path, h, "x-Q8_0.gguf")


@pytest.fixture
def small_disk(tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", place], capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    yield place
    subprocess.run(["umount", place], check=True)


def test_too_little_room_is_known_before(hub, small_disk):
    h = hub({"x-Q8_0.gguf": some_bytes(10 * MIB)})
    (small_disk / "filler").write_bytes(bytes(100 * MIB))
    done = moraine(small_disk, h, "pull", f"{REPO}:Q8_0")
    assert done.returncode == 1 and "make room" in done.stderr
    assert not cache(small_disk).exists()


def test_a_disk_that_fills_up_in_between(hub, small_disk):
    h = hub({"x-Q8_0.gguf": some_bytes(80 * MIB)})
    h.faults.bytes_per_second = 4 * MIB
    process = start_pull(small_disk, h)
    wait_for_bytes(h, 16 * MIB)
    (small_disk / "filler").write_bytes(bytes(100 * MIB))
    out = process.communicate(timeout=120)[0].decode()
    assert process.returncode == 1
    assert "The disk is full" in out and "goes on from there" in out
    (small_disk / "filler").unlink()
    h.faults.bytes_per_second = None
    done = moraine(small_disk, h, "pull", f"{REPO}:Q8_0")
    assert done.returncode == 0, done.stderr
    assert_is_here(small_disk, h, "x-Q8_0.gguf")


def test_no_right_to_write(hub, tmp_path):
    h = hub({"x-Q8_0.gguf": some_bytes(MIB)})
    (tmp_path / "file").touch()
    done = moraine(tmp_path, h, "pull", f"{REPO}:Q8_0", HF_HUB_CACHE=str(tmp_path / "file"))
    assert done.returncode == 1 and "cannot be made" in done.stderr


def test_what_two_quantisations_share_stays(hub, tmp_path):
    data = some_bytes(MIB)
    h = hub({"x-Q8_0.gguf": data, "x-Q6_K.gguf": data, "x-Q4_0.gguf": some_bytes(MIB, 3)})
    for quant in ("Q8_0", "Q6_K", "Q4_0"):
        assert moraine(tmp_path, h, "pull", f"{REPO}:{quant}").returncode == 0
    assert moraine(tmp_path, h, "rm", f"{REPO}:Q8_0", "--yes").returncode == 0
    assert_is_here(tmp_path, h, "x-Q4_0.gguf")
    assert (cache(tmp_path) / "snapshots" / COMMIT / "x-Q6_K.gguf").read_bytes() == data
    assert "may be any of these" in moraine(tmp_path, h, "rm", "Tiny", "--yes").stderr
