// Heads, chunks and error objects as text.
#include "server/http/format.h"

#include <gtest/gtest.h>

namespace moraine::http {
namespace {

bool has_line(const std::string& head, const std::string& line) {
  return head.find("\r\n" + line + "\r\n") != std::string::npos;
}

TEST(FormatHead, FixedLength) {
  Response response;
  response.body = "12345";
  response.headers = {{"X-A", "b"}};
  const std::string head = format_head(response, {});
  EXPECT_TRUE(head.starts_with("HTTP/1.1 200 OK\r\n"));
  EXPECT_TRUE(head.ends_with("\r\n\r\n"));
  EXPECT_TRUE(has_line(head, "Content-Length: 5"));
  EXPECT_TRUE(has_line(head, "Content-Type: application/json; charset=utf-8"));
  EXPECT_TRUE(has_line(head, "X-A: b"));
  EXPECT_EQ(head.find("Connection:"), std::string::npos);
  EXPECT_EQ(head.find("Transfer-Encoding"), std::string::npos);
}

TEST(FormatHead, FramingAndVersion) {
  const std::string chunked = format_head({}, {.framing = Framing::kChunked});
  EXPECT_TRUE(has_line(chunked, "Transfer-Encoding: chunked"));
  EXPECT_EQ(chunked.find("Content-Length"), std::string::npos);
  const std::string old =
      format_head({}, {.framing = Framing::kUntilClose, .http10 = true, .keep_alive = false});
  EXPECT_TRUE(has_line(old, "Connection: close"));
  EXPECT_EQ(old.find("Transfer-Encoding"), std::string::npos);
  EXPECT_TRUE(has_line(format_head({}, {.http10 = true}), "Connection: keep-alive"));
  const std::string empty = format_head({.status = 204}, {});
  EXPECT_EQ(empty.find("Content-"), std::string::npos);
}

TEST(FormatHead, ValuesCannotEndTheHead) {
  Response response;
  response.headers = {{"X-Echo: y\r\nEvil", "a\r\n\r\n<html>"}};
  const std::string head = format_head(response, {.origin = "http://a\r\nEvil: 1"});
  EXPECT_EQ(head.find("\r\nEvil"), std::string::npos);
  EXPECT_EQ(head.find("\r\n\r\n"), head.size() - 4);
}

TEST(FormatHead, EchoesTheOrigin) {
  const std::string head = format_head({}, {.origin = "http://localhost:3000"});
  EXPECT_TRUE(has_line(head, "Access-Control-Allow-Origin: http://localhost:3000"));
  EXPECT_TRUE(has_line(head, "Vary: Origin"));
  EXPECT_EQ(format_head({}, {}).find("Access-Control"), std::string::npos);
}

TEST(FormatChunk, SizeInHex) {
  EXPECT_EQ(format_chunk(std::string(26, 'x')), "1a\r\n" + std::string(26, 'x') + "\r\n");
}

TEST(ErrorResponse, IsOpenAIsObjectAndAnthropics) {
  const Response refused = error_response({413, "body_too_large", "a \"quoted\"\nline\xff"});
  EXPECT_EQ(refused.status, 413);
  EXPECT_EQ(
      refused.body,
      R"({"type":"error","error":{"message":"a \"quoted\"\u000aline?","type":"invalid_request_error","param":null,)"
      R"("code":"body_too_large"}})");
  EXPECT_NE(error_response({503, "x", "y"}).body.find("server_error"), std::string::npos);
}

}  // namespace
}  // namespace moraine::http
