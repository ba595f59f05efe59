#!/usr/bin/env python3
"""Makes tests/golden/tokenizer/: what Hugging Face's `tokenizers` does with a nasty corpus.

  corpus.txt         one text a line: ASCII as it is, all else and '\\' as \\x{HEX}; a line that
                     starts with "@N " is the rest of it N times over
  splits_PRE.txt     one line a text: the bytes of each piece that the pre-tokenizer PRE cuts
  ids_MODEL.txt      one line a text: its token ids with special tokens left as text; then, where
                     parsing them changes anything, " | " and the ids with them parsed
A line of more than 200 numbers is written "#COUNT:FNV1A64" (of the numbers as 32-bit little-endian
integers).

Models are GGUF files (whole or cut after the header) given as NAME=PATH, and tokenizer.json files
given the same way; a tokenizer.json is also written as a vocabulary-only GGUF into --vocabularies,
for the tests that look for it in $MINKE_TEST_MODELS. `sentencepiece` is needed for the small
SentencePiece model only.

  pip install tokenizers==0.23.3 gguf==0.19.0 sentencepiece==0.2.3
  tests/golden/make_tokenizer_golden.py --vocabularies DIR \\
      smollm2-135m=smollm2-135m.gguf qwen2.5-coder-1.5b=qwen2.5-coder-1.5b.gguf \\
      r1-7b-part=r1-7b-part.gguf deepseek-v3=tokenizer.json qwen3=tokenizer.json \\
      llama-3=tokenizer.json llama-2=tokenizer.json
"""

import argparse
import copy
import json
import pathlib
import struct
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

OUT = pathlib.Path(__file__).resolve().parent / "tokenizer"

CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
DEEPSEEK_V3 = [
    r"\p{N}{1,3}",
    "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"
    "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*"
    "|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
]
LLM_CJK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
LLM_LETTERS = (
    r"\s?[A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293"
    r"\u0295-\u02AF\u0370-\u0373\u0376\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C"
    r"\u038E-\u03A1\u03A3-\u03F5\u03F7-\u0481\u048A-\u052F\u0531-\u0556\u10A0-\u10C5"
    r"\u13A0-\u13F5\u13F8-\u13FD\u1C90-\u1CBA\u1CBD-\u1CBF\u1D00-\u1D2B\u1D6B-\u1D77"
    r"\u1D79-\u1D9A\u1E00-\u1F15\u1F18-\u1F1D\u1F20-\u1F45\u1F48-\u1F4D\u1F50-\u1F57\u1F59"
    r"\u1F5B\u1F5D\u1F5F-\u1F7D\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE\u1FC2-\u1FC4\u1FC6-\u1FCC"
    r"\u1FD0-\u1FD3\u1FD6-\u1FDB\u1FE0-\u1FEC\u1FF2-\u1FF4\u1FF6-\u1FFC\u2102\u2107"
    r"\u210A-\u2113\u2115\u2119-\u211D\u2124\u2126\u2128\u212A-\u212D\u212F-\u2134\u2139"
    r"\u213C-\u213F\u2145-\u2149\u214E\u2183\u2184\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE"
    r"\u2CF2\u2CF3\uA640-\uA66D\uA680-\uA69B\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E"
    r"\uAB70-\uABBF\uFB00-\uFB06\uFB13-\uFB17\uFF21-\uFF3A\uFF41-\uFF5A\U00010400-\U0001044F"
    r"\U000104B0-\U000104D3\U000104D8-\U000104FB\U00010C80-\U00010CB2\U00010CC0-\U00010CF2"
    r"\U000118A0-\U000118DF\U0001E900-\U0001E943]+"
).encode().decode("raw_unicode_escape")
LLM_SIGNS = "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"


def isolated(*expressions):
    return [pre_tokenizers.Split(Regex(e), "isolated") for e in expressions]


def digits():
    return [pre_tokenizers.Digits(individual_digits=True)]


