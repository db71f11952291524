// The engine on a GPU: the CPU's numbers, the same bits with and without cache and drafts, and what becomes
// of requests when the device is lost or full (faulty_vulkan.cpp breaks it).
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <moraine/engine.h>
#include <moraine/evaluate.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <future>
#include <mutex>
#include <random>

#include "base/testing.h"
#include "collector.h"

namespace moraine {
namespace {

using testing::Collector;
using testing::greedy;
using ::testing::HasSubstr;

std::string tiny(const std::string& name) {
  const char* d = std::getenv("MORAINE_BUILD_DIR");
  return std::string(d ? d : "build") + "/test-models/tiny-" + name + ".gguf";
}

std::vector<TokenId> random_tokens(int n, unsigned seed) {
  std::mt19937 rng(seed);
  std::vector<TokenId> t(n);
  for (TokenId& x : t) x = 10 + static_cast<TokenId>(rng() % 200);
  return t;
}

class OnGpu : public ::testing::Test {
 protected:
  void SetUp() override {
    // First, and for good: the system's library has the same name, and who is loaded first is found.
    static void* const library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    library_ = library;
    for (const DeviceInfo& d : list_devices())
      if (d.missing.empty() && (device_.empty() || d.software)) device_ = d.name;
    if (device_.empty()) GTEST_SKIP() << "no usable Vulkan device";
  }
  EngineOptions options(const std::string& model, int n_ctx = 1024) {
    EngineOptions o;
    o.model_path = tiny(model);
    o.device.name = device_;
    o.device.gpu_layers = kAllLayers;
    o.n_ctx = n_ctx;
    o.n_parallel = 2;
    o.cache_bytes = 1 << 28;
    o.on_notice = [this](const std::string& text) {
      const std::lock_guard lock(mutex_);
      notices_ += text + "\n";
      told_.notify_all();
    };
    return o;
  }
  std::string notices() {
    const std::lock_guard lock(mutex_);
    return notices_;
  }
  // Requests fail before the device is opened anew.
  bool wait_for_notices(size_t n) {
    std::unique_lock lock(mutex_);
    return told_.wait_for(lock, std::chrono::seconds(120), [&] {
      return std::count(notices_.begin(), notices_.end(), '\n') >= std::ptrdiff_t(n);
    });
  }
  static std::shared_ptr<Collector> answer(Engine& e, const GenerationRequest& r) {
    auto c = std::make_shared<Collector>();
    e.generate(r, c);
    EXPECT_TRUE(c->wait());
    return c;
  }

