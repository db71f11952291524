// `moraine list`: the models on this disk, whoever fetched them, under the names that commands take.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app.h"
#include "hub/model_name.h"
#include "model_places.h"

namespace moraine::app {
namespace {

std::string json_report(const std::vector<hub::LocalModel>& models) {
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  for (const hub::LocalModel& m : models)
    out.push_back({{"name", m.full_name()},
                   {"quantization", m.origin == hub::Origin::kOllama ? "" : m.quantization},
                   {"size_bytes", m.size_bytes},
                   {"files", m.n_files},
                   {"missing_files", m.n_missing},
                   {"origin", to_string(m.origin)},
                   {"path", m.path.string()}});
  return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string text_report(const std::vector<hub::LocalModel>& models, const options::Environment& env) {
  size_t width = 4;
  for (const hub::LocalModel& m : models) width = std::max(width, m.full_name().size());
  width = std::min<size_t>(width, 64);
  std::string out = fmt::format("{:<{}}  {:>9}  {:<9}  {}\n", "NAME", width, "SIZE", "FROM", "WHERE");
  for (const hub::LocalModel& m : models) {
    out += fmt::format("{:<{}}  {:>9}  {:<9}  {}", m.full_name(), width, size_text(m.size_bytes),
                       to_string(m.origin), short_path(m.path, env));
    if (m.n_files > 1) out += fmt::format(" and {} more", m.n_files - 1);
    if (m.n_missing > 0) out += fmt::format("; {} of its {} files missing", m.n_missing, m.n_files);
    out += '\n';
  }
  return terminal_safe(out);
}

}  // namespace

int list(Invocation& invocation) {
  const Settings& s = invocation.settings;
  std::vector<hub::LocalModel> models = hub::find_local_models(model_roots(invocation.env));
  if (!s.hub.name.empty()) {
    // A part that several have is a fine question here.
    models = hub::find_models(s.hub.name, models);
  }
  const std::string report = s.json           ? json_report(models)
                             : models.empty() ? ""
                                              : text_report(models, invocation.env);
  std::fwrite(report.data(), 1, report.size(), stdout);
  std::fflush(stdout);
  if (s.json) return kOk;
  if (models.empty())
    invocation.console.line(
        s.hub.name.empty()
            ? "No models on this disk yet. What this machine can hold: moraine doctor; to fetch one: "
              "moraine pull USER/REPO"
            : fmt::format("Nothing on this disk is called {}.", terminal_safe(s.hub.name)));
  else
    invocation.console.line(fmt::format("Any of these names, or a part that only one has: moraine run {}",
                                        terminal_safe(models.front().full_name())));
  return kOk;
}

}  // namespace moraine::app
