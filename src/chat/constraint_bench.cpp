// What constraints of tool calls cost: compiling the tools of real agents, the masks of calls, and what those
// add to the steps of a model that runs. A development program, not installed:
//   constraint_bench MODEL.gguf TOOLS.json [STEPS]
// TOOLS.json: {"client": [tools]} (bench/constraint_tools.py). Each tool is called with plausible values,
// token by token as the tokenizer cuts them. With STEPS a model is loaded and writes as many tokens of such
// calls for each client, its draws bound to them; without, the file's vocabulary is enough.
#include <fmt/core.h>
#include <moraine/engine.h>
#include <moraine/error.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <future>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "chat/answer_constraint.h"
#include "gguf/reader.h"
#include "tokenizer/load.h"

using namespace moraine;
using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

namespace {

// Of this thread alone: what else the machine does is not the constraint's.
double cpu_us() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) / 1e3;
}

double us_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

constexpr const char* kText =
    "import os\n\ndef load(path: str) -> dict:\n    \"\"\"Reads <config> from `path`.\"\"\"\n    with "
    "open(path) as f:\n"
    "        return {k: v for k, v in (line.split('=', 1) for line in f if '=' in line)}\n\n# </parameter> "
    "is no end\n"
    "für Käse 日本語 🎉 -> ok\n";

// A plausible value of a schema.
Json value_of(const Json& schema, std::mt19937& random) {
  const std::string type = schema.value("type", "string");
  if (schema.contains("enum")) return schema["enum"][random() % schema["enum"].size()];
  if (type == "number" || type == "integer") return static_cast<int>(random() % 5000);
  if (type == "boolean") return random() % 2 == 0;
  if (type == "array") {
    Json list = Json::array();
    const size_t n = std::min<size_t>(std::max<size_t>(schema.value("minItems", 1), 1 + random() % 3),
                                      schema.value("maxItems", 9));
    for (size_t i = 0; i < n; ++i) list.push_back(value_of(schema["items"], random));
    return list;
  }
  if (type == "object") {
    Json object = Json::object();
    if (!schema.contains("properties")) return object;
    const Json required = schema.contains("required") ? schema["required"] : Json::array();
    for (const auto& [key, inner] : schema["properties"].items())
      if (std::find(required.begin(), required.end(), Json(key)) != required.end() || random() % 2 == 0)
        object[key] = value_of(inner, random);
    return object;
  }
  if (schema.value("format", "") == "uri") return "https://example.org/a/b?c=d";
  if (schema.contains("maxLength")) return "short";
  return random() % 2 == 0 ? "/home/user/project/src/main.py" : kText;
}

std::string call_text(chat::CallFormat format, const std::string& name, const Json& arguments) {
  if (format == chat::CallFormat::kHermes)
    return fmt::format("<tool_call>\n{{\"name\": \"{}\", \"arguments\": {}}}\n</tool_call>", name,
                       arguments.dump());
  std::string text = "<tool_call>\n<function=" + name + ">\n";
  for (const auto& [key, value] : arguments.items())
    text += "<parameter=" + key + ">\n" + (value.is_string() ? value.get<std::string>() : value.dump()) +
            "\n</parameter>\n";
  return text + "</function>\n</tool_call>";
}

std::string summary(std::vector<double> us) {
  if (us.empty()) return "none";
  std::sort(us.begin(), us.end());
  double sum = 0;
  for (const double v : us) sum += v;
  const auto at = [&](double q) {
    return us[std::min(us.size() - 1, static_cast<size_t>(q * static_cast<double>(us.size())))];
  };
  return fmt::format("{} masks, average {:.1f} us, median {:.1f}, p99 {:.0f}, p99.9 {:.0f}, most {:.0f}",
                     us.size(), sum / static_cast<double>(us.size()), at(0.5), at(0.99), at(0.999),
                     us.back());
}