  void* library_ = nullptr;
  std::string device_;
  std::mutex mutex_;
  std::condition_variable told_;
  std::string notices_;
};

// Tokens and the bits of their probabilities.
std::vector<uint32_t> bits_of(const Collector& c) {
  std::vector<uint32_t> bits;
  for (const TokenEvent& e : c.events) {
    bits.push_back(static_cast<uint32_t>(e.id));
    for (const TokenProb& p : e.top) bits.push_back(std::bit_cast<uint32_t>(p.logprob));
  }
  return bits;
}

template <class F>
std::optional<ErrorCode> error_of(F&& f) {
  try {
    f();
    return std::nullopt;
  } catch (const Error& e) {
    return e.code();
  }
}

// Of unquantised models the numbers; of quantised ones what is left where a last bit tips a rounding of
// activations to eight bits, which a random model makes the most of.
TEST_F(OnGpu, ScoresAsTheCpuDoes) {
  struct {
    const char* model;
    KvType kv;
    double worst, mean;
  } const cases[] = {{"llama-f32", KvType::kF32, 1e-4, 1e-5},
                     {"qwen3next-f32", KvType::kF32, 1e-4, 1e-5},
                     {"llama-q4_k_m", KvType::kF16, 1, 0.1},
                     {"gemma3-q4_k_m", KvType::kQ8_0, 1, 0.1},
                     {"qwen3moe-q4_k_m", KvType::kF16, 1, 0.1}};
  for (const auto& c : cases) {
    EngineOptions o = options(c.model);
    o.kv_type_k = o.kv_type_v = c.kv;
    const auto gpu = Evaluator::load(o);
    EXPECT_THAT(gpu->info().device, HasSubstr(device_));
    EXPECT_GT(gpu->memory().on_device, gpu->memory().weights);
    o.device = {};
    const auto cpu = Evaluator::load(o);
    const auto tokens = random_tokens(70, 3);
    const auto expected = cpu->log_probs(tokens, 0), got = gpu->log_probs(tokens, 0);
    ASSERT_EQ(got.size(), expected.size());
    double worst = 0, sum = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      const double difference = std::fabs(got[i] - expected[i]);
      worst = std::max(worst, difference), sum += difference;
    }
    const double mean = sum / static_cast<double>(got.size());
    std::printf("[ measured ] %s: log-probabilities differ by %.1e at worst, %.1e on average\n", c.model,
                worst, mean);
    EXPECT_LT(worst, c.worst) << c.model;
    EXPECT_LT(mean, c.mean) << c.model;
  }
}

TEST_F(OnGpu, ACacheHitAndDraftsChangeNoBit) {
  for (const char* model : {"llama-q4_k_m", "qwen3next-q4_k_m"}) {
    EngineOptions o = options(model);
    o.speculation.max_draft = 0;
    const auto prompt = random_tokens(330, 1);
    GenerationRequest r = greedy(prompt, 8);
    r.n_probs = 2;
    r.boundaries = {300};
    const auto plain = Engine::load(o);
    const auto fresh = answer(*plain, r);
    ASSERT_EQ(fresh->tokens.size(), 8u);
    const auto again = answer(*plain, r);
    EXPECT_GE(again->stats.n_cached, 256) << model;
    EXPECT_EQ(bits_of(*again), bits_of(*fresh)) << model;
    // Drafts that are often wrong, always tried.
    o.speculation.max_draft = 4;
    o.speculation.always = true;
    o.speculation.script = [&](std::span<const TokenId> tokens, int32_t room, std::vector<TokenId>& draft) {
      const size_t at = tokens.size() - prompt.size();
      for (size_t i = at; i < fresh->tokens.size() && std::ssize(draft) < room; ++i)
        draft.push_back(i % 3 == 2 ? 11 : fresh->tokens[i]);
    };
    const auto drafted = answer(*Engine::load(o), r);
    EXPECT_GT(drafted->stats.n_drafted, 0) << model;
    EXPECT_EQ(bits_of(*drafted), bits_of(*fresh)) << model;
  }
}

// What prompts left behind goes to disk and to a slot's file and comes back to the same bits, on the whole
// device and on half of it; the CPU, whose bits are others, takes none of it.
TEST_F(OnGpu, WhatTheDiskKeepsChangesNoBit) {
  struct {
    const char* model;
    KvType kv;
    int32_t layers;
  } const cases[] = {{"gemma3-q4_k_m", KvType::kQ8_0, kAllLayers},
                     {"qwen3moe-q4_k_m", KvType::kQ4_0, kAllLayers},
                     {"qwen3next-q4_k_m", KvType::kF16, kAllLayers},
                     {"qwen35-q8_0", KvType::kF16, 2}};
  for (const auto& c : cases) {
    SCOPED_TRACE(::testing::Message() << c.model << ", layers " << c.layers);
    const TestFolder folder;
    EngineOptions o = options(c.model);
    o.kv_type_k = o.kv_type_v = c.kv;
    o.device.gpu_layers = c.layers;
    GenerationRequest first = greedy(random_tokens(262, 1), 4), second = greedy({}, 4);
    first.slot = 0, second.n_probs = 2;
    EngineOptions with_disk = o;
    with_disk.cache_disk = folder / "cache";
    with_disk.cache_disk_settle_ms = 0;
    std::vector<uint32_t> uninterrupted;
    {
      const auto engine = Engine::load(with_disk);
      const auto c = answer(*engine, first);
      engine->save_slot(0, 0, folder / "slot");
      second.prompt = first.prompt;
      for (const auto& more : {c->tokens, random_tokens(10, 2)})
        second.prompt.insert(second.prompt.end(), more.begin(), more.end());
      uninterrupted = bits_of(*answer(*engine, second));
    }
    {
      const auto engine = Engine::load(with_disk);
      const auto c = answer(*engine, second);
      EXPECT_GE(c->stats.n_restored, 261);
      EXPECT_EQ(bits_of(*c), uninterrupted);
    }
    {
      const auto engine = Engine::load(o);
      EXPECT_EQ(engine->restore_slot(0, 0, folder / "slot").n_tokens, 265);
      const auto c = answer(*engine, second);
      EXPECT_EQ(c->stats.n_cached, 265);
      EXPECT_EQ(bits_of(*c), uninterrupted);
    }
    EXPECT_EQ(notices(), "");
    with_disk.device = {};
    const auto cpu = Engine::load(with_disk);
    EXPECT_EQ(answer(*cpu, second)->stats.n_restored, 0);
    EXPECT_EQ(error_of([&] { cpu->restore_slot(0, 0, folder / "slot"); }), ErrorCode::kCorruptFile);
  }
}

// The last layers on the GPU, the others on the CPU: the same numbers, and the same bits with the cache.
TEST_F(OnGpu, LayersSplitBetweenBoth) {
  const auto tokens = random_tokens(50, 5);
  for (const char* model : {"llama-f32", "qwen3next-f32"}) {
    EngineOptions o = options(model);
    o.kv_type_k = o.kv_type_v = KvType::kF32;
    const auto whole = Evaluator::load(o);
    o.device.gpu_layers = 0;
    const auto expected = Evaluator::load(o)->log_probs(tokens, 0);
    for (const int layers : {1, 2, 3}) {
      o.device.gpu_layers = layers;
      const auto split = Evaluator::load(o);
      EXPECT_THAT(split->info().device, ::testing::AllOf(HasSubstr("CPU"), HasSubstr(device_)));
      EXPECT_GT(split->memory().on_device, 0u);
      EXPECT_LT(split->memory().on_device, whole->memory().on_device);
      const auto got = split->log_probs(tokens, 0);
      for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], expected[i], 1e-4) << model << layers;
    }
  }
  EngineOptions o = options("qwen3next-q4_k_m");
  o.device.gpu_layers = 2;
  const auto engine = Engine::load(o);
  GenerationRequest r = greedy(random_tokens(300, 1), 8);
  r.n_probs = 2;
  const auto fresh = answer(*engine, r), again = answer(*engine, r);
  EXPECT_GE(again->stats.n_cached, 256);
  EXPECT_EQ(bits_of(*again), bits_of(*fresh));
}

