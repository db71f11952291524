// POST /slots/ID?action=save|restore|erase: the conversation that ended last in a place, to and from a file
// in the folder of --slot-save-path. As llama-server has it; the file is our own.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

#include "server/api/endpoints.h"
#include "server/api/errors.h"
#include "server/api/fields.h"
#include "server/api/request_plan.h"

namespace moraine::server {
namespace {

constexpr size_t kMaxFileName = 200;

std::string action_of(std::string_view query) {
  while (!query.empty()) {
    const std::string_view part = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), part.size() + 1));
    if (part.starts_with("action=")) return std::string(part.substr(7));
  }
  return "";
}

int32_t slot_of(std::string_view path) {
  const std::string_view text = path.substr(path.rfind('/') + 1);
  int32_t id = -1;
  const auto r = std::from_chars(text.data(), text.data() + text.size(), id);
  if (r.ec != std::errc() || r.ptr != text.data() + text.size() || id < 0)
    throw bad_request("", "The slot must be a number, as in /slots/0?action=save.");
  return id;
}

// A name and nothing else: no way out of the folder, and none of the names that stand for something.
std::string file_of(const Call& call, const Fields& body) {
  const std::string name = body.string("filename").value_or("");
  const auto plain = [](unsigned char c) {
    return c > ' ' && c < 127 &&
           std::string_view("/\\:*?\"<>|").find(static_cast<char>(c)) == std::string_view::npos;
  };
  if (name.empty() || name.size() > kMaxFileName || name.front() == '.' ||
      !std::all_of(name.begin(), name.end(), plain))
    throw bad_request("filename",
                      "'filename' must be a plain name: letters, digits, '-', '_' and '.', not first.");
  return (std::filesystem::path(call.options->slot_save_path) / name).string();
}

void act(const Call& call, int32_t slot, const std::string& action, const std::string& file) {
  Engine& engine = *call.model->engine;
  const uint64_t scope = cache_scope(call);
  const auto begin = std::chrono::steady_clock::now();
  Json body = {{"id_slot", slot}};
  if (action == "erase") {
    body["n_erased"] = engine.erase_slot(slot, scope).n_tokens;
    return reply_json(*call.exchange, body);
  }
  const bool saves = action == "save";
  const SlotReport report =
      saves ? engine.save_slot(slot, scope, file) : engine.restore_slot(slot, scope, file);
  const double ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  body["filename"] = std::filesystem::path(file).filename().string();
  body[saves ? "n_saved" : "n_restored"] = report.n_tokens;
  body[saves ? "n_written" : "n_read"] = report.n_bytes;
  body["timings"] = {{saves ? "save_ms" : "restore_ms", ms}};
  reply_json(*call.exchange, body);
}

}  // namespace

void slot_action(const Call& call) {
  const std::string action = action_of(call.request().query);
  const int32_t slot = slot_of(call.request().path);
  if (action != "save" && action != "restore" && action != "erase")
    throw bad_request("action", "The action must be save, restore or erase, as in /slots/0?action=save.");
  std::string file;
  if (action != "erase") {
    if (call.options->slot_save_path.empty())
      throw ApiError(501, "not_supported_error", "switched_off",
                     "This server saves no slots; --slot-save-path DIR names a folder for them.");
    const Json body = parse_json(call.request().body);
    file = file_of(call, Fields(body));
  }
  // Gigabytes may have to be written.
  call.later([call, slot, action, file] { act(call, slot, action, file); });
}

}  // namespace moraine::server
