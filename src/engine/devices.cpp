#include "engine/devices.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "backend/cpu/backend.h"
#include "backend/split/backend.h"
#include "base/cpu_features.h"
#include "base/system_memory.h"
#ifdef MORAINE_VULKAN
#include "backend/vulkan/backend.h"
#endif

namespace moraine {
namespace engine {
namespace {

#ifdef MORAINE_VULKAN
constexpr int32_t kAssumedContext = 8192;      // tokens, where none is asked for
constexpr uint64_t kWorkSpace = 512ull << 20;  // bytes
#endif

bool names_the_cpu(const std::string& device) {
  return device == "none" || device == "CPU" || device == "cpu";
}

bool wants_gpu(const DeviceOptions& o) {
  if (names_the_cpu(o.name)) return false;
  return o.gpu_layers ? *o.gpu_layers != 0 : !o.name.empty();
}

std::unique_ptr<plan::Backend> make_cpu(const EngineOptions& o) {
  return std::make_unique<cpu::CpuBackend>(cpu::CpuBackend::Options{o.n_threads, o.isa, o.n_threads_batch});
}

#ifdef MORAINE_VULKAN
// As many layers as the device's free memory holds, room for work and other programs left aside.
int32_t layers_that_fit(const EngineOptions& o, const model::Model& model, const plan::Plan& plan,
                        uint64_t available) {
  const int32_t n = model.n_layers();
  const int64_t n_tokens = o.n_ctx > 0 ? o.n_ctx : std::min(model.n_ctx_train(), kAssumedContext);
  for (int32_t layers = n + 1; layers > 0; --layers) {
    const size_t first = layers > n ? 0 : split::first_op_of(plan, model.weights(), n, n + 1 - layers);
    if (split::bytes_from(plan, model.weights(), first, model.kv_shape(), o.kv_type_k, o.kv_type_v,
                          n_tokens) +
            kWorkSpace <=
        available)
      return layers;
  }
  return 0;
}

// The last layers on the GPU, the others on the CPU.
ChosenBackend split(const EngineOptions& o, const model::Model& model, const plan::Plan& plan,
                    std::unique_ptr<plan::Backend> gpu) {
  const int32_t n = model.n_layers(), asked = o.device.gpu_layers.value_or(kLayersThatFit);
  int32_t layers = std::min(asked, n + 1);
  std::string note;
  if (asked == kLayersThatFit) {
    uint64_t available = gpu->device_memory()->available;
    if (o.memory_limit_bytes > 0) available = std::min(available, o.memory_limit_bytes);
    layers = layers_that_fit(o, model, plan, available);
    if (layers <= n)
      note = fmt::format("{} of {} layers run on {}, as many as its {:.2f} GB of free memory hold.", layers,
                         n + 1, gpu->describe(), static_cast<double>(available) / 1e9);
  }
  if (layers > n) return {std::move(gpu), note};
  if (layers == 0) return {make_cpu(o), note};
  const size_t cut = split::first_op_of(plan, model.weights(), n, n + 1 - layers);
  return {std::make_unique<split::SplitBackend>(make_cpu(o), std::move(gpu), plan, cut), note};
}

#endif

}  // namespace

int32_t n_threads(const EngineOptions& o) { return o.n_threads > 0 ? o.n_threads : usable_cores(); }

ChosenBackend choose_backend(const EngineOptions& o, const model::Model& model, const plan::Plan& plan) {
  if (!wants_gpu(o.device)) return {make_cpu(o), ""};
#ifdef MORAINE_VULKAN
  vulkan::VulkanBackend::Options options;
  options.device = o.device.name;
  options.shader_cache = o.device.shader_cache;
  try {
    return split(o, model, plan, std::make_unique<vulkan::VulkanBackend>(options));
  } catch (const Error& e) {
    // Whoever names a device means it; whoever asks for layers on a GPU takes what there is.
    if (!o.device.name.empty() || e.code() != ErrorCode::kUnavailable) throw;
    return {make_cpu(o), fmt::format("Everything runs on the CPU. {}", e.what())};
  }
#else
  if (!o.device.name.empty())
    throw Error(ErrorCode::kUnsupported,
                fmt::format("The device {} cannot be used: this program was built without Vulkan. Leave -dev "
                            "out to run on the CPU.",
                            o.device.name));
  return {make_cpu(o), "Everything runs on the CPU: this program was built without Vulkan."};
#endif
}

}  // namespace engine

std::vector<DeviceInfo> list_devices() {
  std::vector<DeviceInfo> list;
#ifdef MORAINE_VULKAN
  for (const vulkan::PhysicalDevice& d : vulkan::all_devices()) {
    uint64_t free = d.free_bytes;
    if (d.system_memory) free = std::min(free, available_memory());
    list.push_back({d.name, d.description, d.missing, d.software, d.system_memory, d.memory_bytes, free});
  }
#endif
  return list;
}

}  // namespace moraine
