// What /slots/ID?action= takes and tells; whether a conversation survives is tests/model/disk_cache_test.cpp.
#include <gtest/gtest.h>

#include "server/api/testing/harness.h"

namespace moraine::server {
namespace {

TEST(Slots, WithoutAFolderNothingIsSaved) {
  ReadyHarness h;
  const Json answer = h.post("/slots/0?action=save", {{"filename", "a.bin"}}, 501);
  EXPECT_NE(answer["error"]["message"].get<std::string>().find("--slot-save-path"), std::string::npos)
      << answer;
}

TEST(Slots, OnlyPlainNamesAreFiles) {
  ReadyHarness h(ApiOptions{.slot_save_path = "/nonexistent"});
  for (const Json& name :
       {Json(""), Json("../x"), Json("a/b"), Json("/etc/passwd"), Json(".hidden"), Json(".."), Json("a\nb"),
        Json("a b"), Json("ä"), Json(std::string(300, 'a')), Json(7), Json()})
    for (const char* action : {"save", "restore"})
      EXPECT_EQ(h.post(std::string("/slots/0?action=") + action, {{"filename", name}}, 400)["error"]["param"],
                "filename")
          << name;
  EXPECT_TRUE(h.post("/slots/0?action=explode", {{"filename", "a"}}, 400).contains("error"));
  EXPECT_TRUE(h.post("/slots/0", {{"filename", "a"}}, 400).contains("error"));
  EXPECT_TRUE(h.post("/slots/x?action=save", {{"filename", "a"}}, 400).contains("error"));
  EXPECT_TRUE(h.post("/slots/-1?action=save", {{"filename", "a"}}, 400).contains("error"));
}

TEST(Slots, ARequestMayNameItsPlace) {
  ReadyHarness h;
  h.post("/completion", {{"prompt", "hi"}});
  h.post("/completion", {{"prompt", "hi"}, {"id_slot", 2}});
  EXPECT_EQ(h.engine->requests()[0].slot, -1);
  EXPECT_EQ(h.engine->requests()[1].slot, 2);
}

}  // namespace
}  // namespace moraine::server
