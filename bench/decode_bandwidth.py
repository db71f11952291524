#!/usr/bin/env python3
"""Decoding as a share of the read bandwidth that the machine has at the time.

  bench/decode_bandwidth.py MODEL.gguf ... [--rounds 9] [-n 24]

A decode step reads every weight once, of experts those that were chosen. In each round the machine's read bandwidth is
measured (`moraine bench ops`, its probe: all threads read 1 GB), then decoding, then the bandwidth again; the share is bytes
of weights a token x tokens a second over the mean of the two. Medians over rounds, because machines, virtual ones above
all, have a bandwidth that changes by the minute. A model that fits into the last cache is read from there: its share says
nothing, and may pass 100%.
"""

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from peers import ROOT, BenchError, at_least_one, cpu_name, make_engine, spread


def output_of(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def bytes_per_token(model):
    about = output_of(args.program, "inspect", model, "--json")
    names = {tensor["name"] for tensor in about["tensors"]}
    total = 0
    for tensor in about["tensors"]:
        part = 1.0
        if tensor["name"] == "token_embd.weight" and "output.weight" in names:
            part = 0  # one row of it
        elif "_exps." in tensor["name"]:
            key = about["architecture"] + ".expert_"
            part = about["metadata"][key + "used_count"] / about["metadata"][key + "count"]
        total += part * tensor["bytes"]
    return total


def read_gb_per_s():
    probe = output_of(args.program, "bench", "ops", "--json", "--filter", "matmul q8_0", "-r", 3, "-t", args.t,
                      "--isa", args.isa)
    return probe["machine"][0]["read_gb_per_s"]


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("models", type=Path, nargs="+", metavar="MODEL.gguf")
parser.add_argument("--program", type=Path, default=ROOT / "build/moraine", help="which moraine")
parser.add_argument("--isa", default="avx2", help="whose probe reads (default: %(default)s)")
parser.add_argument("-n", type=int, default=24, help="tokens a round (default: 24)")
parser.add_argument("-t", type=int, default=os.cpu_count(), help="threads (default: as many as cores)")
parser.add_argument("--rounds", type=at_least_one, default=9)
args = parser.parse_args()
try:
    make_engine("moraine", args.program)
except BenchError as error:
    sys.exit(f"decode_bandwidth.py: {error}")
bytes_read = {model: bytes_per_token(model) for model in args.models}  # errors before the table

print(f"{datetime.date.today()}, {cpu_name()}, {args.t} threads, medians of {args.rounds} rounds; load average "
      f"{os.getloadavg()[0]:.1f} before.\n")
print("| model | MB a token | tok/s | weights, GB/s | the machine reads, GB/s | share |\n|---|---|---|---|---|---|")
for model, read in bytes_read.items():
    rates, machine, shares = [], [], []
    before = read_gb_per_s()
    for _ in range(args.rounds):
        result = output_of(args.program, "bench", model, "-p", 0, "-n", args.n, "-t", args.t, "-r", 3, "-o", "json")[0]
        after = read_gb_per_s()
        rates.append(statistics.median(result["samples_ts"]))
        machine.append((before + after) / 2)
        shares.append(100e-9 * read * rates[-1] / machine[-1])
        before = after
    print(f"| {model.name} | {read / 1e6:.0f} | {spread(rates)} | {1e-9 * read * statistics.median(rates):.1f} "
          f"| {spread(machine)} | {statistics.median(shares):.0f}% ({min(shares):.0f}-{max(shares):.0f}) |", flush=True)
