// The bounds every GGUF header is held to, on top of "no more than the bytes that remain". They
// keep a hostile header from costing more memory or time than any real model needs; real values
// are noted beside each. What the reader does with them: parser.cpp.
#pragma once

#include <cstddef>
#include <cstdint>

namespace moraine::gguf {

inline constexpr uint64_t kMaxMetadataEntries = 1u << 16;  // real files: 20 to 80
inline constexpr uint64_t kMaxTensors = 1u << 17;          // real files: up to some thousands
inline constexpr uint64_t kMaxKeyBytes = 65535;            // the GGUF specification's bound
inline constexpr uint64_t kMaxTensorNameBytes = 1024;      // the specification says 64; some tools exceed it
inline constexpr uint64_t kMaxStringBytes = 64u << 20;     // real files: chat templates of 20 KB
inline constexpr uint64_t kMaxMetadataBytes = 512u << 20;  // all values together, in memory; real: 20 MB
inline constexpr uint32_t kMaxArrayDepth = 4;              // arrays of arrays; real files: 1
inline constexpr uint32_t kMaxDims = 4;
inline constexpr uint64_t kMaxTensorValues = 1ull << 62;  // so that no byte count overflows
inline constexpr uint64_t kDefaultAlignment = 32;
inline constexpr uint64_t kMinAlignment = 8;  // the specification: a multiple of 8
inline constexpr uint64_t kMaxAlignment = 1u << 20;
inline constexpr uint32_t kMaxShards = 99999;  // five digits in -00001-of-00003

}  // namespace moraine::gguf
