#include "engine/fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <regex>

#include "backend/split/share.h"
#include "cache/memory_pool.h"
#include "model/loader.h"

namespace moraine::engine {

using split::Where;

namespace {

double gib(uint64_t bytes) { return static_cast<double>(bytes) / (1ull << 30); }

bool is_cpu(const std::string& device) { return device == "CPU" || device == "cpu"; }

Where side_of(const TensorOverride& o, const std::string& gpu) {
  if (is_cpu(o.device)) return Where::kHost;
  if (o.device == gpu) return Where::kDevice;
  throw Error(ErrorCode::kInvalidArgument, fmt::format("-ot {}={}: tensors lie on CPU or {} here, not on {}.",
                                                       o.pattern, o.device, gpu, o.device));
}

// By weight: where overrides put it. A pattern that matches nothing is told.
std::vector<std::optional<Where>> named_places(std::span<const TensorOverride> overrides,
                                               std::span<const plan::Weight> weights, const std::string& gpu,
                                               std::string& note) {
  if (overrides.empty()) return {};
  std::vector<std::optional<Where>> places(weights.size());
  for (const TensorOverride& o : overrides) {
    const Where where = side_of(o, gpu);
    bool any = false;
    try {
      const std::regex pattern(o.pattern);
      for (size_t i = 0; i < weights.size(); ++i) {
        if (!std::regex_search(weights[i].name, pattern)) continue;
        any = true;
        if (!places[i]) places[i] = where;
      }
    } catch (const std::regex_error& e) {
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("-ot {}={}: the pattern is not a regular expression that can be used ({}).",
                              o.pattern, o.device, e.what()));
    }
    if (!any) note += fmt::format("-ot {}={} matches no tensor's name. ", o.pattern, o.device);
  }
  return places;
}

class Fitter {
 public:
  Fitter(const EngineOptions& o, const model::Model& model, const plan::Plan& plan, plan::Backend& gpu,
         const std::string& name, const plan::StepLimits& limits)
      : o_(o), model_(model), plan_(plan), gpu_(gpu), name_(name), limits_(limits) {
    named_ = named_places(o.device.overrides, model.weights(), name, note_);
    n_layers_ = model.n_layers();
    n_expert_layers_ = split::count_expert_layers(plan, model.weights());
    // Tensors may be sent there alone.
    const int32_t asked = o.device.gpu_layers.value_or(o.device.name.empty() ? 0 : kLayersThatFit);
    most_ = {asked == kLayersThatFit ? n_layers_ + 1 : std::min(asked, n_layers_ + 1),
             std::min(o.device.cpu_expert_layers.value_or(0), n_expert_layers_)};
    chooses_ = asked == kLayersThatFit;
  }

  Fit run() {
    Amount chosen = most_;
    if (o_.device.fit) {
      const plan::DeviceMemory memory = *gpu_.device_memory();
      available_ = memory.available - std::min(memory.available, o_.device.reserved_bytes);
      // What of the system's memory may be used is without those others already.
      if (memory.is_system && o_.memory_limit_bytes > 0)
        available_ = std::min(available_, o_.memory_limit_bytes);
      const bool reduced = !chooses_ && !fits(most_, 0);
      if (chooses_ || reduced) {
        chosen = largest();
        tell(chosen, reduced);
      }
    }
    Fit fit{place(chosen), summary(chosen), std::move(note_)};
    if (fit.placement.all(Where::kDevice) || fit.placement.all(Where::kHost)) fit.summary.clear();
    if (const auto& along = fit.placement.along; !along.empty())
      fit.note += fmt::format("Operations move as a whole: with what -ot names goes {}{}. ",
                              model_.weights()[along.front()].name,
                              along.size() > 1 ? fmt::format(", and {} more", along.size() - 1) : "");
    if (!fit.note.empty()) fit.note.pop_back();  // a space
    return fit;
  }

 private:
  struct Amount {
    int32_t layers, cpu_experts;
  };

  split::Placement place(Amount a) const {
    return split::place(plan_, model_.weights(), n_layers_, {a.layers, a.cpu_experts, named_});
  }

