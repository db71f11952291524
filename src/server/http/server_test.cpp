// Exchanges over real sockets: answers, streams, keep-alive, pipelining, clients that leave.
// Limits and time-outs: limits_test.cpp; listening, draining, TLS: lifecycle_test.cpp.
#include "server/http/server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "server/http/test_client.h"
#include "server/http/test_server.h"

namespace moraine::http {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

TEST(Server, AnswersAndKeepsTheConnection) {
  TestServer server(echo);
  Client client(server.port());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client.send("POST /x%20y?q HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"));
    const ClientResponse response = client.read_response();
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, "POST /x y hi");
    EXPECT_EQ(response.header("Content-Type"), "text/plain");
    EXPECT_FALSE(response.header("Date").empty());
  }
  EXPECT_EQ(server.server.stats().accepted_connections, 1u);
  EXPECT_EQ(server.server.stats().requests, 3u);
}

TEST(Server, ClosesWhereAsked) {
  TestServer server(echo);
  for (const char* request : {"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"}) {
    Client client(server.port());
    client.send(request);
    const auto all = client.read_to_end();
    ASSERT_TRUE(all);
    EXPECT_NE(all->find("Connection: close\r\n"), std::string::npos);
    EXPECT_TRUE(all->ends_with("\r\n\r\nGET / "));
  }
  Client client(server.port());
  client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(client.read_response().header("Connection"), "keep-alive");
  client.send(kGet);
  EXPECT_EQ(client.read_response().status, 200);
}

TEST(Server, ReadsOneByteAtATime) {
  TestServer server(echo);
  Client client(server.port());
  for (const char byte : std::string_view(
           "POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n")) {
    ASSERT_TRUE(client.send({&byte, 1}));
    std::this_thread::sleep_for(100us);
  }
  EXPECT_EQ(client.read_response().body, "POST /p abcd");
}

TEST(Server, AnswersPipelinedRequestsInOrder) {
  Inbox inbox;
  TestServer server(inbox.handler());
  Client client(server.port());
  client.send("POST /1 HTTP/1.1\r\nContent-Length: 1\r\n\r\naPOST /2 HTTP/1.1\r\nContent-Length: 1\r\n\r\nb");
  client.send(kGet);
  // The later ones arrive, and wait, while the first is being streamed.
  auto first = inbox.take();
  ASSERT_TRUE(first);
  first->begin({}, "");
  std::this_thread::sleep_for(20ms);
  EXPECT_TRUE(first->write("one"));
  first->end();
  EXPECT_EQ(client.read_response().body, "one");
  for (const char* path : {"/2", "/a"}) {
    auto next = inbox.take();
    ASSERT_TRUE(next);
    EXPECT_EQ(next->request().path, path);
    next->reply({.body = path});
    EXPECT_EQ(client.read_response().body, path);
  }
}

TEST(Server, SendsContinueBeforeABodyItWants) {
  TestServer server(echo);
  Client client(server.port());
  client.send("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.read_response().status, 100);
  client.send("ok");
  EXPECT_EQ(client.read_response().body, "POST / ok");
}

TEST(Server, HeadHasTheHeadersAlone) {
  TestServer server(echo);
  Client client(server.port());
  client.send("HEAD /a HTTP/1.1\r\n\r\n");
  const ClientResponse response = client.read_response(true);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.header("Content-Length"), "7");
  client.send(kGet);
  EXPECT_EQ(client.read_response().body, "GET /a ") << "no body in between";
}

TEST(Server, NoContentHasNoBody) {
  TestServer server(
      [](std::shared_ptr<Exchange> exchange) { exchange->reply({.status = 204, .body = "x"}); });
  Client client(server.port());
  client.send(kGet);
  EXPECT_EQ(client.read_response().status, 204);
  client.send(kGet);
  EXPECT_TRUE(client.read_until("\r\n").starts_with("HTTP/1.1 204"));
}

TEST(Server, AnswersPreflightsItself) {
  TestServer server([](std::shared_ptr<Exchange>) { FAIL() << "OPTIONS must not reach the handler"; });
  Client client(server.port());
  client.send(
      "OPTIONS /v1/chat/completions HTTP/1.1\r\nOrigin: http://page\r\n"
      "Access-Control-Request-Headers: authorization,x-stainless-os\r\n\r\n");
  const ClientResponse response = client.read_response();
  EXPECT_EQ(response.status, 204);
  EXPECT_EQ(response.header("Access-Control-Allow-Origin"), "http://page");
  EXPECT_EQ(response.header("Access-Control-Allow-Headers"), "authorization,x-stainless-os");
  EXPECT_NE(response.header("Access-Control-Allow-Methods").find("POST"), std::string::npos);
}

TEST(Server, PagesMayReadAnswersAndErrors) {
  TestServer server(echo);
  Client client(server.port());
  client.send("GET / HTTP/1.1\r\nOrigin: null\r\n\r\n");
  EXPECT_EQ(client.read_response().header("Access-Control-Allow-Origin"), "null");
  client.send("POST / HTTP/1.1\r\nOrigin: http://page\r\nContent-Length: x\r\n\r\n");
  const ClientResponse refused = client.read_response();
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.header("Access-Control-Allow-Origin"), "http://page");
}

