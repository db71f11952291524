// The grammar and its limits on bytes alone, in pieces of every size.
#include "server/http/parser.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace moraine::http {
namespace {

using namespace std::string_view_literals;
using State = RequestParser::State;

// Feeds `bytes` as a connection would: `step` more at a time, keeping what was not used up.
std::string feed_in_steps(RequestParser& parser, std::string_view bytes, std::size_t step) {
  std::string pending;
  while (parser.state() == State::kHead || parser.state() == State::kBody) {
    const std::size_t used = parser.feed(pending);
    pending.erase(0, used);
    if (used > 0 && !pending.empty()) continue;
    if (bytes.empty()) break;
    const std::size_t n = std::min(step, bytes.size());
    pending += bytes.substr(0, n);
    bytes.remove_prefix(n);
  }
  return pending + std::string(bytes);
}

RequestParser parse(std::string_view bytes, ParserLimits limits = {}) {
  RequestParser parser(limits);
  feed_in_steps(parser, bytes, bytes.size());
  return parser;
}

int refused_status(std::string_view bytes, ParserLimits limits = {}) {
  RequestParser parser(limits);
  feed_in_steps(parser, bytes, bytes.size());
  return parser.state() == State::kRefused ? parser.refusal().status : 0;
}

TEST(RequestParser, ReadsARequestWhateverThePieces) {
  const std::string text =
      "POST /v1/a%20b?x=1&y=%2F HTTP/1.1\r\nHost: h\r\nX-Two: a\r\nContent-Length: 5\r\n\r\nhelloGET /next";
  for (const std::size_t step : {1, 2, 3, 7, 1000}) {
    RequestParser parser({});
    EXPECT_EQ(feed_in_steps(parser, text, step), "GET /next");
    ASSERT_EQ(parser.state(), State::kDone);
    EXPECT_TRUE(parser.keep_alive());
    const Request request = parser.take_request();
    EXPECT_EQ(request.method, "POST");
    EXPECT_EQ(request.path, "/v1/a b");
    EXPECT_EQ(request.query, "x=1&y=%2F");
    EXPECT_EQ(request.header("x-TWO"), "a");
    EXPECT_EQ(request.header("absent"), "");
    EXPECT_EQ(request.body, "hello");
  }
}

TEST(RequestParser, ReadsChunksWhateverThePieces) {
  const std::string text =
      "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n"
      "3;note=\"x\"\r\nabc\r\n0a\r\n0123456789\r\n0\r\nX-Trailer: 1\r\n\r\nrest";
  for (const std::size_t step : {1, 2, 5, 1000}) {
    RequestParser parser({});
    EXPECT_EQ(feed_in_steps(parser, text, step), "rest");
    ASSERT_EQ(parser.state(), State::kDone);
    const Request request = parser.take_request();
    EXPECT_EQ(request.body, "abc0123456789");
    EXPECT_EQ(request.header("X-Trailer"), "") << "a trailer is no header";
  }
}

TEST(RequestParser, StopsBehindTheHeader) {
  RequestParser parser({});
  const std::string head = "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
  EXPECT_EQ(parser.feed(head + "ab"), head.size());
  EXPECT_EQ(parser.state(), State::kBody);
  EXPECT_TRUE(parser.expects_continue());
  EXPECT_EQ(parser.feed("ab"), 2u);
  EXPECT_EQ(parser.state(), State::kDone);
}

TEST(RequestParser, IgnoresEmptyLinesBeforeARequest) {
  RequestParser parser({});
  EXPECT_EQ(feed_in_steps(parser, "\r\n\r\nGET / HTTP/1.1\r\n\r\n", 1), "");
  EXPECT_EQ(parser.state(), State::kDone);
}

TEST(RequestParser, KeepAliveFollowsTheVersion) {
  EXPECT_TRUE(parse("GET / HTTP/1.1\r\n\r\n").keep_alive());
  EXPECT_FALSE(parse("GET / HTTP/1.1\r\nConnection: close\r\n\r\n").keep_alive());
  EXPECT_FALSE(parse("GET / HTTP/1.0\r\n\r\n").keep_alive());
  EXPECT_TRUE(parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keep_alive());
}

TEST(RequestParser, HeadReadsAsGet) {
  RequestParser parser = parse("HEAD /x HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(parser.head_only());
  EXPECT_EQ(parser.take_request().method, "GET");
}

TEST(RequestParser, TargetForms) {
  EXPECT_EQ(parse("GET http://host:80/a?b HTTP/1.1\r\n\r\n").take_request().path, "/a");
  EXPECT_EQ(parse("GET http://host HTTP/1.1\r\n\r\n").take_request().path, "/");
  EXPECT_EQ(parse("OPTIONS * HTTP/1.1\r\n\r\n").take_request().path, "*");
  EXPECT_EQ(parse("GET /a#b HTTP/1.1\r\n\r\n").take_request().path, "/a");
  EXPECT_EQ(refused_status("CONNECT host:80 HTTP/1.1\r\n\r\n"), 501);
  for (const char* path : {"relative", "/%", "/%1", "/%zz", "/a%00b", "/%-1"}) {
    EXPECT_EQ(refused_status("GET " + std::string(path) + " HTTP/1.1\r\n\r\n"), 400) << path;
  }
}

// What a proxy in front may read differently than we do must not be read at all.
TEST(RequestParser, RefusesSmugglingShapes) {
  const auto post = [](const std::string& fields) {
    return "POST / HTTP/1.1\r\n" + fields + "\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
  };
  EXPECT_EQ(refused_status(post("Content-Length: 5\r\nTransfer-Encoding: chunked")), 400);
  EXPECT_EQ(refused_status(post("Transfer-Encoding: chunked\r\nContent-Length: 5")), 400);
  EXPECT_EQ(refused_status(post("Content-Length: 5\r\nContent-Length: 6")), 400);
  EXPECT_EQ(refused_status(post("Content-Length: 5\r\nContent-Length: 5")), 400);
  EXPECT_EQ(refused_status(post("Content-Length: 5, 5")), 400);
  EXPECT_EQ(refused_status(post("Content-Length: +5")), 400);
  EXPECT_EQ(refused_status(post("Content-Length: -1")), 400);
  EXPECT_EQ(refused_status(post("Content-Length: 0x5")), 400);
  EXPECT_EQ(refused_status(post("Content-Length:")), 400);
  EXPECT_EQ(refused_status(post("Content-Length: 99999999999999999999999")), 400);
  EXPECT_EQ(refused_status(post("Content-Length : 5")), 400);
  EXPECT_EQ(refused_status(post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")), 400);
  EXPECT_EQ(refused_status(post("Transfer-Encoding: gzip, chunked")), 501);
  EXPECT_EQ(refused_status(post("Transfer-Encoding: chunked, identity")), 501);
  EXPECT_EQ(refused_status(post("Transfer-Encoding: xchunked")), 501);
  EXPECT_EQ(refused_status("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(refused_status("GET / HTTP/1.1\nHost: h\n\n"), 505);  // a bare LF ends no line
  EXPECT_EQ(refused_status("GET / HTTP/1.1\r\nA: b\nContent-Length: 3\r\n\r\n"), 400);
  EXPECT_EQ(refused_status("GET / HTTP/1.1\r\nA\r\n\r\n"), 400);
  EXPECT_EQ(refused_status("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n"sv), 400);
  EXPECT_EQ(refused_status("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"), 400);
  EXPECT_EQ(refused_status("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n"), 400);
  EXPECT_EQ(refused_status("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n"),
            400);
}

TEST(RequestParser, Limits) {
  const ParserLimits limits{.max_header_bytes = 1024, .max_body_bytes = 100};
  EXPECT_EQ(refused_status("GET /" + std::string(2000, 'a') + " HTTP/1.1\r\n\r\n", limits), 431);
  EXPECT_EQ(refused_status("GET / HTTP/1.1\r\nA: " + std::string(2000, 'a') + "\r\n\r\n", limits), 431);
  EXPECT_EQ(refused_status("GET / HTTP/1.1\r\nA: " + std::string(2000, 'a'), limits), 431);
  std::string many = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 200; ++i) many += "A:\r\n";
  EXPECT_EQ(refused_status(many + "\r\n", limits), 431);
  EXPECT_EQ(refused_status("POST / HTTP/1.1\r\nContent-Length: 101\r\n\r\n", limits), 413);
  EXPECT_EQ(refused_status("POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n", limits), 0);
  EXPECT_EQ(refused_status("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n", limits), 413);
  EXPECT_EQ(
      refused_status("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", limits),
      413);
  EXPECT_EQ(refused_status("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n" +
                               std::string(64, 'x') + "\r\n40\r\n",
                           limits),
            413);
  EXPECT_NE(
      parse("POST / HTTP/1.1\r\nContent-Length: 101\r\n\r\n", limits).refusal().message.find("100 bytes"),
      std::string::npos)
      << "the message names the limit";
}

// The limit holds also for fields that trickle in, each complete when it is parsed.
TEST(RequestParser, HeaderLimitHoldsForPieces) {
  for (const std::size_t step : {1, 10, 100}) {
    std::string text = "GET / HTTP/1.1\r\n";
    for (int i = 0; i < 100; ++i) text += "Name: 0123456789012345\r\n";
    RequestParser parser({.max_header_bytes = 1024});
    feed_in_steps(parser, text + "\r\n", step);
    ASSERT_EQ(parser.state(), State::kRefused);
    EXPECT_EQ(parser.refusal().status, 431);
  }
}

TEST(RequestParser, VersionsAndExpectations) {
  EXPECT_EQ(refused_status("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
  EXPECT_EQ(refused_status("GET /\r\n\r\n"), 400);
  EXPECT_EQ(refused_status("GET / HTTP/1.1\r\nExpect: 200-ok\r\n\r\n"), 417);
  EXPECT_FALSE(
      parse("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n").expects_continue());
}

TEST(RequestParser, GarbageIsRefusedOrUnfinishedNeverServed) {
  std::mt19937 random(7);
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string bytes(1 + random() % 300, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    RequestParser parser({});
    feed_in_steps(parser, bytes, 1 + random() % 50);
    EXPECT_NE(parser.state(), State::kDone);
    refused += parser.state() == State::kRefused;
  }
  EXPECT_GT(refused, 1000);
}

// Nearly valid requests reach deeper: one random byte of a good one is replaced, dropped or doubled.
TEST(RequestParser, DamagedRequestsEndInAState) {
  const std::string good =
      "POST /v1/x?y HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3;a=b\r\nabc\r\n1\r\nz\r\n0\r\nT: 1\r\n\r\n";
  std::mt19937 random(11);
  for (int round = 0; round < 5000; ++round) {
    std::string bytes = good;
    for (unsigned n = 1 + random() % 3; n > 0; --n) {
      const std::size_t at = random() % bytes.size();
      switch (random() % 3) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes.erase(at, 1);
          break;
        default:
          bytes.insert(at, 1, bytes[at]);
      }
    }
    RequestParser parser({});
    feed_in_steps(parser, bytes, 1 + random() % 40);
    if (parser.state() == State::kDone) EXPECT_LE(parser.take_request().body.size(), bytes.size());
  }
}

TEST(PercentDecode, Escapes) {
  std::string out;
  EXPECT_TRUE(percent_decode("/a%2Fb%c3%A9+%25", out));
  EXPECT_EQ(out, "/a/b\xc3\xa9+%");
  for (const char* bad : {"%", "%a", "%g0", "%0g", "%00", "x%"})
    EXPECT_FALSE(percent_decode(bad, out)) << bad;
}

}  // namespace
}  // namespace moraine::http
