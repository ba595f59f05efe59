"""GGUF files that lie: takes a sound model apart, and writes it back with one thing wrong.

    gguf_lies.py MODEL.gguf MINKE [LIE ...]

Runs MINKE on each lie (all of them without names) and prints what it says. A lie passes when minke
ends by itself within 20 s with status 1, an empty stdout and one line on stderr that begins with
"minke: run:" and names the file; lies that are harmless pass when minke answers. The exit status is
the number of those that did not pass.
"""

import pathlib
import struct
import subprocess
import sys
import tempfile

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
FORMS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q",
         I64: "q", F64: "d"}
BIG = 1 << 62


class Gguf:
    """Metadata as [key, type, value], arrays as (element type, values); tensors as dicts."""

    def __init__(self, data):
        self.data, self.at = data, 4
        self.magic, self.version, self.alignment = b"GGUF", self.take("I"), 32
        tensors, entries = self.take("Q"), self.take("Q")
        self.metadata = []
        for _ in range(entries):
            key, kind = self.text(), self.take("I")
            self.metadata.append([key, kind, self.value(kind)])
        self.tensors = [{"name": self.text(),
                         "ne": [self.take("Q") for _ in range(self.take("I"))],
                         "type": self.take("I"), "offset": self.take("Q")} for _ in range(tensors)]
        start = (self.at + 31) // 32 * 32
        ends = sorted(t["offset"] for t in self.tensors) + [len(data) - start]
        for t in self.tensors:
            end = ends[ends.index(t["offset"]) + 1]
            t["data"] = bytearray(data[start + t["offset"]:start + end])
        self.tensor_count = self.entry_count = None

    def take(self, form):
        value, = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return value

    def text(self):
        length = self.take("Q")
        self.at += length
        return self.data[self.at - length:self.at]

    def value(self, kind):
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            element, count = self.take("I"), self.take("Q")
            return (element, [self.value(element) for _ in range(count)])
        return self.take(FORMS[kind])

    def set(self, key, kind, value):
        self.metadata = [entry for entry in self.metadata if entry[0] != key.encode()]
        if kind is not None:
            self.metadata.append([key.encode(), kind, value])

    def get(self, key):
        return next(entry[2] for entry in self.metadata if entry[0] == key.encode())

    def tensor(self, name):
        return next(t for t in self.tensors if t["name"] == name.encode())

    def write(self):
        out = bytearray(self.magic + struct.pack("<I", self.version))
        out += struct.pack("<QQ", len(self.tensors) if self.tensor_count is None
                           else self.tensor_count, len(self.metadata)
                           if self.entry_count is None else self.entry_count)

        def put_text(text):
            # A pair states its own length.
            length, text = text if isinstance(text, tuple) else (len(text), text)
            out.extend(struct.pack("<Q", length) + text)

        def put(kind, value):
            if kind == STRING:
                put_text(value)
            elif kind == ARRAY:
                element, values = value[:2]
                out.extend(struct.pack("<IQ", element, value[2] if len(value) > 2 else len(values)))
                for one in values:
                    put(element, one)
            else:
                out.extend(struct.pack("<" + FORMS.get(kind, "I"), value))

        for key, kind, value in self.metadata:
            put_text(key)
            out.extend(struct.pack("<I", kind))
            put(kind, value)
        data, offset = bytearray(), 0
        for t in self.tensors:
            put_text(t["name"])
            out.extend(struct.pack("<I", t.get("rank", len(t["ne"]))))
            for dim in t["ne"]:
                out.extend(struct.pack("<Q", dim))
            offset = (len(data) + 31) // 32 * 32
            data += bytes(offset - len(data)) + t["data"]
            out.extend(struct.pack("<IQ", t["type"], t.get("lie", offset)))
        return bytes(out + bytes(-len(out) % 32) + data)


LIES, HARMLESS = {}, set()


def lie(function):
    LIES[function.__name__] = function
    return function


def harmless(function):
    HARMLESS.add(function.__name__)
    return lie(function)


def setting(name, key, kind, value, fine=False):
    """A lie about one key; a kind of None leaves it out."""
    def change(g):
        g.set(key, kind, value)
    change.__name__ = name
    return harmless(change) if fine else lie(change)


