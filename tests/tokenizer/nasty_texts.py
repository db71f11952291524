"""Texts on which tokenizers differ. Small ones for the golden files; random and large ones besides."""
import random
import unicodedata

CODE = '''#include <vector>
template <class T>\r\nT sum(const std::vector<T>& v) {\t// naïve
\tT s{};\n    for (auto& x : v)  s += x;   \n\n\n  return s; }   
def f(x): return {"a": [1, 2.5e-10, None], 'b': f"{x!r:>10}"}  # it's   O(n)\n\n\t\t\tif x is not None and x != 0xDEADBEEF:\n'''

SMALL = [
    "", " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\r", "\t\n", " \n ", "\n \n", "a\n\n\nb", "a \r\n \r\n b",
    "Hello world", " Hello world", "  Hello  world  ", "Hello, y'all! How are you 😁 ?", "hello\n", "\nhello",
    "I've I'VE we'll WE'LL it's IT'S can't CAN'T he'd you're I'm 'tis rock'n'roll ''s 's 'ſ 'Ll 'rE x'S",
    "1 12 123 1234 12345 3.14159 1,000,000 0x1F 1e-9 ½ ² ³ Ⅷ ٣٤٥ １２３ 10²³ v1.2.3 a1b22c333", "ied 4 ½ months",
    CODE, "    return x\n        y = 1\n\tz\n", "x" * 100, "a" * 1000, " " * 37, "\n" * 40, "\t" * 33, "ab" * 50, "=" * 80,
    "-" * 79 + "\n" + "#" * 7, "!!!???...,,,;;;:::", "({[<>]})==>!=&&||++--**//%%@@~~^^``", "$HOME/~user/../*.c?x=1&y=%20#z",
    "a\u00a0b\u2003c\u3000d\u2028e\u2029f\u0085g\u180eh\u200bi\ufeffj", " \u00a0 \u2009\n\u3000 x", "\u00a0\u00a0  \u00a0a",
    "😀😃👨‍👩‍👧‍👦👍🏽🏳️‍🌈🇩🇪🇫🇷❤️‍🔥☺️", "🚀 (normal) 😶‍🌫️ (multiple emojis concatenated) ✅", "a😀b 😀 c", "👩🏾‍💻" * 5,
    "日本語のテキスト、漢字とカタカナ。", "中文测试：你好，世界！１２３", "한국어 텍스트 테스트", "日本 語 abc 日本", "ภาษาไทยไม่มีช่องว่าง",
    "العربية: مرحبا بالعالم، كيف حالك؟ ١٢٣", "עברית שלום עולם", "हिन्दी में पाठ क्षत्रिय", "Ελληνικά Привет мир Đặng Việt",
    "កាន់តែពិសេសអាចខលចេញ", "tiếng Việt có dấu", "İıŞşĞğ ẞß ﬁﬂ ǅ ŉ", "𝕳𝖊𝖑𝖑𝖔 𝟙𝟚𝟛 𐍈 𠜎𠜱", "\U0001d160 \U000e0041\U0010ffff",
    "e\u0301 é n\u0303 ñ A\u030a Å \u212b Å o\u0308\u0304 a\u0323\u0302 a\u0302\u0323", "\u0301abc\u0300 \u0323\u0301x",
    "\u1100\u1161\u11a8 각 \u1112\u1161\u11ab", "\u0958 क\u093c \u09dc \u2adc \u0344 \u0f73\u0f75 \u1fee", "ﷺ ㎏ ﬃ ① ｱ",
    "q\u0307\u0323 q\u0323\u0307 \u1e9b\u0323", "Z" + "\u0301\u0323" * 30, "\u0e33\u0e49 \u0b4b",
    "".join(map(chr, range(0, 33))), "a\x00b\x00\x00c", "\x7f\x80\x81\x9f\xad", "\x1b[31mred\x1b[0m\x07\x08\x0c\x0b",
    "\ufffd \ufffe \uffff \U0001ffff", "\ud7ff \ue000 \uf8ff", "Ã© Â\xa0 Ġthe Ċ â\x96\x81", "▁the ▁▁ ▁ <0x41> <0x0A>",
    "<s> </s> <unk> <pad> <bos> <eos> [INST] <<SYS>>", "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
    "<|endoftext|>", " <|endoftext|> <|endoftext|><|endoftext|>x", "<|im_end", "<|im_end|", "<<|im_end|>>", "<start_of_turn>user\nhi<end_of_turn>\n",
    "<start_of_turn", "<bos><bos>a", "a<eos>", "<unused0><unused10> <unused6241>", "<table><tr><td>x</td></tr></table>", "<h1>a</h1> <h7>",
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nx<|eot_id|>", "<think>\n</think>\n\n<tool_call>\n{\"name\": \"f\"}\n</tool_call>",
    "<file_sep><repo_name>a/b <reponame>", "\n\n\n<b>\t\t\t</b>   <i>    </i>", ">\u2581</ > </ > </",
    "https://example.com/a_b-c?d=e&f[]=1#frag user@mail.org C:\\Users\\x\\file.txt", "snake_case camelCase PascalCase SCREAMING_CASE kebab-case",
    "ａｂｃ　ＡＢＣ", "…—–“”‘’«»„‚•·×÷±≠≤∞∑√∫", "ﬀa\u0308\u0061\u0301\u0308", "\u202eright to left\u202c \u2066x\u2069",
    "The quick brown fox jumps over the lazy dog. " * 3, "3 tests\r\n\r\n\r\n\tend  \r\n", "\r\r\n\n\r ", "x\u2028\u2028 y",
]

# Not UTF-8: lone surrogates as bytes, cut characters, overlong forms, bytes that never occur.
BROKEN = [
    b"\xed\xa0\x80", b"a\xed\xb0\x80b", b"\xed\xa0\xbd\xed\xb8\x80", b"\xff\xfe", b"abc\xc3", b"\xe2\x82", b"\xf0\x9f\x98",
    b"\x80\x80\x80", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf4\x90\x80\x80", b"ok \xff ok \xc3\xa9 \xc3 x", b"\xf0\x9f\x98\x80\xf0\x9f", b"<|im_end|>\xff<|im_end|>",
]

ALPHABETS = [
    "ab", "abc 1", "aA'sStT", " \n\r\t", "0123456789", "é\u0301\u0323ńo\u0308", "日本語 。", "👍🏽\u200d👩❤\ufe0f", "\u00a0\u3000 \u2028\x85a", "!?.,;:-_=+ ",
    "<|>im_endtartofu", "\x00\x01\x1b\x7f", "اب ٣", "क\u093cि ", "가\u1100\u1161\u11a8", "()[]{}<>\"'`\n\t ;",
]


def assigned(code):
    """Characters that are not yet assigned become letters or digits with the next Unicode version, and
    engines differ in the version they know."""
    return unicodedata.category(chr(code)) not in ("Cn", "Cs")


def random_texts(n, seed=1):
    rng = random.Random(seed)
    for _ in range(n):
        out = []
        for _ in range(rng.randint(1, 12)):
            if rng.random() < 0.15:
                c = rng.randint(0, 0x10FFFF)
                out.append(chr(c) if assigned(c) else "x")
            else:
                a = rng.choice(ALPHABETS)
                out.append("".join(rng.choice(a) for _ in range(rng.randint(1, 12))))
        yield "".join(out)


def large(scale=1 << 20):
    rng = random.Random(2)
    letters = "abcdefghijklmnopqrstuvwxyz"
    yield "one letter", "a" * scale
    yield "spaces", " " * scale
    yield "newlines", "\n" * scale
    yield "letters", "".join(rng.choice(letters) for _ in range(scale))
    yield "digits", "1234567890" * (scale // 10)
    yield "punctuation", "!" * scale
    yield "han", "漢字仮名交" * (scale // 15)
    yield "emoji", "👨‍👩‍👧‍👦" * (scale // 25)
    yield "marks", "a" + "\u0301\u0323" * (scale // 4)
    yield "code", CODE * (scale // len(CODE))
