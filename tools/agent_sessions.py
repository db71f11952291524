#!/usr/bin/env python3
"""Writes what coding agents ask of a server, as JSON lines for `moraine bench agents`.

  tools/agent_sessions.py --seed 1 --turns 20 --out sessions.jsonl

Synthetic and deterministic, in the sizes and shapes of real agents: one whose conversation grows by tool calls, titles,
three subagents with a shared system prompt, an old tool result cleared by the client, a long paste that is cancelled and
sent again, a restart of the server. Each line:

  {"at": step, "session": name, "kind": "turn"|"title"|"subagent"|"edit"|"cancel"|"retry"|"restart",
   "cancel_after_s": seconds or null, "body": a chat-completions request, null for a restart}

Lines of one step are sent together, steps in order. Assistant messages are those written here, not what a server
generated, so that every server reads the same prompts.
"""

import argparse
import json
import random

WORDS = ("the file function returns error value path test when build config parse token cache layer model server request "
         "stream buffer index queue thread update check handle result option default string number list user state "
         "session prompt commit branch").split()
TOOL_NAMES = "read write edit glob grep bash task fetch todo list move apply search open plan".split()


class Writer:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.tools = [self.tool(i) for i in range(options.tools)]
        self.system = self.prose(options.system_bytes)
        self.lines = []
        self.step = 0

    def prose(self, n_bytes):
        sentences, size = [], 0
        while size < n_bytes:
            words = (self.random.choice(WORDS) for _ in range(self.random.randrange(6, 16)))
            sentences.append(" ".join(words).capitalize() + ".")
            size += len(sentences[-1]) + 1
        return " ".join(sentences)[:n_bytes]

    def code(self, n_bytes):
        rows, size, i = [], 0, 0
        while size < n_bytes:
            f, x, y = (self.random.choice(WORDS) for _ in range(3))
            piece = [f"def {f}_{i}({x}, {y}=None):", f'    """{self.prose(50)}"""', f"    if {y} is None:",
                     f"        {y} = {x}.{self.random.choice(WORDS)}()", f"    return {self.random.choice(WORDS)}({x}, {y})", ""]
            rows += piece
            size += sum(len(row) + 1 for row in piece)
            i += 1
        return "\n".join(rows)[:n_bytes]

    def tool(self, i):
        name = TOOL_NAMES[i % len(TOOL_NAMES)] + ("" if i < len(TOOL_NAMES) else str(i))
        properties = {"path": {"type": "string", "description": self.prose(80)},
                      "text": {"type": "string", "description": self.prose(80)},
                      "limit": {"type": "integer", "minimum": 0}}
        return {"type": "function",
                "function": {"name": name, "description": self.prose(1500),
                             "parameters": {"type": "object", "properties": properties, "required": ["path"]}}}

    def send(self, session, kind, messages, tools=None, cancel=None, max_tokens=None):
        body = {"messages": list(messages), "tools": self.tools if tools is None else tools,
                "max_tokens": max_tokens or self.options.max_tokens, "temperature": 0, "stream": True,
                "stream_options": {"include_usage": True}}
        self.lines.append({"at": self.step, "session": session, "kind": kind, "cancel_after_s": cancel, "body": body})

    def call(self, key, name, arguments, result):
        call_id = f"call_{self.options.seed}_{key}"
        function = {"name": name, "arguments": json.dumps(arguments, separators=(",", ":"))}
        return [{"role": "assistant", "content": "",
                 "tool_calls": [{"id": call_id, "type": "function", "function": function}]},
                {"role": "tool", "tool_call_id": call_id, "content": result}]

    def write(self):
        o = self.options
        main = [{"role": "system", "content": self.system}, {"role": "user", "content": self.prose(400)}]
        self.send("title", "title", [{"role": "system", "content": self.prose(1900)}, main[1]], [], max_tokens=16)
        self.send("main", "turn", main)
        for turn in range(1, o.turns):
            self.step += 1
            if turn % 4:
                path = f"src/{self.random.choice(WORDS)}_{turn}.py"
                main += self.call(turn, self.random.choice(["read", "bash"]), {"path": path}, self.code(o.tool_result_bytes))
            else:
                main += [{"role": "assistant", "content": self.prose(300)}, {"role": "user", "content": self.prose(150)}]
            self.send("main", "turn", main)
            if turn == o.turns // 4:
                self.subagents(turn)
            if turn == o.turns // 2:
                main = self.clear_a_result(main)
            if turn == 3 * o.turns // 4:
                self.cancel_and_restart(main)
        return self.lines

    def subagents(self, turn):
        """Three beside the main agent, two turns each."""
        agents = {f"sub{i}": [{"role": "system", "content": self.system[:self.options.system_bytes // 3] + self.prose(500)},
                              {"role": "user", "content": self.prose(300)}] for i in (1, 2, 3)}
        for name, messages in agents.items():
            self.send(name, "subagent", messages, self.tools[:6])
        self.step += 1
        for name, messages in agents.items():
            messages += self.call(f"{turn}_{name}", "read", {"path": "README.md"}, self.code(self.options.tool_result_bytes))
            self.send(name, "subagent", messages, self.tools[:6])

    def clear_a_result(self, main):
        """The client prunes an old tool result in the middle and goes on from there."""
        self.step += 1
        main = [dict(message) for message in main]
        old = next(m for m in main[len(main) // 2:] if m["role"] == "tool")
        old["content"] = "[old tool result cleared]"
        self.send("main", "edit", main)
        return main

    def cancel_and_restart(self, main):
        """A long paste, cancelled while it is read, and sent again; then the server starts anew."""
        self.step += 1
        main += [{"role": "assistant", "content": self.prose(200)},
                 {"role": "user", "content": self.code(6 * self.options.tool_result_bytes)}]
        self.send("main", "cancel", main, cancel=1.0)
        self.step += 1
        self.send("main", "retry", main)
        self.step += 1
        self.lines.append({"at": self.step, "session": "main", "kind": "restart", "cancel_after_s": None, "body": None})
        self.step += 1
        self.send("main", "turn", main)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--turns", type=int, default=20, help="of the main agent; at least 4")
    parser.add_argument("--system-bytes", type=int, default=9600)
    parser.add_argument("--tools", type=int, default=10)
    parser.add_argument("--tool-result-bytes", type=int, default=2400)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    if options.turns < 4:
        parser.error("--turns must be at least 4")
    lines = Writer(options).write()
    with open(options.out, "w") as out:
        out.writelines(json.dumps(line) + "\n" for line in lines)
    largest = max(len(json.dumps(line["body"])) for line in lines if line["body"])
    print(f"{options.out}: {len(lines)} lines in {lines[-1]['at'] + 1} steps, largest body {largest} bytes "
          f"(about {largest // 4} tokens)")


if __name__ == "__main__":
    main()
