// Parsing, precedence, suggestions and help over a small table of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "base/options/parser.h"
#include "base/options/render.h"
#include "base/options/suggest.h"

namespace moraine::options {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr unsigned kServe = 1, kBench = 2;

struct Settings {
  int32_t ctx = 0, port = 8080, threads = 0;
  float temp = 0.8f;
  std::optional<uint64_t> seed;
  std::optional<bool> flash;
  bool mmap = true;
  std::string model;
  std::vector<std::string> keys;
};

struct OptionsTest : testing::Test {
  Settings s;
  Table table;
  std::map<std::string, std::string> variables;

  OptionsTest() {
    table.section("Model", kServe | kBench);
    table.add("-m, --model FILE", text(s.model), "the model").env("LLAMA_ARG_MODEL");
    table.add("-c, --ctx-size N", integer(s.ctx, 0, 1 << 26), "tokens of context")
        .standard("0")
        .env("LLAMA_ARG_CTX_SIZE");
    table.add("-t, --threads N", integer_or_auto(s.threads, 1, 1024, 0), "threads");
    table.add("-fa, --flash-attn [on|off|auto]", on_off_auto(s.flash), "flash attention")
        .env("LLAMA_ARG_FLASH_ATTN");
    table.add("--mmap", toggle(s.mmap), "map the file").off("--no-mmap").env("LLAMA_ARG_MMAP");
    table.add("-ngl, --gpu-layers, --n-gpu-layers N", anything(), "layers on the GPU")
        .planned("all on the CPU");
    table.section("Server", kServe);
    table.add("--port N", integer(s.port, 0, 65535), "the port").env("LLAMA_ARG_PORT");
    table.add("--api-key KEY", texts(s.keys), "keys").list().env("LLAMA_API_KEY");
    table.add("--temp, --temperature N", real(s.temp, -1e6, 1e6), "temperature");
    table.add("--version", toggle(s.mmap), "which").command_line_only();
    table.add("--numa TYPE", anything(), "placement").no_effect("the system places threads");
    table.section("Bench", kBench);
    table.add("-ub, --ubatch-size N", integer(s.ctx, 1, 65536), "rows");
  }
  Parsed run(std::vector<std::string> args, unsigned command = kServe) {
    return parse(table, command, args, [&](const std::string& name) -> const char* {
      const auto it = variables.find(name);
      return it == variables.end() ? nullptr : it->second.c_str();
    });
  }
  std::string error(std::vector<std::string> args, unsigned command = kServe) {
    try {
      run(std::move(args), command);
    } catch (const UsageError& e) {
      return e.what();
    }
    return "(no error)";
  }
};

TEST_F(OptionsTest, EverySpellingMeansTheSame) {
  for (const std::vector<std::string>& args : std::vector<std::vector<std::string>>{{"-c", "4096"},
                                                                                    {"--ctx-size", "4096"},
                                                                                    {"--ctx-size=4096"},
                                                                                    {"--ctx_size", "4096"},
                                                                                    {"-c=4096"},
                                                                                    {"-c", "+4096"}}) {
    s.ctx = 0;
    run(args);
    EXPECT_EQ(s.ctx, 4096) << args[0];
  }
}

TEST_F(OptionsTest, TheLastUseWins) {
  const Parsed p = run({"-c", "1", "--ctx-size=2", "-c", "3"});
  EXPECT_EQ(s.ctx, 3);
  ASSERT_EQ(p.given.size(), 1u);
  EXPECT_EQ(p.given[0].shown, "-c 3");
}

TEST_F(OptionsTest, ListsAdd) {
  run({"--api-key", "a,b", "--api-key", "c"});
  EXPECT_THAT(s.keys, ElementsAre("a", "b", "c"));
}

TEST_F(OptionsTest, NegativeNumbersAreValues) {
  const Parsed p = run({"-ngl", "-1", "--temp", "-0.5", "-t", "-1"});
  EXPECT_EQ(p.find("-ngl")->value, "-1");
  EXPECT_EQ(s.temp, -0.5f);
  EXPECT_EQ(s.threads, 0);
}

TEST_F(OptionsTest, AnOptionalValueMayBeLeftOut) {
  run({"-fa", "-c", "7"});
  EXPECT_EQ(s.flash, true);
  EXPECT_EQ(s.ctx, 7);
  run({"-fa", "0"});
  EXPECT_EQ(s.flash, false);
  run({"--flash-attn=auto"});
  EXPECT_EQ(s.flash, std::nullopt);
  const Parsed p = run({"-fa", "model.gguf"});  // not a value: the positional
  EXPECT_EQ(s.flash, true);
  EXPECT_THAT(p.positionals, ElementsAre("model.gguf"));
}

TEST_F(OptionsTest, SwitchesTakeNoValueAndHaveAnOpposite) {
  const Parsed p = run({"--no-mmap", "x.gguf"});
  EXPECT_FALSE(s.mmap);
  EXPECT_EQ(p.find("--mmap")->value, "off");
  EXPECT_THAT(p.positionals, ElementsAre("x.gguf"));
  run({"--no-mmap=false"});
  EXPECT_TRUE(s.mmap);
  EXPECT_THAT(error({"--mmap=maybe"}), HasSubstr("--mmap must be on or off, not \"maybe\""));
}

TEST_F(OptionsTest, TwoDashesEndTheOptions) {
  EXPECT_THAT(run({"a.gguf", "--", "-c", "--"}).positionals, ElementsAre("a.gguf", "-c", "--"));
  EXPECT_THAT(run({"-"}).positionals, ElementsAre("-"));
}

TEST_F(OptionsTest, PrecedenceIsFlagOwnEnvironmentForeignEnvironmentDefault) {
  run({});
  EXPECT_EQ(s.port, 8080);
  variables["LLAMA_ARG_PORT"] = "1";
  run({});
  EXPECT_EQ(s.port, 1);
  variables["MORAINE_PORT"] = "2";
  const Parsed p = run({});
  EXPECT_EQ(s.port, 2);
  EXPECT_TRUE(p.given[0].from_env);
  EXPECT_EQ(p.given[0].shown, "MORAINE_PORT=2");
  run({"--port", "3"});
  EXPECT_EQ(s.port, 3);
}

TEST_F(OptionsTest, EnvironmentFormsOfSwitches) {
  variables["LLAMA_ARG_NO_MMAP"] = "";  // its presence counts, as for llama-server
  run({});
  EXPECT_FALSE(s.mmap);
  variables["LLAMA_ARG_MMAP"] = "enabled";
  run({});
  EXPECT_TRUE(s.mmap);
  variables["MORAINE_CTX_SIZE"] = "";  // empty: as if not set
  run({});
  EXPECT_EQ(s.ctx, 0);
}

TEST_F(OptionsTest, SomeOptionsAreForTheCommandLineAlone) {
  variables["MORAINE_VERSION"] = "1.2";  // a package's own variable, not our option
  EXPECT_NO_THROW(run({}));
}

TEST_F(OptionsTest, ErrorsNameTheOptionAndWhatItAccepts) {
  EXPECT_EQ(error({"--port", "80a"}), "--port must be a whole number from 0 to 65535, not \"80a\"");
  EXPECT_EQ(error({"--port", "65536"}), "--port must be a whole number from 0 to 65535, not \"65536\"");
  EXPECT_EQ(error({"--port", "-1"}), "--port must be a whole number from 0 to 65535, not \"-1\"");
  EXPECT_EQ(error({"-c"}), "-c needs a value: -c N");
  EXPECT_THAT(error({"-m", "-c", "4"}),
              HasSubstr("-m needs a value (FILE), but -c follows; if that is the value, write --model=-c"));
  EXPECT_THAT(error({"--temp", "nan"}), HasSubstr("--temp must be a number"));
  EXPECT_THAT(error({"--temp", "1e999"}), HasSubstr("--temp must be a number"));
  EXPECT_THAT(error({"-t", "-2"}), HasSubstr("or -1 for automatic"));
  EXPECT_THAT(error({"-m", ""}), HasSubstr("-m must be a text that is not empty"));
  variables["LLAMA_ARG_PORT"] = "http";
  EXPECT_EQ(error({}), "LLAMA_ARG_PORT must be a whole number from 0 to 65535, not \"http\"");
}

TEST_F(OptionsTest, UnknownOptionsGetASuggestion) {
  EXPECT_EQ(error({"--ubtach-size", "5"}, kBench),
            "unknown option --ubtach-size; did you mean --ubatch-size?");
  EXPECT_EQ(error({"--prot", "5"}), "unknown option --prot; did you mean --port?");
  EXPECT_EQ(error({"--temper", "5"}), "unknown option --temper; did you mean --temperature?");
  EXPECT_EQ(error({"-nlg", "5"}), "unknown option -nlg; did you mean -ngl?");
  EXPECT_EQ(error({"--no-map"}), "unknown option --no-map; did you mean --no-mmap?");
  EXPECT_EQ(error({"-c8192"}), "unknown option -c8192; did you mean -c 8192?");
  EXPECT_EQ(error({"--something-else-entirely"}), "unknown option --something-else-entirely");
  EXPECT_THAT(error({"--port", "5"}, kBench), HasSubstr("--port is an option of another command"));
  EXPECT_THAT(error({"\xE2\x80\x93port"}), HasSubstr("long dash"));
}

TEST(Suggest, FindsWhatWasMeantAndNothingElse) {
  const std::vector<std::string> words = {"serve", "run", "bench", "inspect"};
  EXPECT_EQ(nearest("sevre", words), "serve");
  EXPECT_EQ(nearest("insp", words), "inspect");
  EXPECT_EQ(nearest("frobnicate", words), "");
  EXPECT_EQ(nearest(std::string(100000, 'x'), words), "");
}

TEST_F(OptionsTest, HelpShowsWhatACommandTakes) {
  const std::string text = help(table, kServe, {.width = 80});
  EXPECT_THAT(text, HasSubstr("-c, --ctx-size N"));
  EXPECT_THAT(text, HasSubstr("tokens of context (default: 0)"));
  EXPECT_THAT(text, HasSubstr("--mmap, --no-mmap"));
  EXPECT_THAT(text, HasSubstr("without effect\n  --numa"));
  EXPECT_THAT(text, Not(HasSubstr("--ubatch-size")));
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    EXPECT_LE(end - at, 80u) << text.substr(at, end - at);
    at = end + 1;
  }
}

TEST_F(OptionsTest, MarkdownShowsEveryOptionAndItsEnvironment) {
  const std::string text = markdown(table, [](unsigned c) {
    return c == kServe ? "serve" : c == kBench ? "bench" : "";
  });
  EXPECT_THAT(text, HasSubstr("| `-c`<br>`--ctx-size N` | tokens of context (default: 0) | serve, bench | "
                              "`MORAINE_CTX_SIZE`<br>`LLAMA_ARG_CTX_SIZE` |"));
  EXPECT_THAT(text, HasSubstr("`--flash-attn [on\\|off\\|auto]`"));
  EXPECT_THAT(text, HasSubstr("no effect: the system places threads"));
}

TEST_F(OptionsTest, ASpellingStandsForOneOption) {
  table.check_unique();
  table.section("More", kServe);
  table.add("--elsewhere", any_switch(), "").off("--port");
  EXPECT_THROW(table.check_unique(), std::logic_error);
}

}  // namespace
}  // namespace moraine::options
