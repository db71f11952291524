"""Conversations as clients send them, each one a context that every template is rendered with."""

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place, \"now\" or <later>.\nSecond line & more.",
        "parameters": {
            "type": "object",
            "properties": {
                "location": {"type": "string", "description": "City, e.g. Zürich"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                "days": {"type": "integer", "minimum": 1, "maximum": 14},
                "tolerance": {"type": "number", "default": 0.5},
            },
            "required": ["location"],
        },
    },
}
# Names that are also methods of dict, nested objects, arrays, unions and no description: an agent's tool.
TODO = {
    "type": "function",
    "function": {
        "name": "todo_write",
        "description": "Replace the list of todos.",
        "parameters": {
            "type": "object",
            "properties": {
                "items": {
                    "type": "array",
                    "description": "All todos",
                    "items": {
                        "type": "object",
                        "properties": {
                            "content": {"type": "string"},
                            "done": {"type": ["boolean", "null"], "default": None},
                        },
                        "required": ["content"],
                        "additionalProperties": False,
                    },
                },
                "keys": {"type": "array", "items": {"type": "string"}, "description": "Only these"},
                "mode": {"anyOf": [{"type": "string"}, {"type": "integer"}], "description": ""},
            },
            "required": ["items"],
            "additionalProperties": False,
        },
    },
}
NOTHING = {"type": "function", "function": {"name": "ping", "description": "Says pong.",
                                            "parameters": {"type": "object", "properties": {}}}}


def system(text):
    return {"role": "system", "content": text}


def user(content):
    return {"role": "user", "content": content}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


def call(name, arguments, call_id="call12345"):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(content, name="get_weather", call_id="call12345"):
    return {"role": "tool", "tool_call_id": call_id, "name": name, "content": content}


ARGUMENTS = {"location": "Zürich", "unit": "celsius", "days": 3, "tolerance": 0.1, "exact": True, "extra": None,
             "list": [1, "two", {"three": 3.0}]}
TOOLS = [WEATHER, TODO, NOTHING]
TWO_TURNS = [user("Hi"), assistant("Hello!"), user("How are you?")]

# name: (messages, tools, variables, add_generation_prompt)
CONTEXTS = {
    "user": ([user("Hi")], None, None, True),
    "system": ([system("You are terse."), user("Hi")], None, None, True),
    "turns": (TWO_TURNS, None, None, True),
    "turns, system": ([system("Be kind.\n"), *TWO_TURNS], None, None, True),
    "no generation prompt": ([*TWO_TURNS, assistant("Fine, thanks.")], None, None, False),
    "odd texts": ([system(""), user("  line\r\n\tone  \n\n"), assistant("<b>\"it's\" & \\n</b>\u2028"),
                   user("日本語 😀 e\u0301 {{ x }} {% raw %}")], None, None, True),
    "empty texts": ([user(""), assistant(""), user("")], None, None, True),
    "tools": ([user("Weather?")], TOOLS, None, True),
    "tools, system": ([system("Use tools."), user("Weather?")], TOOLS, None, True),
    "empty tools": ([user("Hi")], [], None, True),
    "call": ([user("Weather?"), assistant("", tool_calls=[call("get_weather", ARGUMENTS)])], [WEATHER], None, False),
    "call, null content": ([user("Weather?"), assistant(None, tool_calls=[call("get_weather", ARGUMENTS)]),
                            result("{\"temp\": 21.5}")], [WEATHER], None, True),
    "call and result": ([system("Use tools."), user("Weather?"),
                         assistant("Let me look.", tool_calls=[call("get_weather", {"location": "Bern"})]),
                         result("{\"temp\": 21}"), assistant("It is 21 degrees."), user("And tomorrow?")],
                        [WEATHER, NOTHING], None, True),
    "two calls": ([user("Weather here and there?"),
                   assistant("", tool_calls=[call("get_weather", {"location": "Bern"}, "call00001"),
                                             call("get_weather", {"location": "Genève", "days": 2}, "call00002")]),
                   result("21", call_id="call00001"), result("19", call_id="call00002")], [WEATHER], None, True),
    "call without arguments": ([user("Ping?"), assistant("", tool_calls=[call("ping", {})]), result("pong", "ping")],
                               [NOTHING], None, True),
    "argument text": ([user("Weather?"), assistant("", tool_calls=[call("get_weather", "{\"location\": \"Bern\"}")]),
                       result("21")], [WEATHER], None, True),
    "reasoning": ([user("2+2?"), assistant("4", reasoning_content="Two and two."), user("3+3?")], None, None, True),
    "reasoning, thinking field": ([user("2+2?"), assistant("4", thinking="Two and two."), user("3+3?")], None, None,
                                  True),
    "reasoning and call": ([user("Weather?"),
                            assistant("", reasoning_content="I need the tool.\n",
                                      tool_calls=[call("get_weather", {"location": "Bern"})]), result("21")],
                           [WEATHER], None, True),
    "think tags": ([user("2+2?"), assistant("<think>\nTwo and two.\n</think>\n\n4"), user("3+3?")], None, None, True),
    "thinking off": ([system("s"), user("Hi")], None, {"enable_thinking": False, "thinking": False}, True),
    "thinking on": ([user("Hi")], TOOLS, {"enable_thinking": True, "thinking": True, "reasoning_effort": "high"}, True),
    "text parts": ([system("s"), user([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}])], None, None,
                   True),
    "image part": ([user([{"type": "text", "text": "what?"}, {"type": "image"}])], None, None, True),
    "developer": ([{"role": "developer", "content": "Be terse."}, user("Hi")], None, None, True),
    "two users": ([user("a"), user("b")], None, None, True),
    "last is assistant": ([user("a"), assistant("b")], None, None, True),
    "long": ([system("s"), *[m for i in range(40) for m in (user(f"q{i}"), assistant(f"a{i}"))], user("end")], TOOLS,
             None, True),
}

def _called(arguments, content=""):
    return [user("Weather?"), assistant(content, tool_calls=[call("get_weather", arguments)]), result("21")]


# name: (messages, the same messages in another shape, tools)
SAME = {
    "arguments as text": (_called({"location": "Bern", "days": 2}), _called('{"location":"Bern","days":2}'),
                          [WEATHER]),
    "null content": (_called({"location": "Bern"}), _called({"location": "Bern"}, None), [WEATHER]),
    "no content": (_called({"location": "Bern"}),
                   [{k: v for k, v in m.items() if v != ""} for m in _called({"location": "Bern"})], [WEATHER]),
    "text part": ([user("Hi"), assistant("Hello"), user("one two")],
                  [user([{"type": "text", "text": "Hi"}]), assistant([{"type": "text", "text": "Hello"}]),
                   user([{"type": "text", "text": "one two"}])], None),
    "text parts": ([system("be kind"), user("one two")],
                   [system([{"type": "text", "text": "be "}, {"type": "text", "text": "kind"}]),
                    user([{"type": "text", "text": "one "}, {"type": "text", "text": "two"}])], None),
}
