#include "hub/hub_client.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <nlohmann/json.hpp>
#include <thread>

#include "hub/curl_api.h"
#include "hub/quantization.h"

namespace moraine::hub {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr uint64_t kMaxListingBytes = 32 << 20;
constexpr size_t kMaxPathBytes = 1024, kMaxPartBytes = 240, kMaxRefused = 20;
constexpr uint64_t kMaxFileBytes = uint64_t{1} << 46;
constexpr int kMaxRedirects = 5;

bool is_hex(std::string_view text, size_t digits) {
  return text.size() == digits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 120)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return out;
}

const json* find(const json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto at = object.find(key);
  return at == object.end() ? nullptr : &*at;
}
std::string text_of(const json& object, const char* key) {
  const json* value = find(object, key);
  return value && value->is_string() ? value->get<std::string>() : "";
}
uint64_t size_of(const json& object, const char* key) {
  const json* value = find(object, key);
  return value && value->is_number_unsigned() ? value->get<uint64_t>() : 0;
}

std::string license_of(const json& answer) {
  const json* card = find(answer, "cardData");
  if (card == nullptr) return "";
  std::string license = text_of(*card, "license");
  if (const std::string name = text_of(*card, "license_name"); license == "other" && !name.empty())
    license = name;
  return printable(license);
}

std::string escape(std::string_view path, bool keep_slashes) {
  std::string out;
  for (const char c : path) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-_.~").find(c) != std::string_view::npos ||
                       (keep_slashes && c == '/');
    if (plain)
      out += c;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

std::chrono::milliseconds retry_after(const Response& response) {
  const std::string_view text = response.header("retry-after");
  if (text.empty()) return -1ms;
  int64_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error == std::errc() && end == text.data() + text.size())
    return std::chrono::seconds(std::clamp<int64_t>(seconds, 0, 1'000'000));
  const time_t when = curl().getdate(std::string(text).c_str(), nullptr);
  if (when < 0) return -1ms;
  return std::chrono::seconds(std::clamp<int64_t>(when - std::time(nullptr), 0, 1'000'000));
}

std::string cause(const Response& r) {
  if (!r.problem.empty()) return printable(r.problem);
  if (r.status == 429) return "it answers too many requests (429)";
  return fmt::format("it answers with status {}", r.status);
}

}  // namespace

bool is_safe_path(std::string_view path) {
  if (path.empty() || path.size() > kMaxPathBytes || path.front() == '/' || path.back() == '/') return false;
  for (const char c : path)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\') return false;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == ".." || part.size() > kMaxPartBytes) return false;
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
  }
  return true;
}

bool is_temporary(const Response& r) {
  return !r.problem.empty() || r.status == 408 || r.status == 429 || r.status >= 500;
}

void Patience::wait(const Response& response, const std::string& what) {
  const std::string why = cause(response);
  if (++attempts_ >= options_.max_attempts)
    throw Error(ErrorCode::kUnavailable, fmt::format("{} could not be had from {}: {}. What is here already "
                                                     "is kept: the same command goes on from there.",
                                                     what, options_.endpoint, why));
  auto wait = options_.first_wait * (1 << std::min(attempts_ - 1, 6));
  if (const auto asked = retry_after(response); asked >= 0ms) {
    if (asked > options_.longest_wait)
      throw Error(ErrorCode::kUnavailable, fmt::format("{} asks to wait {} minutes before the next request "
                                                       "({}). What is here already is kept: run the same "
                                                       "command later.",
                                                       options_.endpoint, asked / 60s + 1, why));
    wait = std::max<std::chrono::milliseconds>(asked, 100ms);
  }
  if (options_.on_wait) options_.on_wait(why, wait);
  const auto until = std::chrono::steady_clock::now() + wait;
  while (std::chrono::steady_clock::now() < until) {
    if (options_.transfer.cancelled && *options_.transfer.cancelled)
      throw Error(ErrorCode::kCancelled, "Stopped.");
    std::this_thread::sleep_for(50ms);
  }
}

