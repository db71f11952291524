// The coding agents that moraine is set up for, one file each: opencode.cpp, codex.cpp, claude.cpp, qwen.cpp.
// Pure functions, text in and text out: files, processes and questions to the server are the program's
// (apps/moraine/connect.cpp, launch.cpp). What each client reads, and what it does without: docs/agents.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace moraine::agents {

// An agent's first request fills 8,000 to 20,000 tokens before a word of the user's; below this there is no
// room to work.
inline constexpr int64_t kMinContext = 32768;
// How long a client shall wait in silence: reading a long prompt on a slow machine takes minutes.
inline constexpr int64_t kPatienceMs = 900000;

// The running server, as it described itself.
struct Server {
  std::string url;         // "http://127.0.0.1:8081": no slash at the end, no /v1
  std::string key;         // "": none is asked for
  std::string model;       // the id it serves
  int64_t n_ctx = 0;       // tokens a request may have
  bool reasoning = false;  // the model thinks apart from its answer
};

struct Wishes {
  bool make_default = false;  // the client's default model too
  bool global = false;        // the settings of the user's account, where a client has no place for providers
  std::string plan;           // opencode: PROVIDER/MODEL for its agent `plan`
};

// Where a client's files are: from the environment.
struct Places {
  std::string home, config_home, working_folder;         // config_home: $XDG_CONFIG_HOME or ~/.config
  std::string codex_home, claude_config_dir, qwen_home;  // "" where not set
};

// How a client is run against a server without changing any of its files.
struct Launch {
  std::vector<std::pair<std::string, std::string>> environment;
  std::vector<std::string> unset;      // what would send it elsewhere
  std::vector<std::string> arguments;  // before the user's
  std::string file_variable,
      file_text;  // a settings file for this process: the variable names its path; "" none
};

class Client {
 public:
  virtual ~Client() = default;
  virtual const char* name() const = 0;     // "opencode": as typed, and the program's name
  virtual const char* title() const = 0;    // "OpenCode"
  virtual const char* package() const = 0;  // of npm: how it is installed

  // The settings files to consider, the likeliest first; the last is the one to make where none is there.
  virtual std::vector<std::string> files(const Places& places, const Wishes& wishes) const = 0;
  // Whether a settings file has an entry for this server.
  virtual bool knows(std::string_view text, const Server& server) const = 0;
  // `text` with the server in it. Everything else stays letter for letter; merging again changes nothing.
  // Throws Error{kInvalidArgument} for a text that cannot be edited.
  virtual std::string merge(std::string_view text, const Server& server, const Wishes& wishes) const = 0;
  // `text` without what merge() added, and with what it replaced as it was in `before`; the user's own
  // changes since stay.
  virtual std::string undo(std::string_view text, std::string_view before) const = 0;

  // How to start it once it is connected: lines for people.
  virtual std::vector<std::string> hints(const Server& server, const Wishes& wishes) const = 0;
  // All of it for somebody without moraine (GET /connect/CLIENT): a file, with comments that say where it
  // goes.
  virtual std::string page(const Server& server) const = 0;
  virtual Launch launch(const Server& server) const = 0;
};

const std::vector<const Client*>& clients();
const Client* find_client(std::string_view name);  // null: none of that name
std::string client_names();                        // "opencode, codex, claude or qwen"

const Client& opencode();
const Client& codex();
const Client& claude();
const Client& qwen();

// Throws Error{kInvalidArgument} where the context is below kMinContext, with the reason and the remedy.
void require_context(const Server& server);

// Whether a chat template keeps thoughts apart from answers.
bool template_reasons(std::string_view chat_template);

// Tokens of an answer that a client may ask for: an eighth of the context. It sets that much aside, so a
// larger one makes it compact earlier. At most 32,000, which is what OpenCode and Claude Code ask for anyway.
int64_t output_limit(const Server& server);
std::string output_limit_reason(const Server& server);  // one sentence

// Whether two base URLs lead to the same server: host names of this machine are one, /v1 and slashes at the
// end do not count.
bool same_server(std::string_view a, std::string_view b);
// "https://box:8081" from any spelling; throws Error{kInvalidArgument} where it is no http address.
std::string server_root(std::string_view url);

}  // namespace moraine::agents
