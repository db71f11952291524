// A server's own life: where it listens, what it says when it cannot, draining, stopping, TLS.
#include <gtest/gtest.h>
#include <moraine/error.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
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

std::string listen_error(const ServerOptions& options) {
  try {
    Server server(options, echo);
    server.listen();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    return error.what();
  }
  return "";
}

TEST(Listen, PortInUseNamesTheRemedy) {
  TestServer first(echo);
  const std::string message = listen_error({.port = first.port()});
  EXPECT_NE(message.find("127.0.0.1:" + std::to_string(first.port())), std::string::npos) << message;
  EXPECT_NE(message.find("already in use"), std::string::npos) << message;
  EXPECT_NE(message.find("--port"), std::string::npos) << message;
}

TEST(Listen, ForeignAddressNamesTheRemedy) {
  // 192.0.2.0/24 is reserved for documentation: no machine has it.
  EXPECT_NE(listen_error({.host = "192.0.2.1", .port = 0}).find("--host"), std::string::npos);
  EXPECT_NE(listen_error({.host = "no such host", .port = 0}).find("--host"), std::string::npos);
}

TEST(Listen, ConnectionsQueueBeforeStart) {
  Server server({.port = 0}, echo);
  server.listen();
  Client client(server.port());
  ASSERT_TRUE(client.connected());
  client.send(kGet);
  server.start();
  EXPECT_EQ(client.read_response().status, 200);
}

TEST(Listen, HostsByName) {
  for (const char* host : {"localhost", "0.0.0.0"}) {
    TestServer server(echo, {.host = host});
    Client client(server.port());
    client.send(kGet);
    EXPECT_EQ(client.read_response().status, 200) << host;
  }
}

TEST(Listen, Ipv6AndDualStack) {
  for (const char* host : {"[::1]", "::"}) {
    std::optional<TestServer> server;
    std::string remote;
    try {
      server.emplace(
          [&](std::shared_ptr<Exchange> exchange) { exchange->reply({.body = exchange->request().remote}); },
          ServerOptions{.host = host});
    } catch (const Error& error) {
      GTEST_SKIP() << "no IPv6 here: " << error.what();
    }
    Client six(server->port(), "::1");
    six.send(kGet);
    EXPECT_EQ(six.read_response().body.rfind("[::1]:", 0), 0u);
    Client four(server->port());
    EXPECT_EQ(four.connected(), std::string_view(host) == "::");
    if (!four.connected()) continue;
    four.send(kGet);
    EXPECT_EQ(four.read_response().body.rfind("127.0.0.1:", 0), 0u) << "not the mapped form";
  }
}

TEST(Drain, FinishesWhatIsUnderWay) {
  Inbox inbox;
  TestServer server(inbox.handler());
  Client idle(server.port()), busy(server.port());
  idle.send(kGet);
  inbox.take()->reply({.body = "before"});
  EXPECT_EQ(idle.read_response().body, "before");
  busy.send(kGet);
  auto exchange = inbox.take();
  ASSERT_TRUE(exchange);
  exchange->begin({}, "");

  std::atomic<bool> drained{false};
  std::thread drainer([&] {
    EXPECT_TRUE(server.server.drain(kPatience));
    drained = true;
  });
  EXPECT_EQ(idle.read_to_end(), "") << "an idle connection is closed at once";
  EXPECT_TRUE(eventually([&] { return !Client(server.port()).connected(); })) << "nothing more is accepted";
  EXPECT_FALSE(drained);
  EXPECT_TRUE(exchange->write("to the end"));
  exchange->end();
  EXPECT_EQ(busy.read_response().body, "to the end");
  EXPECT_EQ(busy.read_to_end(), "");
  drainer.join();
  EXPECT_TRUE(drained);
}

TEST(Drain, SaysCloseInAnswersYetToCome) {
  Inbox inbox;
  TestServer server(inbox.handler());
  Client client(server.port());
  client.send(kGet);
  auto exchange = inbox.take();
  ASSERT_TRUE(exchange);
  std::thread drainer([&] { EXPECT_TRUE(server.server.drain(kPatience)); });
  EXPECT_TRUE(eventually([&] { return !Client(server.port()).connected(); }));
  exchange->reply({.body = "last"});
  const ClientResponse response = client.read_response();
  EXPECT_EQ(response.body, "last");
  EXPECT_EQ(response.header("Connection"), "close");
  drainer.join();
}

TEST(Drain, CutsOffWhatOutlivesTheDeadline) {
  Inbox inbox;
  TestServer server(inbox.handler());
  Client client(server.port());
  client.send(kGet);
  auto exchange = inbox.take();
  ASSERT_TRUE(exchange);
  std::atomic<bool> told{false};
  exchange->on_close([&] { told = true; });
  EXPECT_FALSE(server.server.drain(20ms));
  EXPECT_TRUE(told) << "before drain() returns";
  EXPECT_EQ(client.read_to_end(), "");
}

TEST(Stop, EndsAllAndLeavesExchangesSafe) {
  std::shared_ptr<Exchange> streaming, waiting;
  std::atomic<int> told{0};
  {
    Inbox inbox;
    TestServer server(inbox.handler());
    Client one(server.port()), two(server.port()), half(server.port());
    one.send(kGet);
    streaming = inbox.take();
    two.send(kGet);
    waiting = inbox.take();
    half.send("GET / HT");
    ASSERT_TRUE(streaming && waiting);
    streaming->on_close([&] { ++told; });
    waiting->on_close([&] { ++told; });
    streaming->begin({}, "");
    server.server.stop();
    EXPECT_EQ(told, 2);
    EXPECT_EQ(server.server.stats().open_connections, 0u);
  }
  EXPECT_FALSE(streaming->write("x"));
  waiting->reply({});
  EXPECT_EQ(waiting->request().path, "/a");
}

