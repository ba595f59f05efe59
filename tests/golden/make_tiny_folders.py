"""Writes tests/golden/hf: small random models as Hugging Face saves them, with golden logits.

    make_tiny_folders.py [OUT_DIR]      (needs torch, transformers, tokenizers, safetensors)

Each folder has config.json, generation_config.json, tokenizer.json, tokenizer_config.json and
model.safetensors, and golden.json: token ids, positions, and the fp32 logits after each of these
positions, of the weights as they were saved (BF16, or FP8 with scales of 128 x 128 blocks brought back
to fp32).
"""

import argparse
import json
import pathlib

import make_tiny_models as tiny
import safetensors.torch
import tokenizers
import torch
import transformers

FOLDERS = {
    "llama": dict(tiny.MODELS["llama-untied-bias"], dtype="bf16"),
    "llama3": dict(tiny.MODELS["llama-llama3"], dtype="bf16"),
    "qwen3moe": dict(tiny.MODELS["qwen3moe"], dtype="bf16"),
    "deepseek-v2-lite": dict(tiny.MODELS["deepseek-v2-lite"], dtype="bf16"),
    "deepseek-v3-fp8": dict(
        tiny.MODELS["deepseek-v3-yarn"], dtype="fp8", hidden_size=192, tied=False, q_rank=24
    ),
}
BLOCK = 128
E4M3_MAX = 448.0


def to_fp8(weight):
    """Returns the codes, the scales of the blocks, and what they stand for in fp32."""
    rows, columns = weight.shape
    scales = torch.zeros(-(-rows // BLOCK), -(-columns // BLOCK))
    codes = torch.zeros(rows, columns, dtype=torch.float8_e4m3fn)
    back = torch.zeros(rows, columns)
    for i in range(scales.shape[0]):
        for j in range(scales.shape[1]):
            at = (slice(i * BLOCK, (i + 1) * BLOCK), slice(j * BLOCK, (j + 1) * BLOCK))
            scales[i, j] = weight[at].abs().max() / E4M3_MAX
            codes[at] = (weight[at] / scales[i, j]).to(torch.float8_e4m3fn)
            back[at] = codes[at].float() * scales[i, j]
    return codes, scales, back


def is_fp8(name, weight):
    plain = ("embed_tokens", "lm_head", "norm", "mlp.gate.", "_bias")
    return weight.dim() == 2 and not any(part in name for part in plain)


def rounded_state(model, dtype):
    """Returns what is saved, by the checkpoint's names, and sets the model to what it stands for."""
    saved = {}
    for name, weight in [*model.named_parameters(), *model.named_buffers()]:
        if "inv_freq" in name:
            continue
        pieces = {name: weight.data}
        if name.endswith("experts.gate_up_proj"):
            half = weight.shape[1] // 2
            base = name.removesuffix("gate_up_proj")
            pieces = {}
            for e in range(weight.shape[0]):
                pieces[f"{base}{e}.gate_proj.weight"] = weight.data[e, :half]
                pieces[f"{base}{e}.up_proj.weight"] = weight.data[e, half:]
        elif name.endswith("experts.down_proj"):
            base = name.removesuffix("down_proj")
            pieces = {f"{base}{e}.down_proj.weight": weight.data[e] for e in range(len(weight))}
        for piece, values in pieces.items():
            if "e_score" in piece:
                saved[piece] = values.clone()
            elif dtype == "fp8" and is_fp8(piece, values):
                codes, scales, back = to_fp8(values)
                saved[piece], saved[piece + "_scale_inv"] = codes, scales
                values.copy_(back)
            else:
                saved[piece] = values.bfloat16()
                values.copy_(saved[piece].float())
    if model.config.tie_word_embeddings:
        saved.pop("lm_head.weight", None)
    return saved


def write_tokenizer(folder):
    tokens, _ = tiny.vocabulary()
    plain = len(tokens) - len(tiny.CONTROL)
    merges = [tuple(merge.split(" ")) for merge in tiny.MERGES]
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.BPE({token: i for i, token in enumerate(tokens[:plain])}, merges)
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [tokenizers.AddedToken(token, special=True, normalized=False) for token in tiny.CONTROL]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "bos_token": "<|endoftext|>",
        "eos_token": "<|im_end|>",
        "add_bos_token": False,
        "chat_template": tiny.TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    default = pathlib.Path(__file__).resolve().parent / "hf"
    parser.add_argument("out_dir", nargs="?", type=pathlib.Path, default=default)
    out_dir = parser.parse_args().out_dir
    for seed, (name, shape) in enumerate(FOLDERS.items(), start=100):
        folder = out_dir / name
        folder.mkdir(parents=True, exist_ok=True)
        model = tiny.random_model(shape, seed)
        saved = rounded_state(model, shape["dtype"])
        safetensors.torch.save_file(
            {key: value.contiguous() for key, value in saved.items()},
            folder / "model.safetensors",
            metadata={"format": "pt"},
        )
        config = model.config.to_diff_dict()
        config["model_type"] = model.config.model_type
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        sampling = {"temperature": 0.6, "top_p": 0.95, "top_k": 20}
        (folder / "generation_config.json").write_text(json.dumps(sampling) + "\n")
        write_tokenizer(folder)
        generator = torch.Generator().manual_seed(1000 + seed)
        ids = torch.randint(0, 256, (tiny.TOKENS,), generator=generator).tolist()
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        golden = {
            "made_with": f"transformers {transformers.__version__}, torch {torch.__version__}",
            "ids": ids,
            "positions": tiny.POSITIONS,
            "logits": [[float(f"{x:.9g}") for x in logits[at].tolist()] for at in tiny.POSITIONS],
        }
        (folder / "golden.json").write_text(json.dumps(golden) + "\n")
        print(f"{name}: logits spread {logits.std():.3f}")


if __name__ == "__main__":
    main()
