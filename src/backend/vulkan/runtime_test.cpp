// What stands below the ops: arenas and slabs, slices by measured time, compiled shaders on disk, drivers
// that allow little. Ops themselves: ops_test.cpp; a device that is lost: tests/model/vulkan_engine_test.cpp.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "backend/vulkan/backend.h"
#include "backend/vulkan/executable.h"
#include "backend/vulkan/ops_testing.h"
#include "backend/vulkan/pipeline_cache.h"
#include "backend/vulkan/submission.h"
#include "backend/vulkan/testing.h"
#include "base/xxh64.h"

namespace moraine::vulkan {
namespace {

namespace fs = std::filesystem;

TEST(Packing, ArenasAreFilledInOrder) {
  const uint64_t sizes[] = {100, 300, 5000, 256, 1};
  const Packing p = pack(sizes, 1024);
  const uint64_t arenas[] = {256 + 512, 5120, 512};  // the third is larger than an arena
  EXPECT_THAT(p.arenas, ::testing::ElementsAreArray(arenas));
  EXPECT_EQ(p.spots[1].offset, 256u);
  EXPECT_EQ(p.spots[4].arena, 2u);
  EXPECT_EQ(p.spots[4].offset, 256u);
  EXPECT_EQ(p.total(), 768u + 5120 + 512);
  EXPECT_EQ(pack({}, 1024).total(), 0u);
}

TEST(SliceClock, WhatWasNeverMeasuredGoesAlone) {
  SliceClock c(4);
  EXPECT_EQ(c.slice_end(0, 1, 0.1), 1u);
  for (size_t i = 0; i < 4; ++i) c.measured(i, i + 1, 1, 0.04);
  EXPECT_EQ(c.slice_end(0, 1, 0.1), 2u);
  EXPECT_EQ(c.slice_end(2, 1, 0.2), 4u);
  EXPECT_EQ(c.slice_end(3, 1, 0.001), 4u);  // at least one
  // More rows: at worst each costs what one did. Fewer: at worst what more did.
  EXPECT_EQ(c.slice_end(0, 8, 0.1), 1u);
  c.measured(0, 4, 8, 0.08);  // together, and far less than that
  c.measured(0, 4, 8, 0.04);
  c.measured(0, 4, 8, 0.04);
  EXPECT_EQ(c.slice_end(0, 8, 0.1), 4u);
  EXPECT_EQ(c.slice_end(0, 4, 0.1), 1u);  // measured for one row and no other number near
}

TEST(SliceClock, FollowsWhatIsMeasured) {
  SliceClock c(2);
  c.measured(0, 2, 100, 0.02);
  EXPECT_EQ(c.slice_end(0, 100, 0.1), 2u);
  for (int i = 0; i < 8; ++i) c.measured(0, 2, 100, 0.5);  // the context grew
  EXPECT_EQ(c.slice_end(0, 100, 0.1), 1u);
}

class PipelineCacheFile : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("moraine-shaders-" + std::to_string(::getpid()));
    device_.vendor_id = 0x1002, device_.device_id = 0x1586;
    device_.pipeline_uuid.fill(7);
    path_ = pipeline_cache_path(folder_.string(), device_);
    VkPipelineCacheHeaderVersionOne head = {};
    head.headerSize = sizeof head;
    head.headerVersion = VK_PIPELINE_CACHE_HEADER_VERSION_ONE;
    head.vendorID = device_.vendor_id, head.deviceID = device_.device_id;
    std::memcpy(head.pipelineCacheUUID, device_.pipeline_uuid.data(), VK_UUID_SIZE);
    data_.resize(sizeof head + 100, std::byte{3});
    std::memcpy(data_.data(), &head, sizeof head);
  }
  void TearDown() override { fs::remove_all(folder_); }
  // Changes one byte of the file.
  void spoil(size_t at) const {
    std::fstream f(path_, std::ios::in | std::ios::out | std::ios::binary);
    f.seekg(static_cast<std::streamoff>(at));
    const char c = static_cast<char>(f.get() ^ 1);
    f.seekp(static_cast<std::streamoff>(at));
    f.put(c);
  }
  fs::path folder_;
  std::string path_;
  PhysicalDevice device_;
  std::vector<std::byte> data_;
};