// Experts, and single tensors, on the CPU: the same numbers, and the same bits with cache and drafts.
TEST_F(OnGpu, ExpertsOnTheCpu) {
  const auto tokens = random_tokens(50, 5);
  EngineOptions o = options("qwen3next-f32");
  o.kv_type_k = o.kv_type_v = KvType::kF32;
  const auto whole = Evaluator::load(o);
  o.device.gpu_layers = 0;
  const auto expected = Evaluator::load(o)->log_probs(tokens, 0);
  o.device.gpu_layers = kAllLayers;
  struct {
    const char* what;
    std::optional<int32_t> cpu_experts;
    std::vector<TensorOverride> overrides;
    const char* said;
  } const cases[] = {
      {"-cmoe", kAllLayers, {}, "the experts of 4 of them on the CPU"},
      {"-ncmoe 1", 1, {}, "the experts of 1 of them on the CPU"},
      {"-ot exps=CPU", {}, {{"ffn_(gate|up|down)_exps", "CPU"}}, "the experts of 4 of them on the CPU"},
      {"-ot of a layer", {}, {{R"(blk\.1\.)", "CPU"}}, "where -ot puts them"},
      {"-ot, the first counts", kAllLayers, {{"exps", device_}, {"_exps", "CPU"}}, ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.what);
    o.device.cpu_expert_layers = c.cpu_experts, o.device.overrides = c.overrides;
    const auto split = Evaluator::load(o);
    EXPECT_THAT(split->info().device, HasSubstr(c.said));
    if (*c.said) {
      EXPECT_LT(split->memory().on_device, whole->memory().on_device);
      EXPECT_THAT(split->info().device, HasSubstr("CPU"));
    }
    const auto got = split->log_probs(tokens, 0);
    for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], expected[i], 1e-4);
  }
}

