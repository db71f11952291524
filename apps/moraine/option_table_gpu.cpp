// The options of GPUs: which one, how much of a model it gets, and where its compiled shaders are kept.
#include "gpu.h"

#include <fmt/format.h>

#include <regex>

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

// "PATTERN=DEVICE,...": as llama-server reads it, commas first, so that a pattern has none.
Value overrides(std::vector<TensorOverride>& place) {
  return {"PATTERN=DEVICE, a regular expression and CPU or a device such as Vulkan0, or several with commas",
          [&place](std::string_view text) {
            std::vector<TensorOverride> list;
            for (const std::string& piece : split(text, ',')) {
              const size_t at = piece.find('=');
              if (at == std::string::npos || at == 0 || at + 1 == piece.size()) return false;
              list.push_back({piece.substr(0, at), piece.substr(at + 1)});
              try {
                const std::regex pattern(list.back().pattern);
              } catch (const std::regex_error&) {
                return false;
              }
            }
            place.insert(place.end(), list.begin(), list.end());
            return !list.empty();
          }};
}

Value all_experts(std::optional<int32_t>& place) {
  return {"on or off", [&place](std::string_view text) {
            const auto v = parse_bool(text);
            if (v) place = *v ? kAllLayers : 0;
            return v.has_value();
          }};
}

// llama-server gives each GPU one; here one is used.
Value first_mib(uint64_t& place) {
  return {"a number of MiB", [&place](std::string_view text) {
            const std::vector<std::string> numbers = split(text, ',');
            const auto v = numbers.empty() ? std::nullopt : parse_integer(numbers.front());
            if (!v || *v < 0 || *v > int64_t{1} << 30) return false;
            place = static_cast<uint64_t>(*v) << 20;
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
  t.add("-cmoe, --cpu-moe", all_experts(d.cpu_expert_layers), "keep all experts on the CPU")
      .env("LLAMA_ARG_CPU_MOE");
  t.add("-ncmoe, --n-cpu-moe N", integer(d.cpu_expert_layers, 0, kAllLayers),
        "keep the experts of the first so many layers on the CPU")
      .standard("those that do not fit")
      .env("LLAMA_ARG_N_CPU_MOE");
  t.add("-ot, --override-tensor LIST", overrides(d.overrides),
        "where tensors lie, before all of the above: PATTERN=DEVICE,..., regular expressions found in names, "
        "and CPU or Vulkan0")
      .list()
      .env("LLAMA_ARG_OVERRIDE_TENSOR");
  t.add(
       "-fit, --fit [on|off]", toggle(d.fit),
       "put less on the GPU where what is asked for does not fit: experts stay on the CPU first, then layers")
      .standard("on")
      .env("LLAMA_ARG_FIT");
  t.add("-fitt, --fit-target MIB", first_mib(d.fit_margin_bytes),
        "GPU memory that choosing what fits leaves free")
      .standard("1024")
      .note(device_note)
      .env("LLAMA_ARG_FIT_TARGET");
  t.add("-fitc, --fit-ctx N", integer(d.fit_ctx, 256, 1 << 26),
        "tokens of context that there must be room for, where -c names none")
      .standard("8192")
      .env("LLAMA_ARG_FIT_CTX");
  t.add("--list-devices", toggle(s.list_devices), "print the devices there are").command_line_only();
  DeviceOptions& draft = s.engine.speculation.model.device;
  t.section("GPU", kServe | kRun | kInspect);
  t.add("-ngld, --spec-draft-ngl, --gpu-layers-draft, --n-gpu-layers-draft N", layers(draft.gpu_layers),
        "the same of the draft model")
      .standard("0, or auto where -devd names a device")
      .env("LLAMA_ARG_N_GPU_LAYERS_DRAFT")
      .env("LLAMA_ARG_SPEC_DRAFT_N_GPU_LAYERS");
  t.add("-devd, --spec-draft-device, --device-draft LIST", device(draft.name),
        "the draft model's GPU, or none")
      .note(device_note);
  t.add("-cmoed, --spec-draft-cpu-moe, --cpu-moe-draft", all_experts(draft.cpu_expert_layers),
        "keep all experts of the draft model on the CPU")
      .env("LLAMA_ARG_SPEC_DRAFT_CPU_MOE")
      .env("LLAMA_ARG_CPU_MOE_DRAFT");
  t.add("-ncmoed, --spec-draft-n-cpu-moe, --spec-draft-ncmoe, --n-cpu-moe-draft N",
        integer(draft.cpu_expert_layers, 0, kAllLayers), "those of its first so many layers")
      .env("LLAMA_ARG_SPEC_DRAFT_N_CPU_MOE")
      .env("LLAMA_ARG_N_CPU_MOE_DRAFT");
  t.add("-otd, --spec-draft-override-tensor, --override-tensor-draft LIST", overrides(draft.overrides),
        "where the draft model's tensors lie")
      .list();
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
