#!/usr/bin/env python3
"""Speed of a peer engine that comes as a Python package, without its sampler.

  peer_python.py ik        MODEL.gguf [-p 512] [-n 128] [-t 2] [-r 3]   ik_llama.cpp: ik-llama-cpp-python
  peer_python.py ik-repack MODEL.gguf ...                               the same, weights repacked at load
  peer_python.py llama     MODEL.gguf ...                               llama.cpp: llama-cpp-python
  peer_python.py ik        MODEL.gguf --once                            load, answer one token, exit
  peer_python.py ik        MODEL.gguf --idle                            only load the library

-p, -n and -d (tokens of context before what is measured) take several numbers, separated by commas.

Prints llama-bench's JSON fields, so that bench/peers.py reads every engine alike, and measures as
llama-bench does: the prompt in batches of 512 on an empty cache, then, on an empty cache again,
tokens one by one, each with its logits. Runs under the Python of the environment that holds the
package; bench/peers.py makes those.
"""

import argparse
import json
import random
import sys
import time

BATCH = 512


class IkLlama:
    """ik_llama.cpp through the package's ctypes layer. repack: as its command line's --run-time-repack."""

    def __init__(self, repack=False):
        from ik_llama_cpp import IkLlama as Llama
        from ik_llama_cpp import _ctypes_api
        from ik_llama_cpp._internals import make_batch_range, make_batch_single

        self.llama, self.api, self.repack = Llama, _ctypes_api, repack
        self.batch_range, self.batch_single = make_batch_range, make_batch_single
        if repack:
            default = _ctypes_api.llama_model_default_params

            def repacked():
                params = default()
                params.repack_tensors = True
                return params

            # The package offers no such parameter; its model reads them through this name.
            _ctypes_api.llama_model_default_params = repacked

    def load(self, path, n_ctx, n_threads):
        self.model = self.llama(path, n_ctx=n_ctx, n_threads=n_threads, verbose=False, use_mmap=not self.repack)
        self.context = self.model._context

    def clear(self):
        self.context.kv_cache_clear()

    def evaluate(self, tokens, position):
        batch = (self.batch_range(tokens, pos_start=position, logits_last=True) if len(tokens) > 1
                 else self.batch_single(tokens[0], position))
        status = self.context.decode(batch)
        self.api.llama_batch_free(batch)
        if status != 0:
            raise RuntimeError(f"llama_decode returned {status}")


class LlamaCpp:
    """llama.cpp through the C functions of llama-cpp-python."""

    def __init__(self):
        import llama_cpp

        self.api = llama_cpp
        llama_cpp.llama_backend_init()

    def load(self, path, n_ctx, n_threads):
        api = self.api
        self.model = api.llama_model_load_from_file(path.encode(), api.llama_model_default_params())
        params = api.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = n_ctx, BATCH, BATCH
        params.n_threads = params.n_threads_batch = n_threads
        self.context = api.llama_init_from_model(self.model, params)

    def clear(self):
        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)

    def evaluate(self, tokens, position):
        ids = (self.api.llama_token * len(tokens))(*tokens)  # must outlive the batch, which points at it
        status = self.api.llama_decode(self.context, self.api.llama_batch_get_one(ids, len(tokens)))
        if status != 0:
            raise RuntimeError(f"llama_decode returned {status}")
        self.api.llama_synchronize(self.context)


ENGINES = {"ik": ("ik_llama.cpp", IkLlama), "ik-repack": ("ik_llama.cpp, repacked", lambda: IkLlama(repack=True)),
           "llama": ("llama.cpp", LlamaCpp)}


def numbers(text):
    return [int(n) for n in text.split(",")]


def seconds_of(engine, rng, prompt, generated):
    """Seconds for `prompt` tokens in batches, then `generated` tokens one by one, from an empty cache."""
    tokens = [rng.randrange(300, 30000) for _ in range(prompt + generated)]
    engine.clear()
    began = time.perf_counter()
    for i in range(0, prompt, BATCH):
        engine.evaluate(tokens[i:min(i + BATCH, prompt)], i)
    for i in range(prompt, prompt + generated):
        engine.evaluate([tokens[i]], i)
    return time.perf_counter() - began


def behind_depths(engine, rng, args):
    """(depth, prompt, generated, seconds): one walk through the context, as filling it takes most of the time."""
    engine.clear()
    position = 0

    def evaluate(n, at_once):
        nonlocal position
        began = time.perf_counter()
        for i in range(0, n, at_once):
            engine.evaluate([rng.randrange(300, 30000) for _ in range(min(at_once, n - i))], position + i)
        position += n
        return time.perf_counter() - began

    for depth in sorted(d for d in args.d if d):
        evaluate(depth - position, BATCH)
        for n in filter(None, args.n):
            yield depth, 0, n, evaluate(n, 1)
        for p in filter(None, args.p):
            yield depth, p, 0, evaluate(p, BATCH)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=sorted(ENGINES))
    parser.add_argument("model")
    parser.add_argument("-p", type=numbers, default=[512], help="tokens of the prompt (0: not measured)")
    parser.add_argument("-n", type=numbers, default=[128], help="tokens to generate (0: not measured)")
    parser.add_argument("-d", type=numbers, default=[0], help="tokens of context before it")
    parser.add_argument("-t", type=int, default=2, help="threads")
    parser.add_argument("-r", type=int, default=3, help="repetitions")
    parser.add_argument("--once", action="store_true", help="load, answer one token, exit")
    parser.add_argument("--idle", action="store_true", help="only load the library")
    args = parser.parse_args()

    title, make = ENGINES[args.engine]
    engine = make()
    if args.idle:
        return 0
    began = time.perf_counter()
    longest = max(args.p + args.n) if max(args.d) == 0 else max(args.d) + sum(args.p + args.n)
    engine.load(args.model, max(1024, longest + 8), args.t)
    load_s = time.perf_counter() - began
    rng = random.Random(1)
    if args.once:
        seconds_of(engine, rng, 16, 1)
        print(json.dumps([{"engine": title, "load_s": load_s}]))
        return 0
    results = []

    def add(depth, prompt, generated, samples):
        results.append({"engine": title, "model_filename": args.model, "n_threads": args.t, "n_depth": depth,
                        "n_prompt": prompt, "n_gen": generated, "avg_ts": sum(samples) / len(samples), "samples_ts": samples})

    for prompt, generated in [(p, 0) for p in args.p] + [(0, n) for n in args.n]:
        if prompt + generated == 0 or 0 not in args.d:
            continue
        seconds_of(engine, rng, prompt, min(generated, 16))  # warm-up
        add(0, prompt, generated, [(prompt + generated) / seconds_of(engine, rng, prompt, generated) for _ in range(args.r)])
    for depth, prompt, generated, seconds in behind_depths(engine, rng, args):
        add(depth, prompt, generated, [(prompt + generated) / seconds])
    print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