TEST_F(OnGpu, ExpertsOnTheCpuChangeNoBitWithCacheAndDrafts) {
  EngineOptions o = options("qwen3next-q4_k_m");
  o.device.cpu_expert_layers = kAllLayers;
  o.speculation.max_draft = 0;
  GenerationRequest r = greedy(random_tokens(300, 1), 8);
  r.n_probs = 2;
  const auto engine = Engine::load(o);
  const auto fresh = answer(*engine, r), again = answer(*engine, r);
  EXPECT_GE(again->stats.n_cached, 256);
  EXPECT_EQ(bits_of(*again), bits_of(*fresh));
  o.speculation.max_draft = 4;
  o.speculation.always = true;
  o.speculation.script = [&](std::span<const TokenId> tokens, int32_t room, std::vector<TokenId>& draft) {
    for (size_t i = tokens.size() - 300; i < fresh->tokens.size() && std::ssize(draft) < room; ++i)
      draft.push_back(i % 3 == 2 ? 11 : fresh->tokens[i]);
  };
  const auto drafted = answer(*Engine::load(o), r);
  EXPECT_GT(drafted->stats.n_drafted, 0);
  EXPECT_EQ(bits_of(*drafted), bits_of(*fresh));
}

TEST_F(OnGpu, TensorsThatCannotLieThere) {
  struct {
    std::vector<TensorOverride> overrides;
    const char* said;
  } const cases[] = {
      {{{"gate_exps", "CPU"}, {"up_exps", device_}}, "cannot lie on different devices"},
      {{{"exps", "CUDA0"}}, "not on CUDA0"},
      {{{"(exps", "CPU"}}, "not a regular expression"},
  };
  for (const auto& c : cases) {
    EngineOptions o = options("qwen3moe-q4_k_m");
    o.device.overrides = c.overrides;
    try {
      Engine::load(o);
      ADD_FAILURE() << c.said;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
      EXPECT_THAT(e.what(), HasSubstr(c.said));
    }
  }
  // What is moved with others of its operation is told, and a pattern that is of no use.
  EngineOptions o = options("qwen3moe-q4_k_m");
  o.device.overrides = {{"ffn_up_exps", "CPU"}, {"no_such_tensor", "CPU"}};
  EXPECT_THAT(Evaluator::load(o)->info().notes,
              ::testing::Contains(::testing::AllOf(HasSubstr("blk.0.ffn_gate_exps.weight"),
                                                   HasSubstr("no_such_tensor=CPU matches no tensor"))));
}

// From plenty to nothing: experts leave before layers do, and each amount is used as far as it goes.
TEST_F(OnGpu, WhatFitsIsChosenAndSaid) {
  EngineOptions o = options("qwen3moe-q4_k_m");
  o.device.gpu_layers = kLayersThatFit;
  o.device.fit_margin_bytes = 0;
  o.n_ubatch = 16;  // experts are small here: what passes to the CPU and back should be smaller
  const auto need = [&](int32_t layers, int32_t experts) {
    EngineOptions all = o;
    all.device.gpu_layers = layers, all.device.cpu_expert_layers = experts, all.device.fit = false;
    return Engine::estimate(all).on_device;
  };
  const auto chosen = [&](uint64_t limit) {
    o.device.memory_limit_bytes = limit;
    const MemoryEstimate m = Engine::estimate(o);
    EXPECT_LE(m.on_device, limit) << m.device_note;
    EXPECT_TRUE(m.fits());
    return m.device_note;
  };
  const int32_t n = 4;  // layers; the product with the vocabulary is one more
  EXPECT_THAT(chosen(need(n + 1, 0)), ::testing::StartsWith("5 of 5 layers on " + device_ + ", which"));
  EXPECT_THAT(chosen(need(n + 1, 0) - 1), HasSubstr("5 of 5 layers on " + device_ + ", the experts of 1 of"));
  EXPECT_THAT(chosen(need(n + 1, 2)), HasSubstr("5 of 5 layers on " + device_ + ", the experts of 2 of"));
  EXPECT_THAT(chosen(need(n + 1, n)), HasSubstr("5 of 5 layers on " + device_ + ", the experts of 4 of"));
  EXPECT_THAT(chosen(need(n + 1, n) - 1), HasSubstr("4 of 5 layers on " + device_ + ", the experts of 3 of"));
  EXPECT_THAT(chosen(1 << 10), HasSubstr("0 of 5 layers"));
  // What was asked for and does not fit is made less likewise; where nothing may change it is an error.
  o.device.gpu_layers = kAllLayers;
  EXPECT_THAT(chosen(need(n + 1, 0)), "");
  EXPECT_THAT(chosen(need(n + 1, 2)), ::testing::AllOf(HasSubstr("Not all that was asked for fits"),
                                                       HasSubstr("the experts of 2 of them")));
  o.device.gpu_layers = 3;
  EXPECT_THAT(chosen(need(3, n) - 1), HasSubstr("2 of 5 layers on " + device_));
  o.device.gpu_layers = kAllLayers, o.device.cpu_expert_layers = 1;  // said, and not to be changed
  EXPECT_THAT(chosen(need(n, 1)), HasSubstr("4 of 5 layers"));
  o.device.cpu_expert_layers.reset(), o.device.fit = false;
  o.device.memory_limit_bytes = need(n + 1, 2);
  EXPECT_FALSE(Engine::estimate(o).fits());
  EXPECT_THROW(Engine::load(o), Error);
  // Others of this program need some of it too.
  o.device.fit = true, o.device.memory_limit_bytes = need(n + 1, 0);
  o.device.reserved_bytes = 1;
  EXPECT_THAT(Engine::estimate(o).device_note, HasSubstr("the experts of 1 of"));
  o.device.fit = false;
  EXPECT_FALSE(Engine::estimate(o).fits());
  o.n_ctx = 0;
  const int32_t n_ctx_fits = Engine::estimate(o).n_ctx_fits;
  o.device.reserved_bytes = 1 << 20;
  EXPECT_LT(Engine::estimate(o).n_ctx_fits, n_ctx_fits);
}