Error refusal(const HubOptions& o, const Response& r, const std::string& id) {
  const std::string_view code = r.header("x-error-code");
  const bool has_token = !o.token.empty();
  const std::string page = fmt::format("{}/{}", o.endpoint, id);
  if (code == "GatedRepo" || (r.status == 403 && code.empty()))
    return Error(ErrorCode::kNotFound,
                 has_token ? fmt::format("{} asks for its terms to be accepted, and this token's account has "
                                         "not (or waits for an answer): open {} "
                                         "in a browser, accept them, and run the same command again.",
                                         id, page)
                           : fmt::format("{} asks for its terms to be accepted: open {} in a browser and "
                                         "accept them, then make a token at "
                                         "{}/settings/tokens and give it with HF_TOKEN or --hf-token.",
                                         id, page, o.endpoint));
  if (code == "RevisionNotFound")
    return Error(ErrorCode::kNotFound, fmt::format("{} has no such revision: see {}/tree/main.", id, page));
  if (code == "EntryNotFound")
    return Error(ErrorCode::kNotFound,
                 fmt::format("{} has no such file (any more): see {}/tree/main.", id, page));
  if (r.status == 401 && has_token)
    return Error(ErrorCode::kNotFound, fmt::format("{} does not accept this token for {}: make a new one at "
                                                   "{}/settings/tokens, or see whether {} is spelled right.",
                                                   o.endpoint, id, o.endpoint, id));
  if (r.status == 401 || r.status == 404)
    return Error(ErrorCode::kNotFound, fmt::format("{} has no repository {} that everyone may read: see "
                                                   "whether it is spelled right; a private one needs a "
                                                   "token (HF_TOKEN or --hf-token).",
                                                   o.endpoint, id));
  if (r.status == 403)
    return Error(
        ErrorCode::kNotFound,
        fmt::format("{} does not let this {} read {} ({}).", o.endpoint, has_token ? "token" : "machine", id,
                    printable(r.header("x-error-message").empty() ? code : r.header("x-error-message"))));
  return Error(ErrorCode::kIo,
               fmt::format("{} answers a request for {} with status {}.", o.endpoint, id, r.status));
}

Repository parse_repository(const std::string& text, const std::string& id) {
  const json answer = json::parse(text, nullptr, false);
  Repository repo;
  repo.id = id;
  repo.commit = text_of(answer, "sha");
  const json* files = find(answer, "siblings");
  if (!is_hex(repo.commit, 40) || files == nullptr || !files->is_array())
    throw Error(ErrorCode::kIo, fmt::format("What answers for {} is no hub: its answer lists no files.", id));
  repo.license = license_of(answer);
  if (const json* gated = find(answer, "gated")) repo.gated = !(gated->is_boolean() && !gated->get<bool>());
  for (const json& entry : *files) {
    RemoteFile file;
    file.path = text_of(entry, "rfilename");
    if (!upper(file.path).ends_with(".GGUF")) continue;
    const json* lfs = find(entry, "lfs");
    if (lfs && lfs->is_object()) {
      file.sum = text_of(*lfs, "sha256");
      if (file.sum.empty()) file.sum = text_of(*lfs, "oid");
      file.size_bytes = size_of(*lfs, "size");
    } else {
      file.sum = text_of(entry, "blobId");
      file.is_git_sum = true;
      file.size_bytes = size_of(entry, "size");
    }
    const bool good = is_safe_path(file.path) && is_hex(file.sum, file.is_git_sum ? 40 : 64) &&
                      file.size_bytes > 0 && file.size_bytes <= kMaxFileBytes;
    if (good)
      repo.files.push_back(std::move(file));
    else if (repo.refused.size() < kMaxRefused)
      repo.refused.push_back(printable(file.path));
  }
  std::sort(repo.files.begin(), repo.files.end(),
            [](const RemoteFile& a, const RemoteFile& b) { return a.path < b.path; });
  return repo;
}

