#include "backend/vulkan/cache_layout.h"

#include <fmt/format.h>
#include <moraine/error.h>

namespace moraine::vulkan {
namespace {

constexpr uint64_t kAlignment = 256;

uint64_t head_bytes(KvType t, int32_t head_dim) {
  const uint64_t n = uint64_t{plan::kPageTokens} * head_dim;
  switch (t) {
    case KvType::kF16:
      return 2 * n;
    case KvType::kQ8_0:
      return n / 32 * 34;
    case KvType::kF32:
      return 4 * n;
    default:
      throw Error(ErrorCode::kUnsupported,
                  "This format of the cache does not run on Vulkan. Use -ctk f16 -ctv f16 or q8_0.");
  }
}

}  // namespace

KvLayout lay_out_kv(const plan::KvShape& shape, KvType k, KvType v) {
  KvLayout out;
  uint64_t at = 0;
  for (const plan::KvShape::Layer& l : shape.layers) {
    if (l.head_dim % 32 != 0 && (k == KvType::kQ8_0 || v == KvType::kQ8_0))
      throw Error(ErrorCode::kUnsupported, fmt::format("A q8_0 cache needs heads of a multiple of 32 values; "
                                                       "this model's have {}. Use -ctk f16 -ctv f16.",
                                                       l.head_dim));
    KvLayout::Layer layer;
    layer.k_head = head_bytes(k, l.head_dim);
    layer.v_head = head_bytes(v, l.head_dim);
    layer.k = at;
    layer.v = at + l.n_kv_heads * layer.k_head;
    at = layer.v + l.n_kv_heads * layer.v_head;
    out.layers.push_back(layer);
  }
  out.page_bytes = (at + kAlignment - 1) / kAlignment * kAlignment;
  return out;
}

StateLayout lay_out_state(const plan::StateShape& shape) {
  StateLayout out;
  uint64_t at = 0;
  const auto take = [&](uint64_t floats) {
    const uint64_t here = at;
    at += (floats * sizeof(float) + kAlignment - 1) / kAlignment * kAlignment;
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
