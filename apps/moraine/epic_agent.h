// Who edits: OpenCode on the local model, or a command of the user's.
#pragma once

#include <functional>
#include <string>

#include "agents/client.h"
#include "epic/runner.h"

namespace moraine::app {

// OpenCode set up for `server` as `moraine launch` does it, each request marked for the meter.
std::function<epic::ProcessOptions(const epic::AgentJob&)> opencode_agent(agents::Server server,
                                                                          std::string epic,
                                                                          std::chrono::seconds timeout);
// The command by the shell: the prompt on its standard input, MORAINE_EPIC, _TASK and _ATTEMPT in its
// environment.
std::function<epic::ProcessOptions(const epic::AgentJob&)> command_agent(std::string command,
                                                                         std::string epic,
                                                                         std::chrono::seconds timeout);

// The settings that OpenCode gets: those of `launch`, with the headers that the meter reads, and leave to
// edit and to run commands, as nobody is there to be asked.
std::string opencode_settings(const std::string& launch_settings, const std::string& epic,
                              const std::string& task);

}  // namespace moraine::app
