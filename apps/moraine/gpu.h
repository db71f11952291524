// What the command line says of GPUs.
#pragma once

#include <moraine/device.h>

#include <string>
#include <vector>

#include "base/options/parser.h"

namespace moraine::app {

// moraine/shaders in the user's cache folder; empty: there is no such folder to name.
std::string shader_folder(const options::Environment& env);

// What --list-devices prints.
std::string devices_text(const std::vector<DeviceInfo>& devices);

}  // namespace moraine::app
