#include "engine/devices.h"

#include <fmt/format.h>

#include <algorithm>

#include "backend/cpu/backend.h"
#include "backend/split/backend.h"
#include "base/system_memory.h"
#include "base/usable_cores.h"
#include "engine/fit.h"
#ifdef MORAINE_VULKAN
#include "backend/vulkan/backend.h"
#endif

namespace moraine {
namespace engine {
namespace {

bool names_the_cpu(const std::string& device) {
  return device == "none" || device == "CPU" || device == "cpu";
}

std::unique_ptr<plan::Backend> make_cpu(const EngineOptions& o) {
  return std::make_unique<cpu::CpuBackend>(cpu::CpuBackend::Options{o.n_threads, o.isa, o.n_threads_batch});
}

#ifdef MORAINE_VULKAN
ChosenBackend on_gpu(const EngineOptions& o, const model::Model& model, const plan::Plan& plan,
                     const plan::StepLimits& limits) {
  vulkan::VulkanBackend::Options options;
  options.device = o.device.name;
  options.shader_cache = o.device.shader_cache;
  options.memory_limit_bytes = o.device.memory_limit_bytes;
  auto gpu = std::make_unique<vulkan::VulkanBackend>(options);
  Fit chosen = fit(o, model, plan, *gpu, gpu->name(), limits);
  using split::Where;
  if (chosen.placement.all(Where::kHost)) return {make_cpu(o), std::move(chosen.note), ""};
  if (chosen.placement.all(Where::kDevice)) return {std::move(gpu), std::move(chosen.note), ""};
  return {std::make_unique<split::SplitBackend>(make_cpu(o), std::move(gpu), plan, model.weights(),
                                                chosen.placement),
          std::move(chosen.note), std::move(chosen.summary)};
}
#endif

}  // namespace

int32_t n_threads(const EngineOptions& o) { return o.n_threads > 0 ? o.n_threads : usable_cores(); }

ChosenBackend choose_backend(const EngineOptions& o, const model::Model& model, const plan::Plan& plan,
                             const plan::StepLimits& limits) {
  if (!wants_gpu(o.device)) return {make_cpu(o), "", ""};
#ifdef MORAINE_VULKAN
  try {
    return on_gpu(o, model, plan, limits);
  } catch (const Error& e) {
    // Whoever names a device means it; whoever asks for layers on a GPU takes what there is.
    if (!o.device.name.empty() || e.code() != ErrorCode::kUnavailable) throw;
    return {make_cpu(o), fmt::format("Everything runs on the CPU. {}", e.what()), ""};
  }
#else
  if (!o.device.name.empty())
    throw Error(ErrorCode::kUnsupported,
                fmt::format("The device {} cannot be used: this program was built without Vulkan. Leave -dev "
                            "out to run on the CPU.",
                            o.device.name));
  return {make_cpu(o), "Everything runs on the CPU: this program was built without Vulkan.", ""};
#endif
}

}  // namespace engine

bool wants_gpu(const DeviceOptions& o) {
  if (engine::names_the_cpu(o.name)) return false;
  // Tensors may be sent there alone.
  for (const TensorOverride& t : o.overrides)
    if (!engine::names_the_cpu(t.device)) return true;
  return o.gpu_layers ? *o.gpu_layers != 0 : !o.name.empty();
}

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