TEST_F(PipelineCacheFile, IsReadAsItWasWritten) {
  EXPECT_EQ(pipeline_cache_path("", device_), "");
  EXPECT_TRUE(read_pipeline_cache(path_, device_).empty());  // none yet
  ASSERT_TRUE(write_pipeline_cache(path_, data_));
  EXPECT_EQ(read_pipeline_cache(path_, device_), data_);
  EXPECT_EQ(fs::status(path_).permissions() & fs::perms::mask,
            fs::perms::owner_read | fs::perms::owner_write);
  ASSERT_TRUE(write_pipeline_cache(path_, data_));  // over the old one
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
}

TEST_F(PipelineCacheFile, IsRefusedUnlessAllAgrees) {
  ASSERT_TRUE(write_pipeline_cache(path_, data_));
  const uint64_t size = fs::file_size(path_);
  for (const size_t at : {size_t{0}, size_t{8}, size_t{16}, size_t{24}, static_cast<size_t>(size - 1)}) {
    spoil(at);
    EXPECT_TRUE(read_pipeline_cache(path_, device_).empty()) << "byte " << at;
    spoil(at);
  }
  ASSERT_EQ(read_pipeline_cache(path_, device_), data_);
  PhysicalDevice other = device_;
  other.pipeline_uuid[3] = 9;  // the driver was updated
  EXPECT_TRUE(read_pipeline_cache(path_, other).empty());
  fs::resize_file(path_, size - 1);
  EXPECT_TRUE(read_pipeline_cache(path_, device_).empty());
  fs::resize_file(path_, 10);
  EXPECT_TRUE(read_pipeline_cache(path_, device_).empty());
}

TEST_F(PipelineCacheFile, IsRefusedWhereOthersCanWrite) {
  ASSERT_TRUE(write_pipeline_cache(path_, data_));
  fs::permissions(path_, fs::perms::others_write, fs::perm_options::add);
  EXPECT_TRUE(read_pipeline_cache(path_, device_).empty());
  fs::permissions(path_, fs::perms::others_write, fs::perm_options::remove);
  EXPECT_EQ(read_pipeline_cache(path_, device_), data_);
  fs::rename(path_, path_ + ".real");
  fs::create_symlink(path_ + ".real", path_);
  EXPECT_TRUE(read_pipeline_cache(path_, device_).empty());
  fs::remove(path_);
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_TRUE(read_pipeline_cache(path_, device_).empty());  // and nobody waits for a writer
  fs::permissions(folder_, fs::perms::others_write, fs::perm_options::add);
  EXPECT_FALSE(write_pipeline_cache(path_, data_));
}

class Runtime : public DeviceTest {};

TEST_F(Runtime, SlabsComeAndGo) {
  const Instance instance;
  Device device(instance, instance.choose(options_.device, false));
  DeviceSlots slots;
  slots.set_piece_bytes(5 << 20);  // 12 in a slab
  std::vector<int32_t> ids;
  for (int i = 0; i < 30; ++i) ids.push_back(slots.allocate(device, MemoryUse::kDevice, "tests"));
  for (int i = 0; i < 30; ++i) EXPECT_EQ(slots.place(ids[i]).offset % kPlaceAlignment, 0u);
  EXPECT_NE(slots.place(ids[0]).buffer, slots.place(ids[12]).buffer);
  for (const int32_t id : ids) slots.free(id);
  // One slab is kept; ids are used again.
  EXPECT_NE(slots.place(ids[0]).buffer == nullptr, slots.place(ids[29]).buffer == nullptr);
  for (int i = 0; i < 30; ++i) EXPECT_LT(slots.allocate(device, MemoryUse::kDevice, "tests"), 36);
}

TEST_F(Runtime, PagesAreCopiedAndBeginAsZeros) {
  for (const bool unmapped : {false, true}) {
    options_.unmapped_memory = unmapped;
    VulkanBackend gpu(options_);
    gpu.set_kv({{{2, 64}}}, KvType::kF16, KvType::kF16);
    gpu.set_state({{{2, 16, 16, 64, 3}}});
    EXPECT_GT(gpu.state_bytes(), 0u);
    const plan::PageId a = gpu.allocate_page(), b = gpu.allocate_page();
    gpu.copy_page(b, a);
    const plan::StateId s = gpu.allocate_state(), t = gpu.allocate_state();
    gpu.copy_state(t, s);
    EXPECT_NE(gpu.page_address(a), gpu.page_address(b));
    gpu.free_page(a), gpu.free_page(b), gpu.free_state(s), gpu.free_state(t);
  }
}

