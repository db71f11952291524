// POST /tokenize, /detokenize and /apply-template: the way from messages to token ids, step by step, as
// llama-server offers it.
#include <nlohmann/json.hpp>

#include "server/api/chat_prompt.h"
#include "server/api/endpoints.h"
#include "server/api/errors.h"
#include "server/api/request_plan.h"

namespace moraine::server {
namespace {

// A token's text, or its bytes where they are no text by themselves (part of an emoji).
Json piece_json(std::string_view bytes) {
  Json text(bytes);
  try {
    (void)text.dump();  // strict: throws for bytes that are not UTF-8
    return text;
  } catch (const Json::type_error&) {
    Json values = Json::array();
    for (const char c : bytes) values.push_back(static_cast<unsigned char>(c));
    return values;
  }
}

}  // namespace

void tokenize(const Call& call) {
  const Json json = parse_json(call.request().body);
  const Fields body(json);
  const Tokenizer& tokenizer = *call.model->tokenizer;
  const auto content = body.string("content");
  if (!content) throw bad_request("content", "'content' is missing.");
  const auto ids =
      tokenizer.encode(*content, {.add_special = body.boolean("add_special").value_or(false),
                                  .parse_special = body.boolean("parse_special").value_or(true)});
  const bool with_pieces = body.boolean("with_pieces").value_or(false);
  Json tokens = Json::array();
  for (const TokenId id : ids) {
    if (with_pieces) {
      tokens.push_back({{"id", id}, {"piece", piece_json(tokenizer.token_bytes(id))}});
    } else {
      tokens.push_back(id);
    }
  }
  reply_json(*call.exchange, {{"tokens", std::move(tokens)}});
}

void detokenize(const Call& call) {
  const Json json = parse_json(call.request().body);
  const Fields body(json);
  const Json* tokens = body.find("tokens");
  if (tokens == nullptr) throw bad_request("tokens", "'tokens' is missing.");
  if (!tokens->is_array()) body.wrong_type("tokens", "an array of token ids");
  std::vector<TokenId> ids;
  for (const Json& token : *tokens) ids.push_back(token_from(token, *call.model->tokenizer, "tokens"));
  reply_json(*call.exchange, {{"content", call.model->tokenizer->decode(ids, {.show_control = true})}});
}

void apply_template(const Call& call) {
  const Json json = parse_json(call.request().body);
  reply_json(*call.exchange, {{"prompt", chat_prompt(call, Fields(json)).text}});
}

}  // namespace moraine::server
