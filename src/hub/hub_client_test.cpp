#include "hub/hub_client.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <moraine/error.h>

namespace moraine::hub {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kSha(64, 'a'), kCommit(40, 'c');

std::string answer(const std::string& files) {
  return fmt::format(
      R"({{"sha": "{}", "gated": false, "cardData": {{"license": "apache-2.0"}}, "siblings": [{}]}})",
      kCommit, files);
}
std::string file(const std::string& name, const std::string& size = "100", const std::string& sum = kSha) {
  return fmt::format(R"({{"rfilename": "{}", "size": {}, "lfs": {{"sha256": "{}", "size": {}}}}})", name,
                     size, sum, size);
}

TEST(HubClient, AnOrdinaryRepository) {
  const Repository r = parse_repository(
      answer(file("x-Q8_0.gguf") + "," + file("BF16/x-BF16.gguf") + R"(,{"rfilename": "README.md"})" +
             R"(,{"rfilename": "tiny.gguf", "size": 5, "blobId": ")" + std::string(40, 'b') + "\"}"),
      "u/r");
  EXPECT_EQ(r.commit, kCommit);
  EXPECT_EQ(r.license, "apache-2.0");
  EXPECT_FALSE(r.gated);
  ASSERT_EQ(r.files.size(), 3u);
  EXPECT_EQ(r.files[0].path, "BF16/x-BF16.gguf");
  EXPECT_TRUE(r.files[1].is_git_sum);
  EXPECT_EQ(r.files[1].size_bytes, 5u);
  EXPECT_EQ(r.files[2].sum, kSha);
  EXPECT_TRUE(r.refused.empty());
}

TEST(HubClient, NamesAndSumsThatAreNoneAreLeftOut) {
  const Repository r = parse_repository(
      answer(file("../../../.bashrc.gguf") + "," + file("/etc/x.gguf") + "," + file("a//b.gguf") + "," +
             file("a/../b.gguf") + "," + file("a\\\\b.gguf") + "," + file("a\\u001bb.gguf") + "," +
             file("x.gguf", "0") + "," + file("y.gguf", "-1") + "," + file("z.gguf", "1e30") + "," +
             file("w.gguf", "100", "../../x") + "," + file("v.gguf", "9223372036854775807") + "," +
             file("u.gguf", "100", std::string(64, 'A')) + "," + file("good.gguf")),
      "u/r");
  ASSERT_EQ(r.files.size(), 1u);
  EXPECT_EQ(r.files[0].path, "good.gguf");
  EXPECT_EQ(r.refused.size(), 12u);
  for (const std::string& name : r.refused) EXPECT_EQ(name.find('\x1b'), std::string::npos);
}

TEST(HubClient, WhatIsNoAnswerOfAHub) {
  for (const std::string& text :
       {std::string("<html>"), std::string("[]"), std::string("{}"), std::string("null"), std::string(),
        std::string(100000, '['), R"({"sha": "../..", "siblings": []})" + std::string(),
        "{\"sha\": \"" + kCommit + "\", \"siblings\": 5}", std::string("{\"sha\": 5}")})
    EXPECT_THROW(parse_repository(text, "u/r"), Error) << text.substr(0, 40);
  EXPECT_TRUE(
      parse_repository(answer("1, null, [], {}, {\"rfilename\": 5}, {\"rfilename\": \"x.gguf\", \"lfs\": 3}"),
                       "u/r")
          .files.empty());
}

TEST(HubClient, SafePaths) {
  for (const char* good : {"x.gguf", "a/b c/x.gguf", "..x", "ü.gguf", "a/.hidden"})
    EXPECT_TRUE(is_safe_path(good)) << good;
  for (const char* bad :
       {"", "/x", "x/", ".", "..", "a/..", "../a", "a/./b", "a//b", "a\\b", "a\nb", "a\x7f"})
    EXPECT_FALSE(is_safe_path(bad)) << bad;
  EXPECT_FALSE(is_safe_path(std::string(300, 'a')));
}

TEST(HubClient, Origins) {
  EXPECT_EQ(origin_of("https://Hub.example/x"), "https://hub.example:443");
  EXPECT_EQ(origin_of("http://hub.example:8080/x?y"), "http://hub.example:8080");
  EXPECT_NE(origin_of("https://hub.example"), origin_of("http://hub.example"));
  EXPECT_NE(origin_of("https://hub.example"), origin_of("https://hub.example:444"));
  EXPECT_NE(origin_of("https://hub.example"), origin_of("https://hub.example.evil.org"));
  EXPECT_NE(origin_of("https://hub.example"), origin_of("https://hub.example@evil.org"));
  EXPECT_EQ(origin_of("file:///etc/passwd"), "");
  EXPECT_EQ(origin_of(""), "");
}

TEST(HubClient, Redirects) {
  EXPECT_EQ(redirect_target("https://a/x/y", "/z"), "https://a/z");
  EXPECT_EQ(redirect_target("https://a/x/y", "https://b/z"), "https://b/z");
  EXPECT_EQ(redirect_target("https://a/x", "http://b/z"), "") << "never to plain http";
  EXPECT_EQ(redirect_target("http://a/x", "https://b/z"), "https://b/z");
  for (const char* bad : {"", "file:///etc/passwd", "ftp://b/", "javascript:alert(1)"})
    EXPECT_EQ(redirect_target("http://a/x", bad), "") << bad;
}

TEST(HubClient, RefusalsSayWhatToDo) {
  HubOptions o;
  const auto words = [&](int status, const char* code) {
    Response r;
    r.status = status;
    if (code) r.headers["x-error-code"] = code;
    return std::string(refusal(o, r, "u/r").what());
  };
  EXPECT_THAT(words(401, "GatedRepo"), HasSubstr("https://huggingface.co/u/r"));
  EXPECT_THAT(words(401, "GatedRepo"), HasSubstr("HF_TOKEN"));
  EXPECT_THAT(words(401, "RepoNotFound"), HasSubstr("spelled right"));
  EXPECT_THAT(words(404, "RevisionNotFound"), HasSubstr("revision"));
  o.token = "secret";
  EXPECT_THAT(words(403, "GatedRepo"), HasSubstr("accept them"));
  EXPECT_THAT(words(401, nullptr), HasSubstr("does not accept this token"));
  for (int status : {401, 403, 404, 410}) EXPECT_EQ(words(status, nullptr).find("secret"), std::string::npos);
}

}  // namespace
}  // namespace moraine::hub