TEST(Server, HandlerFailuresBecome500) {
  TestServer server([](std::shared_ptr<Exchange> exchange) {
    const std::string& path = exchange->request().path;
    if (path == "/throw") throw std::runtime_error("the \"cause\"");
    if (path == "/throw-int") throw 1;
    if (path == "/late") {
      exchange->reply({.body = "first"});
      throw std::runtime_error("too late");
    }
  });
  Client client(server.port());
  client.send("GET /throw HTTP/1.1\r\n\r\n");
  ClientResponse response = client.read_response();
  EXPECT_EQ(response.status, 500);
  EXPECT_NE(response.body.find(R"(the \"cause\")"), std::string::npos);
  client.send("GET /throw-int HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client.read_response().status, 500);
  client.send("GET /dropped HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client.read_response().status, 500);
  client.send("GET /late HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client.read_response().body, "first");
}

TEST(Server, LargeAnswersArriveWhole) {
  std::string body(20 * 1024 * 1024, 'x');
  for (std::size_t i = 0; i < body.size(); i += 4096) body[i] = static_cast<char>('a' + i / 4096 % 26);
  TestServer server([&](std::shared_ptr<Exchange> exchange) { exchange->reply({.body = body}); });
  Client client(server.port());
  client.send(kGet);
  EXPECT_TRUE(client.read_response().body == body);
  client.send(kGet);
  EXPECT_TRUE(client.read_response().body == body);
}

TEST(ServerStream, HeadComesBeforeAnyText) {
  Inbox inbox;
  TestServer server(inbox.handler());
  Client client(server.port());
  client.send(kGet);
  auto exchange = inbox.take();
  ASSERT_TRUE(exchange);
  exchange->begin({.content_type = "text/event-stream", .body = "data: 0\n\n"}, ": wait\n\n");
  const std::string head = client.read_until("\r\n\r\n");
  EXPECT_NE(head.find("Content-Type: text/event-stream\r\n"), std::string::npos);
  EXPECT_NE(head.find("Transfer-Encoding: chunked\r\n"), std::string::npos);
  EXPECT_EQ(client.read_until("\n\n\r\n"), "9\r\ndata: 0\n\n\r\n") << "begin() may carry the first text";
  EXPECT_TRUE(exchange->write("data: 1\n\n"));
  EXPECT_EQ(client.read_until("\n\n\r\n"), "9\r\ndata: 1\n\n\r\n");
  EXPECT_TRUE(exchange->write(""));  // not the empty chunk that would end the body
  EXPECT_TRUE(exchange->write("x"));
  EXPECT_EQ(client.read_until("x\r\n"), "1\r\nx\r\n");
  exchange->end();
  EXPECT_EQ(client.read_until("0\r\n\r\n"), "0\r\n\r\n");
  EXPECT_FALSE(exchange->write("late"));
  client.send(kGet);
  auto next = inbox.take();
  ASSERT_TRUE(next);
  next->reply({.body = "next"});
  EXPECT_EQ(client.read_response().body, "next");
}

TEST(ServerStream, ForHttp10EndsWithTheConnection) {
  TestServer server([](std::shared_ptr<Exchange> exchange) {
    exchange->begin({}, "");
    exchange->write("a");
    exchange->write("b");
    exchange->end();
  });
  Client client(server.port());
  client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const auto all = client.read_to_end();
  ASSERT_TRUE(all);
  EXPECT_EQ(all->find("Transfer-Encoding"), std::string::npos);
  EXPECT_NE(all->find("Connection: close\r\n"), std::string::npos);
  EXPECT_TRUE(all->ends_with("\r\n\r\nab"));
}

TEST(ServerStream, SilenceGetsKeepAliveText) {
  Inbox inbox;
  TestServer server(inbox.handler(), {.stream_keep_alive = 20ms});
  Client client(server.port());
  client.send(kGet);
  auto exchange = inbox.take();
  ASSERT_TRUE(exchange);
  exchange->begin({}, ": ping\n\n");
  client.read_until("\r\n\r\n");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(client.read_until("\n\n\r\n"), "8\r\n: ping\n\n\r\n");
  exchange->end();
  EXPECT_TRUE(client.read_until("0\r\n\r\n").ends_with("0\r\n\r\n"));
}

TEST(ServerStream, ManyThreadsWriteManyStreams) {
  constexpr int kStreams = 8, kWrites = 2000;
  std::vector<std::thread> writers;
  std::mutex mutex;
  {
    TestServer server(
        [&](std::shared_ptr<Exchange> exchange) {
          exchange->begin({}, ": wait\n\n");
          std::lock_guard lock(mutex);
          writers.emplace_back([exchange] {
            for (int i = 0; i < kWrites; ++i) ASSERT_TRUE(exchange->write(std::to_string(i) + ","));
            exchange->end();
          });
        },
        {.n_threads = 4, .stream_keep_alive = 1h});
    std::string expected;
    for (int i = 0; i < kWrites; ++i) expected += std::to_string(i) + ",";
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < kStreams; ++i) {
      clients.push_back(std::make_unique<Client>(server.port()));
      clients.back()->send(kGet);
    }
    for (auto& client : clients) EXPECT_EQ(client->read_response().body, expected);
  }
  for (std::thread& writer : writers) writer.join();
}

TEST(ServerStream, DroppedMidwayEndsWithoutTheLastChunk) {
  TestServer server([](std::shared_ptr<Exchange> exchange) {
    exchange->begin({}, "");
    exchange->write("half");
  });
  Client client(server.port());
  client.send(kGet);
  EXPECT_FALSE(client.read_response().complete);
  EXPECT_TRUE(eventually([&] { return server.server.stats().lost_clients == 1; }));
}

// How a client may leave, and what the answer had come to by then.
enum class Leaving { kClose, kHalfClose, kReset };
struct LeavingCase {
  Leaving how;
  bool begun;
};

class ServerClose : public testing::TestWithParam<LeavingCase> {};

TEST_P(ServerClose, TellsTheHandlerAtOnce) {
  Inbox inbox;
  TestServer server(inbox.handler(), {.stream_keep_alive = 1h});
  Client client(server.port());
  client.send("POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx");
  auto exchange = inbox.take();
  ASSERT_TRUE(exchange);
  std::atomic<int> told{0};
  exchange->on_close([&] { ++told; });
  if (GetParam().begun) {
    exchange->begin({}, "");
    EXPECT_TRUE(exchange->write("x"));
    client.read_until("x\r\n");
  }
  EXPECT_EQ(told, 0);
  switch (GetParam().how) {
    case Leaving::kClose:
      client.close();
      break;
    case Leaving::kHalfClose:
      client.half_close();
      break;
    case Leaving::kReset:
      client.reset();
      break;
  }
  EXPECT_TRUE(eventually([&] { return told == 1; }));
  // All further calls are harmless.
  exchange->begin({}, "");
  EXPECT_FALSE(exchange->write("y"));
  exchange->reply({});
  exchange->end();
  bool at_once = false;
  exchange->on_close([&] { at_once = true; });
  EXPECT_TRUE(at_once);
  EXPECT_TRUE(eventually([&] { return server.server.stats().open_connections == 0; }));
  EXPECT_EQ(told, 1);
  EXPECT_EQ(server.server.stats().lost_clients, 1u);
  EXPECT_EQ(server.server.stats().open_exchanges, 0u);
}

INSTANTIATE_TEST_SUITE_P(
    Ways, ServerClose,
    testing::Values(LeavingCase{Leaving::kClose, false}, LeavingCase{Leaving::kClose, true},
                    LeavingCase{Leaving::kHalfClose, false}, LeavingCase{Leaving::kHalfClose, true},
                    LeavingCase{Leaving::kReset, false}, LeavingCase{Leaving::kReset, true}));

TEST(ServerClose, IsNotReportedForACompleteAnswer) {
  std::atomic<int> told{0};
  Inbox inbox;
  TestServer server(inbox.handler());
  for (const bool forget : {false, true}) {
    Client client(server.port());
    client.send(kGet);
    auto exchange = inbox.take();
    ASSERT_TRUE(exchange);
    exchange->on_close([&] { ++told; });
    if (forget) {
      exchange->on_close({});
    } else {
      exchange->reply({.body = "done"});
      EXPECT_EQ(client.read_response().body, "done");
    }
    client.close();
    EXPECT_TRUE(eventually([&] { return server.server.stats().open_connections == 0; }));
  }
  EXPECT_EQ(told, 0);
}

// Whoever asks with `nc -N` closes its half at once: an answer that needs no waiting still arrives.
TEST(ServerClose, HalfClosedClientGetsImmediateAnswers) {
  TestServer server(echo);
  Client client(server.port());
  client.send(std::string(kGet) + std::string(kGet));
  client.half_close();
  const auto all = client.read_to_end();
  ASSERT_TRUE(all);
  const auto first = all->find("GET /a ");
  ASSERT_NE(first, std::string::npos);
  EXPECT_NE(all->find("GET /a ", first + 1), std::string::npos);
}

TEST(ServerClose, OneClientsLeavingHarmsNoOther) {
  Inbox inbox;
  TestServer server(inbox.handler());
  Client stays(server.port()), leaves(server.port());
  stays.send("GET /stays HTTP/1.1\r\n\r\n");
  auto kept = inbox.take();
  leaves.send("GET /leaves HTTP/1.1\r\n\r\n");
  auto lost = inbox.take();
  ASSERT_TRUE(kept && lost);
  kept->begin({}, "");
  lost->begin({}, "");
  leaves.reset();
  EXPECT_TRUE(eventually([&] { return !lost->write("x"); }));
  EXPECT_TRUE(kept->write("x"));
  kept->end();
  EXPECT_EQ(stays.read_response().body, "x");
}

}  // namespace
}  // namespace moraine::http
