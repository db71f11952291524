#!/usr/bin/env python3
"""What a busy loop on one core costs: decoding with as many threads as cores, with and without a hog beside it.

  bench/hog.py [MODEL.gguf] [--engines moraine,llama.cpp] [-n 64] [--rounds 5]

In each round every engine decodes -n tokens alone and then with another process spinning on the last core. The ratio is
alone / beside the hog, medians over rounds. Fair would be 2 x cores / (2 x cores - 1) where threads share the core
evenly and the others take its work; threads that wait for each other by spinning, in equal shares, make it 2 and more;
threads that spin where the one they wait for could run, far more. Prints a Markdown table.
"""

import argparse
import contextlib
import datetime
import os
import statistics
import subprocess
import sys
from pathlib import Path

from peers import ROOT, BenchError, at_least_one, cpu_name, make_engine, run_measured, speeds


@contextlib.contextmanager
def hog(core):
    # It ends with us even where we are killed.
    loop = f"import os\nos.sched_setaffinity(0, {{{core}}})\nwhile os.getppid() == {os.getpid()}:\n for i in range(1000000): pass"
    process = subprocess.Popen([sys.executable, "-c", loop])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", default=ROOT / "models/smollm2-135m-instruct-q4_1.gguf")
    parser.add_argument("--engines", default="moraine,llama.cpp", help="as bench/peers.py has them (default: %(default)s)")
    parser.add_argument("--program", type=Path, default=ROOT / "build/moraine", help="which moraine")
    parser.add_argument("-n", type=int, default=64, help="tokens to generate (default: 64)")
    parser.add_argument("-t", type=int, default=os.cpu_count(), help="threads (default: as many as cores)")
    parser.add_argument("--rounds", type=at_least_one, default=5)
    args = parser.parse_args()
    args.p, args.n, args.d = [0], [args.n], [0]
    core = max(os.sched_getaffinity(0))
    try:
        if not args.model.is_file():
            raise BenchError(f"There is no file {args.model}; `make model` fetches one.")
        engines = {name: make_engine(name, args.program) for name in args.engines.split(",")}
        busy = os.getloadavg()[0]
        samples = {name: ([], []) for name in engines}
        for _ in range(args.rounds):
            for name, engine in engines.items():
                for beside, into in zip((contextlib.nullcontext(), hog(core)), samples[name]):
                    with beside:
                        done = run_measured(engine.bench(args.model.resolve(), args), engine.environment, False)
                    into.append(next(iter(speeds(done.output).values())))
    except BenchError as error:
        print(f"hog.py: {error}", file=sys.stderr)
        return 1
    print(f"{datetime.date.today()}, {cpu_name()}, {os.cpu_count()} cores, {args.t} threads, {args.model.name}, decode "
          f"{args.n[0]}, medians of {args.rounds} interleaved rounds; load average {busy:.1f} before.\n")
    print("| engine | alone, tok/s | beside a busy loop, tok/s | ratio | ratios of the rounds |\n|---|---|---|---|---|")
    for name, engine in engines.items():
        alone, beside = samples[name]
        ratios = [a / b for a, b in zip(alone, beside)]
        print(f"| {engine.title} | {statistics.median(alone):.1f} | {statistics.median(beside):.1f} "
              f"| {statistics.median(ratios):.2f}x | {', '.join(f'{r:.2f}' for r in ratios)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
