// Finds the model that a command line names, or says what there is instead.
#pragma once

#include <string>
#include <vector>

#include "settings.h"

namespace moraine::app {

// Checks that engine.model_path is a file that can be opened. Throws Error{kNotFound} that names similar
// files nearby, and options::UsageError where no model was named.
void require_model(const Settings& settings, const char* command);

// GGUF files in this folder and in models/, as one would type them; of split sets the first file.
std::vector<std::string> models_nearby(const std::string& folder);

// The whole of a text file of at most max_bytes; `option` names it in errors. Throws Error.
std::string read_text_file(const std::string& path, const char* option, size_t max_bytes);

}  // namespace moraine::app
