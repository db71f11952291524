"""A second engine's opinion: llama.cpp on the same files, token for token.

Seeded token sequences are fed to both engines; at chosen positions the log-probabilities of this engine's
likeliest tokens are compared.  In float32 every architecture must agree within TOLERANCE.  Quantised files
cannot: both engines round activations to 8 bits, each in its own way, and a random model passes every
rounding on.  There the divergence of the distributions is held to a bound, and the weights themselves are
compared once more unpacked to float32.

Slow, and skipped where the peer is not installed (`bench/peers.py --install-only` installs it).  -s shows
the numbers:  .venv/bin/python -m pytest -s -m slow tests/oracle/test_llama_cpp.py
"""

import json
import math
import random
import subprocess
import sys
import urllib.request

import pytest

import gguf_file
import golden
import llama_cpp
from conftest import PROGRAM, ROOT

pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(not llama_cpp.available(), reason="llama.cpp's package is not installed: bench/peers.py --install-only")]

ARCHITECTURES = ["llama", "qwen2", "qwen3", "qwen3moe", "qwen3next", "qwen35", "qwen35moe", "gemma3"]
REAL = {"smollm2-135m": "smollm2-135m-instruct-q4_1.gguf", "gemma3-270m": "gemma3-270m-q4_k_m.gguf"}
SEEDS = (11, 12, 13)
LENGTH = 160  # tokens of a sequence: past the tiny gemma's window of 64, several of a recurrence's blocks
POSITIONS = (0, 1, 2, 5, 31, 63, 64, 65, 100, 127, 128, 158, 159, 255, 256, 299, 511, 512, 513, 599)
LIKELIEST = 16  # tokens compared at each position
DEPTH = 512  # tokens that our divergence sums over: all of a random model's
TOLERANCE = 0.03  # of a log-probability, float32 files
MEAN_DIVERGENCE = 0.05  # nats, quantised files: an expert chosen otherwise at a near tie moves a whole position


class Compared:
    """How far the peer's log-probabilities lie from ours."""

    def __init__(self):
        self.worst = self.divergence = self.positions = self.same_top = 0

    def add(self, ours, peers):
        """ours: the likeliest tokens [(id, log-probability)]; peers: {id: log-probability}, all of them."""
        self.positions += 1
        self.same_top += ours[0][0] == max(peers, key=peers.get)
        self.worst = max(self.worst, *(abs(lp - peers[t]) for t, lp in ours[:LIKELIEST]))
        self.divergence += sum(math.exp(lp) * (lp - peers[t]) for t, lp in ours)

    def mean_divergence(self):
        return self.divergence / self.positions

    def __str__(self):
        return (f"{self.positions} positions: worst difference {self.worst:.2g}, "
                f"mean divergence {self.mean_divergence():.2g}, same top token {self.same_top}/{self.positions}")


def our_logprobs(server, tokens):
    body = {"prompt": tokens, "n_predict": 1, "n_probs": DEPTH, "temperature": 0, "cache_prompt": False}
    request = urllib.request.Request(server.url + "/completion", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        found = json.load(answer)["completion_probabilities"][0]["top_logprobs"]
    return [(entry["id"], entry["logprob"]) for entry in found]


def compare(start_server, model, sequences, label):
    server = start_server("-c", "1024", "-np", "1", "-ctk", "f32", "-ctv", "f32", model=model)
    theirs = llama_cpp.likeliest(model, sequences, 2 * DEPTH)
    compared = Compared()
    for tokens, peer in zip(sequences, theirs):
        for position in [p for p in POSITIONS if p < len(tokens)]:
            known = dict(map(tuple, peer[position]))
            compared.add([entry for entry in our_logprobs(server, tokens[:position + 1]) if entry[0] in known], known)
    print(f"\n{label}: {compared}")
    return compared


def random_sequences(n_vocab):
    return [[rng.randrange(3, n_vocab) for _ in range(LENGTH)] for rng in map(random.Random, SEEDS)]


@pytest.fixture
def made(tmp_path):
    """A function that makes a random model; one whose architecture is still to come is a skip that says so."""
    def make(arch, ftype):
        path = tmp_path / f"tiny-{arch}-{ftype}.gguf"
        subprocess.run([sys.executable, ROOT / "tools/make_models.py", "--arch", arch, "--preset", "tiny", "--ftype", ftype,
                        "--out", path], check=True, stdout=subprocess.DEVNULL)
        refused = subprocess.run([PROGRAM, "inspect", path, "--json"], capture_output=True, text=True, check=True).stdout
        if "does not run here yet" in json.loads(refused).get("problem", ""):
            pytest.skip(f"{arch} does not run here yet")
        return path

    return make


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_float32(start_server, made, arch):
    compared = compare(start_server, made(arch, "f32"), random_sequences(500), f"{arch} f32")
    assert compared.worst < TOLERANCE


@pytest.mark.parametrize("ftype", ["q8_0", "q4_k_m"])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_quantised(start_server, made, arch, ftype):
    compared = compare(start_server, made(arch, ftype), random_sequences(500), f"{arch} {ftype}")
    assert compared.mean_divergence() < MEAN_DIVERGENCE


@pytest.mark.parametrize("name", REAL)
def test_real_models(start_server, name, tmp_path):
    """On the text of the golden files: as they are, and with the same weights in float32."""
    model = ROOT / "models" / REAL[name]
    if not model.exists():
        pytest.fail(f"{model} is not there; run `make model model-gemma`.", pytrace=False)
    tokens = golden.read(ROOT / f"tests/oracle/golden/{name}.golden").tokens
    assert compare(start_server, model, [tokens], f"{name} as it is").mean_divergence() < MEAN_DIVERGENCE
    plain = gguf_file.dequantised(model, tmp_path)
    assert compare(start_server, plain, [tokens], f"{name} in float32").worst < TOLERANCE
    plain.unlink()
