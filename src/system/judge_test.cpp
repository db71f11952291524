// Judgements over facts made by hand; whole reports are in trees_test.cpp.
#include "system/judge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace moraine::system {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;

SystemFacts strix_halo(uint64_t linux_gib, uint64_t pages, uint64_t gtt_bytes) {
  SystemFacts s;
  s.cpu.n_threads = 32;
  s.cpu.n_cores = 16;
  s.cpu.avx2 = true;
  s.memory.total = linux_gib * kGiB;
  s.memory.available = s.memory.total;
  GpuFacts g;
  g.vendor = 0x1002;
  g.device = 0x1586;
  g.kind = GpuKind::kIntegrated;
  g.driver = "amdgpu";
  g.vram_total = kGiB / 2;
  g.gtt_total = gtt_bytes;
  s.gpus.push_back(g);
  s.parameters.ttm_module = "ttm";
  s.parameters.ttm_pages_limit = pages;
  s.nodes.push_back({"/dev/dri/renderD128", true});
  s.kernel.release = "6.18.9";
  s.kernel.version = {6, 18, 9};
  return s;
}

const Finding* find(const Diagnosis& d, const std::string& id) {
  for (const Finding& f : d.findings)
    if (f.id == id) return &f;
  return nullptr;
}

TEST(Judge, TheTableOfShares) {
  EXPECT_EQ(gpu_share(64 * kGiB).advised, 48 * kGiB);
  EXPECT_EQ(gpu_share(96 * kGiB).advised, 80 * kGiB);
  EXPECT_EQ(gpu_share(128 * kGiB).advised, 100 * kGiB);
  EXPECT_EQ(gpu_share(128 * kGiB).most, 108 * kGiB);
  for (const uint64_t gib : {0, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 512}) {
    const GpuShare s = gpu_share(gib * kGiB);
    EXPECT_LE(s.accepted, s.advised);
    EXPECT_LE(s.advised, s.most);
    EXPECT_LE(s.most, gib * kGiB);
  }
}

TEST(Judge, OneHundredGibibytesAreThatManyPages) {
  const Diagnosis d = diagnose(strix_halo(125, 16384000, 62 * kGiB), {}, {});
  ASSERT_TRUE(d.remedy);
  EXPECT_EQ(d.remedy->pages, 26214400u);
  EXPECT_EQ(d.worst, Severity::kWarning);
}

TEST(Judge, WhatIsEnoughNeedsNoRemedy) {
  const Diagnosis d = diagnose(strix_halo(125, 26214400, 100 * kGiB), {.gpu_bytes = 100 * kGiB}, {});
  EXPECT_FALSE(d.remedy);
  EXPECT_EQ(d.worst, Severity::kOk);
}

TEST(Judge, TheSmallerOfTwoLimitsCounts) {
  SystemFacts s = strix_halo(125, 26214400, uint64_t{100000} << 20);
  s.parameters.amdgpu_gttsize = 100000;
  EXPECT_EQ(mappable_memory(s), uint64_t{100000} << 20);
  const Diagnosis usual = diagnose(s, {}, {});  // 97.66 GiB is enough for what is usual
  EXPECT_FALSE(usual.remedy);
  EXPECT_EQ(find(usual, "gttsize")->severity, Severity::kNote);
  const Diagnosis all = diagnose(s, {.gpu_bytes = 100 * kGiB}, {});
  EXPECT_TRUE(all.remedy);
  EXPECT_EQ(find(all, "gpu-memory")->severity, Severity::kWarning);  // nearly
}

TEST(Judge, NothingIsAdvisedThatTheMachineCannotSpare) {
  const Diagnosis d = diagnose(strix_halo(62, 8000000, 31 * kGiB), {.gpu_bytes = 100 * kGiB}, {});
  EXPECT_EQ(d.worst, Severity::kProblem);
  ASSERT_TRUE(d.remedy);  // what it can spare instead
  EXPECT_EQ(d.remedy->pages, 48u * 262144);
}

TEST(Judge, WhatConcernsGpusAloneIsNoProblemToACpuBuild) {
  SystemFacts s = strix_halo(125, 26214400, 100 * kGiB);
  s.nodes[0].usable = false;
  EXPECT_EQ(diagnose(s, {}, {.gpu = false}).worst, Severity::kWarning);
  EXPECT_EQ(diagnose(s, {}, {.gpu = true}).worst, Severity::kProblem);
}

TEST(Judge, IommuOffIsSaidAndNeverAdvised) {
  SystemFacts s = strix_halo(125, 16384000, 62 * kGiB);
  s.kernel.command_line = "quiet amd_iommu=off";
  const Diagnosis d = diagnose(s, {}, {});
  EXPECT_THAT(find(d, "iommu")->title, testing::HasSubstr("NPU"));
  for (const std::string& c : d.remedy->commands) EXPECT_THAT(c, testing::Not(testing::HasSubstr("iommu")));
}

TEST(Judge, AModelIsMeasuredAgainstMemory) {
  Need need;
  add_model(need, *find_known_models("Qwen3-Coder-Next").at(0), 128000);
  EXPECT_GT(need.model_bytes, uint64_t{50} * 1000000000);
  EXPECT_EQ(find(diagnose(strix_halo(125, 1, 1), need, {}), "model-memory")->severity, Severity::kOk);
  EXPECT_EQ(find(diagnose(strix_halo(30, 1, 1), need, {}), "model-memory")->severity, Severity::kProblem);
}

TEST(Judge, SuggestionsIncludeOneThatRunsNow) {
  const Diagnosis d = diagnose(strix_halo(125, 26214400, 100 * kGiB), {}, {false, {"llama"}});
  ASSERT_EQ(d.models.size(), 3u);
  EXPECT_FALSE(d.models[0].runs_here);
  EXPECT_TRUE(d.models[2].runs_here);
  EXPECT_TRUE(d.models[0].gpu_speed);
  EXPECT_FALSE(d.models[0].cpu_speed);
}

TEST(Judge, NumbersForPeople) {
  EXPECT_EQ(gib_text(100 * kGiB), "100 GiB");
  EXPECT_EQ(gib_text(uint64_t{100000} << 20), "97.66 GiB");
  EXPECT_EQ(gib_text(kGiB / 2), "512 MiB");
  EXPECT_EQ(gb_text(48'400'000'000), "48.4 GB");
  EXPECT_EQ(count_text(26214400), "26,214,400");
  EXPECT_EQ(count_text(7), "7");
}

}  // namespace
}  // namespace moraine::system
