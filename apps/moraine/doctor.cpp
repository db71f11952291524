// `moraine doctor`: what this machine can hold, what stands in the way, and the exact lines that change it.
// Reading and judging are src/system; here are the wishes of the command line, and --write.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>

#include "app.h"
#include "base/usable_cores.h"
#include "gguf/reader.h"
#include "hub/model_name.h"
#include "model_places.h"
#include "system/probe.h"
#include "system/report.h"
#include "system/write_config.h"

namespace moraine::app {
namespace {

namespace fs = std::filesystem;
using system::Severity;

// A file on disk, by the engine's own estimate; where its architecture does not run here, by what is known
// of its name, or by its size alone.
void add_file(system::Need& need, const EngineOptions& options) {
  const std::string name = fs::path(options.model_path).filename().string();
  try {
    const MemoryEstimate e = Engine::estimate(options);
    need.what += (need.what.empty() ? "" : " and ") + terminal_safe(name);
    need.parts.emplace_back(terminal_safe(name), e.weights);
    need.parts.emplace_back(fmt::format("its cache of {} tokens and work space", app::count_text(e.n_ctx)),
                            e.total() - e.weights);
    need.model_bytes += e.total();
    if (need.parts.size() == 2)  // the main model, not its draft
      need.serve = fmt::format("moraine serve {} -c {}", terminal_safe(options.model_path), e.n_ctx);
    return;
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kUnsupported) throw;
    need.remarks.push_back(fmt::format("{} does not run in this build: {}", terminal_safe(name), e.what()));
  }
  if (const auto known = system::find_known_models(name); known.size() == 1) {
    system::add_model(need, *known.front(), options.n_ctx);
    return;
  }
  const uint64_t bytes = gguf::File::open(options.model_path).size_bytes();
  need.what += (need.what.empty() ? "" : " and ") + terminal_safe(name);
  need.parts.emplace_back(terminal_safe(name), bytes);
  need.model_bytes += bytes;
  need.remarks.push_back(fmt::format("For {} the weights alone are counted: its cache comes on top.", name));
}

void add_model(system::Need& need, EngineOptions options, const std::string& name,
               const Invocation& invocation) {
  std::error_code error;
  options.model_path = name;
  if (fs::is_regular_file(name, error)) {
    add_file(need, options);
    return;
  }
  const auto found = system::find_known_models(name);
  std::string names;
  for (const system::KnownModel& m : system::known_models())
    names += (names.empty() ? "" : ", ") + system::full_name(m);
  if (found.size() != 1) {
    // A name of `moraine list`, or a part of one that only one model has.
    const auto local = hub::find_models(name, hub::find_local_models(model_roots(invocation.env)));
    if (local.size() == 1 && local.front().n_missing == 0) {
      options.model_path = local.front().path.string();
      add_file(need, options);
      return;
    }
  }
  if (found.empty()) {
    throw Error(
        ErrorCode::kNotFound,
        fmt::format("{} is no file here, none of `moraine list`, and no model known by name. Known: {}.",
                    name, names));
  }
  if (found.size() > 1) {
    names.clear();
    for (const system::KnownModel* m : found) names += (names.empty() ? "" : " or ") + system::full_name(*m);
    throw Error(ErrorCode::kInvalidArgument, fmt::format("{} may be {}: name one.", name, names));
  }
  system::add_model(need, *found.front(), options.n_ctx);
}

system::Need need_of(const Invocation& invocation) {
  const Settings& s = invocation.settings;
  system::Need need;
  need.gpu_bytes = s.doctor.gpu_memory_bytes;
  if (!s.engine.model_path.empty()) add_model(need, s.engine, s.engine.model_path, invocation);
  if (!s.doctor.draft_model.empty()) add_model(need, s.engine, s.doctor.draft_model, invocation);
  return need;
}

system::ReportStyle style_of(const Console& console) {
  system::ReportStyle style;
  style.width = std::clamp(terminal_width(STDOUT_FILENO), 60, 110);
  if (!is_terminal(STDOUT_FILENO) || !console.has_colors()) return style;
  style.heading = [&console](std::string_view title) { return console.styled(title, Style::kBold); };
  style.severity = [&console](std::string_view word, Severity severity) {
    switch (severity) {
      case Severity::kOk:
        return console.styled(word, Style::kGreen);
      case Severity::kNote:
        return console.styled(word, Style::kDim);
      case Severity::kWarning:
        return console.styled(word, Style::kYellow);
      case Severity::kProblem:
        break;
    }
    return console.styled(word, Style::kRed);
  };
  return style;
}

bool asked(const Settings& s, size_t n_files, Console& console) {
  if (s.doctor.yes) return true;
  if (!is_terminal(STDIN_FILENO))
    throw options::UsageError("--write asks before it writes, and nobody is there to answer: add --yes");
  console.line(
      fmt::format("Write {}? [y/N] ", n_files == 1 ? "this file" : fmt::format("these {} files", n_files)));
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

int write_remedy(const Settings& s, const RootFiles& files, const system::Diagnosis& d, Console& console) {
  if (!d.remedy) {
    console.line("Nothing to write: nothing needs to change.");
    return kOk;
  }
  const system::Remedy& r = *d.remedy;
  if (r.edits.empty()) {
    console.line(r.by_hand.empty() ? "Nothing to write: the commands of the report make the change."
                                   : "Nothing was written: the report says what to change by hand.");
    return r.by_hand.empty() ? kOk : kFailure;
  }
  if (!asked(s, r.edits.size(), console)) {
    console.line("Nothing was written.");
    return kOk;
  }
  for (const system::FileEdit& edit : r.edits) {
    const system::Written written = system::write_edit(files, edit);
    console.line(written.backup.empty()
                     ? fmt::format("wrote {}", written.path)
                     : fmt::format("wrote {}; as it was: {}", written.path, written.backup));
  }
  std::string commands;
  for (const std::string& command : r.commands) commands += (commands.empty() ? "" : " && ") + command;
  console.line("Now: " + commands);
  return kOk;
}

}  // namespace

int doctor(Invocation& invocation) {
  const Settings& s = invocation.settings;
  std::error_code error;
  if (!fs::is_directory(s.doctor.root, error))
    throw Error(ErrorCode::kNotFound, fmt::format("--root {} is no folder.", s.doctor.root));
  if (s.doctor.write && s.json)
    throw options::UsageError("--write tells what it does; --json cannot be had with it");
  const RootFiles files(s.doctor.root);
  const system::Need need = need_of(invocation);
  system::SystemFacts facts = system::read_system(files);
  if (s.doctor.probe && !files.is_live())
    invocation.console.warn("--probe measures this machine, not the captured one: left out");
  else if (s.doctor.probe)
    facts.measured_bandwidth = system::measure_read_bandwidth(usable_cores());

  // Of a captured machine its drivers cannot be asked.
  const auto devices = files.is_live() ? list_devices() : std::vector<DeviceInfo>();
  const bool gpu = std::any_of(devices.begin(), devices.end(),
                               [](const DeviceInfo& d) { return !d.software && d.missing.empty(); });
  const system::Abilities abilities{.gpu = gpu, .architectures = Engine::architectures()};
  const system::Diagnosis d = system::diagnose(facts, need, abilities);
  const std::string report =
      s.json ? system::json_report(facts, need, d)
             : system::text_report(facts, need, d, abilities, style_of(invocation.console));
  std::fwrite(report.data(), 1, report.size(), stdout);
  std::fflush(stdout);
  if (s.doctor.write) return write_remedy(s, files, d, invocation.console);
  switch (d.worst) {
    case Severity::kOk:
    case Severity::kNote:
      return kOk;
    case Severity::kWarning:
      return kDoctorWarning;
    case Severity::kProblem:
      break;
  }
  return kDoctorProblem;
}

}  // namespace moraine::app
