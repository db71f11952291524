#include "server/api/responses_tools.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "server/api/chat_body.h"
#include "server/api/errors.h"

namespace moraine::server {
namespace {

class ToolList {
 public:
  ToolList(const Call& call, ResponsesTools& names) : call_(call), names_(names) {}

  void add(const Fields& tool, const std::string& name_space) {
    const std::string type = tool.string("type").value_or("function");
    if (type == "namespace" && name_space.empty()) {
      add_namespace(tool);
    } else if (type == "function") {
      const Json* parameters = tool.find("parameters");
      if (parameters != nullptr && !parameters->is_object()) tool.wrong_type("parameters", "an object");
      add(tool, name_space, /*custom=*/false, tool.string("description"), parameters);
    } else if (type == "custom") {
      const Json parameters = {
          {"type", "object"},
          {"properties", {{"input", {{"type", "string"}, {"description", "The input, as plain text."}}}}},
          {"required", Json::array({"input"})}};
      add(tool, name_space, /*custom=*/true, custom_description(tool), &parameters);
    } else {
      static constexpr const char* kHosted[] = {
          "web_search",       "web_search_preview", "local_shell",          "shell",       "file_search",
          "code_interpreter", "image_generation",   "computer_use_preview", "apply_patch", "mcp",
          "tool_search"};
      const char* known = "of an unknown kind";
      for (const char* kind : kHosted) {
        if (type == kind) known = kind;
      }
      call_.log->warn_once(
          std::string("responses tool ") + known,
          fmt::format("A request offers a tool ({}) that this server cannot offer to a model; "
                      "it is left out.",
                      known));
    }
  }

  Json take() { return std::move(tools_); }

 private:
  void add_namespace(const Fields& tool) {
    const std::string name = required_string(tool, "name");
    const Json* inner = tool.find("tools");
    if (inner == nullptr) return;
    if (!inner->is_array()) tool.wrong_type("tools", "an array");
    for (std::size_t i = 0; i < inner->size(); ++i) {
      add(Fields((*inner)[i], fmt::format("{}[{}].", tool.path("tools"), i)), name);
    }
  }

  void add(const Fields& tool, const std::string& name_space, bool custom,
           const std::optional<std::string>& description, const Json* parameters) {
    const std::string name = required_string(tool, "name");
    const std::string shown = shown_tool_name(name_space, name);
    if (!names_.emplace(shown, ResponsesTool{name, name_space, custom}).second) return;
    const Json text = description.value_or("");
    tools_.push_back(function_tool(shown, description ? &text : nullptr, parameters));
  }

  // A grammar cannot be enforced for a part of an argument; the model is told of it.
  static std::optional<std::string> custom_description(const Fields& tool) {
    auto description = tool.string("description");
    const auto format = tool.child("format");
    const auto definition = format ? format->string("definition") : std::nullopt;
    if (!definition) return description;
    return fmt::format("{}\n\nThe input follows this grammar ({}):\n{}", description.value_or(""),
                       format->string("syntax").value_or("lark"), *definition);
  }

  const Call& call_;
  ResponsesTools& names_;
  Json tools_ = Json::array();
};

Json chat_tool_choice(const Fields& body) {
  const Json* choice = body.find("tool_choice");
  if (choice == nullptr) return "auto";
  if (choice->is_string()) {
    for (const char* known : {"none", "auto", "required"}) {
      if (*choice == known) return known;
    }
    throw bad_request("tool_choice", "'tool_choice' must be none, auto, required or an object.");
  }
  const Fields fields(*choice, "tool_choice.");
  const std::string type = required_string(fields, "type");
  if (type == "function" || type == "custom") {
    const std::string shown =
        shown_tool_name(fields.string("namespace").value_or(""), required_string(fields, "name"));
    return {{"type", "function"}, {"function", {{"name", shown}}}};
  }
  // All tools stay in the prompt: that is what allowed_tools is for, a prefix that does not change.
  if (type == "allowed_tools") return fields.string("mode") == "required" ? "required" : "auto";
  return "auto";  // a tool that was left out cannot be forced
}

}  // namespace

std::string shown_tool_name(const std::string& name_space, const std::string& name) {
  if (name_space.empty()) return name;
  return name_space + (name_space.ends_with("__") ? "" : "__") + name;
}

ResponsesTools add_chat_tools(const Call& call, const Fields& body, Json& chat) {
  ResponsesTools names;
  const Json* tools = body.find("tools");
  if (tools != nullptr) {
    if (!tools->is_array()) body.wrong_type("tools", "an array");
    ToolList list(call, names);
    for (std::size_t i = 0; i < tools->size(); ++i) {
      list.add(Fields((*tools)[i], fmt::format("tools[{}].", i)), "");
    }
    if (Json all = list.take(); !all.empty()) chat["tools"] = std::move(all);
  }
  chat["tool_choice"] = chat_tool_choice(body);
  if (const auto parallel = body.boolean("parallel_tool_calls")) chat["parallel_tool_calls"] = *parallel;
  return names;
}

std::string custom_arguments(const std::string& input) { return dump(Json{{"input", input}}); }

std::string custom_input(const std::string& arguments) {
  const Json json = Json::parse(arguments, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("input")) return arguments;
  const Json& input = json["input"];
  return input.is_string() ? input.get<std::string>() : dump(input);
}

}  // namespace moraine::server