TEST_F(OnGpu, WithLittleMemoryEverythingRunsOnTheCpu) {
  EngineOptions o = options("llama-q4_k_m");
  o.device.gpu_layers = kLayersThatFit;
  EXPECT_THAT(Evaluator::load(o)->info().device, ::testing::StartsWith(device_));  // all of a tiny model
  o.memory_limit_bytes = 100 << 20;  // less than what is to be left alone
  const auto on_cpu = Evaluator::load(o);
  EXPECT_THAT(on_cpu->info().device, ::testing::StartsWith("CPU"));
  EXPECT_THAT(on_cpu->info().notes, ::testing::Contains(HasSubstr("0 of ")));
}

TEST_F(OnGpu, ADraftModelHasADeviceOfItsOwn) {
  EngineOptions o = options("llama-q4_k_m");
  o.speculation.model.path = tiny("llama-q4_k_m");
  DeviceOptions& draft = o.speculation.model.device;
  draft.gpu_layers = kAllLayers;
  for (const std::string& name : {device_, std::string("none")}) {
    draft.name = name;
    const auto engine = Engine::load(o);
    const auto said = ::testing::Contains(HasSubstr("The draft model runs on " + device_));
    if (name == "none")
      EXPECT_THAT(engine->info().notes, ::testing::Not(said));
    else
      EXPECT_THAT(engine->info().notes, said);
    EXPECT_THAT(engine->info().device, ::testing::StartsWith(device_));
    EXPECT_FALSE(answer(*engine, greedy(random_tokens(40, 1), 6))->error);
  }
}

TEST_F(OnGpu, WhatIsNotThereIsSaid) {
  EngineOptions o = options("llama-q4_k_m");
  o.device.name = "Vulkan99";
  try {
    Engine::load(o);
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(e.what(), HasSubstr("Vulkan0"));
  }
  o.device.name = "none";  // whatever else asks for one
  o.device.cpu_expert_layers = 1, o.device.overrides = {{"exps", "Vulkan0"}};
  const auto on_cpu = Engine::load(o);
  EXPECT_THAT(on_cpu->info().device, ::testing::StartsWith("CPU"));
  EXPECT_EQ(on_cpu->memory().on_device, 0u);
  EXPECT_THAT(on_cpu->info().notes, ::testing::Not(::testing::Contains(HasSubstr("CPU"))));
  o.device.overrides.clear();
  for (const DeviceInfo& d : list_devices())
    if (!d.software && d.missing.empty()) return;
  o.device.name = "";  // asked for, and only an imitation is there
  const auto engine = Engine::load(o);
  EXPECT_THAT(engine->info().device, HasSubstr("CPU"));
  EXPECT_THAT(engine->info().notes, ::testing::Contains(HasSubstr("Everything runs on the CPU")));
}

