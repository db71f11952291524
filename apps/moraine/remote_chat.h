// A conversation with a model that a server of this machine has loaded already: what ChatSession is to an
// engine of one's own.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "generation.h"
#include "http_client.h"
#include "runtime_file.h"
#include "settings.h"

namespace moraine::app {

class RemoteChat {
 public:
  RemoteChat(const RunningModel& server, const Settings& settings);

  // As ChatSession::ask; a signal hangs up, which ends the answer there.
  Outcome ask(std::string_view question, Signals& signals,
              const std::function<void(std::string_view)>& on_text);
  void clear();

 private:
  HttpClient client_;
  const Settings& settings_;
  std::vector<std::pair<std::string, std::string>> messages_;  // role, content
};

}  // namespace moraine::app