Repository read_repository(const HubOptions& o, const RepoName& name, const std::string& revision) {
  Connection connection(o.transfer);
  const std::string first =
      fmt::format("{}/api/models/{}/revision/{}?blobs=true", o.endpoint, name.id(), escape(revision, false));
  Request request{.url = first, .max_body_bytes = kMaxListingBytes};
  Patience patience(o);
  for (int redirects = 0;;) {
    request.token = origin_of(request.url) == origin_of(o.endpoint) ? o.token : "";
    const Response r = connection.send(request);
    if (is_temporary(r)) {
      patience.wait(r, "The list of files of " + name.id());
      request.url = first;
      redirects = 0;
    } else if (r.status >= 300 && r.status < 400) {  // a repository that was renamed
      request.url = redirect_target(request.url, std::string(r.header("location")));
      if (request.url.empty() || ++redirects > kMaxRedirects)
        throw Error(ErrorCode::kIo,
                    fmt::format("{} leads nowhere for {}: a redirect without an end, or to no safe address.",
                                o.endpoint, name.id()));
    } else if (!r.ok()) {
      throw refusal(o, r, name.id());
    } else {
      return parse_repository(r.body, name.id());
    }
  }
}

std::string file_url(const HubOptions& o, const Repository& repo, const RemoteFile& file) {
  return fmt::format("{}/{}/resolve/{}/{}", o.endpoint, repo.id, repo.commit, escape(file.path, true));
}

std::string read_range(const HubOptions& o, Connection& connection, const Repository& repo,
                       const RemoteFile& file, ByteRange range) {
  const std::string first = file_url(o, repo, file);
  const uint64_t wanted = range.end - range.begin;
  if (range.end <= range.begin || range.end > file.size_bytes || wanted > (64u << 20))
    throw Error(ErrorCode::kInternal, "A range beyond a file was asked for.");
  Patience patience(o);
  std::string url = first, bytes;
  for (int redirects = 0;;) {
    const size_t before = bytes.size();
    Request request{.url = url, .range = ByteRange{range.begin + before, range.end}};
    request.token = origin_of(url) == origin_of(o.endpoint) ? o.token : "";
    bool ignores_ranges = false;
    request.on_headers = [&](const Response& r) {
      // The whole file instead: of use where its beginning was wanted.
      ignores_ranges = r.status == 200 && range.begin > 0;
      if (r.status == 200) bytes.clear();
      return !ignores_ranges;
    };
    request.on_body = [&](std::span<const std::byte> piece) {
      bytes.append(reinterpret_cast<const char*>(piece.data()),
                   std::min<size_t>(piece.size(), wanted - bytes.size()));
      return bytes.size() < wanted;
    };
    Response r = connection.send(request);
    if (r.status >= 300 && r.status < 400) {
      url = redirect_target(url, std::string(r.header("location")));
      if (url.empty() || ++redirects > kMaxRedirects)
        throw Error(ErrorCode::kIo,
                    fmt::format("{} redirects {} to no safe address.", o.endpoint, file.path));
      continue;
    }
    if (r.status >= 400 && !is_temporary(r)) {
      // Away from the hub an address expires, and a new one is asked for. The hub's own no is final.
      if (origin_of(url) == origin_of(o.endpoint)) throw refusal(o, r, repo.id);
      r.problem = fmt::format("the address that it led to answers with status {}", r.status);
    }
    if (ignores_ranges)
      throw Error(ErrorCode::kUnsupported, fmt::format("{} does not send parts of files.", o.endpoint));
    if (bytes.size() == wanted) return bytes;
    if (bytes.size() > before) patience.progress();
    if (r.problem.empty() && !is_temporary(r)) r.problem = "the answer broke off";
    patience.wait(r, file.path);
    url = first;
    redirects = 0;
  }
}

}  // namespace moraine::hub
