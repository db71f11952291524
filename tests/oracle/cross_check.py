#!/usr/bin/env python3
"""Does a second engine agree with the golden logits?  A check of the oracle, not of this engine.

Owns: asking llama.cpp (the package `xllamacpp`) for the log-probabilities behind the same tokens of
the same files and printing how far they lie from golden/*.golden.  A wrong convention (rope pairs,
norm gains, window, local rope base, embedding scale) shows as whole units.  On quantised weights
llama.cpp rounds activations to 8 bits, which shows as tenths; to see past that, a quantised model
is asked twice: as it is, and as a file with the same weights in float32.

    cross_check.py tiny-llama-f32 smollm2-135m ...     (no names: all but the greedy file)

Models are found, or made, as in make_logits.py.  Needs its packages and xllamacpp.
"""
import argparse
import json
import math
import tempfile
import urllib.request
from pathlib import Path

import xllamacpp

import golden as golden_file
from cases import CASES
from gguf_file import dequantised
from recording import HERE, ROOT, digest, model_path

MOST_POSITIONS = 32  # each costs a request that evaluates its whole prefix


def start(path):
    p = xllamacpp.CommonParams()
    p.model.path = str(path)
    p.n_ctx, p.n_batch, p.n_ubatch, p.n_parallel = 1024, 1024, 1024, 1
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = 2
    p.cache_type_k = p.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32  # keys and values unrounded, as in the oracle
    p.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    p.warmup = p.fit_params = False
    p.swa_full = True
    p.sampling.seed = 1
    p.verbosity = -1
    return xllamacpp.Server(p)


def peer_logprobs(server, tokens, n):
    """{vocabulary id: log-probability} of the n likeliest successors of tokens."""
    body = {"prompt": tokens, "n_predict": 1, "n_probs": n, "cache_prompt": False, "temperature": -1.0,
            "post_sampling_probs": False, "samplers": []}
    request = urllib.request.Request(server.listening_address + "/completion", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        reply = json.load(answer)
    return {e["id"]: e["logprob"] for e in reply["completion_probabilities"][0]["top_logprobs"]}


def compare(name, models, work):
    golden = golden_file.read(HERE / "golden" / f"{name}.golden")
    path = model_path(CASES[name], name, models, work)
    if digest(path) != golden.header["sha256"]:
        raise SystemExit(f"{name}: the model is not the one the golden file was made from.")
    report(name, "as it is", golden, path)
    if plain := dequantised(path, work):
        report(name, "in float32", golden, plain)
        plain.unlink()


def report(name, form, golden, path):
    step = math.ceil(len(golden.positions) / MOST_POSITIONS)
    chosen = golden.positions[::step]
    if golden.positions[-1] not in chosen:
        chosen.append(golden.positions[-1])
    server = start(path)
    depth = min(golden.vocab, 4096)  # how far down the peer's list goes
    errors, same_top, divergence = [], 0, []
    for p in chosen:
        peer = peer_logprobs(server, golden.tokens[:p.index + 1], depth)
        # Tokens that only one list knows are too unlikely to tell anything.
        errors += [abs(logit - p.logsumexp - peer[t]) for t, logit in (dict(p.top) | dict(p.sampled)).items()
                   if t in peer]
        same_top += p.top[0][0] == max(peer, key=peer.get)
        divergence.append(kl_lower_bound(p, peer))
    print(f"{name}, {form}: {len(chosen)} positions, {len(errors)} log-probabilities: "
          f"largest difference {max(errors):.2g}, mean {sum(errors) / len(errors):.2g}; "
          f"same top token {same_top}/{len(chosen)}; "
          f"KL mean {sum(divergence) / len(divergence):.2g}, largest {max(divergence):.2g}", flush=True)


def kl_lower_bound(p, peer):
    """KL divergence in nats of the peer's distribution from the golden one, all tokens beyond the
    recorded top ones taken as a single class: joining classes can only lower it."""
    mine = {t: math.exp(logit - p.logsumexp) for t, logit in p.top if t in peer}
    kl = sum(m * (math.log(m) - peer[t]) for t, m in mine.items())
    rest, peer_rest = 1 - sum(mine.values()), 1 - sum(math.exp(peer[t]) for t in mine)
    if rest > 1e-6 and peer_rest > 1e-6:  # below that a difference of sums is rounding
        kl += rest * math.log(rest / peer_rest)
    return kl


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("names", nargs="*", metavar="NAME")
    ap.add_argument("--models", type=Path, default=ROOT / "models")
    a = ap.parse_args()
    with tempfile.TemporaryDirectory() as work:
        for name in a.names or [n for n in CASES if "steps" not in CASES[n]]:
            compare(name, a.models, Path(work))


if __name__ == "__main__":
    main()