class BrokenGpu : public OnGpu {
 protected:
  void SetUp() override {
    OnGpu::SetUp();
    if (IsSkipped()) return;
    lose_after_ = reinterpret_cast<void (*)(int)>(dlsym(library_, "faulty_lose_after"));
    set_opens_ = reinterpret_cast<void (*)(bool)>(dlsym(library_, "faulty_set_opens"));
    set_memory_ = reinterpret_cast<void (*)(bool)>(dlsym(library_, "faulty_set_memory"));
    ASSERT_TRUE(lose_after_ && set_opens_ && set_memory_) << "LD_LIBRARY_PATH does not lead to faulty_vulkan";
  }
  void TearDown() override {
    if (set_opens_) set_opens_(true), set_memory_(true), lose_after_(-1);
  }
  void (*lose_after_)(int) = nullptr;
  void (*set_opens_)(bool) = nullptr;
  void (*set_memory_)(bool) = nullptr;
};

TEST_F(BrokenGpu, ALostDeviceFailsWhatRanAndIsOpenedAnew) {
  for (const char* model : {"llama-q4_k_m", "qwen3next-q4_k_m"}) {
    const auto engine = Engine::load(options(model));
    const auto first = answer(*engine, greedy(random_tokens(40, 1), 6));
    ASSERT_FALSE(first->error);
    notices_.clear();
    size_t losses = 0;
    for (const int n : {0, 3}) {  // before a first token, and among many
      lose_after_(n);
      const auto lost = answer(*engine, greedy(random_tokens(40, 2), 200));
      ASSERT_TRUE(lost->error) << model;
      EXPECT_EQ(*lost->error, ErrorCode::kDeviceLost);
      ASSERT_TRUE(wait_for_notices(++losses)) << notices();
    }
    const auto after = answer(*engine, greedy(random_tokens(40, 1), 6));
    ASSERT_FALSE(after->error) << model << notices();
    EXPECT_EQ(after->stats.n_cached, 0);  // what it had was lost
    EXPECT_EQ(after->tokens, first->tokens);
    EXPECT_THAT(notices(), HasSubstr("loaded again"));
  }
}

TEST_F(BrokenGpu, HalfAModelRecoversToo) {
  EngineOptions o = options("qwen3next-q4_k_m");
  o.device.gpu_layers = 2;
  const auto engine = Engine::load(o);
  const auto first = answer(*engine, greedy(random_tokens(40, 1), 6));
  notices_.clear();
  lose_after_(2);
  EXPECT_EQ(answer(*engine, greedy(random_tokens(40, 2), 200))->error, ErrorCode::kDeviceLost);
  ASSERT_TRUE(wait_for_notices(1));
  EXPECT_EQ(answer(*engine, greedy(random_tokens(40, 1), 6))->tokens, first->tokens) << notices();
}

// What the disk's threads and a slot's file hold of the device is let go of before it is opened anew.
TEST_F(BrokenGpu, LostWhileTheDiskHasItsMemory) {
  const TestFolder folder;
  EngineOptions o = options("qwen3next-q4_k_m");
  o.cache_disk = folder / "cache";
  o.cache_disk_settle_ms = 0;
  GenerationRequest r = greedy(random_tokens(600, 1), 6);
  r.n_probs = 2;
  r.slot = 0;
  std::vector<uint32_t> fresh;
  {
    const auto engine = Engine::load(o);
    fresh = bits_of(*answer(*engine, r));
  }
  const auto engine = Engine::load(o);
  answer(*engine, greedy(random_tokens(40, 2), 2));
  size_t losses = 0;
  for (const int n : {0, 2, 4}) {  // in reading a prompt back, or in the step behind it
    notices_.clear();
    lose_after_(n);
    const auto lost = answer(*engine, r);
    if (lost->error) {
      EXPECT_EQ(*lost->error, ErrorCode::kDeviceLost);
      ASSERT_TRUE(wait_for_notices(1)) << notices();
      ++losses;
    }
    lose_after_(-1);
    const auto after = answer(*engine, r);
    ASSERT_FALSE(after->error) << notices();
    EXPECT_EQ(bits_of(*after), fresh);
  }
  EXPECT_GT(losses, 0u);
  for (const int n : {0, 1}) {
    lose_after_(n);
    EXPECT_EQ(error_of([&] { engine->save_slot(0, 0, folder / "slot"); }), ErrorCode::kDeviceLost);
    EXPECT_EQ(answer(*engine, r)->error, ErrorCode::kDeviceLost);
    const auto after = answer(*engine, r);
    ASSERT_FALSE(after->error) << notices();
    EXPECT_EQ(bits_of(*after), fresh);
  }
}

