"""What a coding agent sends: tools with the schemas that agents have, and the histories of their turns."""
import json


def _tool(name, description, properties, required=(), **more):
    parameters = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "properties": properties,
                  "required": list(required), "additionalProperties": False, **more}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


BASH = _tool("bash", """Runs a command in a persistent shell session, with a time limit.

Before running it:
1. Check that the parent folder exists: `ls "$(dirname x)"` — <important>quote paths with spaces</important>
2. Use && and || rather than new lines; don't use `cat`, `sed -n '1,5p'` & co. where `read` does it.

  - Output beyond 30,000 characters is cut.\t(Tabs, "quotes", 'apostrophes', back\\slashes, {braces}, {{ double }} and {% tags %} stay.)
""", {
    "command": {"type": "string", "description": "The command to run"},
    "timeout": {"type": "number", "description": "Milliseconds, at most 600000", "default": 120000.0, "maximum": 600000},
    "workdir": {"description": "The folder to run it in. Use this instead of 'cd'.", "type": "string"},
    "description": {"type": "string", "description": "What it does in 5-10 words. Examples:\nInput: ls\nOutput: Lists files"},
}, ["command", "description"])
READ = _tool("read", "Reads a file – Zeilen mit Nummern, wie `cat -n`. 読み込み。", {
    "filePath": {"type": "string", "description": "The path to the file"},
    "offset": {"type": "integer", "minimum": 0, "maximum": 9007199254740991, "description": "First line, 0-based"},
    "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None, "description": "How many lines"},
}, ["filePath"])
EDIT = _tool("edit", "Replaces text in a file.", {
    "filePath": {"type": "string"},
    "edits": {
        "type": "array", "minItems": 1,
        "items": {
            "type": "object",
            "properties": {
                "oldString": {"type": "string", "description": "Must be unique, byte for byte"},
                "newString": {"type": "string", "description": "Not the same as oldString"},
                "replaceAll": {"type": "boolean", "default": False},
            },
            "required": ["oldString", "newString"], "additionalProperties": False,
        },
    },
}, ["filePath", "edits"])
TASK = _tool("task", "Starts another agent.", {
    "subagent_type": {"type": "string", "enum": ["général", "explore", "plan"], "description": "Which one"},
    "priority": {"enum": [1, 2.5, True, None, "high"], "description": "Of no type"},
    "target": {"oneOf": [{"type": "string", "format": "uri"}, {"$ref": "#/$defs/place"}], "description": "  trimmed  "},
    "context": {"type": ["string", "array", "null"], "items": {"type": "string", "pattern": "^[a-z\\d_]+\\.(py|c\\+\\+)$"}},
    "options": {"type": "object", "properties": {"name": {"type": "string"}, "type": {"const": "x"}, "items": {}},
                "patternProperties": {"^x-": {"type": "number", "exclusiveMinimum": -1.5e-7}}},
    "name": {"type": "string", "description": ""},
    "anything": {},
}, ["subagent_type"], **{"$defs": {"place": {"type": "object", "properties": {"line": {"type": "integer"}}}}})
# What clients send beside this: no parameters, parameters of no properties, no description, further keys.
BARE = {"type": "function", "function": {"name": "todoread"}}
EMPTY = {"type": "function", "function": {"name": "lsp_hover", "description": "  ", "parameters": {}, "strict": True}}
MCP = {"type": "function", "function": {"name": "context7_resolve-library-id", "description": "Résout « une bibliothèque » 🔎",
                                        "parameters": {"type": "object", "properties": {"q": {"type": "string"}},
                                                       "additionalProperties": {"type": "string"}}, "strict": False}}
AGENT_TOOLS = [BASH, READ, EDIT, TASK, BARE, EMPTY, MCP]

SYSTEM = """You are a coding agent.

# Tone
Be concise; "no preamble" & <no> postamble.

<env>
  Working directory: /home/zoë/projekt — Ω
  Today's date: Mon Nov 23 2026
</env>"""


def _call(call_id, name, arguments):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _result(call_id, name, content):
    return {"role": "tool", "tool_call_id": call_id, "name": name, "content": content}


CODE = 'def f(x):\n\t"""Doc."""\n    return {"a": x, \'b\': r"\\d+"}  # <tool_call> & </parameter>\n'
VALUES = {"n": 3, "zero": 0, "negative": -7, "big": 9007199254740993, "real": 0.1, "whole": 2.0, "small": 1e-07, "large": 1e22,
          "yes": True, "no": False, "none": None, "text": "", "digits": "007", "list": [], "object": {}, "nested": {"a": [1, {"b": None}]}}


def history(text_arguments=False, empty=""):
    """A turn of reading, two calls at once, an edit, a failing test and an answer; calls without words have `empty`."""
    def call(call_id, name, arguments):
        return _call(call_id, name, json.dumps(arguments, ensure_ascii=False) if text_arguments else arguments)

    edits = [{"oldString": CODE, "newString": CODE.replace("x", "größe"), "replaceAll": False}]
    return [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": "Fix the failing test in src/naïve.py, please.\n\n"},
        {"role": "assistant", "content": "I'll look at both files.\n",
         "tool_calls": [call("toolu_01", "read", {"filePath": "/src/naïve.py", "offset": 0, "limit": None}),
                        call("toolu_02", "bash", {"command": "cd /src && pytest -q 2>&1 | tail -5", "timeout": 60000,
                                                  "description": "Runs tests"})]},
        _result("toolu_01", "read", "00001| " + CODE),
        _result("toolu_02", "bash", ""),
        {"role": "assistant", "content": empty, "tool_calls": [call("toolu_03", "edit", {"filePath": "/src/naïve.py", "edits": edits})]},
        _result("toolu_03", "edit", '{"ok": true, "diff": "@@ -1 +1 @@\\n-x\\n+größe"}'),
        {"role": "assistant", "content": empty, "tool_calls": [call("toolu_04", "task", VALUES), call("toolu_05", "todoread", {})]},
        _result("toolu_04", "task", "  \n<tool_response>nested</tool_response>  "),
        _result("toolu_05", "todoread", "[]"),
        {"role": "assistant", "content": "  Done: `f` now takes *größe*.  "},
        {"role": "user", "content": "Thanks – now the C++ side."},
    ]


# name: (messages, tools, variables, add_generation_prompt), as in contexts.py
AGENT_CONTEXTS = {
    "agent, first request": (history()[:2], AGENT_TOOLS, None, True),
    "agent, no system": (history()[1:2], AGENT_TOOLS, None, True),
    "agent, after two results": (history()[:5], AGENT_TOOLS, None, True),
    "agent, after one call": (history()[:7], AGENT_TOOLS, None, True),
    "agent, null content": (history(empty=None)[:7], AGENT_TOOLS, None, True),
    "agent, history": (history(), AGENT_TOOLS, None, True),
    "agent, history without tools": (history(), None, None, True),
    "agent, argument text": (history(text_arguments=True), AGENT_TOOLS, None, True),
}
