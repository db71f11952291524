// GET /connect/CLIENT: the address it was asked at, the key it was asked with, and who is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/api/testing/harness.h"

namespace moraine::server {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::vector<http::Header> kHost = {{"Host", "box:8081"}};

struct Connected : Harness {
  explicit Connected(ApiOptions options = {}, int32_t n_ctx = 65536) : Harness(std::move(options)) {
    engine->model_info.n_ctx = n_ctx;
    ready();
  }
};

TEST(ConnectPage, EachClientGetsTheAddressItAskedAt) {
  Connected h;
  for (const char* client : {"opencode", "codex", "claude", "qwen"}) {
    const auto page = h.call("GET", std::string("/connect/") + client, "", kHost);
    EXPECT_EQ(page->head.status, 200) << client;
    EXPECT_THAT(page->body, HasSubstr("http://box:8081")) << client;
    EXPECT_THAT(page->body, HasSubstr("fake-q8_0.gguf")) << client;
    EXPECT_THAT(page->header("Content-Type"), testing::AnyOf("", HasSubstr("text/plain")));
  }
  EXPECT_THAT(h.call("GET", "/connect/opencode", "", kHost)->body, HasSubstr("\"output\": 8192"));
}

TEST(ConnectPage, HttpsIsKept) {
  Connected h(ApiOptions{.https = true});
  EXPECT_THAT(h.call("GET", "/connect/claude", "", kHost)->body, HasSubstr("https://box:8081"));
  Connected behind_a_proxy;
  EXPECT_THAT(
      behind_a_proxy
          .call("GET", "/connect/claude", "", {{"Host", "ai.example"}, {"X-Forwarded-Proto", "https"}})
          ->body,
      HasSubstr("'https://ai.example'"));
}

TEST(ConnectPage, TheKeyIsTheOneItWasAskedWith) {
  Connected h(ApiOptions{.api_keys = {"first", "second"}});
  EXPECT_EQ(h.call("GET", "/connect/codex", "", kHost)->head.status, 401);
  const auto page =
      h.call("GET", "/connect/codex", "", {{"Host", "box"}, {"Authorization", "Bearer second"}});
  EXPECT_THAT(page->body, HasSubstr("\"second\""));
  EXPECT_THAT(page->body, Not(HasSubstr("first")));
  EXPECT_EQ(page->header("Cache-Control"), "no-store");
}

TEST(ConnectPage, WhatCannotBeIsRefused) {
  Connected h;
  EXPECT_EQ(h.call("GET", "/connect/cursor", "", kHost)->head.status, 404);
  EXPECT_EQ(h.call("GET", "/connect/codex")->head.status, 400);  // no Host
  for (const char* host : {"a b", "x';rm -rf ~;'", "$(id)", "`id`", "a\"b", "user@box"})
    EXPECT_EQ(h.call("GET", "/connect/claude", "", {{"Host", host}})->head.status, 400) << host;
  Connected small({}, 8192);
  const auto refused = small.call("GET", "/connect/opencode", "", kHost);
  EXPECT_EQ(refused->head.status, 400);
  EXPECT_THAT(refused->body, HasSubstr("32768"));
}

}  // namespace
}  // namespace moraine::server
