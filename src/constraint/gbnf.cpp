#include "constraint/gbnf.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "constraint/lark.h"

namespace moraine::constraint {
namespace {

constexpr size_t kMaxBytes = 1 << 20;
constexpr size_t kMaxRules = 4096;
constexpr size_t kMaxNodes = 100'000;
constexpr int kMaxDepth = 64;
constexpr int kMaxRepeat = 2000;  // llama.cpp's own limit

struct Node {
  enum class Kind : uint8_t { kTerminal, kToken, kRule, kGroup, kRepeat };
  Kind kind = Kind::kTerminal;
  std::string lark;                        // of a terminal or token
  size_t rule = 0;                         // of a reference
  int min = 0, max = 0;                    // of a repetition; max < 0: no limit
  std::vector<std::vector<Node>> choices;  // of a group; a repetition has one of one
};

struct Rule {
  std::string name;
  bool defined = false;
  std::vector<std::vector<Node>> choices;
};

void append_utf8(std::string& text, uint32_t c) {
  if (c < 0x80) {
    text += static_cast<char>(c);
  } else if (c < 0x800) {
    text += {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
  } else if (c < 0x10000) {
    text += {static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3F)),
             static_cast<char>(0x80 | (c & 0x3F))};
  } else {
    text += {static_cast<char>(0xF0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 0x3F)),
             static_cast<char>(0x80 | (c >> 6 & 0x3F)), static_cast<char>(0x80 | (c & 0x3F))};
  }
}

class Parser {
 public:
  Parser(std::string_view text, const std::function<std::string(std::string_view)>& token)
      : text_(text), token_(token) {}

  std::vector<Rule> parse() {
    skip(true);
    while (at_ < text_.size()) {
      const std::string name = read_name();
      skip(false);
      if (!text_.substr(at_).starts_with("::=")) fail("'::=' is missing");
      at_ += 3;
      skip(true);
      auto choices = read_choices(0);
      Rule& rule = rules_[index_of(name)];
      rule.choices = std::move(choices);
      rule.defined = true;
      skip(true);
    }
    for (const Rule& rule : rules_)
      if (!rule.defined) fail(fmt::format("the rule '{}' is used but not defined", rule.name.substr(0, 64)));
    return std::move(rules_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    const auto line =
        1 + std::count(text_.begin(),
                       text_.begin() + static_cast<std::ptrdiff_t>(std::min(at_, text_.size())), '\n');
    throw Error(ErrorCode::kInvalidArgument, fmt::format("{} (line {} of the grammar).", what, line));
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void skip(bool line_ends) {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (c == ' ' || c == '\t' || (line_ends && (c == '\n' || c == '\r'))) {
        ++at_;
      } else {
        return;
      }
    }
  }

  static bool is_name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  }

  std::string read_name() {
    const size_t begin = at_;
    while (is_name_char(peek())) ++at_;
    if (at_ == begin) fail("a rule's name is missing");
    return std::string(text_.substr(begin, at_ - begin));
  }

  size_t index_of(const std::string& name) {
    const auto [it, is_new] = names_.emplace(name, rules_.size());
    if (is_new) {
      if (rules_.size() >= kMaxRules) fail(fmt::format("it has more than {} rules", kMaxRules));
      rules_.push_back({.name = name});
    }
    return it->second;
  }

  Node& count(Node& node) {
    if (++n_nodes_ > kMaxNodes) fail("it is too large");
    return node;
  }

  std::vector<std::vector<Node>> read_choices(int depth) {
    if (depth > kMaxDepth) fail("its parentheses are too deep");
    std::vector<std::vector<Node>> choices;
    for (;;) {
      choices.push_back(read_sequence(depth));
      const size_t here = at_;
      skip(true);  // a choice may go on in the next line
      if (peek() != '|') {
        if (depth == 0) at_ = here;
        return choices;
      }
      ++at_;
      skip(true);
    }
  }

