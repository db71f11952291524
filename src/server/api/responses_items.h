// Items of the Responses API as chat messages: an assistant's reasoning, texts and calls, which are items of
// their own there, are one message here.
#pragma once

#include "server/api/context.h"
#include "server/api/json.h"

namespace moraine::server {

// Where encrypted_content is ours it begins so, and what follows is the reasoning itself.
inline constexpr const char* kOwnReasoning = "moraine:";

// Puts the items that `item_reference`s stand for in their place. Throws ApiError 400 for one that is not
// stored (any more).
void resolve_references(const Call& call, Json& items);

// Adds to `messages`. `n_before`: items at the front that are not the request's own, so that errors name the
// index the client knows. Throws ApiError 400.
void add_chat_messages(const Call& call, const Json& items, std::size_t n_before, Json& messages);

}  // namespace moraine::server
