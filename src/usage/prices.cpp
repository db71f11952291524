#include "usage/prices.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace moraine::usage {
namespace {

using Json = nlohmann::json;
constexpr size_t kMaxModels = 1000;

[[noreturn]] void refuse(const std::string& file, const std::string& why) {
  throw Error(ErrorCode::kInvalidArgument, fmt::format("The prices in {} cannot be used: {}.", file, why));
}

std::string word(const Json& object, const char* key, const std::string& file, bool needed = false) {
  const auto at = object.find(key);
  if (at == object.end() && !needed) return "";
  if (at == object.end() || !at->is_string()) refuse(file, fmt::format("\"{}\" must be a text", key));
  return at->get<std::string>();
}

double amount(const Json& object, const char* key, const std::string& file, const std::string& of) {
  const auto at = object.find(key);
  if (at == object.end() || !at->is_number() || !(at->get<double>() >= 0 && at->get<double>() < 1e6))
    refuse(file, fmt::format("\"{}\" of {} must be a number, 0 or more", key, of));
  return at->get<double>();
}

}  // namespace

const Price& PriceTable::find(std::string_view name) const {
  if (name.empty()) name = compare;
  std::string names;
  for (const Price& p : models) {
    if (p.name == name) return p;
    names += (names.empty() ? "" : ", ") + p.name;
  }
  throw Error(ErrorCode::kNotFound, fmt::format("There is no price of {}; there are {}.", name, names));
}

PriceTable parse_prices(std::string_view text, const std::string& file) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) refuse(file, "it is no JSON object");
  PriceTable table;
  table.date = word(json, "date", file);
  table.source = word(json, "source", file);
  table.currency = word(json, "currency", file);
  table.compare = word(json, "compare", file);
  if (json.contains("electricity_per_kwh"))
    table.electricity_per_kwh = amount(json, "electricity_per_kwh", file, "the file");
  const auto models = json.find("models");
  if (models == json.end() || !models->is_array() || models->empty() || models->size() > kMaxModels)
    refuse(file, "\"models\" must be a list of models with their prices");
  for (const Json& m : *models) {
    if (!m.is_object()) refuse(file, "an entry of \"models\" is no object");
    Price p;
    p.name = word(m, "name", file, true);
    p.input = amount(m, "input", file, p.name);
    p.output = amount(m, "output", file, p.name);
    p.cached = m.contains("cached") ? amount(m, "cached", file, p.name) : p.input;
    table.models.push_back(std::move(p));
  }
  if (table.compare.empty()) table.compare = table.models[0].name;
  table.find("");
  return table;
}

double charge(const Price& p, int64_t n_fresh, int64_t n_cached, int64_t n_generated) {
  return (static_cast<double>(n_fresh) * p.input + static_cast<double>(n_cached) * p.cached +
          static_cast<double>(n_generated) * p.output) /
         1e6;
}

}  // namespace moraine::usage