  std::vector<Node> read_sequence(int depth) {
    std::vector<Node> nodes;
    for (;;) {
      skip(depth > 0);
      const char c = peek();
      Node node;
      if (c == '"') {
        node = read_literal();
      } else if (c == '[') {
        node = read_class();
      } else if (c == '.') {
        ++at_;
        node.lark = "/(?s:.)/";
      } else if (c == '(') {
        ++at_;
        skip(true);
        node.kind = Node::Kind::kGroup;
        node.choices = read_choices(depth + 1);
        skip(true);
        if (peek() != ')') fail("a ')' is missing");
        ++at_;
      } else if (c == '<' || c == '!') {
        node = read_token();
      } else if (is_name_char(c)) {
        // A name that '::=' follows begins the next rule.
        const size_t here = at_;
        const std::string name = read_name();
        skip(false);
        if (text_.substr(at_).starts_with("::=")) {
          at_ = here;
          return nodes;
        }
        node.kind = Node::Kind::kRule;
        node.rule = index_of(name);
      } else {
        const bool ends = c == '\0' || c == '\n' || c == '\r' || c == '|' || (c == ')' && depth > 0);
        if (!ends || (c == '\0' && at_ < text_.size())) fail(fmt::format("'{}' is not expected", c));
        return nodes;
      }
      count(node);
      nodes.push_back(read_repeats(std::move(node)));
    }
  }

  Node read_repeats(Node node) {
    for (int n = 0;; ++n) {
      if (n > kMaxDepth) fail("too many repetitions follow each other");
      int min = 0, max = -1;
      switch (peek()) {
        case '*':
          break;
        case '+':
          min = 1;
          break;
        case '?':
          max = 1;
          break;
        case '{': {
          ++at_;
          min = read_number();
          max = min;
          skip(false);
          if (peek() == ',') {
            ++at_;
            skip(false);
            max = peek() == '}' ? -1 : read_number();
            skip(false);
          }
          if (peek() != '}') fail("a '}' is missing");
          if (max >= 0 && max < min) fail("a repetition ends before it begins");
          break;
        }
        default:
          return node;
      }
      ++at_;
      Node repeat;
      repeat.kind = Node::Kind::kRepeat;
      repeat.min = min;
      repeat.max = max;
      repeat.choices.emplace_back();
      repeat.choices[0].push_back(std::move(node));
      node = std::move(count(repeat));
      if (peek() == ' ' || peek() == '\t') return node;
    }
  }

  int read_number() {
    skip(false);
    int value = 0;
    const auto [end, ec] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (ec != std::errc() || value < 0 || value > kMaxRepeat)
      fail(fmt::format("a repetition needs a number up to {}", kMaxRepeat));
    at_ = static_cast<size_t>(end - text_.data());
    return value;
  }

  // One character of a literal or class, escapes resolved.
  uint32_t read_char() {
    if (at_ >= text_.size()) fail("it ends within a text");
    const auto byte = static_cast<uint8_t>(text_[at_++]);
    if (byte == '\\') {
      const char c = at_ < text_.size() ? text_[at_++] : '\0';
      switch (c) {
        case 'x':
          return read_hex(2);
        case 'u':
          return read_hex(4);
        case 'U':
          return read_hex(8);
        case 't':
          return '\t';
        case 'r':
          return '\r';
        case 'n':
          return '\n';
        case '\\':
        case '"':
        case '[':
        case ']':
          return static_cast<uint8_t>(c);
        default:
          fail("a backslash is followed by what is no escape");
      }
    }
    const int n = byte < 0x80 ? 0 : byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : 1;
    uint32_t value = n == 0 ? byte : byte & (0x3F >> n);
    for (int i = 0; i < n; ++i) {
      if (at_ >= text_.size() || (static_cast<uint8_t>(text_[at_]) & 0xC0) != 0x80)
        fail("its text is not valid UTF-8");
      value = value << 6 | (static_cast<uint8_t>(text_[at_++]) & 0x3F);
    }
    return checked(value);
  }

  uint32_t read_hex(int digits) {
    uint32_t value = 0;
    const size_t end = at_ + static_cast<size_t>(digits);
    if (end > text_.size()) fail("it ends within an escape");
    const auto [stop, ec] = std::from_chars(text_.data() + at_, text_.data() + end, value, 16);
    if (ec != std::errc() || stop != text_.data() + end) fail("an escape has too few digits");
    at_ = end;
    return checked(value);
  }

  uint32_t checked(uint32_t c) const {
    if (c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) fail("a character is outside of Unicode");
    return c;
  }

  Node read_literal() {
    Node node;
    std::string text;
    for (++at_; peek() != '"';) append_utf8(text, read_char());
    ++at_;
    node.lark = lark_text(text);
    return node;
  }