// Writers race with the end of the server: for the sanitizers.
TEST(Stop, WhileThreadsWrite) {
  for (int round = 0; round < 10; ++round) {
    std::vector<std::thread> writers;
    std::vector<std::unique_ptr<Client>> clients;
    {
      Inbox inbox;
      TestServer server(inbox.handler(), {.n_threads = 3});
      for (int i = 0; i < 4; ++i) {
        clients.push_back(std::make_unique<Client>(server.port()));
        clients.back()->send(kGet);
        writers.emplace_back([exchange = inbox.take()] {
          exchange->on_close([] {});
          exchange->begin({}, "");
          while (exchange->write("x")) std::this_thread::yield();
        });
      }
      clients[0]->read_until("x");
    }
    for (std::thread& writer : writers) writer.join();
  }
}

TEST(Stop, NeverStarted) {
  Server unheard({.port = 0}, echo);
  Server listening({.port = 0}, echo);
  listening.listen();
  EXPECT_TRUE(listening.drain(0ms));
  listening.stop();
}

// A certificate of the test's own, made by the openssl program.
class Tls : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("moraine_tls_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    const std::string command =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 "
        "-subj /CN=localhost -keyout " +
        key() + " -out " + certificate() + " 2>/dev/null";
    if (std::system(command.c_str()) != 0) GTEST_SKIP() << "needs the openssl program";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string key() const { return folder_ / "key.pem"; }
  std::string certificate() const { return folder_ / "certificate.pem"; }
  ServerOptions options() const { return {.tls_certificate_path = certificate(), .tls_key_path = key()}; }

  std::filesystem::path folder_;
};

// What `command` prints.
std::string output_of(const std::string& command) {
  std::string output;
  FILE* pipe = ::popen(command.c_str(), "r");
  if (!pipe) return output;
  char buffer[4096];
  while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, n);
  ::pclose(pipe);
  return output;
}

TEST_F(Tls, AnswersAndStreams) {
  std::thread writer;
  TestServer server(
      [&](std::shared_ptr<Exchange> exchange) {
        if (exchange->request().method == "GET") {
          exchange->begin({.content_type = "text/event-stream"}, ": wait\n\n");
          writer = std::thread([exchange] {
            for (int i = 0; i < 1000; ++i) exchange->write("data: " + std::to_string(i) + "\n\n");
            exchange->end();
          });
        } else {
          echo(exchange);
        }
      },
      options());
  const std::string client = "timeout 10 openssl s_client -quiet -verify_return_error -CAfile " +
                             certificate() + " -connect 127.0.0.1:" + std::to_string(server.port()) +
                             " 2>/dev/null";
  const auto ask = [&](const std::string& request) {
    return output_of("printf '" + request + "' | " + client);
  };
  const std::string posted =
      ask("POST /tls HTTP/1.1\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nhi");
  EXPECT_TRUE(posted.ends_with("\r\n\r\nPOST /tls hi")) << posted;
  const std::string streamed = ask("GET / HTTP/1.1\\r\\nConnection: close\\r\\n\\r\\n");
  EXPECT_NE(streamed.find("data: 999\n\n"), std::string::npos);
  EXPECT_TRUE(streamed.ends_with("0\r\n\r\n"));
  writer.join();
}

TEST_F(Tls, SeesAClientLeave) {
  Inbox inbox;
  TestServer server(inbox.handler(), options());
  std::thread client([&] {
    output_of(
        "(printf 'GET / HTTP/1.1\\r\\n\\r\\n'; sleep 0.2) | timeout 10 openssl s_client -quiet -no_ign_eof "
        "-connect 127.0.0.1:" +
        std::to_string(server.port()) + " 2>/dev/null");
  });
  auto exchange = inbox.take();
  std::atomic<bool> told{false};
  if (exchange) exchange->on_close([&] { told = true; });
  EXPECT_TRUE(eventually([&] { return told.load(); }));
  client.join();
}

TEST_F(Tls, PlainClientsAndSilenceDoNotHang) {
  ServerOptions short_options = options();
  short_options.header_timeout = 50ms;
  TestServer server(echo, short_options);
  Client plain(server.port()), silent(server.port());
  plain.send(kGet);
  EXPECT_TRUE(plain.read_to_end().has_value());
  EXPECT_TRUE(silent.read_to_end().has_value());
}

TEST_F(Tls, BadFilesAreNamed) {
  const auto message = [&](const std::string& certificate_path, const std::string& key_path) -> std::string {
    try {
      Server server({.tls_certificate_path = certificate_path, .tls_key_path = key_path}, echo);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message("/nonexistent.pem", key()).find("/nonexistent.pem"), std::string::npos);
  EXPECT_NE(message(certificate(), "/nonexistent.key").find("/nonexistent.key"), std::string::npos);
  EXPECT_NE(message(certificate(), "").find("both"), std::string::npos);
  std::ofstream(folder_ / "junk.pem") << "junk";
  EXPECT_NE(message(certificate(), folder_ / "junk.pem").find("junk.pem"), std::string::npos);
}

}  // namespace
}  // namespace moraine::http
