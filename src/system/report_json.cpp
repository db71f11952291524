#include <nlohmann/json.hpp>

#include "system/report.h"

namespace moraine::system {
namespace {

using Json = nlohmann::ordered_json;

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}
Json hex_id(uint32_t id) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (int shift = 12; shift >= 0; shift -= 4) text += kDigits[(id >> shift) & 15];
  return text;
}

Json system_json(const SystemFacts& f) {
  Json gpus = Json::array();
  for (const GpuFacts& g : f.gpus)
    gpus.push_back({{"name", g.name},
                    {"address", g.address},
                    {"vendor", hex_id(g.vendor)},
                    {"device", hex_id(g.device)},
                    {"driver", g.driver},
                    {"target", g.target},
                    {"integrated", g.kind == GpuKind::kIntegrated},
                    {"vram_bytes", or_null(g.vram_total)},
                    {"vram_used_bytes", or_null(g.vram_used)},
                    {"gtt_bytes", or_null(g.gtt_total)},
                    {"gtt_used_bytes", or_null(g.gtt_used)}});
  Json nodes = Json::array();
  for (const DeviceNode& n : f.nodes) nodes.push_back({{"path", n.path}, {"usable", or_null(n.usable)}});
  const auto bytes = [](uint64_t n) { return n == UINT64_MAX ? Json(nullptr) : Json(n); };
  return {{"cpu",
           {{"model", f.cpu.model},
            {"cores", f.cpu.n_cores},
            {"threads", f.cpu.n_threads},
            {"quota", or_null(f.cpu.quota)},
            {"avx2", f.cpu.avx2},
            {"avx512_vnni", f.cpu.avx512_vnni},
            {"amx_int8", f.cpu.amx_int8}}},
          {"memory",
           {{"total_bytes", f.memory.total},
            {"available_bytes", bytes(f.memory.available)},
            {"swap_bytes", f.memory.swap_total},
            {"limit_bytes", bytes(f.memory.limit)},
            {"installed_bytes", f.installed_memory()},
            {"measured_bytes_per_second", or_null(f.measured_bandwidth)}}},
          {"gpus", gpus},
          {"gpu_mappable_bytes", or_null(mappable_memory(f))},
          {"parameters",
           {{"ttm_module", f.parameters.ttm_module},
            {"ttm_pages_limit", or_null(f.parameters.ttm_pages_limit)},
            {"ttm_page_pool_size", or_null(f.parameters.ttm_page_pool_size)},
            {"amdgpu_gttsize_mib", or_null(f.parameters.amdgpu_gttsize)},
            {"amdgpu_lockup_timeout", or_null(f.parameters.amdgpu_lockup_timeout)}}},
          {"nodes", nodes},
          {"kernel", {{"release", f.kernel.release}, {"command_line", f.kernel.command_line}}},
          {"distribution", {{"id", f.distro.id}, {"name", f.distro.name}, {"omarchy", f.distro.is_omarchy}}},
          {"bootloader", bootloader_name(f.boot.bootloader)},
          {"firmware",
           {{"vendor", f.firmware.vendor},
            {"product", f.firmware.product},
            {"bios_version", f.firmware.bios_version},
            {"bios_date", f.firmware.bios_date}}},
          {"container", f.container}};
}

Json remedy_json(const Remedy& r) {
  Json edits = Json::array();
  for (const FileEdit& e : r.edits)
    edits.push_back({{"path", e.path}, {"new", e.is_new}, {"lines", e.lines}});
  return {{"pages", r.pages},     {"bytes", r.pages * kPageBytes}, {"edits", edits},
          {"by_hand", r.by_hand}, {"commands", r.commands},        {"undo", r.undo},
          {"notes", r.notes}};
}

}  // namespace

std::string json_report(const SystemFacts& facts, const Need& need, const Diagnosis& d) {
  Json out;
  out["worst"] = severity_name(d.worst);
  out["system"] = system_json(facts);
  out["need"] = {{"gpu_bytes", need.gpu_bytes}, {"model_bytes", need.model_bytes}, {"what", need.what}};
  out["findings"] = Json::array();
  for (const Finding& f : d.findings)
    out["findings"].push_back({{"severity", severity_name(f.severity)},
                               {"id", f.id},
                               {"gpu_only", f.gpu_only},
                               {"title", f.title},
                               {"details", f.details}});
  out["remedy"] = d.remedy ? remedy_json(*d.remedy) : Json(nullptr);
  out["models"] = Json::array();
  for (const Suggestion& s : d.models)
    out["models"].push_back({{"name", s.model->name},
                             {"quantization", s.model->quantization},
                             {"architecture", s.model->architecture},
                             {"size_bytes", s.model->weights},
                             {"n_ctx", s.n_ctx},
                             {"gpu_tokens_per_second", or_null(s.gpu_speed)},
                             {"cpu_tokens_per_second", or_null(s.cpu_speed)},
                             {"runs_in_this_build", s.runs_here}});
  return out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace moraine::system
