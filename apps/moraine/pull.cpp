// `moraine pull USER/REPO[:QUANT]`: fetches a model into the hub's cache; without a quantisation, says which
// there are, how large, and whether they fit this machine. `moraine rm NAME` removes one again.
#include "hub/pull.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "app.h"
#include "hub/model_name.h"
#include "hub_session.h"
#include "model_places.h"

namespace moraine::app {
namespace {

using nlohmann::ordered_json;

constexpr int32_t kJudgedContext = 32768;  // a coding agent's least, where none was named

void print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

struct Offer {
  const hub::Repository& repository;
  const std::vector<hub::Variant>& variants;
  const hub::Variant& suggested;  // whose header was read
  const Fit& fit;
};

std::string verdict(const Offer& o, const hub::Variant& v) {
  if (!o.fit.known()) return "";
  const uint64_t needed = HubSession::needed(o.fit, o.suggested, v);
  if (needed <= o.fit.memory.available) return "fits";
  return fmt::format("too large by {}", size_text(needed - o.fit.memory.available));
}

std::string license_text(const hub::Repository& r) {
  return fmt::format("{}{}", r.license.empty() ? "licence not stated" : "licence " + r.license,
                     r.gated ? ", its terms must be accepted on the hub" : "");
}

std::string text_of(const Offer& o) {
  size_t width = 4;
  for (const hub::Variant& v : o.variants) width = std::max(width, v.name.size());
  std::string out = fmt::format("{}: {}\n", o.repository.id, license_text(o.repository));
  for (const hub::Variant& v : o.variants) {
    out += fmt::format("  {:<{}}  {:>9}  {:<10}  {}", v.name, width, size_text(v.size_bytes),
                       v.files.size() > 1 ? fmt::format("{} files", v.files.size()) : "", verdict(o, v));
    out.erase(out.find_last_not_of(' ') + 1);
    out += '\n';
  }
  if (o.fit.known())
    out += fmt::format(
        "Judged with a context of {} tokens, one request and the {} that are free here now (-c for "
        "another).\n",
        count_text(o.fit.memory.n_ctx), size_text(o.fit.memory.available));
  else
    out += fmt::format(
        "{} {}\n",
        o.fit.not_seen ? "Whether it runs here could not be seen." : "It does not run in this version.",
        o.fit.problem);
  return terminal_safe(out);
}

std::string json_of(const Offer& o) {
  ordered_json out{{"repository", o.repository.id},
                   {"commit", o.repository.commit},
                   {"license", o.repository.license},
                   {"gated", o.repository.gated}};
  out["available_bytes"] = o.fit.memory.available;
  out["n_ctx"] = o.fit.memory.n_ctx;
  if (!o.fit.known()) out["problem"] = o.fit.problem;
  out["quantizations"] = ordered_json::array();
  for (const hub::Variant& v : o.variants) {
    ordered_json entry{{"name", v.name},
                       {"size_bytes", v.size_bytes},
                       {"files", v.files.size()},
                       {"suggested", &v == &o.suggested}};
    if (o.fit.known()) {
      const uint64_t needed = HubSession::needed(o.fit, o.suggested, v);
      entry["needed_bytes"] = needed;
      entry["fits"] = needed <= o.fit.memory.available;
    }
    out["quantizations"].push_back(std::move(entry));
  }
  return out.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

// What the person at the terminal wants; null: nothing.
const hub::Variant* ask(const Offer& o, Console& console) {
  for (;;) {
    console.line(fmt::format("Which one? [{}], or q to leave: ", o.suggested.name));
    std::string answer;
    if (!std::getline(std::cin, answer) || answer == "q" || answer == "quit") return nullptr;
    answer.erase(answer.find_last_not_of(" \t\r") + 1);
    if (answer.empty()) return &o.suggested;
    if (const hub::Variant* v = hub::find_variant(o.variants, answer)) return v;
    console.line(fmt::format("{} is not among them.", terminal_safe(answer)));
  }
}

void print_done(const Invocation& invocation, const hub::Repository& r, const hub::Variant& v,
                const std::string& path) {
  const std::string name = r.id + ":" + v.name;
  if (invocation.settings.json)
    print(ordered_json{{"name", name},
                       {"path", path},
                       {"size_bytes", v.size_bytes},
                       {"files", v.files.size()},
                       {"commit", r.commit}}
              .dump(2, ' ', false, ordered_json::error_handler_t::replace) +
          "\n");
  else
    invocation.console.line(fmt::format("Next: moraine serve {}", terminal_safe(name)));
}

}  // namespace

int pull(Invocation& invocation) {
  const Settings& s = invocation.settings;
  Console& console = invocation.console;
  if (s.hub.name.empty()) throw options::UsageError("say what to fetch: moraine pull USER/REPO[:QUANT]");
  hub::RepoName name;
  if (!hub::parse_repo_name(s.hub.name, name))
    throw options::UsageError(fmt::format(
        "{} is no name of the hub: it takes USER/REPO[:QUANT], such as unsloth/Qwen3-1.7B-GGUF:Q8_0",
        terminal_safe(s.hub.name)));
  if (!hub::is_safe_path(s.hub.revision))
    throw options::UsageError("--revision takes a branch, tag or commit");

  HubSession session(invocation);
  const hub::Repository repository = session.repository(name);
  for (const std::string& refused : repository.refused)
    console.warn(fmt::format("left out of the list, as its name, size or sum is not safe: {}",
                             terminal_safe(refused)));
  const std::vector<hub::Variant> variants = hub::variants_of(repository);
  const hub::Variant* variant = name.quantization.empty() ? hub::default_variant(variants)
                                                          : hub::find_variant(variants, name.quantization);
  if (variant == nullptr) throw no_such_variant(repository, variants, name.quantization);

  const int32_t n_ctx = s.engine.n_ctx > 0 ? s.engine.n_ctx : kJudgedContext;
  const bool choose = name.quantization.empty() && variants.size() > 1;
  const Fit fit = session.fit_of(repository, *variant, n_ctx);
  const Offer offer{repository, variants, *variant, fit};
  if (choose && s.json) {
    print(json_of(offer));
    return kOk;
  }
  if (choose) {
    print(text_of(offer));
    if (s.hub.yes) {
      // The suggested one.
    } else if (is_terminal(STDIN_FILENO) && console.is_terminal()) {
      variant = ask(offer, console);
      if (variant == nullptr) return kOk;
    } else {
      console.line(fmt::format("Next: moraine pull {}:{}", repository.id, terminal_safe(variant->name)));
      return kOk;
    }
  } else {
    console.line(terminal_safe(
        fmt::format("{}: {}, {}", repository.id, size_text(variant->size_bytes), license_text(repository))));
    if (fit.not_seen)
      console.warn(terminal_safe("whether it fits could not be seen: " + fit.problem));
    else if (!fit.known())
      console.warn(terminal_safe("it will not run in this version: " + fit.problem));
    else if (!fit.memory.fits())
      console.warn(fmt::format(
          "it does not fit into the {} that are free here now: with {} tokens of context it needs {}",
          size_text(fit.memory.available), count_text(fit.memory.n_ctx), size_text(fit.memory.total())));
  }
  const std::string path = session.fetch(repository, *variant);
  print_done(invocation, repository, *variant, path);
  return kOk;
}

int rm(Invocation& invocation) {
  const Settings& s = invocation.settings;
  Console& console = invocation.console;
  if (s.hub.name.empty())
    throw options::UsageError("say what to remove: moraine rm NAME (moraine list shows the names)");
  const std::vector<hub::LocalModel> all = hub::find_local_models(model_roots(invocation.env));
  // The hub's cache is what `pull` fills; what others fetched is theirs to remove.
  std::vector<hub::LocalModel> ours;
  for (const hub::LocalModel& m : all)
    if (m.origin == hub::Origin::kHub) ours.push_back(m);
  const std::vector<hub::LocalModel> found = hub::find_models(s.hub.name, ours);
  if (found.empty()) {
    const std::vector<hub::LocalModel> others = hub::find_models(s.hub.name, all);
    throw Error(
        ErrorCode::kNotFound,
        others.empty()
            ? fmt::format("Nothing in the hub's cache is called {}: moraine list shows what is there.",
                          s.hub.name)
            : fmt::format("{} is not in the hub's cache but {}: remove it where it came from ({}).",
                          others.front().full_name(),
                          others.front().origin == hub::Origin::kFolder
                              ? "a file of yours"
                              : std::string("belongs to ") + to_string(others.front().origin),
                          short_path(others.front().path, invocation.env)));
  }
  if (found.size() > 1) {
    std::string names;
    for (const hub::LocalModel& m : found) names += "\n  " + m.full_name();
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("{} may be any of these; say which:{}", s.hub.name, names));
  }
  const std::filesystem::path cache = hub_cache(invocation.env);
  const hub::Removal removal = hub::plan_removal(cache, found.front());
  const std::string what =
      terminal_safe(fmt::format("{} ({})", found.front().full_name(), size_text(removal.size_bytes)));
  if (!s.hub.yes) {
    if (!is_terminal(STDIN_FILENO))
      throw options::UsageError("rm asks before it removes, and nobody is there to answer: add --yes");
    console.line(fmt::format("Remove {} from {}, which other programs use as well? [y/N] ", what,
                             short_path(cache, invocation.env)));
    std::string answer;
    std::getline(std::cin, answer);
    if (answer != "y" && answer != "Y" && answer != "yes") {
      console.line("Nothing was removed.");
      return kOk;
    }
  }
  hub::remove(cache, removal);
  if (s.json)
    print(ordered_json{{"removed", found.front().full_name()}, {"size_bytes", removal.size_bytes}}.dump(
              2, ' ', false, ordered_json::error_handler_t::replace) +
          "\n");
  else
    console.line(fmt::format("removed {}", what));
  return kOk;
}

}  // namespace moraine::app
