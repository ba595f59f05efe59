#!/usr/bin/env python3
"""Proof that llama.cpp reads what `minke convert` and `minke quantize` write: for random models of every
architecture, made here as Hugging Face folders, and for GGUF files that are named, converted and
quantised files give the same tokens and the same likeliest next token on 5 prompts in both programs.

    check_llama_cpp_reads.py MINKE [MODEL.gguf ...]

Needs torch, transformers, tokenizers, safetensors, gguf, llama-cpp-python and numpy. Prints a line a
file: at how many last positions of the prompts, and at how many of all, both find the same token
likeliest, and the largest difference of a log-probability of those.

The claim is that of the F32 files, whose weights are not rounded: 5 prompts of 5 must end in the same
token, without exception. It proves that names, shapes, order and metadata are what llama.cpp takes them
for. (Inside a text the two still differ at a few positions: their caches keep keys and values as bf16 and
as fp16, a random model makes much of little, and a random router sends a token elsewhere at a touch.)
The others show that the blocks of each format are what llama.cpp takes them for, too. There both round
activations, each in its own way: a last position at which llama.cpp finds both programs' tokens within
0.5 nats of each other is a tie. Of converted files (BF16, as the folder has it) all 5 must agree or tie,
of quantised ones 4. A wrong layout would miss nearly all of them.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "golden"))

import ctypes  # noqa: E402

import llama_cpp  # noqa: E402
import make_tiny_folders as folders  # noqa: E402
import make_tiny_models as tiny  # noqa: E402
import numpy as np  # noqa: E402
import safetensors.torch  # noqa: E402
import torch  # noqa: E402

PROMPTS = [
    "The quick brown fox jumps over the lazy dog near the river bank.",
    "int main(int argc, char** argv) { return argc > 1 ? 0 : 1; }",
    "In the beginning there was the word, and the word was with the other thing.",
    "Ein Satz mit Umlauten: Ägypten, Öl, Übermut, straße.",
    "1 + 1 = 2, 2 + 2 = 4, 4 + 4 = 8, 8 + 8 =",
]

# Wide enough that the formats with blocks of 256 are used.
WIDE = dict(hidden_size=256, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            intermediate_size=512)
LATENT = dict(hidden_size=256, num_hidden_layers=3, num_attention_heads=4, intermediate_size=512)
MODELS = {
    "llama": dict(WIDE, family="llama"),
    "llama3": dict(tiny.MODELS["llama-llama3"], **WIDE),
    "qwen2": dict(WIDE, family="qwen2", tied=True),
    "qwen3": dict(WIDE, family="qwen3", head_dim=64),
    "qwen3moe": dict(WIDE, family="qwen3moe", head_dim=64, experts=8, used=2, normalise=True),
    # llama.cpp tells V2-Lite, which has no q_lora_rank, by its 27 layers.
    "deepseek-v2-lite": dict(LATENT, family="v2", experts=4, used=2, shared=2, num_hidden_layers=27),
    "deepseek-v3": dict(LATENT, family="v3", q_rank=256, experts=16, used=3, shared=1, groups=4,
                        groups_used=2, normalise=True, scale=2.5),
    "deepseek-v3-fp8": dict(LATENT, family="v3", q_rank=256, experts=16, used=3, shared=1, groups=4,
                            groups_used=2, normalise=True, scale=2.5, dtype="fp8"),
}
TIE = 0.5
TYPES = ["Q8_0", "Q4_K_M", "Q2_K", "IQ4_XS", "Q4_0"]


def make_folder(folder, shape, seed):
    folder.mkdir()
    model = tiny.random_model(shape, seed)
    # Many random layers would make anything of a rounding: each adds little to what came in.
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "o_proj" in name or "down_proj" in name:
                weight.mul_(2 / shape["num_hidden_layers"])
    saved = folders.rounded_state(model, shape.get("dtype", "bf16"))
    safetensors.torch.save_file({key: value.contiguous() for key, value in saved.items()},
                                folder / "model.safetensors", metadata={"format": "pt"})
    config = model.config.to_diff_dict()
    config["model_type"] = model.config.model_type
    (folder / "config.json").write_text(json.dumps(config))
    folders.write_tokenizer(folder)


def run(*command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True,
                          text=True).stdout


class Llama:
    def __init__(self, path):
        self.model = llama_cpp.llama_model_load_from_file(
            str(path).encode(), llama_cpp.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"llama.cpp does not load {path}")
        self.vocabulary = llama_cpp.llama_model_get_vocab(self.model)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = 256
        params.n_threads = params.n_threads_batch = 2
        self.context = llama_cpp.llama_init_from_model(self.model, params)

    def close(self):
        llama_cpp.llama_free(self.context)
        llama_cpp.llama_model_free(self.model)

    def tokenize(self, text):
        data = text.encode()
        out = (llama_cpp.llama_token * (len(data) + 8))()
        count = llama_cpp.llama_tokenize(self.vocabulary, data, len(data), out, len(out), True, False)
        return list(out[:count])

    def log_probabilities(self, ids):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
        batch = llama_cpp.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for at, token in enumerate(ids):
            batch.token[at], batch.pos[at] = token, at
            batch.n_seq_id[at], batch.seq_id[at][0], batch.logits[at] = 1, 0, 1
        if llama_cpp.llama_decode(self.context, batch) != 0:
            raise SystemExit("llama_decode failed")
        count = llama_cpp.llama_vocab_n_tokens(self.vocabulary)
        logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits(self.context),
                                       shape=(len(ids) * count,)).astype(np.float64)
        llama_cpp.llama_batch_free(batch)
        logits = logits.reshape(len(ids), count)
        top = logits.max(axis=1, keepdims=True)
        return logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))


def check(minke, path, least, ties_count=True):
    """Prints a line about a file; false where it is not read alike."""
    llama = Llama(path)
    same, positions, last, ties, largest = 0, 0, 0, 0, 0.0
    for prompt in PROMPTS:
        # The last word is a token that both must guess: the scores before it count.
        with tempfile.NamedTemporaryFile("w") as text:
            text.write(prompt)
            text.flush()
            ours = json.loads(run(minke, "logprobs", path, "--file", text.name, "--top", "1", "--json"))
        ids = llama.tokenize(prompt)
        if ids != ours["ids"]:
            raise SystemExit(f"{path}: {prompt!r} is {ids} to llama.cpp and {ours['ids']} to minke")
        theirs = llama.log_probabilities(ids[:-1])
        for at in range(1, len(ids)):
            token, value = ours["top"][at][0]
            agrees = int(theirs[at - 1].argmax()) == token
            same += agrees
            positions += 1
            largest = max(largest, abs(float(theirs[at - 1][token]) - value))
        last += agrees
        ties += not agrees and float(theirs[-1].max() - theirs[-1][token]) < TIE
    llama.close()
    print(f"{path.name:34} {last} of {len(PROMPTS)} prompts, {ties} ties, {same} of {positions} "
          f"positions, difference up to {largest:.4f}", flush=True)
    return last + (ties if ties_count else 0) >= least


def main():
    minke, models = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:]
    quiet = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(
        lambda _level, _text, _data: None)
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p())
    llama_cpp.llama_backend_init()
    tiny.EXPERT_SIZE, tiny.KV_RANK, tiny.NOPE, tiny.ROPE, tiny.VALUE = 256, 256, 64, 32, 64
    failed = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        sources = [(pathlib.Path(model).stem, pathlib.Path(model)) for model in models]
        for seed, (model, shape) in enumerate(MODELS.items(), start=7):
            make_folder(folder / model, shape, seed)
            sources.append((model, folder / model))
        for model, source in sources:
            types = TYPES + (["MOE_Q2_K"] if "experts" in MODELS.get(model, {}) else [])
            for kind in ["F32", "COPY", *types]:
                out = folder / f"{model}.{kind}.gguf"
                if source.is_dir() and kind == "COPY":
                    run(minke, "convert", source, out)
                else:
                    run(minke, "quantize", source, out, "--type", kind)
                least = len(PROMPTS) - (kind not in ("F32", "COPY"))
                if not check(minke, out, least, ties_count=kind != "F32"):
                    failed.append(out.name)
                out.unlink()
    if failed:
        sys.exit("not the same: " + ", ".join(failed))


if __name__ == "__main__":
    main()