// However a step is cut, it computes the same.
TEST_F(Runtime, SlicesChangeNoBit) {
  testing::Case c;
  const plan::WeightId in = c.inputs(64), w1 = c.matrix(64, 96), w2 = c.matrix(96, 64);
  c.steps = {{1}, {1}, {33}, {33}};
  c.build = [=](plan::Builder& b) {
    const plan::ValueId x = b.embed(in);
    for (int layer = 0; layer < 3; ++layer) b.add(x, b.matmul(b.matmul(x, w1), w2));
    return b.finish(x);
  };
  VulkanBackend whole(options_);
  options_.slice_seconds = 0;
  VulkanBackend sliced(options_);
  const auto expected = c.run(whole), got = c.run(sliced);
  EXPECT_EQ(0, std::memcmp(expected.data(), got.data(), expected.size() * sizeof(float)));

  std::vector<plan::Weight> weights = {{"in", DType::kF32, plan::WeightRole::kMatrix, 64, testing::kVocab},
                                       {"w1", DType::kF32, plan::WeightRole::kMatrix, 64, 96},
                                       {"w2", DType::kF32, plan::WeightRole::kMatrix, 96, 64}};
  plan::Builder b(weights);
  const plan::Plan p = c.build(b);
  for (auto [backend, several] : {std::pair{&whole, false}, {&sliced, true}}) {
    VulkanExecutable exe(*backend, p, {4, 4, 256});
    const TokenId token = 1;
    const int32_t zero = 0;
    std::vector<float> out(64);
    plan::Step step;
    step.tokens = {&token, 1}, step.positions = step.sequences = step.output_rows = {&zero, 1};
    for (int i = 0; i < 2; ++i) ASSERT_EQ(exe.submit(step, out.data(), 64), plan::Status::kOk);
    EXPECT_EQ(exe.submission().n_slices() > 1, several);
  }
}

TEST_F(Runtime, CompiledShadersAreKept) {
  const fs::path folder = fs::temp_directory_path() / ("moraine-kept-" + std::to_string(::getpid()));
  const Instance instance;
  const PhysicalDevice& physical = instance.choose(options_.device, false);
  for (int start = 0; start < 2; ++start) {
    Device device(instance, physical);
    Pipelines pipelines(device, folder.string());
    EXPECT_NE(pipelines.get(Shader::kAdd, {8}), VK_NULL_HANDLE);
    pipelines.save();
    EXPECT_FALSE(read_pipeline_cache(pipeline_cache_path(folder.string(), physical), physical).empty());
  }
  fs::remove_all(folder);
}

TEST_F(Runtime, ATensorBeyondOneAllocationIsNamed) {
  VulkanBackend gpu(options_);
  const uint64_t limit = gpu.device().physical().max_allocation_bytes;
  const auto rows = static_cast<int32_t>(std::min<uint64_t>(limit / (4 << 16) + 8, 1 << 30));
  if (limit > uint64_t{1} << 46) GTEST_SKIP() << "this driver has no such limit";
  try {
    gpu.declare_weights(
        {{"blk.0.ffn_up_exps.weight", DType::kF32, plan::WeightRole::kMatrix, 1 << 16, rows}});
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kUnsupported);
    EXPECT_THAT(e.what(), ::testing::HasSubstr("blk.0.ffn_up_exps.weight"));
  }
}

VkResult VKAPI_PTR allocate_nothing(VkDevice, const VkMemoryAllocateInfo*, const VkAllocationCallbacks*,
                                    VkDeviceMemory*) {
  return VK_ERROR_OUT_OF_DEVICE_MEMORY;
}
TEST_F(Runtime, NoMemoryIsAClearError) {
  options_.change_api = [](DeviceApi& api) { api.AllocateMemory = allocate_nothing; };
  VulkanBackend gpu(options_);
  gpu.set_kv({{{2, 64}}}, KvType::kF16, KvType::kF16);
  try {
    gpu.allocate_page();
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kOutOfMemory);
    EXPECT_THAT(e.what(), ::testing::HasSubstr("the cache"));
  }
}

}  // namespace
}  // namespace moraine::vulkan