# The splits alone, by GGUF's names; byte-level encoding comes on top. `default` is llama.cpp's: no
# model of Hugging Face's uses it.
STAGES = {
    "default": isolated(r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"),
    "deepseek-coder": isolated("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", LLM_CJK) + digits(),
    "deepseek-llm": isolated("[\r\n]", LLM_LETTERS, LLM_SIGNS, r"\s+$", LLM_CJK) + digits(),
    "deepseek-r1-qwen": isolated(CL100K % ""),
    "deepseek-v3": isolated(*DEEPSEEK_V3),
    "gpt-2": isolated(GPT2),
    "llama-bpe": isolated(CL100K % "{1,3}"),
    "qwen2": isolated(CL100K % ""),
    "smollm": digits() + isolated(GPT2),
}
NFC = {"deepseek-r1-qwen", "qwen2"}


def is_written_like_control(text):
    return any(
        len(text) > len(a) + len(b) and text.startswith(a) and text.endswith(b)
        for a, b in (("<|", "|>"), ("<\uff5c", "\uff5c>"))
    )


# --- The corpus ---


def whitespace():
    runs = ["", " ", "  ", "   ", "\t", "\t\t", "\n", "\n\n", "\n\n\n", "\r", "\r\n", "\r\n\r\n",
            " \n", "\n ", "  \n  ", " \t \n \t ", "\v", "\f", "\x1c\x1f", "\x85", "\xa0",
            "\xa0\xa0", "\u1680", "\u180e", "\u2000\u2009", "\u200b", "\u2028", "\u2029",
            "\u202f", "\u205f", "\u2060", "\u3000", "\u3000\u3000", "\ufeff", "\r\r\n\n",
            " \r \n ", "\n\r\n\r", "\t\n\t\n", " " * 17, "\n" * 9]
    yield from runs
    yield from ("a" + run + "b" for run in runs)
    yield from ("." + run + "7" for run in runs)
    yield "".join("x" + run for run in runs)
    yield "  leading and trailing  "
    yield "trailing newline\n"
    yield "def f(x):\n    if x:\n\t\treturn  x\r\n\r\n\n    # done  \n"


def words():
    yield from ["Hello, world!", "hello", " hello", "Hello", "HELLO WORLD", "the quick brown fox",
                "naive na\u00efve nai\u0308ve", "It's we're I've I'm they'll he'd can't",
                "IT'S WE'RE I'VE I'M THEY'LL HE'D CAN'T", "it'S wE'rE i'Ve 'Tis 'tis 'LL' 'lL",
                "'s't're've'm'll'd", " 's 't 're 've 'm 'll 'd", "'sa'ta'rea'vea'ma'lla'da",
                "1's 2't 3're", "'\u017f '\u017fa a'\u017f 's", "\u2019s \u2019re don\u2019t",
                "rock'n'roll ' '' ''' 'x", "o'", "'", "''", "'r", "'l", "'v", "'re'", "'R'E"]
    yield from ["snake_case camelCase PascalCase kebab-case SCREAMING_SNAKE",
                "foo.bar(baz[0], \"qux\")->quux::corge<T>&& {};", "x+=1;y-=2;z**=3;a//b;c%d;e^f|g~h",
                "<html><body class=\"a\">&nbsp;</body></html>", "https://example.com/a?b=c&d=e#f",
                "user@example.com #hashtag @mention $HOME %PATH% `code` ```py\nx\n```",
                "for(int i=0;i<10;++i){printf(\"%d\\n\",i);}", "!!!???...,,,;;;:::---___***",
                "a.b,c;d:e!f?g-h_i/j\\k|l@m#n$o%p^q&r*s(t)u+v=w<x>y~z`", "$100 \u20ac100 \u00a5100 \u00a3100",
                "\"quoted\" \u201cquoted\u201d \u00abquoted\u00bb \u300cquoted\u300d",
                "== != <= >= => -> <- <=> := ... \u2026 \u2014 \u2013", "\u00a9\u00ae\u2122\u00b0\u00b1\u00d7\u00f7\u221e\u2260\u2264\u2211\u222b",
                "+ a $b <c =d ^e `f |g ~h", "\u00b4\u00a8\u00af\u00b8\u02c6\u02dc"]


def numbers():
    for count in (1, 2, 3, 4, 5, 6, 7, 10, 19):
        yield "1234567890123456789"[:count]
        yield " " + "9" * count + " "
    yield from ["3.14159 1,000,000 1e-10 0x1F 0b101 007 1st 2nd 12:34:56 2024-01-31",
                "\u0661\u0662\u0663\u0664 \u06f1\u06f2 \u0967\u0968\u0969\u096a", "\uff11\uff12\uff13\uff14 \u00b2\u00b3\u00b9 \u2070\u2074 \u2081\u2082 \u00bd\u00be\u2153",
                "\u2160\u2161\u2162\u2163 \u2460\u2461\u2462 \u3007\u3021\u3022 \u4e00\u4e8c\u4e09", "\U0001d7ce\U0001d7cf\U0001d7d0\U0001d7d1 \U0001f100 1\u20e32\u20e3",
                "a1b22c333d4444e", "v1.2.3-rc4+build.5", "1 2  3   4    5", "\u0e51\u0e52\u0e53 \u17e1\u17e2 \u1041\u1042"]


def scripts():
    yield from ["\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u042d\u0442\u043e \u0442\u0435\u0441\u0442.", "\u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5 \u039a\u03cc\u03c3\u03bc\u03b5 \u1f08\u03c7\u03b9\u03bb\u03bb\u03b5\u03cd\u03c2",
                "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645\u060c \u0643\u064e\u062a\u064e\u0628\u064e", "\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd \u05e2\u05d5\u05dc\u05dd", "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e \u0915\u094d\u0937\u093f",
                "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01 \u0e19\u0e49\u0e33", "\u4f60\u597d\uff0c\u4e16\u754c\uff01\u8fd9\u662f\u4e00\u4e2a\u6d4b\u8bd5\u3002", "\u3053\u3093\u306b\u3061\u306f\u4e16\u754c\u3001\u30ab\u30bf\u30ab\u30ca\u30fc\u3068\u3072\u3089\u304c\u306a", "\uc548\ub155\ud558\uc138\uc694 \uc138\uacc4 \u1112\u1161\u11ab\u1100\u1173\u11af",
                "\u4e2d\u6587English\u6df7\u5408123\u6587\u672c\u3001test", " \u4e2d\u6587 \u65e5\u672c\u8a9e \ud55c\uad6d\uc5b4 ", "\u9fa5\u9fa6\u9fff\u3400\u4dbf\U00020000\u2e80\u3105\u31a0", "\u3040\u3041\u3097\u3098\u3099\u309a\u309b\u309c\u309d\u309f\u30a0\u30fb\u30fc\u30ff",
                "\u304b\u3099 \u30cf\u309a \u304c \u30d1 \uff76\uff9e", "\u1780\u17d2\u1798\u17c2\u179a \u1019\u103c\u1014\u103a\u1019\u102c \u0f56\u0f7c\u0f51\u0f0b \u10e5\u10d0\u10e0\u10d7 \u10a0\u10b0 \u1c90", "\u0570\u0561\u0575\u0565\u0580\u0565\u0576 \u0540\u0531\u0545 \u1200\u1208 \u13a0\u13f8 \u1401",
                "\U00010400\U00010428 \U0001e900\U0001e922 \U00010480 \U0001d400\U0001d41a", "\ufb01\ufb02 \ufb13 \u01c5 \u02b0 \u00aa\u00ba \u01bb \u0294 \u2c7c \ua788 \ua7fe"]


def combining():
    yield from ["e\u0301 \u00e9 E\u0301 \u00c9", "a\u0323\u0302 a\u0302\u0323 \u1ead", "\u0301alone \u0301", "a\u0300\u0301\u0302\u0303\u0304b", "\u212b \u00c5 A\u030a \u2126 \u212a",
                "\u0958 \u0915\u093c \u09dc \u0a33", "\u2adc \u2add\u0338 =\u0338 <\u0338>\u0338", "\uf900\ufa10 \U0002f800", "\u0344 \u0308\u0301 \u1fc1 \u1fee", "\u1e9b\u0323 \u017f\u0323\u0307",
                "\u1100\u1161 \uac00\u11a8 \u1100\u1161\u11a8 \uac01", "x\u0301y\u0301 \u0301\u0301 .\u0301 1\u0301 \u4e2d\u0301 \n\u0301", "\u0315\u0300\u05ae\u0062", "q\u0307\u0323 q\u0323\u0307", "\u09c7\u09be \u0bc6\u0bbe \u0cc6\u0cc2\u0cd5",
                "\U0001d15e\U0001d160 \U000110ba \U0001109a\U000110ba", "\u0627\u0653 \u0622 \u064a\u0654", "o\u031b\u0323 \u01a1\u0323 \u1ee3", "\xa0\u0301 \u3000\u3099 '\u0301s"]


def emoji_and_controls():
    yield from ["\U0001f600", "\U0001f600\U0001f603\U0001f604", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f44d\U0001f3fd \U0001f3f3\ufe0f\u200d\U0001f308", "\U0001f1eb\U0001f1f7\U0001f1e9\U0001f1ea", "\u2764\ufe0f \u2603 \u263a\ufe0e #\ufe0f\u20e3",
                "hi\U0001f600there \U0001f600 x", "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "\x00", "a\x00b\x00\x00", "\x01\x02\x03\x1b[0m\x7f", "a\x08b \x07", "\ufffd", "\ufffd\ufffda \ufffd", "\u200e\u200f\u202a\u202e\u2066",
                "\u05d0\u200f.\u200e1", "\ue000\uf8ff \U000f0000 \U0010ffff", "\ufffe\uffff\U0001ffff", "\u0378\u0380 \u0530a", "\u00ad soft\u00adhyphen", "\x80\x81\x9f a\x80b", "\x01a \x01\u0301 \x01\x02b\x03 \x04.\x05 \x061", "\u200ba \u200b\u200bb\u200b", "\u2061x\u2062 \U000e0001", "\ufe0f\ufe0fa", "\u00a0a\u00a0 b\u2003c\u3000d"]


def specials():
    yield from ["<|endoftext|>", "a<|im_end|>b", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", "<|im_start|><|im_start|>", "<|im_start|", "<|im_start|>>", "<<|im_start|>", "<|im_end|> ",
                "<think>", "<think>\nreason\n</think>\n\nanswer", "a <tool_call>{\"name\": 1}</tool_call> b", "<tool_call", "<tool_call>\u0338", "</think>\u0338 e</think>\u0301", "<|fim_prefix|>x<|fim_suffix|>y<|fim_middle|>", "[PAD151665]", "<|vision_start|><|image_pad|>",
                "<\uff5cbegin\u2581of\u2581sentence\uff5c><\uff5cUser\uff5c>Hi<\uff5cAssistant\uff5c><think>\n", "<\uff5cend\u2581of\u2581sentence\uff5c>", "<\uff5cUser\uff5c", "<\uff5cfim\u2581hole\uff5c> <\uff5ctool\u2581calls\u2581begin\uff5c>", "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>", "<|reserved_special_token_0|>", "<s>[INST] <<SYS>> hi [/INST] </s>", "<s>", "</s> a </s>b", "<unk>",
                "<0x0A>", "\u2581a \u2581\u2581b", "<repo_name>x<file_sep>y<jupyter_start>", "<filename> <gh_stars>100", "<|EOT|>", "<|im_\u0065nd|>", "<|\u200bim_end|>", "< |im_end|>"]


def long_runs():
    for text, count in [("a", 1000), ("ab", 700), (" ", 1000), ("\n", 700), ("7", 700), ("\U0001f600", 300), ("\u4e2d", 500), ("e\u0301", 400), ("\u0301\u0316", 300), ("=", 500), ("a ", 300), (" \n", 300), ("\r\n", 300), ("'s", 200), ("0a", 300), ("\u3042\u30a2", 200), ("<", 200), ("<think>", 90), ("\x00", 300), ("aaaaaaaab", 120), ("\t", 500), ("\u0e01\u0e33", 150), ("the ", 200), ("\u00e9", 200)]:
        yield text, count


def corpus():
    for group in (whitespace, words, numbers, scripts, combining, emoji_and_controls, specials):
        yield from ((text, 1) for text in group())
    yield from long_runs()
    yield ("It is a truth universally acknowledged, that a single man in possession of a good "
           "fortune, must be in want of a wife.\n\nHowever little known the feelings or views of "
           "such a man may be on his first entering a neighbourhood\u2026", 1)
    yield ("Solve $x^2 - 5x + 6 = 0$: $$x = \\frac{5 \\pm \\sqrt{25 - 24}}{2}$$ so \\boxed{2, 3}.\n", 1)
    yield ("#include <vector>\ntemplate <typename T>\nstd::vector<T> f(const T* p, size_t n) {\n"
           "  return {p, p + n};  // 100%\n}\n", 1)


def escaped(text):
    return "".join(c if " " <= c <= "~" and c != "\\" else "\\x{%X}" % ord(c) for c in text)


def corpus_line(text, count):
    line = escaped(text)
    if count > 1:
        return "@%d %s" % (count, line)
    return "\\x{40}" + line[1:] if line.startswith("@") else line


# --- The reference ---


def numbers_line(values):
    if len(values) <= 200:
        return " ".join(map(str, values))
    digest = 0xCBF29CE484222325
    for byte in b"".join(struct.pack("<I", v) for v in values):
        digest = (digest ^ byte) * 0x100000001B3 % 2**64
    return "#%d:%016x" % (len(values), digest)


def split_lengths(stages, text):
    pieces = pre_tokenizers.Sequence(stages).pre_tokenize_str(text) if text else []
    assert "".join(p for p, _ in pieces) == text
    return [len(p.encode()) for p, _ in pieces]


def read_gguf_metadata(path):
    """The metadata of a GGUF file, which may be cut after it."""
    data = open(path, "rb").read(64 << 20)
    at = 8
    plain = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

    def take(form):
        nonlocal at
        (value,) = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return value

    def string():
        nonlocal at
        size = take("Q")
        at += size
        return data[at - size : at].decode()

    def value(kind):
        if kind == 8:
            return string()
        if kind == 9:
            element, count = take("I"), take("Q")
            return [value(element) for _ in range(count)]
        return take(plain[kind])

    take("Q")
    return {string(): value(take("I")) for _ in range(take("Q"))}


def tokenizer_of_gguf(meta, parse):
    tokens, types = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    pre = meta["tokenizer.ggml.pre"]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    merges = [tuple(m.split(" ")) for m in meta["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=pre == "llama-bpe"))
    if pre in NFC:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        STAGES[pre] + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    added = [
        AddedToken(t, normalized=False, special=False)
        for t, kind in zip(tokens, types)
        if kind == 4 and not is_written_like_control(t) or parse and kind in (3, 4)
    ]
    tokenizer.add_tokens(added)
    return tokenizer


def tokenizer_of_json(content, parse):
    content = copy.deepcopy(content)
    content["post_processor"] = None
    if not parse:
        content["added_tokens"] = [
            t for t in content["added_tokens"]
            if not t["special"] and not is_written_like_control(t["content"])
        ]
    return Tokenizer.from_str(json.dumps(content))


def own_ids(tokenizer, content, ids):
    """`ids` as the file numbers its added tokens: without some of them, `tokenizers` numbers the
    others anew."""
    renumbered = {
        tokenizer.token_to_id(token["content"]): token["id"] for token in content["added_tokens"]
    }
    return [renumbered.get(i, i) for i in ids]


PRE_OF_JSON = {
    "deepseek-v3": "deepseek-v3", "qwen3": "qwen2", "llama-3": "llama-bpe", "llama-2": None
}
# BOS (None: there is none) and EOS.
ENDS_OF_JSON = {
    "deepseek-v3": (0, 1), "qwen3": (None, 151645), "llama-3": (128000, 128009), "llama-2": (1, 2)
}


def write_vocabulary(path, name, content):
    """A GGUF with nothing but the tokenizer, as llama.cpp's converter would fill it in."""
    import gguf

    model, added = content["model"], content["added_tokens"]
    pieces = dict(model["vocab"]) | {t["content"]: t["id"] for t in added}
    tokens = [None] * (max(pieces.values()) + 1)
    types = [5] * len(tokens)
    for text, i in pieces.items():
        tokens[i], types[i] = text, 1
    for t in added:
        control = t["special"] or is_written_like_control(t["content"])
        types[t["id"]] = 3 if control else 4
    for i, text in enumerate(tokens):
        tokens[i] = "[PAD%d]" % i if text is None else text
    writer = gguf.GGUFWriter(str(path), "llama")
    spm = PRE_OF_JSON[name] is None
    writer.add_tokenizer_model("llama" if spm else "gpt2")
    if spm:
        types = [6 if t.startswith("<0x") else k for t, k in zip(tokens, types)]
        types[0] = 2
        # The merges were made from the scores, so their order gives scores that decide the same.
        first = {}
        for rank, merge in enumerate(model["merges"]):
            first.setdefault(merge.replace(" ", ""), rank)
        writer.add_token_scores([-float(first.get(t, len(first) * 9)) for t in tokens])
        writer.add_unk_token_id(0)
    else:
        writer.add_tokenizer_pre(PRE_OF_JSON[name])
        writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in model["merges"]])
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    bos, eos = ENDS_OF_JSON[name]
    if bos is not None:
        writer.add_bos_token_id(bos)
    writer.add_eos_token_id(eos)
    writer.add_add_bos_token(bos is not None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_lines(name, lines):
    path = OUT / name
    path.write_text("".join(line + "\n" for line in lines))
    print(path.name, path.stat().st_size)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--vocabularies", type=pathlib.Path)
    arguments.add_argument("models", nargs="*", metavar="NAME=PATH")
    arguments = arguments.parse_args()
    cases = list(corpus())
    texts = [text * count for text, count in cases]
    write_lines("corpus.txt", [corpus_line(*case) for case in cases])
    for pre, stages in STAGES.items():
        if pre != "deepseek-r1-qwen":  # the same as qwen2
            write_lines("splits_%s.txt" % pre, [numbers_line(split_lengths(stages, t)) for t in texts])
    for name, path in (m.split("=", 1) for m in arguments.models):
        content = None
        if path.endswith(".json"):
            content = json.load(open(path))
            plain, parsing = tokenizer_of_json(content, False), tokenizer_of_json(content, True)
            if arguments.vocabularies:
                target = arguments.vocabularies / ("%s-tokenizer.gguf" % name)
                write_vocabulary(target, name, content)
        else:
            meta = read_gguf_metadata(path)
            plain, parsing = tokenizer_of_gguf(meta, False), tokenizer_of_gguf(meta, True)
        lines = []
        for text in texts:
            ids = [t.encode(text, add_special_tokens=False).ids for t in (plain, parsing)]
            if content is not None:
                ids = [own_ids(t, content, i) for t, i in zip((plain, parsing), ids)]
            line = numbers_line(ids[0])
            lines.append(line if ids[0] == ids[1] else line + " | " + numbers_line(ids[1]))
        write_lines("ids_%s.txt" % name, lines)


if __name__ == "__main__":
    sys.exit(main())