  Node read_class() {
    Node node;
    ++at_;
    const bool negated = peek() == '^';
    if (negated) ++at_;
    std::string ranges;
    while (peek() != ']') {
      const uint32_t first = read_char();
      uint32_t last = first;
      if (peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        last = read_char();
        if (last < first) fail("a range of characters ends before it begins");
      }
      ranges += fmt::format("\\x{{{:X}}}-\\x{{{:X}}}", first, last);
    }
    ++at_;
    if (ranges.empty()) {
      if (!negated) fail("a class of characters is empty");
      node.lark = "/(?s:.)/";
    } else {
      node.lark = fmt::format("/[{}{}]/", negated ? "^" : "", ranges);
    }
    return node;
  }

  // <[42]> or <text>, and with '!' any other token.
  Node read_token() {
    const bool negated = peek() == '!';
    if (negated) ++at_;
    const size_t end = peek() == '<' ? text_.find_first_of(">\n", at_) : text_.npos;
    if (end == text_.npos || text_[end] != '>') fail("a token must stand in < and >");
    const std::string_view name = text_.substr(at_, end + 1 - at_);
    at_ = end + 1;
    const std::string_view digits =
        name.starts_with("<[") && name.ends_with("]>") ? name.substr(2, name.size() - 4) : "";
    const bool by_id =
        !digits.empty() && digits.size() < 10 && digits.find_first_not_of("0123456789") == digits.npos;
    Node node;
    node.kind = Node::Kind::kToken;
    node.lark = by_id ? std::string(name) : token_(name);
    if (!node.lark.starts_with("<[")) {  // spelled as text in this vocabulary
      if (negated) fail(fmt::format("{} is no token of its own in this model", name.substr(0, 64)));
      node.kind = Node::Kind::kTerminal;
    } else if (negated) {
      node.lark.insert(2, "^");
    }
    return node;
  }

  const std::string_view text_;
  const std::function<std::string(std::string_view)>& token_;
  size_t at_ = 0, n_nodes_ = 0;
  std::map<std::string, size_t> names_;
  std::vector<Rule> rules_;
};

class Writer {
 public:
  explicit Writer(const std::vector<Rule>& rules)
      : rules_(rules), regular_(rules.size(), Known::kNew), empty_(rules.size(), Known::kNew) {
    for (size_t i = 0; i < rules.size(); ++i) find_out(i);
  }

  std::string write(size_t root) {
    std::string text =
        fmt::format("start: {}\n", is_regular(root) ? fmt::format("T{}", root) : fmt::format("r{}", root));
    for (size_t i = 0; i < rules_.size(); ++i) {
      const bool regular = is_regular(i);
      text += fmt::format("{}{}: {}\n", regular ? 'T' : 'r', i, choices(rules_[i].choices, regular));
    }
    return text + extra_;
  }

 private:
  enum class Known : uint8_t { kNew, kOpen, kRegular, kNot };

  bool is_regular(size_t rule) const { return regular_[rule] == Known::kRegular; }

  // A rule is regular where it cannot reach itself. Rules on a cycle are met while open; those that reach one
  // through another are not regular either.
  bool find_out(size_t rule) {
    if (regular_[rule] == Known::kOpen) return false;
    if (regular_[rule] != Known::kNew) return is_regular(rule);
    regular_[rule] = Known::kOpen;
    const bool regular = all_regular(rules_[rule].choices);
    regular_[rule] = regular ? Known::kRegular : Known::kNot;
    return regular;
  }

  bool all_regular(const std::vector<std::vector<Node>>& list) {
    bool all = true;  // every reference is looked at: none may stay new
    for (const auto& sequence : list)
      for (const Node& node : sequence) all &= node_regular(node);
    return all;
  }

  bool node_regular(const Node& node) {
    switch (node.kind) {
      case Node::Kind::kTerminal:
        return true;
      case Node::Kind::kToken:
        return false;
      case Node::Kind::kRule:
        return find_out(node.rule);
      case Node::Kind::kGroup:
      case Node::Kind::kRepeat:
        return all_regular(node.choices);
    }
    return false;
  }

