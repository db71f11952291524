// The systemd user unit and the file of its options, as texts: what `moraine service install` writes.
#pragma once

#include <string>

namespace moraine::app {

// `program`: its absolute path.
std::string service_unit(const std::string& program);
// The options, each by the name it has in the environment; `model` may be empty.
std::string service_options(const std::string& model);

}  // namespace moraine::app
