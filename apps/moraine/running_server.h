// A running server, asked what it serves: for `connect` and `launch`. Works with any that answers /v1/models
// and /props as llama-server does.
#pragma once

#include <string>

#include "agents/client.h"

namespace moraine::app {

// `url` empty: http://127.0.0.1:8081, then 8080. Throws Error: kUnavailable where nobody answers or the model
// is still being loaded, kInvalidArgument for a missing key, kUnsupported where the answers lack what is
// needed.
agents::Server ask_running_server(const std::string& url, const std::string& key);

}  // namespace moraine::app
