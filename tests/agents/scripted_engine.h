// An engine whose model says what a scenario has written: the real one, and on top of what binds a generation
// already (its tools' grammar) an unbounded bias for the next token of the chosen reply. The forward pass,
// the cache, the sampler and its order, constraints, templates, parsers and streams are those that ship; a
// reply that a real constraint forbids is not said, and told in the report.
#pragma once

#include <moraine/engine.h>

#include <memory>
#include <string>

namespace moraine::scripted {

// One line of JSON for each generation goes to the report's file: which rule, the prompt's tokens, cached
// ones, those generated, and `forbidden`, what a constraint did not let through (else null); for a prompt
// that no rule fits, `unmatched`. Throws Error for a scenario that cannot be read.
std::unique_ptr<Engine> speak_for(std::unique_ptr<Engine> engine, const std::string& scenario_file,
                                  const std::string& report_file);

}  // namespace moraine::scripted
