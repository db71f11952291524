#!/usr/bin/env python3
"""Guessing ahead beside llama.cpp's own: the tasks of bench/speculation/, each server off and on, in turns.

  bench/speculation_peers.py MODEL.gguf                 five rounds, 256 tokens, two threads
  bench/speculation_peers.py MODEL.gguf --types none,ngram-mod --rounds 3 -n 128 -t 8

Each round starts every server afresh (nobody knows an earlier round's answers), sends the same prompts, as moraine's
template has them, to POST /completion at temperature 0, and takes the server's own timings. llama.cpp is the server in
PyPI's xllamacpp (its wheel is built for AVX2, so moraine is held to AVX2 too unless --isa says otherwise); compare each
engine's ratio of on to off. Prints a Markdown table of medians.
"""

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from peers import ROOT, python_environment

XLLAMACPP = "xllamacpp==2026.10.11549"
SERVER = """
import sys, time, xllamacpp as x
model, port, threads, kind = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
p = x.CommonParams()
p.model.path, p.port, p.n_ctx, p.n_parallel, p.use_jinja = model, port, 4096, 1, True
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = threads
if kind != 'none':
    p.speculative.types = [getattr(x.common_speculative_type, 'COMMON_SPECULATIVE_TYPE_' + kind.upper().replace('-', '_'))]
s = x.Server(p)
while True: time.sleep(1)
"""
TASKS = ("copy", "template", "list", "prose")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def post(url, path, body):
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.load(answer)


class Running:
    """A server for the length of a `with`."""

    def __init__(self, command, port):
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, env=os.environ | {"MORAINE_CACHE_DISK": "off"})

    def __enter__(self):
        deadline = time.monotonic() + 300
        while True:
            try:
                urllib.request.urlopen(self.url + "/health", timeout=5).close()
                return self.url
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{self.process.args} did not start")
                time.sleep(0.05)

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--types", default="none,ngram-simple,ngram-map-k,ngram-mod", help="of llama.cpp's --spec-type")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("-n", type=int, default=256)
    parser.add_argument("-t", type=int, default=2)
    parser.add_argument("--isa", default="avx2", help="of moraine; empty: the best")
    parser.add_argument("--program", default=os.environ.get("MORAINE_BUILD_DIR", str(ROOT / "build")) + "/moraine")
    args = parser.parse_args()

    python = python_environment("xllamacpp", XLLAMACPP)
    isa = ["--isa", args.isa] if args.isa else []

    def ours(*more):
        return lambda port: [args.program, "serve", args.model, "--port", port, "-c", 4096, "-np", 1, "-t", args.t, *isa, *more]

    engines = {"moraine, off": ours("--draft-max", "0"), "moraine": ours()}
    for kind in args.types.split(","):
        name = "llama.cpp, off" if kind == "none" else f"llama.cpp, {kind}"
        engines[name] = lambda port, kind=kind: [python, "-c", SERVER, args.model, port, args.t, kind]

    prompts, speeds, texts, drafted = {}, {}, {}, {}
    for round_ in range(args.rounds):
        for name, command in engines.items():
            port = free_port()
            with Running(command(port), port) as url:
                for task in TASKS:
                    if task not in prompts:
                        question, _, opening = (ROOT / f"bench/speculation/{task}.txt").read_text().partition("\n---\n")
                        rendered = post(url, "/apply-template", {"messages": [{"role": "user", "content": question}]})
                        prompts[task] = rendered["prompt"] + opening
                post(url, "/completion", {"prompt": "Hello", "n_predict": 8})
                for task in TASKS:
                    answer = post(url, "/completion", {"prompt": prompts[task], "n_predict": args.n, "temperature": 0})
                    timings = answer["timings"]
                    speeds.setdefault((name, task), []).append(timings["predicted_per_second"])
                    texts.setdefault((name.split(",")[0], task), set()).add(answer["content"])
                    drafted[name, task] = (timings.get("draft_n_accepted", 0), timings.get("draft_n", 0), timings["predicted_n"])
            print(f"round {round_ + 1}: {name}", file=sys.stderr, flush=True)

    print(f"{Path(args.model).name}, {args.t} threads, {args.rounds} rounds in turn, at most {args.n} tokens, temperature 0\n")
    print("| engine | " + " | ".join(TASKS) + " |\n|---|" + "---|" * len(TASKS))
    for name in engines:
        cells = []
        for task in TASKS:
            now, off = (speeds[n, task] for n in (name, name.split(",")[0] + ", off"))
            cell = f"{statistics.median(now):.1f}"
            if not name.endswith(", off"):
                held, tried, _ = drafted[name, task]
                ratio = statistics.median(a / b for a, b in zip(now, off))
                cell += f" ({ratio:.2f}x; {held} of {tried} held)"
            cells.append(cell)
        print(f"| {name}, tok/s | " + " | ".join(cells) + " |")
    for (name, task), found in texts.items():
        if len(found) > 1:
            print(f"\n{name} gave {len(found)} different texts for {task}.")


if __name__ == "__main__":
    main()
