#include "tokenizer/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <moraine/error.h>
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <new>

namespace moraine {

struct PreTokenizerSpec {
  std::array<std::string_view, 3> names;     // values of tokenizer.ggml.pre
  std::array<std::string_view, 6> patterns;  // stages, as published in the family's tokenizer.json
  bool nfc = false;
  bool ignore_merges = false;
  bool add_bos = false;
};

namespace {

constexpr std::string_view kGpt2 =
    R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::string_view kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Words end where a capital follows a small letter; a mark counts as either. GPT-4o's has contractions
// besides.
constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::string_view kDigit = R"(\p{N})";
constexpr std::string_view kDeepSeekHan = R"([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+)";
// The letters with case, one by one. Escaped are those that an editor could replace by their canonical
// equivalents.
constexpr std::string_view kDeepSeekLlmLetters =
    R"(\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝ)"
    R"(Ὗ-\x{1F7D}ᾀ-ᾴᾶ-ᾼ\x{1FBE}ῂ-ῄῆ-ῌῐ-\x{1FD3}ῖ-\x{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻ)"
    R"(Ȿ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+)";
constexpr std::string_view kDeepSeekV3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// A new family is one entry. Keep every pattern free of nested repetition and of runs that a search could
// enter at each place (hence the look-behind in deepseek-llm's, which changes no match): time must stay
// linear.
constexpr PreTokenizerSpec kSpecs[] = {
    {.names = {"default", "gpt-2"}, .patterns = {kGpt2}},
    {.names = {"smollm", "starcoder", "refact"}, .patterns = {kDigit, kGpt2}},
    {.names = {"llama-bpe", "llama3", "llama-v3"},
     .patterns = {kLlama3},
     .ignore_merges = true,
     .add_bos = true},
    {.names = {"qwen2", "deepseek-r1-qwen"}, .patterns = {kQwen2}, .nfc = true},
    {.names = {"qwen35"}, .patterns = {kQwen35}, .nfc = true},
    {.names = {"tekken"}, .patterns = {kTekken}, .ignore_merges = true, .add_bos = true},
    {.names = {"gpt-4o", "llama4"}, .patterns = {kGpt4o}},
    {.names = {"deepseek-llm"},
     .patterns = {R"([\r\n])", kDeepSeekLlmLetters, R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)", R"((?<!\s)\s+$)",
                  kDeepSeekHan, kDigit}},
    {.names = {"deepseek-coder"},
     .patterns = {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", kDeepSeekHan, kDigit}},
    {.names = {"deepseek-v3"}, .patterns = {R"(\p{N}{1,3})", R"([一-龥぀-ゟ゠-ヿ]+)", kDeepSeekV3}},
};

const PreTokenizerSpec& find_spec(std::string_view name) {
  std::string known;
  for (const PreTokenizerSpec& spec : kSpecs) {
    for (const std::string_view n : spec.names) {
      if (n.empty()) continue;
      if (n == name) return spec;
      known += fmt::format("{}{}", known.empty() ? "" : ", ", n);
    }
  }
  throw Error(
      ErrorCode::kUnsupported,
      fmt::format("The file's pre-tokenizer \"{}\" (tokenizer.ggml.pre) is not known to this version, and a "
                  "guess would garble every prompt. Known are: {}.",
                  name.substr(0, 100), known));
}

// The published patterns are written for engines where \s is Unicode's White_Space. PCRE2's own has
// U+180E in addition, so it is spelled out.
std::string expand_spaces(std::string_view pattern) {
  constexpr std::string_view kSpaces =
      R"(\x09-\x0D\x20\x85\xA0\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern.substr(i, 2) == "\\s" || pattern.substr(i, 2) == "\\S") {
      const bool negated = pattern[++i] == 'S';
      out += in_class ? std::string(kSpaces) : fmt::format("[{}{}]", negated ? "^" : "", kSpaces);
    } else if (pattern[i] == '\\') {
      out += pattern[i];
      out += pattern[++i];
    } else {
      if (pattern[i] == '[') in_class = true;
      if (pattern[i] == ']') in_class = false;
      out += pattern[i];
    }
  }
  return out;
}

template <class T, void (*free)(T*)>
struct Deleter {
  void operator()(T* p) const noexcept { free(p); }
};

}  // namespace

