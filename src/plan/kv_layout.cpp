#include "plan/kv_layout.h"

#include <fmt/format.h>
#include <moraine/error.h>

namespace moraine::plan {

uint64_t kv_bytes(KvType t, uint64_t n) {
  switch (t) {
    case KvType::kF16:
      return 2 * n;
    case KvType::kQ8_0:
      return n / 32 * 34;
    case KvType::kQ4_0:
      return n / 32 * 18;
    case KvType::kF32:
      break;
  }
  return 4 * n;
}

KvLayout lay_out_kv(const KvShape& shape, KvType k, KvType v) {
  const auto has_blocks = [](KvType t) { return t == KvType::kQ8_0 || t == KvType::kQ4_0; };
  KvLayout out;
  uint64_t at = 0;
  for (const KvShape::Layer& l : shape.layers) {
    if (l.head_dim % 32 != 0 && (has_blocks(k) || has_blocks(v)))
      throw Error(ErrorCode::kUnsupported, fmt::format("A q8_0 or q4_0 cache needs heads of a multiple of 32 "
                                                       "values; this model's have {}. Use -ctk f16 -ctv f16.",
                                                       l.head_dim));
    KvLayout::Layer layer;
    layer.k_head = kv_bytes(k, uint64_t{kPageTokens} * l.head_dim);
    layer.v_head = kv_bytes(v, uint64_t{kPageTokens} * l.head_dim);
    layer.k = at;
    layer.v = at + l.n_kv_heads * layer.k_head;
    at = layer.v + l.n_kv_heads * layer.v_head;
    out.layers.push_back(layer);
  }
  out.page_bytes = at;
  return out;
}

}  // namespace moraine::plan
