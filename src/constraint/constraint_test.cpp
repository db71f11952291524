// Grammars, masks and their place in a generation, on a vocabulary of bytes and a few words.
#include "constraint/token_constraint.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <moraine/error.h>

#include <random>

#include "constraint/gbnf.h"
#include "constraint/lark.h"
#include "constraint/testing.h"

namespace moraine::constraint {
namespace {

// Whether a whole text is one of the grammar's.
bool matches(Service& service, const std::string& lark, std::string_view text) {
  const auto grammar = service.grammars.compile(lark);
  Matcher matcher(*grammar);
  std::vector<uint32_t> words((service.tokenizer->size() + 31) / 32);
  for (const char c : text) {
    const TokenId token = byte_token(c);
    if (!matcher.mask(words)) return false;
    if ((words[token / 32] >> token % 32 & 1) == 0) return false;
    if (!matcher.accept(token)) return false;
  }
  if (!matcher.mask(words)) return false;
  return words[kEnd / 32] >> kEnd % 32 & 1;
}

bool gbnf_matches(const std::string& gbnf, std::string_view text) {
  static const auto service = make_service();
  return matches(*service,
                 lark_from_gbnf(gbnf, [&](std::string_view t) { return service->grammars.lark_token(t); }),
                 text);
}

TEST(Gbnf, TextsAndClasses) {
  const std::string g = R"(root ::= "yes" | "no" [0-9]? # comment
)";
  for (const char* good : {"yes", "no", "no7"}) EXPECT_TRUE(gbnf_matches(g, good)) << good;
  for (const char* bad : {"", "yes7", "no77", "maybe"}) EXPECT_FALSE(gbnf_matches(g, bad)) << bad;
}

TEST(Gbnf, GreedyWordsOfRegularGrammarsKeepTheirMeaning) {
  EXPECT_TRUE(gbnf_matches("root ::= [a-z]* \"b\" [^x]", "aabbc"));
  EXPECT_FALSE(gbnf_matches("root ::= [a-z]* \"b\" [^x]", "aax"));
}

TEST(Gbnf, EscapesAndRepetitions) {
  const std::string g =
      "root ::= word{2,3} \"\\x41\\u00e4\\\\\\\"\\n\"\nword ::= (\"a\" | [\\]b-c]){1,} \".\"";
  EXPECT_TRUE(gbnf_matches(g, "a].cc.A\xC3\xA4\\\"\n"));
  EXPECT_FALSE(gbnf_matches(g, "a.A\xC3\xA4\\\"\n"));
}

TEST(Gbnf, RecursionAndRulesOverSeveralLines) {
  const std::string json = R"(root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws
array  ::=
  "[" ws (
            value
    ("," ws value)*
  )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}
)";
  EXPECT_TRUE(gbnf_matches(json, R"({"a": [1, -2.5e3, "x\n\u00e4", {}], "b":null})"));
  EXPECT_TRUE(gbnf_matches(json, "{}"));
  for (const char* bad : {"[1]", R"({"a" 1})", R"({"a":01})", R"({"a":)"})
    EXPECT_FALSE(gbnf_matches(json, bad)) << bad;
}

TEST(Gbnf, WordsThatMayBeEmptyBesideRecursion) {
  const std::string g = "root ::= ws list ws\nlist ::= \"(\" ws (list ws)* \")\"\nws ::= [ ]*";
  for (const char* good : {"()", " ( () (() ) )  "}) EXPECT_TRUE(gbnf_matches(g, good)) << good;
  EXPECT_FALSE(gbnf_matches(g, "(()"));
}

TEST(Gbnf, ErrorsNameTheLine) {
  for (const auto& [gbnf, word] : std::vector<std::pair<std::string, std::string>>{
           {"", "root"},
           {"root ::= \"a", "line 1"},
           {"root ::= \"a\"\nroot2 := \"b\"", "line 2"},
           {"root ::= missing", "missing"},
           {"root ::= (\"a\"", "')'"},
           {"root ::= [z-a]", "range"},
           {"root ::= \"\\q\"", "escape"},
           {"root ::= \"a\"{3,1}", "repetition"},
           {"root ::= \"a\"{99999999999}", "2000"},
           {"root ::= \xFF", "expected"},
           {"root ::= \"\xFF\"", "UTF-8"},
           {"root ::= " + std::string(1000, '('), "deep"},
           {"root ::= \"a\"" + std::string(1000, '*'), "repetitions"},
           {std::string(2 << 20, ' '), "bytes"},
       }) {
    try {
      gbnf_matches(gbnf, "");
      ADD_FAILURE() << gbnf.substr(0, 60);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
      EXPECT_NE(std::string(e.what()).find(word), std::string::npos) << e.what();
    }
  }
}

