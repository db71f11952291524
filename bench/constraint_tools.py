"""The tools of four coding agents by their shapes (names, types, what is required): what constraints are measured
on. Prints one JSON object: client -> tools as /v1/chat/completions takes them. Descriptions do not matter to a
grammar and are left short."""
import json


def s(**more):
    return {"type": "string", "description": "...", **more}


def n(**more):
    return {"type": "number", "description": "...", **more}


def i(**more):
    return {"type": "integer", "description": "...", **more}


def b(**more):
    return {"type": "boolean", "description": "...", **more}


def array(items, **more):
    return {"type": "array", "items": items, **more}


def obj(required, /, **properties):
    return {"type": "object", "properties": properties, "required": required.split(), "additionalProperties": False}


def tool(tool_name, required, /, **properties):
    return {"type": "function", "function": {"name": tool_name, "description": "...", "parameters": {
        "$schema": "http://json-schema.org/draft-07/schema#", **obj(required, **properties)}}}


PRIORITY = s(enum=["high", "medium", "low"])
STATUS = s(enum=["pending", "in_progress", "completed", "cancelled"])

OPENCODE = [
    tool("bash", "command description", command=s(), timeout=n(), workdir=s(), description=s()),
    tool("read", "filePath", filePath=s(), offset=n(), limit=n()),
    tool("glob", "pattern", pattern=s(), path=s()),
    tool("grep", "pattern", pattern=s(), path=s(), include=s()),
    tool("edit", "filePath oldString newString", filePath=s(), oldString=s(), newString=s(), replaceAll=b()),
    tool("write", "content filePath", content=s(), filePath=s()),
    tool("task", "description prompt subagent_type", description=s(), prompt=s(), subagent_type=s(), session_id=s()),
    tool("webfetch", "url format", url=s(), format=s(enum=["text", "markdown", "html"], default="markdown"), timeout=n()),
    tool("todowrite", "todos", todos=array(obj("content status priority id", content=s(), status=STATUS, priority=PRIORITY, id=s()))),
    tool("skill", "name", name=s()),
]

QUESTION = obj("question header options multiSelect", question=s(), header=s(maxLength=12), multiSelect=b(default=False),
               options=array(obj("label description", label=s(), description=s()), minItems=2, maxItems=4))
CLAUDE = [
    tool("Task", "description prompt subagent_type", description=s(), prompt=s(), subagent_type=s(),
         model=s(enum=["sonnet", "opus", "haiku"]), resume=s(), run_in_background=b()),
    tool("Bash", "command", command=s(), timeout=n(), description=s(), run_in_background=b(), dangerouslyDisableSandbox=b()),
    tool("TaskOutput", "task_id block timeout", task_id=s(), block=b(default=True), timeout=n(minimum=0, maximum=600000)),
    tool("Glob", "pattern", pattern=s(), path=s()),
    tool("Grep", "pattern", pattern=s(), path=s(), glob=s(), output_mode=s(enum=["content", "files_with_matches", "count"]),
         **{"-B": n(), "-A": n(), "-C": n(), "-n": b(), "-i": b()}, type=s(), head_limit=n(), offset=n(), multiline=b()),
    tool("ExitPlanMode", "", plan=s()),
    tool("Read", "file_path", file_path=s(), offset=n(), limit=n(), pages=s()),
    tool("Edit", "file_path old_string new_string", file_path=s(), old_string=s(), new_string=s(), replace_all=b(default=False)),
    tool("Write", "file_path content", file_path=s(), content=s()),
    tool("NotebookEdit", "notebook_path new_source", notebook_path=s(), cell_id=s(), new_source=s(),
         cell_type=s(enum=["code", "markdown"]), edit_mode=s(enum=["replace", "insert", "delete"])),
    tool("WebFetch", "url prompt", url=s(format="uri"), prompt=s()),
    tool("TodoWrite", "todos", todos=array(obj("content status activeForm", content=s(minLength=1), status=STATUS, activeForm=s(minLength=1)))),
    tool("WebSearch", "query", query=s(minLength=2), allowed_domains=array(s()), blocked_domains=array(s())),
    tool("TaskStop", "", task_id=s(), shell_id=s()),
    tool("AskUserQuestion", "questions", questions=array(QUESTION, minItems=1, maxItems=4),
         answers={"type": "object", "additionalProperties": s()}),
    tool("Skill", "skill", skill=s(), args=s()),
]

CODEX = [
    tool("exec_command", "cmd", cmd=s(), workdir=s(), shell=s(), login=b(), tty=b(), yield_time_ms=n(), max_output_tokens=n(),
         sandbox_permissions=s(), justification=s(), prefix_rule=array(s())),
    tool("write_stdin", "session_id", session_id=n(), chars=s(), yield_time_ms=n(), max_output_tokens=n()),
    tool("update_plan", "plan", explanation=s(), plan=array(obj("step status", step=s(), status=s()))),
    tool("request_user_input", "questions", questions=array(obj("id header question options", id=s(), header=s(), question=s(),
         options=array(obj("label description", label=s(), description=s()))))),
    tool("apply_patch", "input", input=s()),
    tool("view_image", "path", path=s()),
    tool("spawn_agent", "message", message=s(), agent_type=s(), fork_context=b(), model=s(), reasoning_effort=s(),
         items=array(obj("", type=s(), text=s(), image_url=s(), path=s(), name=s()))),
    tool("send_input", "id", id=s(), message=s(), interrupt=b(), items=array(obj("", type=s(), text=s(), path=s(), name=s()))),
    tool("wait_agent", "ids", ids=array(s()), timeout_ms=n()),
    tool("close_agent", "id", id=s()),
    tool("list_mcp_resources", "", server=s(), cursor=s()),
    tool("read_mcp_resource", "server uri", server=s(), uri=s()),
]

QWEN = [
    tool("agent", "description prompt subagent_type", description=s(), prompt=s(), subagent_type=s(enum=["general-purpose", "Explore"])),
    tool("skill", "skill", skill=s()),
    tool("list_directory", "path", path=s(), ignore=array(s()), file_filtering_options=obj("", respect_git_ignore=b(), respect_qwen_ignore=b())),
    tool("read_file", "file_path", file_path=s(), offset=n(), limit=n(), pages=s()),
    tool("grep_search", "pattern", pattern=s(), glob=s(), path=s(), limit=n()),
    tool("glob", "pattern", pattern=s(), path=s()),
    tool("edit", "file_path old_string new_string", file_path=s(), old_string=s(), new_string=s(), replace_all=b()),
    tool("write_file", "file_path content", file_path=s(), content=s()),
    tool("run_shell_command", "command is_background", command=s(), is_background=b(), timeout=n(), description=s(), directory=s()),
    tool("save_memory", "fact", fact=s(), scope=s(enum=["global", "project"])),
    tool("todo_write", "todos", todos=array(obj("content id status", content=s(minLength=1), id=s(), status=STATUS), minItems=0)),
    tool("ask_user_question", "questions", questions=array(QUESTION, minItems=1, maxItems=4), metadata=obj("", source=s())),
    tool("exit_plan_mode", "plan", plan=s()),
    tool("web_fetch", "url prompt", url=s(), prompt=s()),
    {"type": "function", "function": {"name": "cron_list", "description": "..."}},
]

if __name__ == "__main__":
    print(json.dumps({"opencode": OPENCODE, "claude": CLAUDE, "codex": CODEX, "qwen": QWEN}))
