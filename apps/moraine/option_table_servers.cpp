// The options of `ps`, `stop`, `logs` and `service`: servers that run, and the one that systemd runs.
#include "option_table.h"

namespace moraine::app {

using namespace options;

void add_servers_options(Table& t, Settings& s) {
  t.section("Servers", kPs | kStop | kLogs | kService);
  t.add("--all", toggle(s.servers.all), "all of them").only(kStop).command_line_only();
  t.add("--now", toggle(s.servers.now), "do not wait for answers under way").only(kStop).command_line_only();
  t.add("-n, --lines N", integer(s.servers.lines, 0, 100000), "so many of the last lines")
      .standard("50")
      .only(kLogs)
      .command_line_only();
  t.add("-f, --follow", toggle(s.servers.follow), "and those to come, until Ctrl-C")
      .only(kLogs)
      .command_line_only();
  t.add("--start", toggle(s.service.start), "start it as well")
      .off("--no-start")
      .standard("on")
      .only(kService)
      .command_line_only();
  t.add("--json", toggle(s.json), "print JSON").only(kPs).command_line_only();
  t.section("A server that has the model", kRun);
  t.add("--own", toggle(s.servers.own), "load the model here even where a server has it").command_line_only();
}

}  // namespace moraine::app