TEST_F(BrokenGpu, ADeviceThatDoesNotComeBackIsTriedAtEachRequest) {
  const auto engine = Engine::load(options("llama-q4_k_m"));
  lose_after_(1), set_opens_(false);
  for (int i = 0; i < 2; ++i) {
    const auto lost = answer(*engine, greedy(random_tokens(40, 1), 6));
    ASSERT_TRUE(lost->error);
    EXPECT_EQ(*lost->error, ErrorCode::kDeviceLost);
  }
  EXPECT_THAT(notices(), HasSubstr("cannot be used again yet"));
  EXPECT_THROW(engine->save_slot(0, 0, "/tmp/none"), Error);  // and nothing else breaks meanwhile
  set_opens_(true);
  EXPECT_FALSE(answer(*engine, greedy(random_tokens(40, 1), 6))->error);
}

// Holds the engine's thread at its first token until it may go on.
struct Gate final : GenerationSink {
  void on_token(const TokenEvent&) override { may_go.get_future().wait(); }
  void on_finish(FinishReason, const GenerationStats&) override {}
  void on_error(const Error&) override {}
  std::promise<void> may_go;
};

// Other programs took the rest of the device's memory: who finds none waits until others have ended, and says
// the same as with plenty.
TEST_F(BrokenGpu, MemoryThatEndsAmongAnswersMakesThemWait) {
  constexpr int kAnswers = 9;  // of two pages each in the end; what the device gives at once are sixteen
  EngineOptions o = options("llama-q4_k_m");
  o.n_parallel = kAnswers + 1;
  o.speculation.max_draft = 0;
  const auto engine = Engine::load(o);
  ASSERT_FALSE(answer(*engine, greedy(random_tokens(40, 1), 2))->error);
  std::vector<std::vector<TokenId>> scarce, plenty;
  for (auto* answers : {&scarce, &plenty}) {
    set_memory_(answers == &plenty);
    // They begin in the same step, so that they want their second pages at about the same time.
    const auto gate = std::make_shared<Gate>();
    engine->generate(greedy(random_tokens(20, 2), 1), gate);
    std::vector<std::shared_ptr<Collector>> all;
    for (int i = 0; i < kAnswers; ++i) {
      all.push_back(std::make_shared<Collector>());
      engine->generate(greedy(random_tokens(244, 100 + i), 32), all.back());
    }
    gate->may_go.set_value();
    for (const auto& c : all) {
      ASSERT_TRUE(c->wait());
      ASSERT_FALSE(c->error);
      answers->push_back(c->tokens);
    }
  }
  EXPECT_EQ(scarce, plenty);
  // Whether before they begin or in their midst depends on how quick each is.
  EXPECT_THAT(notices(), HasSubstr("Requests share what they have")) << notices();
}

TEST_F(BrokenGpu, MemoryThatEndsFailsOneRequest) {
  const auto engine = Engine::load(options("llama-q4_k_m"));
  set_memory_(false);
  const auto failed = answer(*engine, greedy(random_tokens(40, 1), 6));
  ASSERT_TRUE(failed->error);
  EXPECT_EQ(*failed->error, ErrorCode::kOutOfMemory);
  try {
    Engine::load(options("llama-q4_k_m"));
    ADD_FAILURE() << "loaded without memory";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kOutOfMemory);
    EXPECT_THAT(e.what(), HasSubstr("no"));
  }
  set_memory_(true);
  EXPECT_FALSE(answer(*engine, greedy(random_tokens(40, 1), 6))->error);
}

}  // namespace
}  // namespace moraine
