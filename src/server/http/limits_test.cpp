// Hostile and slow clients: sizes, counts, time-outs, readers that do not read. Every time-out is
// short here by option; no test depends on how long something takes, only on that it ends.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "server/http/server.h"
#include "server/http/test_client.h"
#include "server/http/test_server.h"

namespace moraine::http {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

bool serves(std::uint16_t port) {
  Client client(port);
  client.send(kGet);
  return client.read_response().status == 200;
}

TEST(ServerLimits, RefusesALargeBodyByItsLengthAlone) {
  TestServer server(echo);
  Client client(server.port());
  client.send("POST / HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n");
  const ClientResponse response = client.read_response();
  EXPECT_EQ(response.status, 413);
  EXPECT_EQ(response.header("Connection"), "close");
  EXPECT_NE(response.body.find("67108864 bytes"), std::string::npos) << response.body;
  EXPECT_NE(response.body.find(R"("code":"body_too_large")"), std::string::npos);
}

// A client that sends all before it reads still sees the answer: closing too early would reset it.
TEST(ServerLimits, ClientThatSendsALargeBodyAnywaySeesTheAnswer) {
  TestServer server(echo);
  Client client(server.port());
  const std::string megabyte(1024 * 1024, 'x');
  client.send("POST / HTTP/1.1\r\nContent-Length: 104857600\r\n\r\n");
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(client.send(megabyte)) << i;
  EXPECT_EQ(client.read_response().status, 413);
  EXPECT_EQ(server.server.stats().refused_requests, 1u);
}

TEST(ServerLimits, DoesNotInviteABodyItRefuses) {
  TestServer server(echo);
  Client client(server.port());
  client.send("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 100000000\r\n\r\n");
  EXPECT_EQ(client.read_response().status, 413);
}

TEST(ServerLimits, RefusesWhatGrowsTooLargeOnTheWay) {
  TestServer server(echo, {.max_header_bytes = 2048, .max_body_bytes = 1000});
  struct Case {
    std::string request;
    int status;
  };
  const std::string chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  const Case cases[] = {
      {"GET /" + std::string(100'000, 'a') + " HTTP/1.1\r\n\r\n", 431},
      {"GET / HTTP/1.1\r\nA: " + std::string(100'000, 'a') + "\r\n\r\n", 431},
      {chunked + "200\r\n" + std::string(512, 'x') + "\r\n200\r\n" + std::string(512, 'x') + "\r\n0\r\n\r\n",
       413},
      {chunked + "1;" + std::string(100'000, 'a') + "\r\nx\r\n0\r\n\r\n", 431},
      {chunked + "0\r\nA: " + std::string(100'000, 'a') + "\r\n\r\n", 431},
      {"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
      {"GET /%zz HTTP/1.1\r\n\r\n", 400},
      {"\x16\x03\x01\x02 hello, is this TLS?\r\n\r\n", 400},
  };
  for (const Case& c : cases) {
    Client client(server.port());
    client.send(c.request);
    const ClientResponse response = client.read_response();
    EXPECT_EQ(response.status, c.status) << c.request.substr(0, 60);
    EXPECT_EQ(response.header("Connection"), "close");
    EXPECT_EQ(response.body.rfind(R"({"type":"error","error":{"message":)", 0), 0u) << response.body;
    client.half_close();
    EXPECT_EQ(client.read_to_end(), "") << "the server closes, and says nothing more";
  }
  EXPECT_TRUE(serves(server.port()));
}

TEST(ServerLimits, BodiesOfAllRequestsTogether) {
  Inbox inbox;
  TestServer server(inbox.handler(), {.max_total_body_bytes = 1000});
  const std::string post = "POST / HTTP/1.1\r\nContent-Length: 600\r\n\r\n" + std::string(600, 'x');
  Client first(server.port()), second(server.port());
  first.send(post);
  auto held = inbox.take();
  ASSERT_TRUE(held);
  second.send(post);
  const ClientResponse refused = second.read_response();
  EXPECT_EQ(refused.status, 503);
  EXPECT_FALSE(refused.header("Retry-After").empty());
  held->reply({});
  held.reset();
  EXPECT_EQ(first.read_response().status, 200);
  first.send(post);
  held = inbox.take();
  ASSERT_TRUE(held) << "an answered request no longer counts";
  held->reply({});
  held.reset();
  EXPECT_EQ(first.read_response().status, 200);
}

TEST(ServerLimits, BodiesCountUntilTheHandlerLetsThemGo) {
  Inbox inbox;
  TestServer server(inbox.handler(), {.max_total_body_bytes = 1000});
  const std::string post = "POST / HTTP/1.1\r\nContent-Length: 600\r\n\r\n" + std::string(600, 'x');
  std::shared_ptr<Exchange> held;
  {
    Client leaves(server.port());
    leaves.send(post);
    held = inbox.take();
    ASSERT_TRUE(held);
  }
  ASSERT_TRUE(eventually([&] { return server.server.stats().open_connections == 0; }));
  Client refused(server.port());
  refused.send(post);
  EXPECT_EQ(refused.read_response().status, 503) << "its client left, but the request is in memory";
  held.reset();
  Client taken(server.port());
  taken.send(post);
  EXPECT_TRUE(inbox.take());
}

TEST(ServerLimits, TooManyConnectionsAreTold) {
  TestServer server(echo, {.max_connections = 3});
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<Client>(server.port()));
    clients.back()->send(kGet);
    EXPECT_EQ(clients.back()->read_response().status, 200);
  }
  {
    Client extra(server.port());
    extra.send(kGet);
    const ClientResponse response = extra.read_response();
    EXPECT_EQ(response.status, 503);
    EXPECT_FALSE(response.header("Retry-After").empty());
    EXPECT_EQ(response.header("Connection"), "close");
  }
  clients.pop_back();
  EXPECT_TRUE(eventually([&] { return server.server.stats().open_connections == 2; }));
  EXPECT_TRUE(serves(server.port())) << "a place was given up";
  EXPECT_EQ(server.server.stats().refused_connections, 1u);
}

TEST(ServerLimits, TooManyConnectionsOfOneAddress) {
  TestServer server(echo, {.host = "0.0.0.0", .max_connections_per_address = 1});
  Client first(server.port());
  first.send(kGet);
  EXPECT_EQ(first.read_response().status, 200);
  EXPECT_FALSE(serves(server.port()));
  first.close();
  EXPECT_TRUE(eventually([&] { return server.server.stats().open_connections == 0; }));
  EXPECT_TRUE(serves(server.port()));
}

TEST(ServerLimits, HundredsOfConnectionsAtOnce) {
  TestServer server(echo, {.max_connections = 300});
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 300; ++i) clients.push_back(std::make_unique<Client>(server.port()));
  for (auto& client : clients) ASSERT_TRUE(client->send(kGet));
  for (auto& client : clients) EXPECT_EQ(client->read_response().status, 200);
  clients.clear();
  EXPECT_TRUE(eventually([&] { return server.server.stats().open_connections == 0; }));
}

TEST(ServerTimeouts, SlowHeaderIsToldSilenceIsNot) {
  TestServer server(echo, {.header_timeout = 300ms});
  Client silent(server.port()), slow(server.port());
  slow.send("GET / HT");
  EXPECT_EQ(silent.read_to_end(), "");
  EXPECT_EQ(slow.read_response().status, 408);
}

// A byte now and then does not buy more time.
TEST(ServerTimeouts, TricklingHeaderEnds) {
  TestServer server(echo, {.header_timeout = 300ms});
  Client client(server.port());
  client.send("GET / HTTP/1.1\r\nA: ");
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (server.server.stats().refused_requests == 0 && std::chrono::steady_clock::now() < end) {
    client.send("x");
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_EQ(client.read_response().status, 408);
}

TEST(ServerTimeouts, StalledBody) {
  TestServer server(echo, {.body_timeout = 30ms});
  Client client(server.port());
  client.send("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf");
  const ClientResponse response = client.read_response();
  EXPECT_EQ(response.status, 408);
  EXPECT_NE(response.body.find("body_timeout"), std::string::npos);
}

TEST(ServerTimeouts, IdleConnectionIsClosedQuietly) {
  TestServer server(echo, {.idle_timeout = 30ms});
  Client client(server.port());
  client.send(kGet);
  EXPECT_EQ(client.read_response().status, 200);
  EXPECT_EQ(client.read_to_end(), "");
}

TEST(ServerTimeouts, AWaitingExchangeIsNotIdle) {
  Inbox inbox;
  TestServer server(inbox.handler(), {.header_timeout = 300ms, .body_timeout = 300ms, .idle_timeout = 300ms});
  Client client(server.port());
  client.send(kGet);
  auto exchange = inbox.take();
  ASSERT_TRUE(exchange);
  std::this_thread::sleep_for(600ms);
  exchange->reply({.body = "patience"});
  EXPECT_EQ(client.read_response().body, "patience");
}

// A connection that stays open behind an early answer is closed in the end.
TEST(ServerTimeouts, LingeringEnds) {
  TestServer server(echo, {.linger_timeout = 50ms});
  Client client(server.port());
  client.send("POST / HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n");
  EXPECT_EQ(client.read_response().status, 413);
  EXPECT_TRUE(eventually([&] {
    client.send("x");
    return server.server.stats().open_connections == 0;
  }));
}

TEST(ServerSlowReader, QueueLimitEndsTheStream) {
  constexpr std::size_t kLimit = 16 * 1024 * 1024;
  Inbox inbox;
  TestServer server(inbox.handler(), {.max_queued_bytes = kLimit, .write_timeout = 1h});
  Client client(server.port());
  client.shrink_receive_buffer();
  client.send(kGet);
  auto exchange = inbox.take();
  ASSERT_TRUE(exchange);
  std::atomic<int> told{0};
  exchange->on_close([&] { ++told; });
  exchange->begin({}, "");
  // More than sockets hold: the connection is stuck in this write when the limit is reached.
  const std::string chunk(1024 * 1024, 'x');
  EXPECT_TRUE(exchange->write(std::string(kLimit, 'x')));
  EXPECT_TRUE(eventually([&] { return server.server.stats().bytes_sent > 1024; }));
  int written = 0;
  while (written < 100 && exchange->write(chunk)) ++written;
  EXPECT_LE(written, 16);
  EXPECT_TRUE(eventually([&] { return told == 1; }));
  EXPECT_TRUE(eventually([&] { return server.server.stats().open_connections == 0; }));
  EXPECT_FALSE(exchange->write("x"));
}

TEST(ServerSlowReader, StalledWriteTimesOut) {
  Inbox inbox;
  TestServer server(inbox.handler(), {.write_timeout = 50ms});
  Client client(server.port());
  client.shrink_receive_buffer();
  client.send(kGet);
  auto exchange = inbox.take();
  ASSERT_TRUE(exchange);
  exchange->reply({.body = std::string(32 * 1024 * 1024, 'x')});
  EXPECT_TRUE(eventually([&] { return server.server.stats().open_connections == 0; }));
  EXPECT_LT(server.server.stats().bytes_sent, 32u * 1024 * 1024);
  EXPECT_FALSE(client.read_response().complete);
}

// Leaving is seen also while the connection is stuck in a write.
TEST(ServerSlowReader, LeavingDuringABlockedWriteIsSeen) {
  Inbox inbox;
  TestServer server(inbox.handler());
  Client client(server.port());
  client.shrink_receive_buffer();
  client.send(kGet);
  auto exchange = inbox.take();
  ASSERT_TRUE(exchange);
  std::atomic<int> told{0};
  exchange->on_close([&] { ++told; });
  exchange->begin({}, "");
  EXPECT_TRUE(exchange->write(std::string(8 * 1024 * 1024, 'x')));
  client.half_close();
  EXPECT_TRUE(eventually([&] { return told == 1; }));
}

// A client that pipelines without end while its first answer is in the making is held back.
TEST(ServerLimits, EndlessPipeliningIsHeldBack) {
  Inbox inbox;
  TestServer server(inbox.handler());
  Client client(server.port());
  client.send(kGet);
  auto exchange = inbox.take();
  ASSERT_TRUE(exchange);
  const std::string megabyte(1024 * 1024, 'x');
  std::thread sender([&] {
    client.send("POST /big HTTP/1.1\r\nContent-Length: 33554432\r\n\r\n");
    for (int i = 0; i < 32; ++i) client.send(megabyte);
  });
  std::this_thread::sleep_for(50ms);
  EXPECT_LT(server.server.stats().bytes_received, 1024u * 1024);
  exchange->reply({.body = "1"});
  auto next = inbox.take();
  sender.join();
  ASSERT_TRUE(next);
  EXPECT_EQ(next->request().body.size(), 32u * 1024 * 1024);
  next->reply({.body = "2"});
  EXPECT_EQ(client.read_response().body, "1");
  EXPECT_EQ(client.read_response().body, "2");
}

TEST(ServerLimits, GarbageHarmsNobody) {
  TestServer server(echo, {.header_timeout = 1s, .body_timeout = 1s});
  std::mt19937 random(3);
  for (int round = 0; round < 100; ++round) {
    Client client(server.port());
    std::string bytes(random() % 5000, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    if (round % 2 == 0) bytes = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + bytes;
    client.send(bytes);
    if (round % 3 == 0) client.reset();
  }
  EXPECT_TRUE(serves(server.port()));
  EXPECT_TRUE(eventually([&] { return server.server.stats().open_connections == 0; }));
}

}  // namespace
}  // namespace moraine::http