TEST(Gbnf, HostileGrammarsEnd) {
  std::string doubling, chain = "root ::= c0\n";
  for (int i = 0; i < 60; ++i) doubling += fmt::format("r{0} ::= r{1} r{1}\n", i, i + 1);  // 2^60 texts
  for (int i = 0; i < 3000; ++i) chain += fmt::format("c{} ::= \"x\" c{} | \"y\"\n", i, i + 1);
  for (const std::string& g :
       {"root ::= r0\n" + doubling + "r60 ::= \"a\"?", chain + "c3000 ::= root", std::string("root ::= root"),
        std::string("root ::= root root | \"a\"?"), chain + "c3000 ::= \"z\""}) {
    try {
      gbnf_matches(g, "aaaa");
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument) << e.what();
    }
  }
}

TEST(Lark, TextsAreQuoted) {
  const auto service = make_service();
  for (const std::string text : {"a\"b\\c", "line\nend\x7f/\x01", "{%} <x> #"}) {
    EXPECT_TRUE(matches(*service, "start: " + lark_text(text), text)) << text;
  }
  EXPECT_TRUE(matches(*service, "start: " + lark_regex("[/]a/b\\/\n"), "/a/b/\n"));
}

TEST(Lark, Schemas) {
  const auto service = make_service();
  const std::string schema = R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"enum":["x","y"]}},
                                 "required":["a"]})";
  const std::string open = "start: " + lark_schema(schema, Properties::kAsSchemaSays);
  const std::string named = "start: " + lark_schema(schema, Properties::kNamedOnly);
  for (const char* good : {R"({"a":1})", R"({"a": 1, "b": "x"})", "{\n  \"a\": 5\n}"}) {
    EXPECT_TRUE(matches(*service, open, good)) << good;
    EXPECT_TRUE(matches(*service, named, good)) << good;
  }
  for (const char* bad : {"{}", R"({"a":"1"})", R"({"a":1,"b":"z"})", "[1]"}) {
    EXPECT_FALSE(matches(*service, open, bad)) << bad;
    EXPECT_FALSE(matches(*service, named, bad)) << bad;
  }
  EXPECT_TRUE(matches(*service, open, R"({"a":1,"more":[]})"));
  EXPECT_FALSE(matches(*service, named, R"({"a":1,"more":[]})"));
  EXPECT_FALSE(matches(*service, named, "{" + std::string(40, ' ') + "\"a\":1}"));  // white space has a bound
  for (const char* none : {"", "[", "3", "\"x\"", "[]", "false"})
    EXPECT_THROW(lark_schema(none, {}), Error) << none;
  EXPECT_TRUE(matches(*service, "start: " + lark_schema("true", {}), "[1]"));
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "{\"items\":";
  EXPECT_THROW(lark_schema(deep + "{}" + std::string(100'000, '}'), {}), Error);
}

TEST(Lark, WhatIsNotEnforcedIsSaid) {
  const auto service = make_service();
  const auto grammar = service->grammars.compile(
      "start: " +
      lark_schema(R"({"type":"array","uniqueItems":true,"items":{"type":"string","format":"odd"}})", {}));
  ASSERT_EQ(grammar->warnings().size(), 2u);
}

TEST(Grammars, TheSameTextIsCompiledOnce) {
  const auto service = make_service();
  const auto a = service->grammars.compile("start: \"a\"");
  EXPECT_EQ(service->grammars.compile("start: \"a\""), a);
  for (int i = 0; i < 40; ++i) service->grammars.compile("start: \"" + std::to_string(i) + "\"");
  EXPECT_NE(service->grammars.compile("start: \"a\""), a);
}

// Asking what must follow may change nothing of what is allowed: speculation would be seen in the answers.
TEST(Grammars, MasksAreTheSameWhetherForcedTextWasAskedForOrNot) {
  VocabData data = test_vocabulary();
  for (const char* token : {"na", "me", "name", "\":", "\": \"", "{\"", "{\"name", "tr", "true", "</",
                            "ction>", "<fun", "ction", "e\":tr", "}\n", "\n<", "ab", "bc", "abc"})
    moraine::testing::add_token(data, token);
  const auto service = std::make_shared<Service>(Tokenizer::create(data), nullptr);
  const std::string schema =
      R"({"type":"object","properties":{"name":{"const":"abcabc"},"namely":{"type":"boolean"}},)"
      R"("required":["name","namely"],"additionalProperties":false})";
  const std::vector<std::string> grammars = {
      "start: " + lark_schema(schema, Properties::kAsSchemaSays),
      "start: " + lark_schema(schema, Properties::kNamedOnly),
      "start: \"<function=name>\" BODY \"</function>\\n\" start?\nBODY: /[abc]{1,9}/",
      "start: (\"abcabc\" | \"abcd\") <[1002]> \"name\" /(true|truename)+/",
      "start: \"name\"{3} \"abc\"*",
  };
  std::mt19937 rng(7);
  size_t n_forced = 0;
  const size_t n_words = (service->tokenizer->size() + 31) / 32;
  for (const std::string& lark : grammars) {
    SCOPED_TRACE(lark);
    const auto grammar = service->grammars.compile(lark);
    for (int walk = 0; walk < 40; ++walk) {
      Matcher plain(*grammar), asked(*grammar);
      std::string text;
      std::vector<uint32_t> a(n_words), b(n_words);
      for (int step = 0; step < 60; ++step) {
        const bool before = rng() % 2;
        if (before) text = asked.forced(64);
        ASSERT_EQ(plain.mask(a), asked.mask(b));
        ASSERT_EQ(a, b) << text;
        ASSERT_EQ(plain.ended(), asked.ended());
        if (plain.ended()) break;
        if (!before) text = asked.forced(64);
        n_forced += !text.empty();
        std::vector<TokenId> allowed;
        for (TokenId t = 0; t < static_cast<TokenId>(service->tokenizer->size()); ++t)
          if (a[t / 32] >> t % 32 & 1) allowed.push_back(t);
        const TokenId token = allowed[rng() % allowed.size()];
        const std::string bytes(service->tokenizer->token_bytes(token));
        if (!text.empty() && !service->tokenizer->is_control(token))
          ASSERT_EQ(text.substr(0, bytes.size()), bytes.substr(0, text.size()));
        if (service->tokenizer->is_end_of_generation(token)) break;
        ASSERT_TRUE(plain.accept(token));
        ASSERT_TRUE(asked.accept(token));
      }
    }
  }
  EXPECT_GT(n_forced, 1000u);
}

// A generation that takes the first token of `wanted` that is allowed at each place; '|' alone are tokens'
// ends.
struct Bound {
  explicit Bound(const std::string& lark, Scope scope = {}, bool there = true) : service(make_service(&log)) {
    source = std::make_shared<Source>(there ? service->grammars.compile(lark) : nullptr);
    constraint = make_constraint(service, source, std::move(scope));
  }
  bool allows(TokenId token) {
    const auto words = constraint->allowed();
    return words.empty() || (words[token / 32] >> token % 32 & 1);
  }
  bool is_free() { return constraint->allowed().empty(); }
  bool write(std::string_view text) {
    for (const char c : text)
      if (!write(byte_token(c))) return false;
    return true;
  }
  bool write(TokenId token) {
    if (!allows(token)) return false;
    constraint->accept(token);
    return true;
  }
  std::vector<std::string> log;
  std::shared_ptr<Service> service;
  std::shared_ptr<Source> source;
  std::unique_ptr<TokenConstraint> constraint;
};

TEST(TokenConstraint, FromTheBeginningToTheEnd) {
  Bound run("start: \"ab\" | \"ac\"");
  EXPECT_FALSE(run.allows(kEnd));
  EXPECT_FALSE(run.allows(byte_token('b')));
  EXPECT_TRUE(run.write("ac"));
  EXPECT_FALSE(run.allows(byte_token('c')));
  EXPECT_TRUE(run.write(kEnd));
}

TEST(TokenConstraint, OnlyFromATriggerOn) {
  Bound run("start: \"<call>\" /[0-9]+/ \"</call>\"", {.triggers = {{.text = "<call>"}}});
  EXPECT_TRUE(run.is_free());
  EXPECT_TRUE(run.write("text <call <call>"));
  EXPECT_FALSE(run.is_free());
  EXPECT_FALSE(run.allows(byte_token('x')));
  EXPECT_FALSE(run.allows(kEnd));
  EXPECT_TRUE(run.write("17</call>"));
  EXPECT_TRUE(run.is_free());
  EXPECT_TRUE(run.write("\n<call>"));
  EXPECT_FALSE(run.allows(byte_token('x')));
  EXPECT_TRUE(run.log.empty());
}

TEST(TokenConstraint, AQuotedTriggerOpensNothing) {
  Bound run("start: \"<call>\" \"x\"", {.triggers = {{.text = "<call>"}}});
  EXPECT_TRUE(run.write("calls begin with `<call>` or \"<call>\""));
  EXPECT_TRUE(run.is_free());
  EXPECT_TRUE(run.write(" <call>"));
  EXPECT_FALSE(run.is_free());
}

TEST(TokenConstraint, ATriggerThatEndsWithinAToken) {
  Bound run("start: \"<call>\" /[0-9]+/ \"</call>\"", {.triggers = {{.text = "<call>"}}});
  EXPECT_TRUE(run.write("<call"));
  EXPECT_TRUE(run.write(kTagEndOne));  // ">1"
  EXPECT_FALSE(run.allows(byte_token('x')));
  EXPECT_TRUE(run.write("</call>"));
  EXPECT_TRUE(run.is_free());
}

TEST(TokenConstraint, AControlTokenAsTrigger) {
  const auto service = make_service();
  EXPECT_EQ(service->grammars.lark_token("[CALLS]"), "<[" + std::to_string(kCalls) + "]>");
  Bound run("start: " + service->grammars.lark_token("[CALLS]") + " \"x\"",
            {.triggers = {{.text = "[CALLS]"}}});
  EXPECT_TRUE(run.write(kCalls));
  EXPECT_FALSE(run.allows(byte_token('y')));
  EXPECT_TRUE(run.write("x"));
  EXPECT_TRUE(run.is_free());
}

TEST(TokenConstraint, ASingleCallEndsTheAnswer) {
  Bound run("start: \"<call>\"", {.triggers = {{.text = "<call>"}}, .single = true});
  EXPECT_TRUE(run.write("<call>"));
  EXPECT_FALSE(run.allows(byte_token(' ')));
  EXPECT_TRUE(run.allows(kEnd));
}

TEST(TokenConstraint, ReasoningIsFree) {
  Bound run("start: \"a\"", {.reasoning = Scope::Reasoning::kBegun, .reasoning_end = "</think>"});
  EXPECT_TRUE(run.is_free());
  EXPECT_TRUE(run.write("hm, </thin"));
  EXPECT_TRUE(run.is_free());
  EXPECT_TRUE(run.write("</think>"));
  EXPECT_TRUE(run.allows(byte_token('a')));
  EXPECT_FALSE(run.allows(byte_token('b')));
}

TEST(TokenConstraint, ReasoningThatMayBegin) {
  const Scope scope = {
      .reasoning = Scope::Reasoning::kMayBegin, .reasoning_begin = "<think>", .reasoning_end = "</think>"};
  Bound without("start: \"ab\"", scope);
  EXPECT_TRUE(without.write("a"));
  EXPECT_FALSE(without.allows(kThink));
  EXPECT_TRUE(without.write("b"));
  Bound with("start: \"ab\"", scope);
  EXPECT_TRUE(with.write(kThink));
  EXPECT_TRUE(with.write("anything</think>"));
  EXPECT_FALSE(with.allows(byte_token('b')));
  EXPECT_TRUE(with.write("ab"));
  EXPECT_TRUE(with.allows(kEnd));
}

TEST(TokenConstraint, TriggersInReasoningMustBeginALine) {
  Bound run(
      "start: \"<call>\" \"x\"",
      {.reasoning = Scope::Reasoning::kBegun, .reasoning_end = "</think>", .triggers = {{.text = "<call>"}}});
  EXPECT_TRUE(run.write("I could <call> it"));
  EXPECT_TRUE(run.is_free());
  EXPECT_TRUE(run.write("\n<call>"));
  EXPECT_FALSE(run.allows(byte_token('y')));
}

TEST(TokenConstraint, TriggersAtTheBeginningOfTheAnswerAlone) {
  const Scope scope = {.triggers = {{.text = "{\"name\"", .text_start = true}}};
  Bound later("start: \"{\\\"name\\\"\" \"x\"", scope);
  EXPECT_TRUE(later.write("a\n{\"name\""));
  EXPECT_TRUE(later.is_free());
  Bound spaced("start: \"{\\\"name\\\"\" \"x\"", scope);
  EXPECT_TRUE(spaced.write("\n\n{\"name\""));
  EXPECT_FALSE(spaced.allows(byte_token('y')));
  Bound first("start: \"{\\\"name\\\"\" \"x\"", scope);
  EXPECT_TRUE(first.write("{\"name\""));
  EXPECT_FALSE(first.allows(byte_token('y')));
}

TEST(TokenConstraint, BehindTheReasoningTheAnswerBeginsALine) {
  Bound run("start: \"<call>\" \"x\"", {.reasoning = Scope::Reasoning::kBegun,
                                        .reasoning_end = "</think>",
                                        .triggers = {{.text = "<call>", .text_start = true}}});
  EXPECT_TRUE(run.write("<hm> </think>\n\n<call>"));
  EXPECT_FALSE(run.allows(byte_token('y')));
  EXPECT_TRUE(run.write("x"));
  EXPECT_TRUE(run.write(" <call>"));  // no longer at its beginning
  EXPECT_TRUE(run.is_free());
}

TEST(TokenConstraint, WhatIsWrittenAlreadyCounts) {
  Bound whole("start: \"abc\"", {.begun = "ab"});
  EXPECT_FALSE(whole.allows(byte_token('a')));
  EXPECT_TRUE(whole.write("c"));
  EXPECT_TRUE(whole.allows(kEnd));
  const Scope start = {.triggers = {{.text = "<call>", .text_start = true}}, .begun = "Look: "};
  Bound behind("start: \"<call>\" \"x\"", start);
  EXPECT_TRUE(behind.write("<call>"));
  EXPECT_TRUE(behind.is_free());
  Bound within("start: \"<call>\" \"x\"",
               {.triggers = {{.text = "<call>", .line_start = true}}, .begun = "<ca"});
  EXPECT_TRUE(within.write("ll>"));
  EXPECT_FALSE(within.allows(byte_token('y')));
}

TEST(TokenConstraint, WhatCannotGoOnIsGivenUp) {
  // The token that completes the trigger brings a byte that the grammar does not allow.
  Bound run("start: \"<call>\" \"x\"", {.triggers = {{.text = "<call>"}}});
  EXPECT_TRUE(run.write("<call"));
  EXPECT_TRUE(run.write(kTagEndOne));
  EXPECT_TRUE(run.is_free());
  EXPECT_EQ(run.log.size(), 1u);
  EXPECT_EQ(run.source->warnings().size(), 1u);
  EXPECT_TRUE(run.write("<call>"));  // and the next call is bound again
  EXPECT_FALSE(run.allows(byte_token('y')));
}

TEST(TokenConstraint, AGrammarThatComesLateIsWaitedForByNobody) {
  Bound run("", {.triggers = {{.text = "<call>"}}}, /*there=*/false);
  EXPECT_TRUE(run.write("<call>anything"));
  run.source->set(run.service->grammars.compile("start: \"<call>\" \"x\""));
  EXPECT_TRUE(run.write("<call>"));
  EXPECT_FALSE(run.allows(byte_token('y')));
}

TEST(TokenConstraint, AGrammarThatComesWithinACallIsForTheNextOne) {
  Bound run("", {.triggers = {{.text = "<call>"}, {.text = "<name=", .line_start = true}}}, /*there=*/false);
  EXPECT_TRUE(run.write("<call>\n"));
  run.source->set(
      run.service->grammars.compile("start: \"<call>\\n<name=x></call>\" | \"<name=x>\" /[0-9]/"));
  EXPECT_TRUE(run.write("<name=x></call>"));  // as a call without its opening does not go on
  EXPECT_TRUE(run.write("\n<call>"));
  EXPECT_FALSE(run.allows(byte_token('y')));
}

TEST(TokenConstraint, TellsWhatMustFollow) {
  Bound g("start: \"a\" (\"bcdef\" | \"xyzyx\") \"gh\"");
  EXPECT_TRUE(g.write("a"));
  EXPECT_TRUE(g.constraint->forced(8).empty());
  EXPECT_TRUE(g.write("b"));
  const auto forced = g.constraint->forced(8);
  // All but the last token: it might be another if more were known.
  EXPECT_EQ(std::vector<TokenId>(forced.begin(), forced.end()),
            (std::vector<TokenId>{byte_token('c'), byte_token('d'), byte_token('e'), byte_token('f'),
                                  byte_token('g')}));
  EXPECT_EQ(g.constraint->forced(2).size(), 2u);
  EXPECT_TRUE(g.constraint->forced(0).empty());
  EXPECT_TRUE(g.write("cdefgh"));
  EXPECT_TRUE(g.constraint->forced(8).empty());
  EXPECT_TRUE(g.allows(kEnd));
}

TEST(TokenConstraint, ForcesNothingWhereItIsFree) {
  Scope scope;
  scope.triggers = {{"<f>"}};
  Bound g("start: \"<f>abcd</f>\"", scope);
  EXPECT_TRUE(g.constraint->forced(8).empty());
  EXPECT_TRUE(g.write("text <f>"));
  EXPECT_FALSE(g.is_free());  // its beginning is slow: nobody waits for it before
  EXPECT_FALSE(g.constraint->forced(8).empty());
  EXPECT_TRUE(g.write("abcd</f>"));
  EXPECT_TRUE(g.is_free());
  EXPECT_TRUE(g.constraint->forced(8).empty());

  Scope thinks;
  thinks.reasoning = Scope::Reasoning::kMayBegin;
  thinks.reasoning_begin = "<think>", thinks.reasoning_end = "</think>";
  Bound r("start: \"abcd\"", thinks);
  EXPECT_TRUE(r.constraint->forced(8).empty());  // it may think first
  EXPECT_TRUE(r.write(kThink));
  EXPECT_TRUE(r.constraint->forced(8).empty());
}

TEST(MaskCosts, AreRememberedByTheTokensBefore) {
  MaskCosts costs;
  EXPECT_FALSE(costs.is_slow(3, 4));
  costs.learn(3, 4, 5000);
  EXPECT_TRUE(costs.is_slow(3, 4));
  EXPECT_FALSE(costs.is_slow(4, 3));
  costs.learn(3, 4, int64_t{1} << 40);
  EXPECT_TRUE(costs.is_slow(3, 4));
  costs.learn(3, 4, 2);
  EXPECT_FALSE(costs.is_slow(3, 4));
  costs.learn(kNoToken, INT32_MAX, 2);  // any ids
}

TEST(TokenConstraint, ManyAtOnceAndAnEndAtAnyMoment) {
  const auto service = make_service();
  const auto source = std::make_shared<Source>(service->grammars.compile("start: /[ab]*/"));
  std::vector<std::unique_ptr<TokenConstraint>> all;
  for (int i = 0; i < 20; ++i) all.push_back(make_constraint(service, source, {}));
  for (int step = 0; step < 20; ++step) {
    for (auto& c : all) {
      const auto words = c->allowed();
      ASSERT_FALSE(words.empty());
      EXPECT_TRUE(words['a' / 32] >> 'a' % 32 & 1);
      c->accept(byte_token('a'));
    }
    all.pop_back();  // while its mask is computed
  }
}

}  // namespace
}  // namespace moraine::constraint
