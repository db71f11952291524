#include "usage_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/options/render.h"
#include "base/options/value.h"
#include "console.h"

namespace moraine::app {
namespace {

using usage::By;
using usage::Sums;

constexpr size_t kMaxKeyColumns = 40;
constexpr int kLeastBar = 8, kMostBar = 40;

const char* word_of(By by) {
  switch (by) {
    case By::kDay:
      return "day";
    case By::kModel:
      return "model";
    case By::kClient:
      return "client";
    case By::kEpic:
      return "epic";
    case By::kTask:
      return "task";
  }
  return "";
}

// "1,234", "45.6k", "12.3M": five columns of what matters.
std::string tokens_text(int64_t n) {
  const auto v = static_cast<double>(n);
  if (n < 10'000) return count_text(n);
  if (n < 1'000'000) return fmt::format("{:.1f}k", v / 1e3);
  if (n < 1'000'000'000) return fmt::format("{:.1f}M", v / 1e6);
  return fmt::format("{:.2f}G", v / 1e9);
}

std::string hours_text(double ms) {
  if (ms < 60e3) return fmt::format("{:.0f} s", ms / 1e3);
  if (ms < 3.6e6) return fmt::format("{:.0f} min", ms / 60e3);
  return fmt::format("{:.1f} h", ms / 3.6e6);
}

std::string money_text(double amount) {
  return amount < 100 ? fmt::format("{:.2f}", amount) : fmt::format("{:.0f}", amount);
}

// Eighths of a column, so that small differences show.
std::string bar(double share, int columns) {
  static constexpr const char* kParts[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int eighths = static_cast<int>(share * columns * 8 + 0.5);
  std::string text;
  for (int i = 0; i < eighths / 8; ++i) text += "█";
  return text + kParts[eighths % 8];
}

std::string cut(const std::string& text, size_t columns) {
  return text.size() <= columns ? text : text.substr(0, columns - 3) + "...";
}

std::string key_text(const Sums& row) { return row.key.empty() ? "(none)" : cut(row.key, kMaxKeyColumns); }

std::string csv_field(const std::string& text) {
  if (text.find_first_of("\",\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

nlohmann::ordered_json json_of(const UsageReport& report, const Sums& s) {
  nlohmann::ordered_json out = {{"requests", s.n_requests},        {"prompt_fresh", s.n_fresh},
                                {"prompt_cached", s.n_cached},     {"generated", s.n_generated},
                                {"drafted", s.n_drafted},          {"accepted", s.n_accepted},
                                {"busy_seconds", s.busy_ms / 1e3}, {"cloud_charge", report.charge(s)}};
  if (report.watts) out["kwh"] = report.kwh(s);
  return out;
}

// Where the figures of the last lines come from, said plainly.
std::string notes(const UsageReport& r) {
  std::string text = fmt::format(
      "{} would have charged {} {} for these tokens: {} fresh at {:g}, {} cached at {:g} and {} generated "
      "at "
      "{:g} a million ({}, {}).\n",
      r.price.name, money_text(r.charge(r.total)), r.table.currency, tokens_text(r.total.n_fresh),
      r.price.input, tokens_text(r.total.n_cached), r.price.cached, tokens_text(r.total.n_generated),
      r.price.output, r.table_file.empty() ? "the program's example prices" : r.table_file,
      r.table.date.empty() ? "undated" : "as of " + r.table.date);
  if (r.total.n_drafted > 0)
    text += fmt::format("Drafts: {} of {} guessed tokens held.\n", tokens_text(r.total.n_accepted),
                        tokens_text(r.total.n_drafted));
  if (!r.watts)
    text +=
        "Electricity: not known. The CPU's energy counters could not be read (/sys/class/powercap, on most "
        "systems "
        "root's alone); --watts N counts with a figure of yours.\n";
  else
    text += fmt::format("Electricity: {:.2f} kWh, {} {} at {:g} a kWh; {:.0f} W {}.\n", r.kwh(r.total),
                        money_text(r.kwh(r.total) * r.table.electricity_per_kwh), r.table.currency,
                        r.table.electricity_per_kwh, *r.watts,
                        r.counted ? "by the CPU packages' counters, whatever else they did" : "as given");
  return text;
}

}  // namespace

std::string usage_text(const UsageReport& r, int width) {
  size_t key_width = 5;
  int64_t most = 1;
  for (const Sums& row : r.rows) {
    key_width = std::max(key_width, key_text(row).size());
    most = std::max(most, row.tokens());
  }
  const auto line = [&](const std::string& key, const std::string& requests, const std::string& fresh,
                        const std::string& cached, const std::string& generated, const std::string& time,
                        const std::string& money) {
    return fmt::format("{:<{}}  {:>8}  {:>8}  {:>8}  {:>9}  {:>7}  {:>9}", key, key_width, requests, fresh,
                       cached, generated, time, money);
  };
  const auto line_of = [&](const std::string& key, const Sums& s) {
    return line(key, count_text(s.n_requests), tokens_text(s.n_fresh), tokens_text(s.n_cached),
                tokens_text(s.n_generated), hours_text(s.busy_ms), money_text(r.charge(s)));
  };
  std::string text =
      line(word_of(r.by), "requests", "fresh", "cached", "generated", "time", r.table.currency) + "\n";
  const int room = std::min(kMostBar, width - static_cast<int>(text.size()) - 2);
  for (const Sums& row : r.rows) {
    text += line_of(key_text(row), row);
    if (room >= kLeastBar)
      text += "  " + bar(static_cast<double>(row.tokens()) / static_cast<double>(most), room);
    text += "\n";
  }
  if (r.rows.size() > 1) text += line_of("total", r.total) + "\n";
  text += "\n";
  for (const std::string& note : options::split(notes(r), '\n'))
    text += options::wrap(note, std::clamp(width, 60, 100), 0) + "\n";
  return terminal_safe(text);
}

std::string usage_json(const UsageReport& r) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const Sums& row : r.rows) {
    nlohmann::ordered_json entry = {{word_of(r.by), row.key}};
    entry.update(json_of(r, row));
    rows.push_back(std::move(entry));
  }
  nlohmann::ordered_json out = {{"by", word_of(r.by)},
                                {"rows", std::move(rows)},
                                {"total", json_of(r, r.total)},
                                {"price",
                                 {{"model", r.price.name},
                                  {"input", r.price.input},
                                  {"cached", r.price.cached},
                                  {"output", r.price.output},
                                  {"currency", r.table.currency},
                                  {"date", r.table.date}}}};
  if (r.watts)
    out["electricity"] = {
        {"watts", *r.watts}, {"counted", r.counted}, {"per_kwh", r.table.electricity_per_kwh}};
  else
    out["electricity"] = nullptr;
  return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string usage_csv(const UsageReport& r) {
  std::string text = fmt::format(
      "{},requests,prompt_fresh,prompt_cached,generated,drafted,accepted,busy_seconds,cloud_charge,kwh\n",
      word_of(r.by));
  for (const Sums& s : r.rows)
    text += fmt::format("{},{},{},{},{},{},{},{:.3f},{:.6f},{}\n", csv_field(s.key), s.n_requests, s.n_fresh,
                        s.n_cached, s.n_generated, s.n_drafted, s.n_accepted, s.busy_ms / 1e3, r.charge(s),
                        r.watts ? fmt::format("{:.6f}", r.kwh(s)) : "");
  return text;
}

}  // namespace moraine::app
