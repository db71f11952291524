#include "agents/client.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <algorithm>
#include <cctype>

namespace moraine::agents {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

// Scheme, host and port told apart, what is the same written the same; "" for what is no http address.
std::string canonical(std::string_view url) {
  const size_t scheme_end = url.find("://");
  if (scheme_end == std::string_view::npos) return "";
  const std::string scheme = lower(url.substr(0, scheme_end));
  if (scheme != "http" && scheme != "https") return "";
  std::string_view rest = url.substr(scheme_end + 3);
  const size_t slash = std::min(rest.find_first_of("/?#"), rest.size());
  std::string authority = lower(rest.substr(0, slash));
  std::string_view path = rest.substr(slash);
  while (path.ends_with('/')) path.remove_suffix(1);
  if (path.ends_with("/v1")) path.remove_suffix(3);
  while (path.ends_with('/')) path.remove_suffix(1);
  const size_t colon = authority.find(':', authority.find(']') + 1);  // npos + 1 == 0
  std::string host = authority.substr(0, colon), port;
  if (colon != std::string::npos) port = authority.substr(colon + 1);
  if (port.empty()) port = scheme == "http" ? "80" : "443";
  if (host == "127.0.0.1" || host == "[::1]" || host == "0.0.0.0") host = "localhost";
  return host.empty() ? "" : fmt::format("{}://{}:{}{}", scheme, host, port, path);
}

}  // namespace

const std::vector<const Client*>& clients() {
  static const std::vector<const Client*> all = {&opencode(), &codex(), &claude(), &qwen()};
  return all;
}

const Client* find_client(std::string_view name) {
  for (const Client* c : clients())
    if (lower(name) == c->name()) return c;
  return nullptr;
}

std::string client_names() { return "opencode, codex, claude or qwen"; }

void require_context(const Server& s) {
  if (s.n_ctx >= kMinContext) return;
  throw Error(
      ErrorCode::kInvalidArgument,
      fmt::format("{} is served with a context of {} tokens, and a coding agent needs at least {}: its "
                  "instructions and tools alone take 8,000 to 20,000 before the first file is read. Serve "
                  "it with a longer context (-c {}), or a model trained for one.",
                  s.model, s.n_ctx, kMinContext, 2 * kMinContext));
}

bool template_reasons(std::string_view text) {
  return text.find("reasoning_content") != std::string_view::npos ||
         text.find("<think>") != std::string_view::npos;
}

int64_t output_limit(const Server& s) { return std::min<int64_t>(s.n_ctx / 8, 32000); }

std::string output_limit_reason(const Server& s) {
  return fmt::format(
      "Answers may take {0} tokens, at most an eighth of the context: the client keeps that much free "
      "and begins to compact the conversation at {1} of {2}; a larger limit makes it compact sooner.",
      output_limit(s), s.n_ctx - output_limit(s), s.n_ctx);
}

bool same_server(std::string_view a, std::string_view b) {
  const std::string one = canonical(a);
  return !one.empty() && one == canonical(b);
}

std::string server_root(std::string_view url) {
  std::string text(url.find("://") == std::string_view::npos ? "http://" + std::string(url)
                                                             : std::string(url));
  const bool odd = std::any_of(text.begin(), text.end(), [](unsigned char c) {
    return c <= ' ' || c >= 0x7f || c == '"' || c == '\'' || c == '\\' || c == '`' || c == '$' || c == '@';
  });
  if (canonical(text).empty() || odd || text.find_first_of("?#") != std::string::npos)
    throw Error(
        ErrorCode::kInvalidArgument,
        fmt::format("{} is no server's address; one looks like http://127.0.0.1:8081.", url.substr(0, 200)));
  while (text.ends_with('/')) text.pop_back();
  if (text.ends_with("/v1")) text.resize(text.size() - 3);
  while (text.ends_with('/')) text.pop_back();
  return text;
}

}  // namespace moraine::agents
