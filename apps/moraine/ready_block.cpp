#include "ready_block.h"

#include <fmt/format.h>

#include <algorithm>

#include "console.h"
#include "gguf/value.h"

namespace moraine::app {
namespace {

using options::Support;

bool is_wildcard(const std::string& host) { return host == "0.0.0.0" || host == "::"; }

std::string gb(uint64_t bytes) { return fmt::format("{:.2f}", static_cast<double>(bytes) / 1e9); }

std::string context_text(const ReadyState& s) {
  const int32_t n = s.info.n_ctx, trained = s.info.n_ctx_train;
  std::string why;
  if (s.settings.engine.n_ctx > 0)
    why = n > trained ? fmt::format("as asked, though the model was trained for {}", count_text(trained))
                      : fmt::format("as asked (the model was trained for {})", count_text(trained));
  else if (n < trained)
    why = fmt::format("what fits into memory (the model was trained for {})", count_text(trained));
  else
    why = "the trained length";
  const int32_t parallel = s.info.n_parallel;
  return fmt::format("{} tokens{}, {}; {} at once", count_text(n), parallel > 1 ? " a request" : "", why,
                     parallel > 1 ? fmt::format("{} requests", parallel) : "one request");
}

// Options with something to say, equal notes together: those of what is missing first.
struct FlagLine {
  Support support;
  std::string shown, note;
};
std::vector<FlagLine> flag_lines(const options::Parsed& parsed) {
  std::vector<FlagLine> lines;
  for (const options::Given& g : parsed.given) {
    if (!g.option->note || g.option->support == Support::kNone) continue;  // kNone: warned of at the start
    const std::string note = g.option->note(g.value);
    if (note.empty()) continue;
    const auto same = [&](const FlagLine& l) { return l.note == note; };
    if (const auto at = std::find_if(lines.begin(), lines.end(), same); at != lines.end())
      at->shown += ", " + g.shown;
    else
      lines.push_back({g.option->support, g.shown, note});
  }
  const auto rank = [](Support s) { return s == Support::kPlanned ? 0 : s == Support::kFull ? 1 : 2; };
  std::stable_sort(lines.begin(), lines.end(),
                   [&](const FlagLine& a, const FlagLine& b) { return rank(a.support) < rank(b.support); });
  return lines;
}

void add_flags(const options::Parsed& parsed, size_t room, std::vector<ReadyLine>& out) {
  std::vector<std::string> texts;
  for (const FlagLine& l : flag_lines(parsed)) texts.push_back(fmt::format("{}: {}", l.shown, l.note));
  // What would not fit shares the last line.
  room = std::max<size_t>(room, 1);
  while (texts.size() > room) {
    texts[texts.size() - 2] += "; " + texts.back();
    texts.pop_back();
  }
  for (size_t i = 0; i < texts.size(); ++i) out.push_back({i == 0 ? "flags" : "", terminal_safe(texts[i])});
}

}  // namespace

std::string memory_text(const MemoryEstimate& m, bool limited) {
  std::string text =
      fmt::format("{} of {} GB that {}: weights {}, cache {} for a full context", gb(m.total()),
                  gb(m.available), limited ? "may be used" : "are free", gb(m.weights), gb(m.kv));
  if (m.state > 0) text += fmt::format(", recurrent state {}", gb(m.state));
  text += fmt::format(", work space {}", gb(m.scratch + m.other));
  if (m.draft > 0) text += fmt::format(", draft {}", gb(m.draft));
  if (m.cache > 0) text += fmt::format("; finished prompts may keep {} more (--cache-ram)", gb(m.cache));
  return text;
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos);
}

std::string base_url(const Settings& s, int port) {
  std::string host = is_wildcard(s.http.host) ? "127.0.0.1" : s.http.host;
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  return fmt::format("{}://{}:{}", s.http.tls_certificate_path.empty() ? "http" : "https", host, port);
}

std::vector<ReadyLine> ready_block(const ReadyState& s) {
  const std::string url = base_url(s.settings, s.port);
  const bool beyond = !is_loopback(s.settings.http.host), keys = !s.settings.api.api_keys.empty();

  std::vector<ReadyLine> head = {
      {"model",
       fmt::format("{}: {}, {} {}, {}{}, loaded in {:.1f} s", gguf::escape_text(s.info.name),
                   s.info.architecture, s.info.size_label, s.info.quantization, size_text(s.info.size_bytes),
                   s.info.draft_model.empty()
                       ? ""
                       : ", with the draft model " + gguf::escape_text(s.info.draft_model),
                   s.load_seconds)},
      {"device", s.info.device},
      {"context", context_text(s)}};

  std::vector<ReadyLine> tail;
  const std::string where =
      is_wildcard(s.settings.http.host) ? fmt::format("{}, on every address of this machine", url) : url;
  if (!beyond)
    tail.push_back({"address", fmt::format("{}: this machine alone can reach it", where)});
  else if (keys)
    tail.push_back({"address", fmt::format("{}: other machines can reach it, with an API key", where)});
  else
    tail.push_back({"ADDRESS",
                    fmt::format("{}: ANYONE who reaches this machine can use it: set --api-key", where),
                    true});
  tail.push_back({"try", fmt::format("curl {}{}/v1/chat/completions{} -d "
                                     "'{{\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'",
                                     s.settings.http.tls_certificate_path.empty() ? "" : "-k ", url,
                                     keys ? " -H 'Authorization: Bearer KEY'" : "")});

  std::vector<ReadyLine> lines = std::move(head);
  if (!s.info.notes.empty()) {
    std::string notes;
    for (const std::string& note : s.info.notes) {
      if (!notes.empty()) notes += ' ';
      notes += gguf::escape_text(note, 300);
    }
    lines.push_back({"note", notes});
  }
  add_flags(s.parsed, kMaxReadyLines - lines.size() - tail.size(), lines);
  lines.insert(lines.end(), tail.begin(), tail.end());
  return lines;
}

}  // namespace moraine::app