def of_tensor(title, tensor, **values):
    def change(g):
        g.tensor(tensor).update(values)
    change.__name__ = title
    return lie(change)


def number_in(name, tensor, index, value):
    def change(g):
        struct.pack_into("<f", g.tensor(tensor)["data"], 4 * index, value)
    change.__name__ = name
    return lie(change)


EMBED, QUERY, NORM = "token_embd.weight", "blk.0.attn_q.weight", "blk.1.ffn_norm.weight"
NAN, INFINITE = float("nan"), float("inf")


@lie
def more_tensors_than_bytes(g): g.tensor_count = BIG


@lie
def one_tensor_too_many(g): g.tensor_count = len(g.tensors) + 1


@lie
def no_tensors(g): g.tensors = []


@lie
def more_entries_than_bytes(g): g.entry_count = 1 << 40


@lie
def no_entries(g): g.metadata = []


@lie
def two_tensors_of_one_name(g): g.tensors[3]["name"] = g.tensors[2]["name"]


@lie
def two_keys_of_one_name(g): g.metadata.append(["qwen2.block_count".encode(), U32, 1])


@lie
def a_tensor_without_place(g): g.tensors.append(g.tensor(NORM) | {"name": b"blk.1.weird"})


@lie
def name_with_escapes(g): g.tensors.append(g.tensor(NORM) | {"name": b"\x1b[31mred\x07\xff"})


@lie
def a_layer_missing(g): g.tensors = [t for t in g.tensors if not t["name"].startswith(b"blk.1.")]


@lie
def embeddings_missing(g): g.tensors = [t for t in g.tensors if t["name"] != EMBED.encode()]


@lie
def arrays_in_arrays(g):
    value = (U32, [1])
    for _ in range(300):
        value = (ARRAY, [value])
    g.set("deep", ARRAY, value)


@lie
def tokens_one_short(g):
    kind, tokens = g.get("tokenizer.ggml.tokens")
    g.set("tokenizer.ggml.tokens", ARRAY, (kind, tokens + [b"extra"]))


@lie
def tokens_all_the_same(g):
    kind, tokens = g.get("tokenizer.ggml.tokens")
    g.set("tokenizer.ggml.tokens", ARRAY, (kind, [b"same"] * len(tokens)))


@lie
def tokens_of_nothing(g):
    kind, tokens = g.get("tokenizer.ggml.tokens")
    g.set("tokenizer.ggml.tokens", ARRAY, (kind, [b""] * len(tokens)))


def cut(name, keep):
    def change(g):
        g.keep = keep
    change.__name__ = name
    return lie(change)