void run(chat::AnswerConstraints& constraints, const std::string& client, const Json& tools,
         chat::CallFormat calls) {
  const constraint::Service* service = &constraints.service();
  const auto begin = Clock::now();
  const auto bound = constraints.calls(tools.dump(), {}, {});
  while (!bound.source->grammar()) std::this_thread::sleep_for(std::chrono::microseconds(50));
  const double compile_ms = us_since(begin) / 1000;
  std::mt19937 random(1);
  std::vector<uint32_t> words((service->tokenizer->size() + 31) / 32);
  std::vector<double> first, later, accepts;
  int refused = 0;
  for (int round = 0; round < 4; ++round) {
    for (const Json& tool : tools) {
      const Json& function = tool["function"];
      const Json schema = function.value("parameters", Json{{"type", "object"}});
      const std::string text = call_text(calls, function["name"], value_of(schema, random));
      size_t at = 0;
      constraint::Matcher matcher(*bound.source->grammar());
      for (const TokenId token :
           service->tokenizer->encode(text, {.add_special = false, .parse_special = true})) {
        double start = cpu_us();
        const bool ok = matcher.mask(words);
        (round == 0 ? first : later).push_back(cpu_us() - start);
        if (cpu_us() - start > 800)
          fmt::print("  slow {:.0f}: {}\n", cpu_us() - start,
                     text.substr(at > 60 ? at - 60 : 0, std::min<size_t>(at, 60)));
        at += service->tokenizer->token_bytes(token).size();
        if (!ok || (words[token / 32] >> token % 32 & 1) == 0) {
          if (++refused < 4)
            fmt::print("  refused at '{}' of {}: {}\n", service->tokenizer->token_bytes(token), text,
                       matcher.error());
          break;
        }
        start = cpu_us();
        matcher.accept(token);
        accepts.push_back(cpu_us() - start);
      }
    }
  }
  fmt::print(
      "{} {} ({} tools): compiled in {:.1f} ms, {} calls refused\n  first calls:   {}\n  further calls: {}\n "
      " accepting:     {}\n",
      client, chat::name_of(calls), tools.size(), compile_ms, refused, summary(first), summary(later),
      summary(accepts));
}

struct Held {
  std::vector<double> wall, cpu;  // of the engine's thread, in a step's constraint
  std::vector<double> control;    // by the clock, of 20 us of work: what else the machine does
};

// Lets a generation write a given text under a constraint, and measures how long the engine's thread is held.
class Scripted final : public TokenConstraint {
 public:
  Scripted(std::unique_ptr<TokenConstraint> inner, std::vector<TokenId> script, size_t n_vocab, Held& held)
      : inner_(std::move(inner)), script_(std::move(script)), words_((n_vocab + 31) / 32), held_(held) {}

  std::span<const uint32_t> allowed() noexcept override {
    measure([&] { inner_->allowed(); }, wall_, cpu_);
    std::fill(words_.begin(), words_.end(), 0);
    if (at_ < script_.size()) words_[static_cast<size_t>(script_[at_]) / 32] |= 1u << script_[at_] % 32;
    ++at_;
    return words_;
  }
  void accept(TokenId token) noexcept override {
    double wall = 0, cpu = 0, ignored = 0;
    measure([&] { inner_->accept(token); }, wall, cpu);
    held_.wall.push_back(wall_ + wall);
    held_.cpu.push_back(cpu_ + cpu);
    measure(
        [] {
          for (const double begin = cpu_us(); cpu_us() - begin < 20;) {
          }
        },
        wall, ignored);
    held_.control.push_back(wall);
  }

 private:
  template <typename F>
  static void measure(F&& f, double& wall, double& cpu) {
    const auto begin = Clock::now();
    const double cpu_begin = cpu_us();
    f();
    cpu = cpu_us() - cpu_begin;
    wall = us_since(begin);
  }

  std::unique_ptr<TokenConstraint> inner_;
  const std::vector<TokenId> script_;
  std::vector<uint32_t> words_;
  Held& held_;
  size_t at_ = 0;
  double wall_ = 0, cpu_ = 0;
};

