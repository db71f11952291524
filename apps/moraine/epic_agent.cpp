#include "epic_agent.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "child_environment.h"

namespace moraine::app {

using Json = nlohmann::ordered_json;

std::string opencode_settings(const std::string& launch_settings, const std::string& epic,
                              const std::string& task) {
  Json settings = Json::parse(launch_settings);
  for (auto& provider : settings["provider"])
    provider["options"]["headers"] = {{"X-Moraine-Epic", epic}, {"X-Moraine-Task", task}};
  settings["permission"] = {{"edit", "allow"}, {"bash", "allow"}};
  settings["share"] = "disabled";
  return settings.dump();
}

std::function<epic::ProcessOptions(const epic::AgentJob&)> opencode_agent(agents::Server server,
                                                                          std::string epic,
                                                                          std::chrono::seconds timeout) {
  return [server = std::move(server), epic = std::move(epic), timeout](const epic::AgentJob& job) {
    agents::Launch launch = agents::opencode().launch(server);
    for (auto& [name, value] : launch.environment)
      if (name == "OPENCODE_CONFIG_CONTENT") value = opencode_settings(value, epic, job.task.id);
    epic::ProcessOptions o;
    o.command = {"opencode", "run", "--format", "json"};
    o.command.insert(o.command.end(), launch.arguments.begin(), launch.arguments.end());
    o.command.push_back(job.prompt);
    o.environment = child_environment(launch.environment, launch.unset);
    o.timeout = timeout;
    return o;
  };
}

std::function<epic::ProcessOptions(const epic::AgentJob&)> command_agent(std::string command,
                                                                         std::string epic,
                                                                         std::chrono::seconds timeout) {
  return [command = std::move(command), epic = std::move(epic), timeout](const epic::AgentJob& job) {
    epic::ProcessOptions o;
    o.command = {"/bin/sh", "-c", command};
    o.environment = child_environment({{"MORAINE_EPIC", epic},
                                       {"MORAINE_TASK", job.task.id},
                                       {"MORAINE_ATTEMPT", std::to_string(job.attempt)}});
    o.input = job.prompt;
    o.timeout = timeout;
    return o;
  };
}

}  // namespace moraine::app
