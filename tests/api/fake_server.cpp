// The real transport and the real API over a fake engine: for working on clients, cases and the transport
// without a model. Usage: moraine_fake_server PORT [ms for each token]. It "loads" for a second.
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <thread>

#include "server/api/api.h"
#include "server/api/testing/fake_engine.h"
#include "server/http/server.h"

int main(int argc, char** argv) {
  using namespace moraine;
  using namespace moraine::server;
  if (argc < 2) {
    std::cerr << "usage: moraine_fake_server PORT [MS_PER_TOKEN]\n";
    return 2;
  }
  const auto pause = std::chrono::milliseconds(argc > 2 ? std::atoi(argv[2]) : 1);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  const auto engine = std::make_shared<FakeEngine>();
  engine->model_info.n_ctx = 2048;
  engine->script = [](const GenerationRequest& request) {
    return FakeScript{.tokens = byte_tokens("Hello! I am choice " + std::to_string(request.choice) +
                                            ", and I have nothing else to say. \U0001F600")};
  };
  ApiOptions options;
  options.log = [](LogLevel, const std::string& line) { std::cerr << line << '\n'; };
  Api api(options);
  http::ServerOptions transport;
  transport.port = static_cast<std::uint16_t>(std::atoi(argv[1]));
  http::Server server(transport, api.handler());
  try {
    server.listen();
  } catch (const Error& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
  server.start();
  std::cerr << "http://127.0.0.1:" << server.port() << '\n';
  api.set_loading({.phase = "pretending to load", .bytes_done = 1, .bytes_total = 2, .seconds_left = 1});
  std::this_thread::sleep_for(std::chrono::seconds(1));
  api.set_ready(engine);

  std::atomic<bool> stop = false;
  std::thread engine_thread([&] {
    while (!stop) {
      engine->step();
      std::this_thread::sleep_for(pause);
    }
  });
  int signal = 0;
  sigwait(&signals, &signal);
  server.drain(std::chrono::seconds(5));
  stop = true;
  engine_thread.join();
  server.stop();
}
