// What may come next in a generation that is bound to a grammar, a JSON schema or a tool's parameters. The
// engine asks through this interface and knows no grammar; src/constraint answers.
#pragma once

#include <cstdint>
#include <span>

namespace moraine {

using TokenId = int32_t;

// Of one generation; called on the engine's thread alone. Whatever goes wrong within, it answers: a
// constraint that fails lets everything through from then on.
class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;

  // Bit t % 32 of word t / 32: token t may come next. Empty: any token may. Where the text may end, the
  // model's end-of-generation tokens are among them; a generation for which nothing is left ends as by such a
  // token. Waits where this is still being computed. Valid until the next call.
  virtual std::span<const uint32_t> allowed() noexcept = 0;

  // A token was drawn. Returns at once: what may follow is computed while the model runs.
  virtual void accept(TokenId token) noexcept = 0;

  // The tokens that spell what must follow here, at most `most` of them; often none. They are a guess: the
  // same text may come in other tokens. Computes what it can at once, and waits for nobody. Valid until the
  // next call.
  virtual std::span<const TokenId> forced(int32_t most) noexcept {
    (void)most;
    return {};
  }
};

}  // namespace moraine
