#include "commands.h"

namespace moraine::app {
namespace {

constexpr char kPerplexityDetails[] = R"(
Perplexity is how many tokens the model hesitates between, on average: e to the mean of -ln p, where p
is what it gave each token of the text from the tokens before. Lower is better; 1 is to know the text
by heart. It tells what a quantisation costs (one model, two files) or whether two engines agree (one
file). Between models with different tokenizers compare the bits a byte instead. Counted as
llama-perplexity counts: in chunks of 512 tokens, the second half of each.

  moraine perplexity MODEL.gguf                        on the program's own text
  moraine perplexity MODEL.gguf -f wiki.test.raw       on yours
  moraine perplexity MODEL.gguf --chunks 4 --json      a first look, for a script
)";
constexpr char kAgentsDetails[] = R"(
Sends what a file of tools/agent_sessions.py says: an agent whose conversation grows, subagents beside it,
titles, an edited message, a request cancelled and sent again, a restart. Told for each request: how many
tokens of its prompt were computed, and how many of those an earlier prompt had begun with already.

  moraine bench agents sessions.jsonl --url http://127.0.0.1:8080
  moraine bench agents sessions.jsonl --url http://127.0.0.1:8080 --restart-cmd ./restart-server --json
)";
constexpr char kOpsDetails[] = R"(
Each kernel in turn with a probe of the same instruction set: reading memory, exact products of bytes, float
multiply-adds. The share is the median of such pairs. A row of a generated token reads every weight, so its
measure is the memory; rows of a prompt share them, so theirs is arithmetic.

  moraine bench ops                               all that this CPU runs; minutes
  moraine bench ops --filter q4_K --isa avx2      one format, one instruction set
)";
constexpr char kSpeculationDetails[] = R"(
Answers to four tasks, speculation off and on in turn: tokens a second, whether the tokens are the same
(they must be: the exit code is 1 otherwise), what was drafted and held, and how near that comes to what
this machine's steps of several rows allow.

  moraine bench speculation MODEL                 copy a file, fill a form, a list, a story
  moraine bench speculation MODEL -f task.txt     a task of yours
  moraine bench speculation MODEL --acceptance 0,0.3,0.6,0.9
                                                  drafts that hold so often: the controller, and fixed lengths
  moraine bench speculation MODEL --cost          what a step of 1 to 32 rows takes
)";
constexpr char kDemoDetails[] = R"(
Starts servers of its own, with a cache folder that is gone afterwards: a file copied with speculation off
and on, a long prompt twice and after a restart, a kill -9 in the middle of an answer, a tool call that
follows its schema; and the same on a llama-server, where there is one. Without a model it takes SmolLM2
135M, from this disk or the hub.

  moraine demo                                    with SmolLM2
  moraine demo MODEL --peer ~/llama.cpp/build/bin/llama-server
  moraine demo MODEL --peer http://box:8080       beside one that runs: only what needs no restart
)";
constexpr char kDoctorDetails[] = R"(
Nothing is changed without --write. On an APU such as Strix Halo the GPU shares the memory, and the kernel
lets it map half of it unless ttm.pages_limit (pages of 4 KiB) says otherwise: the report gives the line
for this machine's bootloader, and the way back. Exit code: 0 all is well, 3 something should be better,
4 something will not work.

  moraine doctor                                  what this machine is, can hold, and what to change
  moraine doctor --gpu-memory 100G                how to let the GPU map 100 GiB
  moraine doctor qwen3-coder-next -c 128000       whether that model and context fit
  sudo moraine doctor --write                     make the edits, after asking; commands are left to you
)";
constexpr char kCacheDetails[] = R"(
What prompts leave behind (keys, values and states: as good as the prompts themselves) is kept on disk, so
that a session goes on where it was after a restart. docs/privacy.md says more.

  moraine cache                                   where it lies, and how much of which model
  moraine cache clear                             remove all of it; servers that run go on
  moraine cache --cache-disk DIR                  the same for another folder
)";
constexpr char kUsageDetails[] = R"(
Each request's tokens and times are kept on this disk, never its text (docs/privacy.md), and what a cloud
model would have charged for them is told: cached tokens at the cached rate. The prices are an example to be
edited.

  moraine usage                                   by day, with bars
  moraine usage --by epic --since 7d              what a week's epics took
  moraine usage --price gpt-5 --watts 120         another model; electricity by a wattage
  moraine usage --write-prices                    the table of prices, to be edited
)";
constexpr char kEpicDetails[] = R"(
A frontier model plans, the local model does the work: a plan is Markdown in epics/, each of its tasks is
done in a working tree of its own by OpenCode with the local model, and committed once its acceptance
command succeeds. Those commands, and the agent's, run as you on this machine. docs/workflow.md has a whole
example.

  moraine epic plan "..." --planner claude        research, write epics/NAME.md; says first what is sent
  moraine epic import FILE                        a plan made elsewhere
  moraine epic run NAME                           work through it; again: goes on where it was
  moraine epic status NAME                        where it stands
  moraine epic escalate NAME TASK                 what is known of a failed one; with --planner: hand it over
)";
constexpr char kPullDetails[] = R"(
Without a quantisation it lists what there is, with sizes, licence and whether each fits this machine, and
asks. Files go to the cache that huggingface_hub uses, each checked by its SHA-256. Stopped or killed, the
same command goes on from there. HF_TOKEN, HF_ENDPOINT, HF_HOME, HF_HUB_OFFLINE and proxies are honoured.

  moraine pull unsloth/Qwen3-1.7B-GGUF             which there are, and which fit
  moraine pull unsloth/Qwen3-1.7B-GGUF:Q8_0        this one
  moraine serve unsloth/Qwen3-1.7B-GGUF:Q8_0       then
)";
constexpr char kServiceDetails[] = R"(
A systemd user unit, confined to what a server needs, and a file of options that upgrades leave alone:
~/.config/moraine/serve.conf, where MORAINE_CTX_SIZE=32768 stands for --ctx-size 32768, and so on.

  moraine service install qwen3-coder-next        write both, start it
  moraine service status                          whether it runs, and where its files are
  moraine logs -f                                 what it says
  moraine service uninstall                       stop and remove it; the options stay
)";
constexpr char kConnectDetails[] = R"(
CLIENT is opencode, codex, claude or qwen. Without --write nothing is changed: the settings that would be
added are printed, from the running server's own model, context and what its answers take. --write merges
them into the client's settings file, whose comments and everything else stay, with a copy beside it;
again it only updates; --undo takes them out.

  moraine connect opencode                        what OpenCode would be told
  moraine connect opencode --write --default      tell it, and make it the model OpenCode starts with
  moraine connect opencode --write --plan anthropic/claude-opus-4-5
                                                  plan with that, build with the local model
  moraine connect opencode --undo                 as it was
  curl -fs http://box:8081/connect/opencode       the same on a laptop without moraine
)";
constexpr char kLaunchDetails[] = R"(
CLIENT is opencode, codex, claude or qwen: it must be installed. It gets its settings for this one run, by
environment variables and arguments; none of its files are changed, and no account is redirected.

  moraine launch opencode
  moraine launch claude -- -p "What does this project do?"
  moraine launch codex --url http://box:8081 --key KEY
)";
constexpr CommandInfo kCommands[] = {
    {"serve", kServe, "MODEL [options]", "answer requests of the OpenAI API on a port", serve},
    {"run", kRun, "MODEL [PROMPT] [options]", "talk to a model here, or get one answer", run},
    {"chat", kRun, "MODEL [PROMPT] [options]", "the same as run", run},
    {"bench", kBench, "MODEL [options]", "measure the speed of prompts and answers", bench},
    {"bench agents", kBenchAgents, "FILE.jsonl --url URL [options]",
     "replay sessions of coding agents against a server", bench_agents, kAgentsDetails},
    {"bench ops", kBenchOps, "[options]", "measure the kernels against what this machine can do", bench_ops,
     kOpsDetails},
    {"bench speculation", kBenchSpeculation, "MODEL [options]", "measure what guessing ahead brings",
     bench_speculation, kSpeculationDetails},
    {"perplexity", kPerplexity, "MODEL [options]", "measure how well a model predicts a text", perplexity,
     kPerplexityDetails},
    {"inspect", kInspect, "MODEL [options]", "say what is in a model file, and what it needs", inspect},
    {"list", kList, "[PART OF A NAME] [options]", "the models on this disk, whoever fetched them", list},
    {"pull", kPull, "USER/REPO[:QUANT] [options]", "fetch a model from the hub", pull, kPullDetails},
    {"rm", kRm, "NAME [options]", "remove a model that was fetched from the hub", rm},
    {"ps", kPs, "[options]", "the servers that run on this machine", ps},
    {"stop", kStop, "[PROCESS, PORT OR NAME] [options]", "end a server, its answers finished first", stop},
    {"logs", kLogs, "[PROCESS, PORT OR NAME] [options]", "what a server has logged", logs},
    {"service", kService, "install MODEL | uninstall | status", "the server as a systemd service of yours",
     service, kServiceDetails},
    {"epic", kEpic, "plan|import|run|status|escalate [NAME] [options]",
     "plan with a frontier model, work through it with the local one", epic_command, kEpicDetails},
    {"usage", kMeter, "[options]", "what the servers have done, and what a cloud model would have charged",
     usage_command, kUsageDetails},
    {"self-test", kSelfTest, "", "whether this build computes rightly on this CPU", self_test},
    {"cache", kCache, "[clear] [options]", "what finished prompts left on disk", cache, kCacheDetails},
    {"demo", kDemo, "[MODEL] [options]", "a minute that shows what this server does, with times", demo,
     kDemoDetails},
    {"doctor", kDoctor, "[MODEL] [options]", "say what this machine can hold, and how it can hold more",
     doctor, kDoctorDetails},
    {"connect", kConnect, "CLIENT [options]", "set a coding agent up for a running server", connect,
     kConnectDetails},
    {"launch", kLaunch, "CLIENT [options] [-- arguments]", "run a coding agent against a running server",
     launch, kLaunchDetails},
};

}  // namespace

std::span<const CommandInfo> commands() noexcept { return kCommands; }

const CommandInfo* find_command(std::string_view name) noexcept {
  for (const CommandInfo& c : kCommands)
    if (name == c.name) return &c;
  return nullptr;
}

}  // namespace moraine::app
