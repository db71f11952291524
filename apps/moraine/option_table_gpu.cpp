// The options of GPUs: which one, how much of a model it gets, and where its compiled shaders are kept.
#include "gpu.h"

#include <fmt/format.h>

#include "base/options/value.h"
#include "console.h"
#include "option_table.h"

namespace moraine::app {

using namespace options;

namespace {

Value layers(std::optional<int32_t>& place) {
  return {"a whole number of layers, auto or all", [&place](std::string_view text) {
            if (text == "auto" || text == "-1") {
              place = kLayersThatFit;
            } else if (text == "all" || text == "-2") {
              place = kAllLayers;
            } else {
              const auto v = parse_integer(text);
              if (!v || *v < 0 || *v > kAllLayers) return false;
              place = static_cast<int32_t>(*v);
            }
            return true;
          }};
}

Value device(std::string& place) {
  return {"a device such as Vulkan0 (--list-devices shows them), or none", [&place](std::string_view text) {
            const std::vector<std::string> names = split(text, ',');
            if (names.empty()) return false;
            place = names.front();
            return true;
          }};
}
std::string device_note(std::string_view list) {
  return list.find(',') == std::string_view::npos ? "" : "one device is used, the first";
}

}  // namespace

void add_gpu_options(Table& t, Settings& s) {
  DeviceOptions& d = s.engine.device;
  t.section("GPU", kServe | kRun | kBench | kInspect | kPerplexity);
  t.add("-ngl, --gpu-layers, --n-gpu-layers N", layers(d.gpu_layers),
        "run the last so many layers on the GPU; auto: those that fit; all")
      .standard("0, or auto where -dev names a device")
      .env("LLAMA_ARG_N_GPU_LAYERS");
  t.add("-dev, --device LIST", device(d.name), "the GPU to use, such as Vulkan0, or none")
      .standard("the first real one")
      .note(device_note)
      .env("LLAMA_ARG_DEVICE");
  t.add("--list-devices", toggle(s.list_devices), "print the devices there are").command_line_only();
  DeviceOptions& draft = s.engine.speculation.model.device;
  t.section("GPU", kServe | kRun | kInspect);
  t.add("-ngld, --spec-draft-ngl, --gpu-layers-draft, --n-gpu-layers-draft N", layers(draft.gpu_layers),
        "the same of the draft model")
      .standard("0, or auto where -devd names a device")
      .env("LLAMA_ARG_N_GPU_LAYERS_DRAFT")
      .env("LLAMA_ARG_SPEC_DRAFT_N_GPU_LAYERS");
  t.add("-devd, --spec-draft-device, --device-draft LIST", device(draft.name), "the draft model's GPU")
      .note(device_note);
}

std::string shader_folder(const Environment& env) {
  const auto set = [&](const char* name) -> std::string {
    const char* value = env(name);
    return value && value[0] == '/' ? value : "";  // the XDG specification: relative ones are to be ignored
  };
  if (const std::string cache = set("XDG_CACHE_HOME"); !cache.empty()) return cache + "/moraine/shaders";
  if (const std::string home = set("HOME"); !home.empty()) return home + "/.cache/moraine/shaders";
  return "";
}

std::string devices_text(const std::vector<DeviceInfo>& devices) {
  std::string text = "Available devices:\n";
  for (const DeviceInfo& d : devices) {
    text += fmt::format("  {}: {} ({} MiB, {} MiB free)", d.name, terminal_safe(d.description),
                        d.memory_bytes >> 20, d.free_bytes >> 20);
    if (d.software) text += ", imitated on the CPU: used only where -dev names it";
    if (!d.missing.empty()) text += fmt::format(", cannot be used: its driver lacks {}", d.missing);
    text += '\n';
  }
  if (devices.empty()) text += "  none: no Vulkan driver answers; everything runs on the CPU\n";
  return text;
}

}  // namespace moraine::app
