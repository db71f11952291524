// What agents are told, who planners are, and what `moraine usage` prints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/options/parser.h"
#include "epic_agent.h"
#include "epic_planner.h"
#include "usage_report.h"

namespace moraine::app {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(EpicAgent, OpenCodesRequestsAreMarkedAndItMayWork) {
  agents::Server server;
  server.url = "http://127.0.0.1:8081";
  server.model = "coder";
  server.n_ctx = 128000;
  std::string launch;
  for (const auto& [name, value] : agents::opencode().launch(server).environment)
    if (name == "OPENCODE_CONFIG_CONTENT") launch = value;
  const auto j = nlohmann::json::parse(opencode_settings(launch, "mend", "parser"));
  const auto& options = j["provider"]["moraine"]["options"];
  EXPECT_EQ(options["baseURL"], "http://127.0.0.1:8081/v1");
  EXPECT_EQ(options["headers"]["X-Moraine-Epic"], "mend");
  EXPECT_EQ(options["headers"]["X-Moraine-Task"], "parser");
  EXPECT_EQ(j["permission"]["bash"], "allow");
  EXPECT_EQ(j["model"], "moraine/coder");
}

TEST(EpicPlanner, IsWhoIsNamed) {
  EXPECT_EQ(parse_planner("claude").kind, Planner::Kind::kClaude);
  EXPECT_EQ(parse_planner("opencode:anthropic/x").model, "anthropic/x");
  EXPECT_TRUE(parse_planner("openai:gpt-5").is_api());
  EXPECT_EQ(parse_planner("cmd:a: b").model, "a: b");
  for (const char* bad : {"", "me", "openai", "anthropic:", "cmd:"})
    EXPECT_THROW(parse_planner(bad), options::UsageError) << bad;
}

TEST(EpicPlanner, SaysWhatLeavesTheMachine) {
  EXPECT_THAT(sending_notice(parse_planner("anthropic:m"), "https://a.example/v1", "  README.md (5 bytes)\n"),
              HasSubstr("README.md"));
  EXPECT_THAT(sending_notice(parse_planner("codex"), "", ""), HasSubstr("chooses to read"));
}

TEST(EpicPlanner, AnApiCannotEdit) {
  EXPECT_THROW(frontier_job(parse_planner("openai:m"), "x"), Error);
  const auto job = frontier_job(parse_planner("claude:m"), "x");
  EXPECT_EQ(job.input, "x");
  EXPECT_THAT(job.command, ::testing::Contains("Read,Grep,Glob,Edit,Write,Bash"));
}

UsageReport report() {
  UsageReport r;
  r.by = usage::By::kModel;
  r.table = usage::parse_prices(usage::default_prices(), "x");
  r.price = {"cloud", 1, 0.1, 2};
  usage::Sums s{.key = "a \"quoted\", model",
                .n_requests = 3,
                .n_fresh = 1'000'000,
                .n_cached = 10'000'000,
                .n_generated = 500'000,
                .busy_ms = 7.2e6};
  r.rows = {s};
  r.total = s;
  return r;
}

TEST(UsageReport, SaysTheSameInEachForm) {
  UsageReport r = report();
  EXPECT_DOUBLE_EQ(r.charge(r.total), 3);
  EXPECT_THAT(usage_text(r, 120), HasSubstr("cloud would have charged 3.00 USD"));
  EXPECT_THAT(usage_text(r, 120), HasSubstr("Electricity: not known"));
  EXPECT_THAT(usage_text(r, 120), HasSubstr("2.0 h"));
  EXPECT_TRUE(usage_text(r, 120).ends_with(".\n"));
  EXPECT_THAT(usage_csv(r),
              HasSubstr("\"a \"\"quoted\"\", model\",3,1000000,10000000,500000,0,0,7200.000,3.000000,\n"));
  auto j = nlohmann::json::parse(usage_json(r));
  EXPECT_EQ(j["rows"][0]["prompt_cached"], 10'000'000);
  EXPECT_TRUE(j["electricity"].is_null());
  r.watts = 50;
  EXPECT_THAT(usage_text(r, 120), HasSubstr("0.10 kWh"));
  EXPECT_DOUBLE_EQ(nlohmann::json::parse(usage_json(r))["total"]["kwh"].get<double>(), 0.1);
}

TEST(UsageReport, BarsFitTheTerminalOrAreLeftOut) {
  const UsageReport r = report();
  EXPECT_THAT(usage_text(r, 120), HasSubstr("█"));
  EXPECT_THAT(usage_text(r, 60), Not(HasSubstr("█")));
  UsageReport nasty = report();
  nasty.rows[0].key = "\x1b[2Jmodel";
  EXPECT_THAT(usage_text(nasty, 120), Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace moraine::app