class PreTokenizer::Context {
 public:
  Context()
      : match_data_(pcre2_match_data_create(1, nullptr)),
        match_context_(pcre2_match_context_create(nullptr)) {
    if (!match_data_ || !match_context_) throw std::bad_alloc();
  }

  // The first match at or after `begin`, as [first, second); an empty one at the end if there is none.
  std::pair<size_t, size_t> match(const pcre2_code* code, std::string_view text, size_t begin) {
    const auto run = [&](uint32_t options) {
      return pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), begin,
                         PCRE2_NO_UTF_CHECK | options, match_data_.get(), match_context_.get());
    };
    // Far above what a linear pattern needs, and still a limit.
    const size_t steps = std::min<size_t>(UINT32_MAX, 100'000 + 16 * text.size());
    pcre2_set_match_limit(match_context_.get(), static_cast<uint32_t>(steps));
    int rc = run(0);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) rc = run(PCRE2_NO_JIT);
    if (rc == PCRE2_ERROR_NOMATCH) return {text.size(), text.size()};
    if (rc < 0)
      throw Error(ErrorCode::kInternal,
                  fmt::format("Splitting a text into words failed (PCRE2 error {}).", rc));
    const PCRE2_SIZE* span = pcre2_get_ovector_pointer(match_data_.get());
    return {span[0], span[1]};
  }

  std::vector<std::string_view> pieces, next_pieces;  // between stages

 private:
  std::unique_ptr<pcre2_match_data, Deleter<pcre2_match_data, pcre2_match_data_free>> match_data_;
  std::unique_ptr<pcre2_match_context, Deleter<pcre2_match_context, pcre2_match_context_free>> match_context_;
};

void PreTokenizer::DeleteContext::operator()(Context* context) const noexcept { delete context; }
void PreTokenizer::DeleteCode::operator()(pcre2_real_code_8* code) const noexcept { pcre2_code_free(code); }

std::unique_ptr<PreTokenizer::Context, PreTokenizer::DeleteContext> PreTokenizer::make_context() {
  return std::unique_ptr<Context, DeleteContext>(new Context());
}

PreTokenizer::PreTokenizer(std::string_view name) : spec_(&find_spec(name)) {
  for (const std::string_view published : spec_->patterns) {
    if (published.empty()) continue;
    const std::string pattern = expand_spaces(published);
    int error = 0;
    PCRE2_SIZE at = 0;
    Code code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                            PCRE2_UTF | PCRE2_UCP, &error, &at, nullptr));
    if (!code)
      throw Error(ErrorCode::kInternal,
                  fmt::format("The pattern of pre-tokenizer \"{}\" does not compile (PCRE2 error {} at {}).",
                              name, error, at));
    pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);  // where there is no JIT, matching is interpreted
    stages_.push_back(std::move(code));
  }
}

bool PreTokenizer::nfc() const noexcept { return spec_->nfc; }
bool PreTokenizer::ignore_merges() const noexcept { return spec_->ignore_merges; }
bool PreTokenizer::add_bos() const noexcept { return spec_->add_bos; }

void PreTokenizer::split_by(const Code& code, std::string_view text, Context& context,
                            std::vector<std::string_view>& pieces) {
  for (size_t begin = 0; begin < text.size();) {
    auto [first, last] = context.match(code.get(), text, begin);
    if (last == first) first = last = text.size();  // nothing more; no pattern matches the empty string
    if (begin < first) pieces.push_back(text.substr(begin, first - begin));
    if (first < last) pieces.push_back(text.substr(first, last - first));
    begin = last;
  }
}

void PreTokenizer::split(std::string_view text, Context& context,
                         std::vector<std::string_view>& words) const {
  context.pieces.assign(1, text);
  for (const Code& stage : stages_) {
    context.next_pieces.clear();
    for (const std::string_view piece : context.pieces) split_by(stage, piece, context, context.next_pieces);
    std::swap(context.pieces, context.next_pieces);
  }
  words.insert(words.end(), context.pieces.begin(), context.pieces.end());
}

}  // namespace moraine
