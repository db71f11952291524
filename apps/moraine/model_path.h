// Finds the model that a command line names, by path or by name, or says what there is instead.
#pragma once

#include <string>
#include <vector>

#include "app.h"

namespace moraine::app {

// Makes of engine.model_path, or -hf, the path of a file that is there: a path, a name as `moraine list`
// shows it, or a part of one; -hf fetches what is not on this disk. A name that says more than the file's
// becomes what clients see (api.alias). Throws Error{kNotFound} that names what is similar, kInvalidArgument
// for a name that several have, and options::UsageError where no model was named.
void require_model(Invocation& invocation, const char* command);

// The same for one text: the path of the model that it names.
std::string model_path_of(const std::string& text, const Invocation& invocation);

// GGUF files in this folder and in models/, as one would type them; of split sets the first file.
std::vector<std::string> models_nearby(const std::string& folder);

// The whole of a text file of at most max_bytes; `option` names it in errors. Throws Error.
std::string read_text_file(const std::string& path, const char* option, size_t max_bytes);
// Those that hold what another option would say: the chat template, the form of answers.
void read_chat_files(Settings& settings);

}  // namespace moraine::app
