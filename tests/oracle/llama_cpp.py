"""llama.cpp as a second oracle: its own numbers for the same files.

Owns: building llama_scores.cpp against the libraries of the npm package node-llama-cpp, which brings
llama.cpp prebuilt for many CPUs together with its sources (for the headers), and asking it.  The package
is the one that bench/peers.py measures beside; nothing is installed here unless `install` says so.

    llama_cpp.py perplexity MODEL.gguf [TEXT] [-c 512] [--chunks N]     llama-perplexity's number
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "bench"))
import peers

FOLDER = peers.PEERS / "llama-scores"
SOURCE = Path(__file__).resolve().parent / "llama_scores.cpp"


def available():
    return (peers.PEERS / "node" / "installed").exists()


def libraries():
    return next(peers.node_modules().glob("@node-llama-cpp/linux-x64/bins/*/libllama*.so")).parent


def program():
    """The path of llama_scores, built where the source or the package has changed."""
    modules = peers.node_modules()
    built = FOLDER / "llama_scores"
    bundle = modules / "node-llama-cpp/llama/gitRelease.bundle"
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    version = f"llama_scores {digest}, node-llama-cpp {peers.NODE_LLAMA_VERSION}"

    def build():
        subprocess.run(["git", "clone", "-q", "--no-checkout", bundle, FOLDER / "source"], check=True, capture_output=True)
        subprocess.run(["git", "checkout", "-q", "HEAD", "--", "include", "ggml/include"], cwd=FOLDER / "source", check=True)
        libs = sorted(libraries().glob("libllama.*so*")) + sorted(libraries().glob("libggml.*so*")) + [libraries() / "libggml-base.so"]
        subprocess.run(["g++", "-std=c++20", "-O2", "-o", built, SOURCE, "-I", FOLDER / "source/include",
                        "-I", FOLDER / "source/ggml/include", *libs, f"-Wl,-rpath,{libraries()}"], check=True)

    peers.installed(FOLDER, version, build)
    return built


def ask(*arguments, text=None):
    done = subprocess.run([program(), libraries(), *map(str, arguments)], input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"llama_scores {' '.join(map(str, arguments))}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def perplexity(model, text, n_ctx=512, chunks=0, threads=None):
    return ask("perplexity", model, text, n_ctx, chunks, threads or os.cpu_count())


def likeliest(model, sequences, top, threads=None):
    """[sequence][position][rank] -> [id, log-probability]; keys and values in float32."""
    return ask("likeliest", model, top, threads or os.cpu_count(),
               text="".join(" ".join(map(str, tokens)) + "\n" for tokens in sequences))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["perplexity"])
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path, nargs="?", default=ROOT / "bench/perplexity.txt")
    parser.add_argument("-c", type=int, default=512)
    parser.add_argument("--chunks", type=int, default=0)
    args = parser.parse_args()
    print(json.dumps(perplexity(args.model, args.text, args.c, args.chunks), indent=2))


if __name__ == "__main__":
    main()
