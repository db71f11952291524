// The options of the meter, and where its files lie.
#include "base/options/value.h"
#include "option_table.h"
#include "usage_place.h"

namespace moraine::app {

using namespace options;

namespace {

// $variable where it is an absolute path (the specification ignores others), else `below` the home folder.
std::string user_folder(const Environment& env, const char* variable, const char* below) {
  const auto absolute = [&](const char* name) -> std::string {
    const char* value = env(name);
    return value && value[0] == '/' ? value : "";
  };
  if (const std::string folder = absolute(variable); !folder.empty()) return folder + "/moraine";
  const std::string home = absolute("HOME");
  return home.empty() ? "" : home + below + "/moraine";
}

Value watts(double& place) {
  return {"a number of watts, above 0", [&place](std::string_view text) {
            const auto v = parse_real(text);
            if (!v || *v <= 0 || *v > 1e5) return false;
            place = *v;
            return true;
          }};
}

}  // namespace

void add_usage_options(Table& t, Settings& s) {
  t.section("Usage", kServe | kMeter | kEpic);
  t.add("--usage-file FILE|off", text(s.usage.file),
        "where each request's counts and times are kept; never its text")
      .standard("moraine/usage.sqlite in the user's data folder");
  t.add("--no-usage", toggle(s.usage.off), "keep none").only(kServe);
  t.section("Usage", kMeter);
  t.add("--by WHAT",
        choice<usage::By>(s.usage.by, {{"day", usage::By::kDay},
                                       {"model", usage::By::kModel},
                                       {"client", usage::By::kClient},
                                       {"epic", usage::By::kEpic},
                                       {"task", usage::By::kTask}}),
        "day, model, client, epic or task")
      .standard("day")
      .command_line_only();
  t.add("--since TIME", text(s.usage.since), "only what ended since then: 7d, 12h or 2026-11-01")
      .command_line_only();
  t.add("--epic NAME", text(s.usage.epic), "only this epic's").command_line_only();
  t.add("--price MODEL", text(s.usage.price), "compare with this model of the table of prices")
      .standard("the one the table names")
      .command_line_only();
  t.add("--prices FILE", text(s.usage.prices), "the table of prices")
      .standard("moraine/prices.json in the user's configuration folder, or the program's own");
  t.add("--write-prices", toggle(s.usage.write_prices), "write the program's own table there, to be edited")
      .command_line_only();
  t.add("--watts N", watts(s.usage.watts), "what the machine takes while it works, where no counter says so");
  t.add("--csv", toggle(s.usage.csv), "print CSV").command_line_only();
  t.add("--json", toggle(s.json), "print JSON").command_line_only();
}

std::string usage_file(const UsageSettings& settings, const Environment& env) {
  if (settings.off) return "";
  if (const auto said = parse_bool(settings.file); said && !*said) return "";
  if (!settings.file.empty() && !parse_bool(settings.file)) return settings.file;
  const std::string folder = user_folder(env, "XDG_DATA_HOME", "/.local/share");
  return folder.empty() ? "" : folder + "/usage.sqlite";
}

std::string prices_file(const UsageSettings& settings, const Environment& env) {
  if (!settings.prices.empty()) return settings.prices;
  const std::string folder = user_folder(env, "XDG_CONFIG_HOME", "/.config");
  return folder.empty() ? "" : folder + "/prices.json";
}

}  // namespace moraine::app