  // What the device needs for this much. Nothing: it cannot hold it whatever it has free.
  std::optional<uint64_t> need(Amount a) {
    const split::Placement placement = place(a);
    if (placement.all(Where::kHost)) return 0;
    try {
      const split::Share share(plan_, model_.weights(), placement, Where::kDevice);
      gpu_.declare_weights(share.weights(model::weights_as_loaded(model_)));
      gpu_.set_kv(share.kv(model_.kv_shape()), o_.kv_type_k, o_.kv_type_v);
      gpu_.set_state(share.state(model_.state_shape()));
      const auto executable = gpu_.prepare(share.plan(), limits_);
      return gpu_.weight_bytes() + cache::pages_for(limits_.max_context) * gpu_.page_bytes() +
             gpu_.state_bytes() + executable->device_scratch_bytes();
    } catch (const Error& e) {  // a tensor larger than it allocates at once
      if (e.code() != ErrorCode::kUnsupported) throw;
      refusal_ = e.what();
      return std::nullopt;
    }
  }

  bool fits(Amount a, uint64_t margin) {
    const auto bytes = need(a);
    return bytes && *bytes + (*bytes > 0 ? margin : 0) <= available_;
  }

  // From the most that was asked for downwards: first experts stay on the CPU, layer by layer, then whole
  // layers.
  Amount candidate(int32_t i) const {
    const int32_t experts = o_.device.cpu_expert_layers ? 0 : n_expert_layers_ - most_.cpu_experts;
    if (i <= experts) return {most_.layers, most_.cpu_experts + i};
    return {most_.layers - (i - experts), most_.cpu_experts + experts};
  }

  Amount largest() {
    const uint64_t margin = o_.device.fit_margin_bytes;
    if (fits(candidate(0), margin)) return candidate(0);
    // From here on each takes less than the one before; passing values to and fro takes a little itself.
    int32_t low = 1, high = 1;  // the last one, of no layers, takes nothing
    while (candidate(high).layers > 0) ++high;
    while (low < high) {
      const int32_t middle = (low + high) / 2;
      if (fits(candidate(middle), margin))
        high = middle;
      else
        low = middle + 1;
    }
    return candidate(low);
  }

  // Of the layers on the device, how many leave their experts to the CPU; and operations that -ot moves.
  std::string summary(Amount a) const {
    const split::Placement plain = split::place(plan_, model_.weights(), n_layers_, {a.layers, 0, {}});
    const split::Placement real = place(a);
    int32_t experts = 0, others = 0;
    for (size_t i = 0; i < plan_.ops.size(); ++i) {
      if (plain.ops[i] == real.ops[i]) continue;
      bool has_weights = false;
      plan::for_each_weight(plan_.ops[i], [&](plan::WeightId) { has_weights = true; });
      if (std::holds_alternative<plan::Moe>(plan_.ops[i]) && real.ops[i] == Where::kHost)
        ++experts;
      else
        others += has_weights;
    }
    std::string text = fmt::format("{} of {} layers on {}", a.layers, n_layers_ + 1, name_);
    if (experts > 0) text += fmt::format(", the experts of {} of them on the CPU", experts);
    if (others > 0) text += fmt::format(", {} operations where -ot puts them", others);
    return text;
  }

  void tell(Amount chosen, bool reduced) {
    if (reduced) note_ += "Not all that was asked for fits. ";
    note_ += fmt::format("{}, which takes {:.2f} of the {:.2f} GiB free there", summary(chosen),
                         gib(need(chosen).value_or(0)), gib(available_));
    note_ += chosen.layers == 0 && !refusal_.empty() ? fmt::format(". {} ", refusal_) : ". ";
  }

  const EngineOptions& o_;
  const model::Model& model_;
  const plan::Plan& plan_;
  plan::Backend& gpu_;
  const std::string& name_;
  const plan::StepLimits& limits_;
  std::vector<std::optional<Where>> named_;  // by weight
  int32_t n_layers_ = 0, n_expert_layers_ = 0;
  Amount most_{};         // that is asked for
  bool chooses_ = false;  // nobody said how many layers
  uint64_t available_ = 0;
  std::string note_, refusal_;
};

}  // namespace

Fit fit(const EngineOptions& options, const model::Model& model, const plan::Plan& plan, plan::Backend& gpu,
        const std::string& name, const plan::StepLimits& limits) {
  return Fitter(options, model, plan, gpu, name, limits).run();
}

int32_t fit_context(const EngineOptions& o, const model::Model& model) {
  return o.n_ctx > 0 ? o.n_ctx : std::min(model.n_ctx_train(), o.device.fit_ctx);
}

}  // namespace moraine::engine
