#!/usr/bin/env python3
"""Whether memory stays what it is: agents talk to a moraine server for a long time, and its resident memory is written down.

  bench/soak.py --model MODEL.gguf [--minutes 15] [--clients 6] [--cache-ram 256]

Conversations grow, begin anew, are edited in the middle, and one request in seven is given up. The server is its own
(bench/servers.py), with a small --cache-ram, so that the cache is full soon and gives way all the time, and
with a cache on disk. Prints a Markdown table of requests and memory over time and ends with status 1 where an answer
failed, or where memory beside keys, values and states (which /metrics tells, and which follows from what runs) is more than
--allow MiB higher in the last third than in the second, by their medians.
"""

import argparse
import datetime
import http.client
import json
import random
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

from peers import ROOT, cpu_name
from servers import PLACE

HERE = Path(__file__).resolve().parent


class Agent(threading.Thread):
    def __init__(self, seed, o, until):
        super().__init__()
        self.random, self.o, self.until = random.Random(seed), o, until
        self.n, self.n_given_up, self.errors = 0, 0, []

    def run(self):
        words = [str(self.random.randrange(10000)) for _ in range(300)]
        system = {"role": "system", "content": "You are " + " ".join(words[:150])}
        messages = [system]
        while time.monotonic() < self.until:
            if len(messages) > 14 or self.random.random() < 0.1:
                messages = [system]
            if len(messages) > 3 and self.random.random() < 0.1:
                messages[1] = {"role": "user", "content": "Forget that."}
            messages.append({"role": "user", "content": " ".join(self.random.choices(words, k=self.random.randrange(1, 100)))})
            text = self.ask(messages, give_up=self.random.random() < 1 / 7)
            messages.append({"role": "assistant", "content": text or "..."})

    def ask(self, messages, give_up):
        connection = http.client.HTTPConnection("127.0.0.1", self.o.port, timeout=600)
        try:
            connection.request("POST", "/v1/chat/completions",
                               json.dumps({"messages": messages, "max_tokens": self.random.randrange(1, 20), "stream": give_up}),
                               {"Content-Type": "application/json"})
            answer = connection.getresponse()
            if give_up and answer.status == 200:
                answer.read(self.random.randrange(1, 400))
                self.n_given_up += 1
                return None
            body = json.load(answer)
            if answer.status != 200:
                raise RuntimeError(body["error"]["message"])
            self.n += 1
            return body["choices"][0]["message"].get("content")
        except Exception as e:
            self.errors.append(f"{type(e).__name__}: {e}")
            return None
        finally:
            connection.close()


def resident_mib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("The server has ended.")


def kept_mib(port):
    """Keys, values and states, of running requests and of the cache."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("moraine:kv_bytes_used "):
                return float(line.split()[1]) / (1 << 20)
    raise RuntimeError("The server does not tell what it keeps.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(ROOT / "models" / "smollm2-135m-instruct-q4_1.gguf"))
    parser.add_argument("--program", default=str(ROOT / "build" / "moraine"))
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--cache-ram", type=int, default=256, help="MiB (default: %(default)s)")
    parser.add_argument("--port", type=int, default=18469)
    parser.add_argument("--allow", type=float, default=8, help="MiB (default: %(default)s)")
    o = parser.parse_args()
    server = [sys.executable, HERE / "servers.py"]
    subprocess.run([*server, "moraine", o.model, "--program", o.program, "--port", str(o.port), "-c", "8192", "--",
                    "--cache-ram", str(o.cache_ram), "--cache-disk-max", "1G"], check=True)
    try:
        pid = int((PLACE / f"{o.port}.pid").read_text().split()[0])
        began = time.monotonic()
        agents = [Agent(i, o, began + 60 * o.minutes) for i in range(o.clients)]
        for a in agents:
            a.start()
        seen = []
        while any(a.is_alive() for a in agents):
            time.sleep(min(5, 60 * o.minutes / 60))
            kept = kept_mib(o.port)
            resident = resident_mib(pid)
            seen.append((time.monotonic() - began, resident, resident - kept, sum(a.n + a.n_given_up for a in agents)))
        errors = [e for a in agents for e in a.errors]
    finally:
        subprocess.run([*server, "stop", "--port", str(o.port)], check=True)
    print(f"{datetime.date.today()}, {cpu_name()}, {Path(o.model).name}, {o.clients} clients, --cache-ram {o.cache_ram}: "
          f"{sum(a.n for a in agents)} answers, {sum(a.n_given_up for a in agents)} given up, {len(errors)} errors\n")
    print("| minutes | requests | resident memory, MiB | beside keys, values and states |\n|---|---|---|---|")
    for i in range(9):
        at, mib, rest, n = seen[i * (len(seen) - 1) // 8]
        print(f"| {at / 60:.1f} | {n} | {mib:.0f} | {rest:.0f} |")
    thirds = [statistics.median(m for _, _, m, _ in seen[len(seen) * i // 3:len(seen) * (i + 1) // 3]) for i in range(3)]
    print(f"\nBeside keys, values and states, median of each third: {', '.join(f'{m:.0f}' for m in thirds)} MiB.")
    if errors:
        sys.exit(f"soak.py: {errors[0]}")
    if thirds[2] > thirds[1] + o.allow:
        sys.exit(f"soak.py: memory grew by {thirds[2] - thirds[1]:.1f} MiB in the last third.")


if __name__ == "__main__":
    main()