class Waiter final : public GenerationSink {
 public:
  void on_token(const TokenEvent&) override {}
  void on_finish(FinishReason, const GenerationStats& stats) override { done.set_value(stats); }
  void on_error(const Error& error) override { done.set_exception(std::make_exception_ptr(error)); }
  std::promise<GenerationStats> done;
};

// Steps of a model that runs. Once as agents have it, bound within calls alone.
void run_steps(Engine& engine, chat::AnswerConstraints& constraints, const std::string& client,
               const Json& tools, chat::CallFormat calls, size_t n_steps) {
  const auto tokenizer = engine.tokenizer();
  const auto bound = constraints.calls(tools.dump(), {}, {});
  while (!bound.source->grammar()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::mt19937 random(1);
  std::vector<TokenId> script;
  while (script.size() < n_steps) {
    const Json& function = tools[random() % tools.size()]["function"];
    const Json schema = function.value("parameters", Json{{"type", "object"}});
    const auto call = tokenizer->encode(call_text(calls, function["name"], value_of(schema, random)) + "\n",
                                        {.add_special = false, .parse_special = true});
    script.insert(script.end(), call.begin(), call.end());
  }
  script.resize(n_steps);
  Held held;
  GenerationRequest request;
  request.prompt = tokenizer->encode("A prompt.", {});
  request.max_tokens = static_cast<int32_t>(n_steps);
  request.constraint = [&] {
    return std::make_unique<Scripted>(bound.start(), script, tokenizer->size(), held);
  };
  const auto sink = std::make_shared<Waiter>();
  const auto generation = engine.generate(std::move(request), sink);
  const GenerationStats stats = sink->done.get_future().get();
  fmt::print(
      "{} {}: {:.1f} ms a step\n  by the clock:     {}\n  by the processor: {}\n  20 us of work:    {}\n",
      client, chat::name_of(calls), stats.generated_ms / std::max(1, stats.n_generated), summary(held.wall),
      summary(held.cpu), summary(held.control));
  for (const std::string& warning : bound.warnings()) fmt::print("  {}\n", warning);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4)
    return fmt::print(stderr, "usage: constraint_bench MODEL.gguf TOOLS.json [STEPS]\n"), 2;
  try {
    const gguf::File file = gguf::File::open(argv[1]);
    const std::shared_ptr<Engine> engine =
        argc == 4 ? Engine::load({.model_path = argv[1], .n_ctx = 8192}) : nullptr;
    const std::shared_ptr<const Tokenizer> tokenizer =
        engine ? engine->tokenizer() : load_tokenizer(file.metadata());
    const auto resident_mb = [] {
      std::ifstream statm("/proc/self/statm");
      long total = 0, resident = 0;
      statm >> total >> resident;
      return static_cast<double>(resident) * 4096 / 1e6;
    };
    const double before_mb = resident_mb();
    std::ifstream in(argv[2]);
    const Json clients = Json::parse(std::string(std::istreambuf_iterator<char>(in), {}));
    for (const auto calls : {chat::CallFormat::kQwenXml, chat::CallFormat::kHermes}) {
      chat::OutputFormat format;
      format.calls = calls;
      chat::AnswerConstraints constraints(tokenizer, format,
                                          [](const std::string& line) { fmt::print("  log: {}\n", line); });
      const auto begin = Clock::now();
      constraints.service().grammars.compile("start: \"a\"");
      fmt::print("a vocabulary of {} tokens, once for each model: {:.0f} ms\n", tokenizer->size(),
                 us_since(begin) / 1000);
      for (const auto& [client, tools] : clients.items()) {
        if (engine)
          run_steps(*engine, constraints, client, tools, calls, std::stoul(argv[3]));
        else
          run(constraints, client, tools, calls);
      }
    }
    fmt::print("resident for all of it: {:.0f} MB\n", resident_mb() - before_mb);
  } catch (const std::exception& e) {
    return fmt::print(stderr, "{}\n", e.what()), 1;
  }
}
