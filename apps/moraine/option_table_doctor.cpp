// The options of `moraine doctor`, which speak of machines rather than of models.
#include "option_table.h"

namespace moraine::app {

using namespace options;

void add_doctor_options(Table& t, Settings& s) {
  t.section("What is wanted of this machine", kDoctor);
  t.add("-m, --model NAME", text(s.engine.model_path),
        "a GGUF file, or a model known by name (qwen3-coder-next); also the first argument")
      .env("LLAMA_ARG_MODEL");
  t.add("-md, --model-draft NAME", text(s.doctor.draft_model), "a draft model beside it")
      .env("LLAMA_ARG_MODEL_DRAFT");
  t.add("-c, --ctx-size N", integer(s.engine.n_ctx, 0, 1 << 26), "tokens of context")
      .standard("the trained length")
      .env("LLAMA_ARG_CTX_SIZE");
  t.add("--gpu-memory SIZE", bytes(s.doctor.gpu_memory_bytes),
        "let the GPU map so much, such as 100G (of 1024^3 bytes each)")
      .standard("what a machine of this size can spare");

  t.section("Doctor", kDoctor);
  t.add("--probe", toggle(s.doctor.probe),
        "measure how fast this CPU reads memory: a second, best on an idle machine");
  t.add("--write", toggle(s.doctor.write), "make the edits that the report names, after asking, with backups")
      .command_line_only();
  t.add("-y, --yes", toggle(s.doctor.yes), "do not ask").command_line_only();
  t.add("--root FOLDER", text(s.doctor.root), "judge a system captured below this folder")
      .standard("/")
      .command_line_only();
  t.add("--json", toggle(s.json), "print JSON");
}

}  // namespace moraine::app
