#include "server/api/request_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "server/api/json.h"

namespace moraine::server {
namespace {

// Prompts that part sooner than this have only their template's first words in common.
constexpr int32_t kFewTokens = 64;
constexpr size_t kMaxShownBytes = 40;

// Quoted, control characters escaped: a client's bytes must not write lines of their own.
std::string shown(std::string_view bytes) {
  std::string text(bytes.substr(0, kMaxShownBytes));
  return dump(Json(text)) + (bytes.size() > kMaxShownBytes ? "..." : "");
}

std::string token_text(TokenId id, const Tokenizer& tokenizer) {
  return tokenizer.contains(id) ? shown(tokenizer.token_bytes(id)) : fmt::format("token {}", id);
}

// "message 7, user": counted by the control token that the template begins messages with, which is the first
// one of the prompt that neither begins nor ends a text. "": the prompt has none.
std::string message_of(std::span<const TokenId> prompt, int32_t position, const Tokenizer& tokenizer) {
  const auto opener = std::find_if(prompt.begin(), prompt.end(), [&](TokenId t) {
    return tokenizer.is_control(t) && t != tokenizer.special().bos && !tokenizer.is_end_of_generation(t);
  });
  if (opener == prompt.end()) return "";
  int32_t n = 0, begin = 0;
  for (int32_t i = 0; i <= position; ++i)
    if (prompt[i] == *opener) ++n, begin = i + 1;
  if (n == 0) return "";
  std::string role;
  for (size_t i = begin; i < prompt.size() && i < static_cast<size_t>(begin) + 8; ++i) {
    if (tokenizer.is_control(prompt[i])) break;
    role += tokenizer.token_bytes(prompt[i]);
  }
  role.resize(std::min(role.find_first_of("\r\n"), role.size()));
  return fmt::format(", in message {}{}", n, role.empty() ? "" : " " + shown(role));
}

// The program's name without its details: "opencode/1.2".
std::string program_of(const http::Request& request) {
  const std::string_view agent = request.header("User-Agent");
  std::string name(agent.substr(0, std::min(agent.find(' '), kMaxShownBytes)));
  for (char& c : name)
    if (c < '!' || c > '~') c = '?';
  return name;
}

// The same behind its address without the port: "127.0.0.1 opencode/1.2".
std::string client_of(const http::Request& request) {
  const std::string address = request.remote.substr(0, request.remote.rfind(':')), name = program_of(request);
  return name.empty() ? address : address + " " + name;
}

}  // namespace

std::string request_line(const http::Request& request, const char* how, const RequestTotals& t) {
  const auto rate = [](int64_t n, double ms) { return ms > 0 ? 1e3 * static_cast<double>(n) / ms : 0.0; };
  const int64_t n_new = t.n_prompt - t.n_cached;
  return fmt::format(
      "{} from {}: {}, prompt {} = {} cached + {} new at {:.1f} tok/s, answer {} at {:.1f} tok/s, "
      "first token {}, whole {:.0f} ms",
      request.path, client_of(request), how, t.n_prompt, t.n_cached, n_new, rate(n_new, t.prompt_ms),
      t.n_generated, rate(t.n_generated, t.generated_ms),
      t.first_token_ms < 0 ? "none" : fmt::format("{:.0f} ms", t.first_token_ms), t.whole_ms);
}

usage::Record usage_record(const http::Request& request, const char* how, const RequestTotals& t,
                           const std::string& model) {
  usage::Record r;
  r.ended_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                   std::chrono::system_clock::now().time_since_epoch())
                   .count();
  r.client = program_of(request);
  r.client.resize(std::min(r.client.find('/'), r.client.size()));  // one program, whatever its version
  r.model = model;
  r.protocol = request.path;
  r.outcome = how;
  r.epic = usage::plain_name(request.header("X-Moraine-Epic"));
  r.task = usage::plain_name(request.header("X-Moraine-Task"));
  r.n_cached = t.n_cached;
  r.n_fresh = std::max<int64_t>(0, (t.n_read < 0 ? t.n_prompt : t.n_read) - t.n_cached);
  r.n_generated = t.n_generated;
  r.n_drafted = t.n_drafted, r.n_accepted = t.n_accepted;
  r.prompt_ms = t.prompt_ms, r.generated_ms = t.generated_ms, r.whole_ms = t.whole_ms;
  return r;
}

std::string cache_note(std::span<const TokenId> prompt, const GenerationStats& stats,
                       const Tokenizer& tokenizer) {
  const int32_t n = stats.n_known;
  std::string note;
  if (stats.n_drafted > 0)
    note = fmt::format("; {} of {} drafted tokens held", stats.n_accepted, stats.n_drafted);
  if (stats.n_restored > 0) note += fmt::format("; {} of the cached ones from disk", stats.n_restored);
  if (n < kFewTokens || n >= static_cast<int32_t>(prompt.size())) return note;
  if (stats.known_next >= 0)
    note += fmt::format("; known up to token {}{}: {} was {}", n, message_of(prompt, n, tokenizer),
                        token_text(prompt[n], tokenizer), token_text(stats.known_next, tokenizer));
  if (n - stats.n_cached >= kFewTokens)
    note +=
        fmt::format("; of {} known tokens {} computed again: no state was kept there", n, n - stats.n_cached);
  return note;
}

}  // namespace moraine::server
