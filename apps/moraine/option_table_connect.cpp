// The options of `moraine connect` and `moraine launch`, which speak of a running server and a client.
#include "option_table.h"

namespace moraine::app {

using namespace options;

void add_connect_options(Table& t, Settings& s) {
  t.section("The server", kConnect | kLaunch);
  t.add("--url URL", text(s.connect.url), "where it is")
      .standard("http://127.0.0.1:8081, or 8080 where nobody answers there");
  t.add("--key, --api-key KEY", text(s.connect.key), "what it was started with, if it asks for one");

  t.section("Settings", kConnect);
  t.add("--write", toggle(s.connect.write), "merge them into the client's file; a copy is kept beside it")
      .command_line_only();
  t.add("--undo", toggle(s.connect.undo), "take them out again").command_line_only();
  t.add("--default", toggle(s.connect.make_default), "make it the model the client starts with")
      .command_line_only();
  t.add("--plan PROVIDER/MODEL", text(s.connect.plan),
        "opencode: plan with this model, build with the local one")
      .command_line_only();
  t.add("--global", toggle(s.connect.global),
        "the user's account too: claude in every project, qwen's way to sign in")
      .command_line_only();
  t.add("--file FILE", text(s.connect.file), "the settings file")
      .standard("where the client looks")
      .command_line_only();
}

}  // namespace moraine::app
