// How `moraine bench speculation` tells what it measured: tables that read well in Markdown, or JSON.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "bench_speculation.h"
#include "console.h"

namespace moraine::app {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr int32_t kShownRows[] = {1, 2, 3, 4, 5, 6, 8, 9, 12, 16, 17, 24, 32};

double share_of(uint64_t part, uint64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

double tokens_per_second(const TaskResult& r, const std::vector<double>& seconds) {
  const double s = median(seconds);
  return s > 0 ? r.n_generated / s : 0;
}

std::string spread(const std::vector<double>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return values.empty() ? "" : fmt::format("{:.2f}-{:.2f}", *low, *high);
}

std::string tasks_table(const SpeculationReport& report) {
  std::string out =
      "| task | tokens | off, tok/s | on, tok/s | ratio (all rounds) | drafted, held | by whom | bound | "
      "reached |\n"
      "|---|---|---|---|---|---|---|---|---|\n";
  for (const TaskResult& r : report.tasks) {
    std::string by;
    for (const DrafterStats& d : r.drafters)
      if (d.drafted > 0)
        by += fmt::format("{}{} {}/{}", by.empty() ? "" : ", ", d.name, d.accepted, d.drafted);
    out += fmt::format(
        "| {} | {} | {:.1f} | {:.1f} | {:.2f}x ({}) | {}, {:.0f}% | {} | {:.2f}x | {:.0f}% |\n",
        terminal_safe(r.name), r.n_generated, tokens_per_second(r, r.off_seconds),
        tokens_per_second(r, r.on_seconds), r.ratio(), spread(r.ratios()), r.n_drafted,
        100 * share_of(r.n_accepted, r.n_drafted), by.empty() ? "-" : by, r.bound, 100 * r.ratio() / r.bound);
  }
  return out +
         "\nThe tokens were the same in every round. Bound: what the measured steps allow if no token is "
         "drafted in "
         "vain,\nwith drafts from the request's own text.\n";
}

std::string acceptance_table(const SpeculationReport& report) {
  std::string out = "| drafts that hold |";
  std::string rule = "|---|";
  for (const int32_t n : report.acceptances[0].lengths) {
    out += n == 0 ? " none |" : fmt::format(" {} |", n);
    rule += "---|";
  }
  out += " controller | drafts, tokens a step | of the best |\n" + rule + "---|---|---|\n";
  for (const AcceptanceResult& r : report.acceptances) {
    out += fmt::format("| {:.0f}% |", 100 * r.acceptance);
    const double plain = median(r.seconds[0]);
    for (size_t i = 0; i < r.lengths.size(); ++i) {
      const std::string ratio = fmt::format("{:.2f}x", plain / median(r.seconds[i]));
      out += i == r.best() ? fmt::format(" **{}** |", ratio) : fmt::format(" {} |", ratio);
    }
    out += fmt::format(" {:.2f}x | {:.1f} | {:.1f}% |\n", plain / median(r.controller_seconds), r.mean_length,
                       100 * r.share());
  }
  return out +
         "\nTimes as fast as without drafts; each length is fixed but for the controller's. The tokens were "
         "the "
         "same.\n";
}

std::string cost_table(const SpeculationReport& report) {
  std::string out = "| rows of a step |", rule = "|---|";
  for (const int32_t n : kShownRows) out += fmt::format(" {} |", n), rule += "---|";
  out += "\n" + rule + "\n";
  for (const CostResult& r : report.costs) {
    const double one = median(r.seconds[0]);
    out += fmt::format("| {} tokens before: {:.2f} ms, times |", r.n_context, 1e3 * one);
    for (const int32_t n : kShownRows)
      if (n <= static_cast<int32_t>(r.seconds.size()))
        out += fmt::format(" {:.2f} |", median(r.seconds[n - 1]) / one);
    out += "\n";
  }
  return out;
}

}  // namespace

std::string speculation_report(const SpeculationReport& report) {
  const ModelInfo& i = report.info;
  std::string out = terminal_safe(
      fmt::format("{} {} {} on {}; greedy, at most {} tokens, {} rounds in turn, medians\n\n", i.architecture,
                  i.size_label, i.quantization, i.device, report.n_tokens, report.rounds));
  if (!report.tasks.empty()) out += tasks_table(report);
  if (!report.acceptances.empty()) out += acceptance_table(report);
  if (!report.costs.empty()) out += cost_table(report);
  return out;
}

std::string speculation_json(const SpeculationReport& report) {
  OrderedJson tasks = OrderedJson::array(), acceptances = OrderedJson::array(), costs = OrderedJson::array();
  for (const TaskResult& r : report.tasks) {
    OrderedJson drafters = OrderedJson::object();
    for (const DrafterStats& d : r.drafters)
      drafters[d.name] = {{"drafted", d.drafted}, {"accepted", d.accepted}};
    tasks.push_back({{"name", r.name},
                     {"n_prompt", r.n_prompt},
                     {"n_generated", r.n_generated},
                     {"hash", fmt::format("{:016x}", r.hash)},
                     {"off_seconds", r.off_seconds},
                     {"on_seconds", r.on_seconds},
                     {"off_tokens_per_second", tokens_per_second(r, r.off_seconds)},
                     {"on_tokens_per_second", tokens_per_second(r, r.on_seconds)},
                     {"ratio", r.ratio()},
                     {"n_drafted", r.n_drafted},
                     {"n_accepted", r.n_accepted},
                     {"drafters", std::move(drafters)},
                     {"bound", r.bound},
                     {"share_of_bound", r.ratio() / r.bound}});
  }
  for (const AcceptanceResult& r : report.acceptances) {
    OrderedJson fixed = OrderedJson::array();
    for (size_t i = 0; i < r.lengths.size(); ++i)
      fixed.push_back({{"length", r.lengths[i]}, {"seconds", r.seconds[i]}});
    acceptances.push_back({{"acceptance", r.acceptance},
                           {"fixed", std::move(fixed)},
                           {"best_length", r.lengths[r.best()]},
                           {"controller_seconds", r.controller_seconds},
                           {"controller_mean_length", r.mean_length},
                           {"share_of_best", r.share()}});
  }
  for (const CostResult& r : report.costs) {
    OrderedJson steps = OrderedJson::array();
    for (size_t i = 0; i < r.seconds.size(); ++i)
      steps.push_back({{"rows", i + 1}, {"seconds", median(r.seconds[i])}});
    costs.push_back({{"n_context", r.n_context}, {"steps", std::move(steps)}});
  }
  const OrderedJson json = {{"model", report.info.path},
                            {"device", report.info.device},
                            {"n_tokens", report.n_tokens},
                            {"rounds", report.rounds},
                            {"max_draft", report.max_draft},
                            {"tasks", std::move(tasks)},
                            {"acceptances", std::move(acceptances)},
                            {"costs", std::move(costs)}};
  return json.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

}  // namespace moraine::app
