// GET /v1/models, /models and /v1/models/ID: the one model that is served, under its alias or file name.
#include <nlohmann/json.hpp>

#include "server/api/endpoints.h"
#include "server/api/errors.h"

namespace moraine::server {
namespace {

Json model_json(const ServedModel& model) {
  const ModelInfo& info = model.engine->info();
  return {{"id", model.id},
          {"object", "model"},
          {"created", model.created},
          {"owned_by", "moraine"},
          {"meta",
           {{"n_ctx", info.n_ctx},
            {"n_ctx_train", info.n_ctx_train},
            {"n_vocab", info.n_vocab},
            {"n_embd", info.n_embd},
            {"n_layers", info.n_layers},
            {"n_params", info.n_params},
            {"size", info.size_bytes},
            {"architecture", info.architecture},
            {"quantization", info.quantization}}}};
}

}  // namespace

void list_models(const Call& call) {
  reply_json(*call.exchange, {{"object", "list"}, {"data", Json::array({model_json(*call.model)})}});
}

void get_model(const Call& call) {
  const std::string& path = call.request().path;
  const std::string id = path.substr(path.find("/models/") + 8);
  if (id != call.model->id) {
    ApiError error(
        404, "invalid_request_error", "model_not_found",
        "There is no model '" + id.substr(0, 200) + "'; this server has '" + call.model->id + "'.");
    error.param = "model";
    throw error;
  }
  reply_json(*call.exchange, model_json(*call.model));
}

}  // namespace moraine::server