cut("cut_in_the_magic", 3)
cut("cut_in_the_header", 300)
cut("cut_in_the_data", -1)
of_tensor("offset_beyond_the_file", QUERY, lie=1 << 40)
of_tensor("offset_that_wraps", QUERY, lie=(1 << 64) - 32)
of_tensor("offset_not_aligned", QUERY, lie=7)
of_tensor("offset_of_another", QUERY, lie=0)
of_tensor("type_unknown", QUERY, type=999)
of_tensor("type_that_was_removed", QUERY, type=4)
of_tensor("type_too_wide_for_rows", QUERY, type=12)
of_tensor("rank_zero", QUERY, rank=0)
of_tensor("rank_of_a_million", QUERY, rank=1 << 20)
of_tensor("dimension_zero", QUERY, ne=[0, 64])
of_tensor("dimension_negative", QUERY, ne=[64, (1 << 64) - 64])
of_tensor("dimensions_that_wrap", QUERY, ne=[1 << 33, 1 << 33])
of_tensor("dimensions_swapped", "blk.0.attn_k.weight", ne=[32, 64])
of_tensor("dimension_flat", QUERY, ne=[4096])
of_tensor("embedding_of_one_row", EMBED, ne=[64, 1])
of_tensor("name_too_long", QUERY, name=b"x" * 5000)
of_tensor("name_longer_than_file", QUERY, name=(BIG, b"x"))
of_tensor("name_empty", QUERY, name=b"")
number_in("nan_in_a_norm", NORM, 3, NAN)
number_in("nan_in_a_matrix", QUERY, 100, NAN)
number_in("infinity_in_the_embeddings", EMBED, 1000, INFINITE)
number_in("nan_in_a_bias", "blk.0.attn_q.bias", 1, NAN)
setting("key_longer_than_file", "k", STRING, (BIG, b"v"))
setting("array_longer_than_file", "k", ARRAY, (U8, [], BIG))
setting("array_of_strings_longer_than_file", "k", ARRAY, (STRING, [], BIG))
setting("array_of_arrays_longer_than_file", "k", ARRAY, (ARRAY, [], 1 << 60))
setting("value_of_unknown_type", "k", 77, 1)
setting("boolean_of_seven", "k", BOOL, 7)
setting("alignment_zero", "general.alignment", U32, 0)
setting("alignment_three", "general.alignment", U32, 3)
setting("alignment_huge", "general.alignment", U32, 1 << 31)
setting("alignment_text", "general.alignment", STRING, b"32")
setting("architecture_unknown", "general.architecture", STRING, b"wumpus")
setting("architecture_missing", "general.architecture", None, None)
setting("architecture_number", "general.architecture", U32, 5)
setting("architecture_with_escapes", "general.architecture", STRING, b"\x1b]0;owned\x07\x1b[2J")
setting("layers_none", "qwen2.block_count", U32, 0)
setting("layers_negative", "qwen2.block_count", I32, -1)
setting("layers_many", "qwen2.block_count", U32, 999)
setting("layers_text", "qwen2.block_count", STRING, b"two")
setting("layers_array", "qwen2.block_count", ARRAY, (U32, [2]))
setting("layers_too_large_for_a_number", "qwen2.block_count", U64, (1 << 64) - 1)
setting("layers_missing", "qwen2.block_count", None, None)
setting("width_zero", "qwen2.embedding_length", U32, 0)
setting("width_huge", "qwen2.embedding_length", U32, (1 << 32) - 1)
setting("heads_none", "qwen2.attention.head_count", U32, 0)
setting("heads_more_than_width", "qwen2.attention.head_count", U32, 16000)
setting("heads_that_do_not_divide", "qwen2.attention.head_count", U32, 3)
setting("kv_heads_that_do_not_divide", "qwen2.attention.head_count_kv", U32, 3)
setting("kv_heads_none", "qwen2.attention.head_count_kv", U32, 0)
setting("context_none", "qwen2.context_length", U32, 0)
setting("context_absurd", "qwen2.context_length", U64, 1 << 50)
setting("ffn_none", "qwen2.feed_forward_length", U32, 0)
setting("ffn_huge", "qwen2.feed_forward_length", U32, 1 << 22)
setting("rope_base_nan", "qwen2.rope.freq_base", F32, NAN)
setting("rope_base_zero", "qwen2.rope.freq_base", F32, 0.0)
setting("rope_base_infinite", "qwen2.rope.freq_base", F64, INFINITE)
setting("rope_dimensions_odd", "qwen2.rope.dimension_count", U32, 7)
setting("rope_dimensions_too_many", "qwen2.rope.dimension_count", U32, 64)
setting("rope_scaling_unknown", "qwen2.rope.scaling.type", STRING, b"sideways")
setting("epsilon_nan", "qwen2.attention.layer_norm_rms_epsilon", F32, NAN)
setting("epsilon_negative", "qwen2.attention.layer_norm_rms_epsilon", F32, -1.0)
setting("architecture_of_two_lines", "general.architecture", STRING, b"\x1b[31mred\n\xff")
setting("tokenizer_unknown", "tokenizer.ggml.model", STRING, b"wordpiece9")
setting("tokenizer_missing", "tokenizer.ggml.model", None, None)
setting("pre_tokenizer_unknown", "tokenizer.ggml.pre", STRING, b"nobody-knows")
setting("tokens_missing", "tokenizer.ggml.tokens", None, None)
setting("tokens_none", "tokenizer.ggml.tokens", ARRAY, (STRING, []))
setting("tokens_numbers", "tokenizer.ggml.tokens", ARRAY, (U32, list(range(270))))
setting("token_types_too_few", "tokenizer.ggml.token_type", ARRAY, (I32, [1, 2]))
setting("token_types_absurd", "tokenizer.ggml.token_type", ARRAY, (I32, [99] * 270))
setting("merges_missing", "tokenizer.ggml.merges", None, None)
setting("merges_without_halves", "tokenizer.ggml.merges", ARRAY, (STRING, [b"abc"]))
setting("merges_of_unknown_tokens", "tokenizer.ggml.merges", ARRAY, (STRING, [b"qq zz"]))
setting("bos_beyond_the_vocabulary", "tokenizer.ggml.bos_token_id", U32, 1 << 30)
setting("eos_negative", "tokenizer.ggml.eos_token_id", I32, -5)
setting("add_bos_a_number", "tokenizer.ggml.add_bos_token", U32, 1)
setting("template_number", "tokenizer.chat_template", U32, 1)
setting("template_broken", "tokenizer.chat_template", STRING, b"{% for x in %}")
setting("template_without_end", "tokenizer.chat_template", STRING,
        b"{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}")
