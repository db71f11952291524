// A diagnosis for people (text) and for programs (JSON).
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "system/judge.h"

namespace moraine::system {

struct ReportStyle {
  int width = 100;                                                  // columns
  std::function<std::string(std::string_view, Severity)> severity;  // colours the word; empty: plain
  std::function<std::string(std::string_view)> heading;             // likewise
};

// `version` and what the program can do are told, because half of the report is about what is to come.
std::string text_report(const SystemFacts& facts, const Need& need, const Diagnosis& diagnosis,
                        const Abilities& abilities, const ReportStyle& style);
// An object, indented, in UTF-8. Fields are only ever added.
std::string json_report(const SystemFacts& facts, const Need& need, const Diagnosis& diagnosis);

}  // namespace moraine::system
