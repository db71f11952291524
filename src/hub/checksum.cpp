#include "hub/checksum.h"

#include <fmt/format.h>
#include <moraine/error.h>
#include <openssl/evp.h>

namespace moraine::hub {

struct Checksum::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  explicit State(const EVP_MD* kind) {
    if (context == nullptr || EVP_DigestInit_ex(context, kind, nullptr) != 1) {
      EVP_MD_CTX_free(context);
      throw Error(ErrorCode::kInternal, "OpenSSL refuses to make a checksum.");
    }
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { EVP_MD_CTX_free(context); }
};

Checksum::Checksum(std::unique_ptr<State> state) : state_(std::move(state)) {}
Checksum::Checksum(Checksum&&) noexcept = default;
Checksum::~Checksum() = default;

Checksum Checksum::sha256() { return Checksum(std::make_unique<State>(EVP_sha256())); }

Checksum Checksum::git_blob(uint64_t size_bytes) {
  Checksum sum(std::make_unique<State>(EVP_sha1()));
  std::string header = fmt::format("blob {}", size_bytes);
  header += '\0';
  sum.add(std::as_bytes(std::span(header)));
  return sum;
}

void Checksum::add(std::span<const std::byte> bytes) {
  if (EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) != 1)
    throw Error(ErrorCode::kInternal, "OpenSSL failed in the middle of a checksum.");
}

std::string Checksum::hex() {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned n = 0;
  if (EVP_DigestFinal_ex(state_->context, bytes, &n) != 1)
    throw Error(ErrorCode::kInternal, "OpenSSL failed at the end of a checksum.");
  std::string out;
  for (unsigned i = 0; i < n; ++i) out += fmt::format("{:02x}", bytes[i]);
  return out;
}

}  // namespace moraine::hub