setting("template_that_refuses", "tokenizer.chat_template", STRING,
        b"{{ raise_exception('\x1b[31mno') }}")
setting("template_of_a_huge_number", "tokenizer.chat_template", STRING, b"{{ 9**9**9 }}")
setting("template_of_a_huge_range", "tokenizer.chat_template", STRING,
        b"{{ range(999999999999)|list }}")
setting("template_that_calls_itself", "tokenizer.chat_template", STRING,
        b"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}")
setting("template_with_a_cycle", "tokenizer.chat_template", STRING,
        b"{% set ns = namespace() %}{% set ns.a = ns %}{{ ns|tojson }}")
setting("template_of_nothing", "tokenizer.chat_template", STRING, b"{# nothing #}")
setting("split_of_a_million", "split.count", U32, 1000000)
setting("split_without_siblings", "split.count", U16, 2)
setting("sampling_absurd", "general.sampling.temp", F32, NAN, fine=True)
setting("name_with_control_characters", "general.name", STRING, b"\x1b[2J\x00\xff", fine=True)


def version(name, number, magic=b"GGUF"):
    def change(g):
        g.version, g.magic = number, magic
    change.__name__ = name
    return lie(change)


version("version_zero", 0)
version("version_one", 1)
version("version_of_tomorrow", 99)
version("version_big_endian", 3 << 24)
version("magic_reversed", 3, b"FUGG")


def faults(done, path, name):
    text = done.stderr.decode(errors="backslashreplace")
    if name in HARMLESS:
        return [] if done.returncode == 0 else [f"status {done.returncode}"]
    found = []
    if done.returncode != 1:
        found.append(f"status {done.returncode}")
    if done.stdout:
        found.append("something on stdout")
    if text.count("\n") != 1 or not text.startswith("minke: run:") or str(path) not in text:
        found.append("not one line that names the file")
    if name.startswith("template_") and name != "template_number" and "--raw" not in text:
        found.append("no way out")
    if any(byte < 0x20 and byte != 0x0a or byte == 0x7f for byte in done.stderr):
        found.append("control characters")
    return found


def main():
    sound, minke = pathlib.Path(sys.argv[1]).read_bytes(), sys.argv[2]
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        names = sys.argv[3:] or list(LIES)
        for name in names:
            g = Gguf(sound)
            LIES[name](g)
            path = pathlib.Path(folder) / "lie.gguf"
            data = g.write()
            path.write_bytes(data[:g.keep] if hasattr(g, "keep") else data)
            try:
                done = subprocess.run([minke, "run", path, "the", "--max-tokens", "3", "--temp",
                                       "0"], stdin=subprocess.DEVNULL, capture_output=True,
                                      timeout=20, check=False)
                bad = faults(done, path, name)
                said = done.stderr.decode(errors="backslashreplace").strip()
            except subprocess.TimeoutExpired:
                bad, said = ["did not end"], ""
            wrong += bool(bad)
            said = said.replace(str(folder) + "/", "").removeprefix("minke: run: ")
            print(f"{name}: {said}" + (f"   <-- {', '.join(bad)}" if bad else ""))
    print(f"{len(names)} lies, {wrong} got away")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
