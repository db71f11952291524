// The program's own question to a server: answers, limits, nobody there, nonsense.
#include "server/http/get.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <moraine/error.h>

#include "server/http/test_server.h"

namespace moraine::http {
namespace {

ErrorCode error_of(const std::string& url, const GetOptions& options = {}) {
  try {
    get(url, options);
  } catch (const Error& e) {
    return e.code();
  }
  return ErrorCode::kInternal;
}

TEST(Get, BringsStatusAndBody) {
  TestServer server([](std::shared_ptr<Exchange> e) {
    e->reply({.status = 404, .body = e->request().path + std::string(e->request().header("x-key"))});
  });
  const GetResult r =
      get(fmt::format("http://127.0.0.1:{}/a/b", server.port()), {.headers = {{"X-Key", "k"}}});
  EXPECT_EQ(r.status, 404);
  EXPECT_EQ(r.body, "/a/bk");
}

TEST(Get, IsBoundedInSizeAndTime) {
  TestServer server([](std::shared_ptr<Exchange> e) { e->reply({.body = std::string(5000, 'x')}); });
  EXPECT_EQ(error_of(fmt::format("http://127.0.0.1:{}/", server.port()), {.max_body_bytes = 1000}),
            ErrorCode::kIo);
  Inbox inbox;
  TestServer silent(inbox.handler());
  EXPECT_EQ(error_of(fmt::format("http://127.0.0.1:{}/", silent.port()),
                     {.timeout = std::chrono::milliseconds(50)}),
            ErrorCode::kIo);
  inbox.take()->reply({});
}

TEST(Get, SaysWhenNobodyAnswers) {
  uint16_t port = 0;
  {
    TestServer gone(echo);
    port = gone.port();
  }
  EXPECT_EQ(error_of(fmt::format("http://127.0.0.1:{}/", port)), ErrorCode::kUnavailable);
  EXPECT_EQ(error_of(fmt::format("https://127.0.0.1:{}/", port)), ErrorCode::kUnavailable);
  for (const char* bad : {"", "x", "ftp://a/", "http://", "http://:1", "http://a b/"})
    EXPECT_EQ(error_of(bad), ErrorCode::kInvalidArgument) << bad;
}

}  // namespace
}  // namespace moraine::http