  std::string choices(const std::vector<std::vector<Node>>& list, bool in_terminal) {
    std::string text;
    for (const auto& sequence : list) {
      if (!text.empty()) text += " | ";
      text += in_terminal ? terminal_sequence(sequence) : rule_sequence(sequence);
    }
    return text;
  }

  std::string terminal_sequence(const std::vector<Node>& nodes) {
    std::string text;
    for (const Node& node : nodes) {
      if (!text.empty()) text += ' ';
      text += piece(node, true);
    }
    return text.empty() ? "\"\"" : text;
  }

  // Neighbours without recursion become one word, which must not be empty.
  std::string rule_sequence(const std::vector<Node>& nodes) {
    std::string text;
    for (size_t i = 0; i < nodes.size();) {
      size_t end = i;
      while (end < nodes.size() && node_regular(nodes[end])) ++end;
      if (!text.empty()) text += ' ';
      if (end == i) {
        text += piece(nodes[i++], false);
        continue;
      }
      std::vector<Node> word(nodes.begin() + static_cast<std::ptrdiff_t>(i),
                             nodes.begin() + static_cast<std::ptrdiff_t>(end));
      const std::string name = fmt::format("W{}", n_words_++);
      const bool nullable =
          std::all_of(word.begin(), word.end(), [&](const Node& n) { return may_be_empty(n); });
      extra_ += fmt::format("{}: ({}){}\n", name, terminal_sequence(word), nullable ? " & /(?s:.+)/" : "");
      text += name + (nullable ? "?" : "");
      i = end;
    }
    return text.empty() ? "\"\"" : text;
  }

  // Of a regular node.
  bool may_be_empty(const Node& node) {
    switch (node.kind) {
      case Node::Kind::kTerminal:
        return node.lark == "\"\"";
      case Node::Kind::kToken:
        return false;
      case Node::Kind::kRule: {
        auto& known = empty_[node.rule];
        if (known == Known::kNew) {
          known = Known::kOpen;
          known = any_empty(rules_[node.rule].choices) ? Known::kRegular : Known::kNot;
        }
        return known == Known::kRegular;
      }
      case Node::Kind::kGroup:
        return any_empty(node.choices);
      case Node::Kind::kRepeat:
        return node.min == 0 || any_empty(node.choices);
    }
    return true;
  }

  bool any_empty(const std::vector<std::vector<Node>>& list) {
    return std::any_of(list.begin(), list.end(), [&](const auto& sequence) {
      return std::all_of(sequence.begin(), sequence.end(), [&](const Node& n) { return may_be_empty(n); });
    });
  }

  std::string piece(const Node& node, bool in_terminal) {
    switch (node.kind) {
      case Node::Kind::kTerminal:
      case Node::Kind::kToken:
        return node.lark;
      case Node::Kind::kRule:
        return fmt::format("{}{}", is_regular(node.rule) ? 'T' : 'r', node.rule);
      case Node::Kind::kGroup:
        return "(" + choices(node.choices, in_terminal) + ")";
      case Node::Kind::kRepeat: {
        const std::string inner = "(" + choices(node.choices, in_terminal) + ")";
        if (node.max < 0 && node.min <= 1) return inner + (node.min == 0 ? "*" : "+");
        if (node.min == 0 && node.max == 1) return inner + "?";
        if (node.max == 0) return "\"\"";
        return inner + (node.max < 0 ? fmt::format("{{{},}}", node.min)
                                     : fmt::format("{{{},{}}}", node.min, node.max));
      }
    }
    return "";
  }

  const std::vector<Rule>& rules_;
  std::vector<Known> regular_;
  std::vector<Known> empty_;  // kRegular: the rule may be empty
  std::string extra_;
  size_t n_words_ = 0;
};

}  // namespace

std::string lark_from_gbnf(std::string_view gbnf, const std::function<std::string(std::string_view)>& token) {
  if (gbnf.size() > kMaxBytes)
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("The grammar has {} bytes, and at most {} are read.", gbnf.size(), kMaxBytes));
  const std::vector<Rule> rules = Parser(gbnf, token).parse();
  const auto root =
      std::find_if(rules.begin(), rules.end(), [](const Rule& rule) { return rule.name == "root"; });
  if (root == rules.end()) throw Error(ErrorCode::kInvalidArgument, "The grammar has no rule 'root'.");
  return Writer(rules).write(static_cast<size_t>(root - rules.begin()));
}

}  // namespace moraine::constraint
