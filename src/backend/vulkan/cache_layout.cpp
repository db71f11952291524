#include "backend/vulkan/cache_layout.h"

namespace moraine::vulkan {
namespace {

constexpr uint64_t kAlignment = 256;

uint64_t aligned(uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

plan::KvLayout lay_out_pages(const plan::KvShape& shape, KvType k, KvType v) {
  plan::KvLayout out = plan::lay_out_kv(shape, k, v);
  out.page_bytes = aligned(out.page_bytes);
  return out;
}

StateLayout lay_out_state(const plan::StateShape& shape) {
  StateLayout out;
  uint64_t at = 0;
  const auto take = [&](uint64_t floats) {
    const uint64_t here = at;
    at += aligned(floats * sizeof(float));
    return here;
  };
  for (const plan::StateShape::Layer& l : shape.layers) {
    StateLayout::Layer layer;
    layer.s = take(uint64_t(l.n_heads) * l.head_v * l.head_k);
    layer.inputs = take(uint64_t(l.n_channels) * l.n_inputs);
    out.layers.push_back(layer);
  }
  out.state_bytes = at;
  return out;
}

}  // namespace moraine::vulkan
