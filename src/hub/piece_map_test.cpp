#include "hub/piece_map.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace moraine::hub {
namespace {

constexpr uint64_t kPiece = PieceMap::kPieceBytes;

class PieceMaps : public testing::Test {
 protected:
  std::filesystem::path path_ = testing::TempDir() + "moraine-pieces-" + std::to_string(getpid());
  ~PieceMaps() override { std::filesystem::remove(path_); }
};

TEST_F(PieceMaps, GoOnWhereAnEarlierRunEnded) {
  {
    PieceMap map(path_, 3 * kPiece + 5, true, "boot-1");
    EXPECT_EQ(map.n_pieces(), 4u);
    EXPECT_EQ(map.bytes_there(), 0u);
    map.set_written(1);
    map.set_written(3);
    map.set_flushed(map.written());
    map.set_written(0);
  }
  {
    PieceMap map(path_, 3 * kPiece + 5, true, "boot-1");
    EXPECT_EQ(map.bytes_there(), 2 * kPiece + 5);
    EXPECT_EQ(PieceMap::bytes_recorded(path_, 3 * kPiece + 5, "boot-1"), 2 * kPiece + 5);
    EXPECT_EQ(PieceMap::bytes_recorded(path_, 3 * kPiece + 5, "boot-2"), kPiece + 5);
    EXPECT_EQ(PieceMap::bytes_recorded(path_, 3 * kPiece, "boot-1"), 0u);
    EXPECT_EQ(PieceMap::bytes_recorded(path_.string() + "x", 3 * kPiece + 5, "boot-1"), 0u);
  }
  PieceMap map(path_, 3 * kPiece + 5, true, "boot-2");
  EXPECT_FALSE(map.has(0)) << "written, but not flushed before the machine went down";
  EXPECT_TRUE(map.has(1));
  EXPECT_TRUE(map.has(3));
}

TEST_F(PieceMaps, WhatIsNoMapOfThisFileCountsForNothing) {
  const auto fill = [&] {
    PieceMap map(path_, 2 * kPiece, true, "b");
    map.set_written(0);
    map.set_written(1);
  };
  fill();
  EXPECT_EQ(PieceMap(path_, 2 * kPiece, false, "b").bytes_there(), 0u) << "the data is gone";
  fill();
  EXPECT_EQ(PieceMap(path_, 3 * kPiece, true, "b").bytes_there(), 0u) << "another size";
  fill();
  EXPECT_EQ(PieceMap(path_, 2 * kPiece, true, "").bytes_there(), 0u) << "nobody knows which boot";
  fill();
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) - 1);
  EXPECT_EQ(PieceMap(path_, 2 * kPiece, true, "b").bytes_there(), 0u) << "cut";
  std::ofstream(path_) << std::string(5000, 'w');
  EXPECT_EQ(PieceMap(path_, 2 * kPiece, true, "b").bytes_there(), 0u) << "something else";
}

}  // namespace
}  // namespace moraine::hub
