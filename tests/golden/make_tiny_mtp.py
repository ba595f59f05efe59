"""Writes the golden files of multi-token prediction: tiny/deepseek-v3-mtp.{gguf,json} and
hf/deepseek-v3-mtp.

    make_tiny_mtp.py      (needs torch, transformers, gguf, tokenizers, safetensors, numpy)

transformers leaves DeepSeek V3's layer for it out, so it is put together here from the paper
(arXiv 2412.19437, section 2.2) around one of transformers' decoder layers:

    x_t = eh_proj [enorm(embedding of token t); hnorm(state_{t-1})],   state'_t = norm(layer(x)_t)
    logits of token t+1 = head state'_t

state is what comes out of the model behind its last norm; the first token takes its own. The golden
logits are those after `positions`, and those of two more rows behind the last, which read the
layer's own guesses and states.
"""

import json
import pathlib

import gguf
import make_tiny_folders as folders
import make_tiny_models as tiny
import numpy as np
import safetensors.torch
import torch
import transformers

NAME = "deepseek-v3-mtp"
LAYERS = 2
GUESSES = 2
EXTRA = {
    "eh_proj": "nextn.eh_proj",
    "enorm": "nextn.enorm",
    "hnorm": "nextn.hnorm",
    "shared_head.norm": "nextn.shared_head_norm",
}


class Mtp(torch.nn.Module):
    """The layer behind the last, and the model that it belongs to."""

    def __init__(self, model, seed):
        super().__init__()
        self.model = model
        self.layer = model.model.layers[LAYERS]
        model.model.layers = model.model.layers[:LAYERS]
        generator = torch.Generator().manual_seed(seed)
        dim = model.config.hidden_size
        norm = lambda: 1 + 0.1 * torch.randn(dim, generator=generator)
        self.weights = {
            "eh_proj": torch.randn(dim, 2 * dim, generator=generator) / (2 * dim) ** 0.5,
            "enorm": norm(),
            "hnorm": norm(),
            "shared_head.norm": norm(),
        }

    def rms_norm(self, x, name):
        variance = x.pow(2).mean(-1, keepdim=True)
        return self.weights[name] * x * torch.rsqrt(variance + self.model.config.rms_norm_eps)

    def forward(self, ids, previous):
        """Returns the states and the logits of each row."""
        parts = [
            self.rms_norm(self.model.model.embed_tokens(ids), "enorm"),
            self.rms_norm(previous, "hnorm"),
        ]
        x = torch.cat(parts, -1) @ self.weights["eh_proj"].T
        positions = torch.arange(ids.shape[0])[None]
        causal = torch.full((ids.shape[0],) * 2, float("-inf")).triu(1)[None, None]
        turned = self.model.model.rotary_emb(x[None], positions)
        y = self.layer(
            x[None], attention_mask=causal, position_ids=positions, position_embeddings=turned
        )
        y = y[0] if isinstance(y, tuple) else y
        states = self.rms_norm(y.reshape(x.shape), "shared_head.norm")
        return states, self.model.lm_head(states)

    def golden(self, ids):
        """Logits after each position, and of the rows that follow by its own guesses."""
        states = self.model.model(torch.tensor([ids])).last_hidden_state[0]
        previous = torch.cat([states[:1], states[:-1]])
        out, logits = self(torch.tensor(ids), previous)
        rows = [logits[at] for at in tiny.POSITIONS]
        guesses = []
        for _ in range(GUESSES):
            guesses.append(int(logits[-1].argmax()))
            previous = torch.cat([previous, out[-1:]])
            out, logits = self(torch.tensor(ids + guesses), previous)
            rows.append(logits[-1])
        return guesses, [[float(f"{x:.9g}") for x in row.tolist()] for row in rows]


def golden_json(mtp, seed, **more):
    generator = torch.Generator().manual_seed(1000 + seed)
    ids = torch.randint(0, 256, (tiny.TOKENS,), generator=generator).tolist()
    with torch.no_grad():
        guesses, logits = mtp.golden(ids)
    versions = f"transformers {transformers.__version__}, torch {torch.__version__}"
    golden = dict(made_with=versions, ids=ids, positions=tiny.POSITIONS, guesses=guesses)
    return json.dumps({**more, **golden, "logits": logits}) + "\n"


def write_gguf(path, shape, model, weights):
    config = model.config
    writer = gguf.GGUFWriter(path, "deepseek2")
    config.num_hidden_layers = LAYERS + 1  # what block_count is written from
    tiny.write_metadata(writer, NAME, shape, config)
    config.num_hidden_layers = LAYERS
    writer.add_uint32("deepseek2.nextn_predict_layers", 1)
    biases = [entry for entry in model.named_buffers() if "e_score" in entry[0]]
    for parameter, weight in [*model.named_parameters(), *biases]:
        for target, array in tiny.gguf_tensors(parameter, weight.detach().numpy(), shape):
            writer.add_tensor(target, np.ascontiguousarray(array))
    for name, weight in weights.items():
        writer.add_tensor(f"blk.{LAYERS}.{EXTRA[name]}.weight", weight.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_folder(folder, model, weights_of):
    folder.mkdir(parents=True, exist_ok=True)
    saved = folders.rounded_state(model, "bf16")
    config = model.config.to_diff_dict()
    config.update(model_type="deepseek_v3", num_hidden_layers=LAYERS, num_nextn_predict_layers=1)
    # The checkpoints have copies of what the layer shares with the model.
    prefix = f"model.layers.{LAYERS}."
    saved[prefix + "embed_tokens.weight"] = saved["model.embed_tokens.weight"].clone()
    saved[prefix + "shared_head.head.weight"] = saved["lm_head.weight"].clone()
    mtp = weights_of()
    for name, weight in mtp.weights.items():
        saved[f"{prefix}{name}.weight"] = weight.bfloat16()
        mtp.weights[name] = weight.bfloat16().float()
    safetensors.torch.save_file(
        {key: value.contiguous() for key, value in saved.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    sampling = {"temperature": 0.6, "top_p": 0.95, "top_k": 20}
    (folder / "generation_config.json").write_text(json.dumps(sampling) + "\n")
    folders.write_tokenizer(folder)
    return mtp


def main():
    here = pathlib.Path(__file__).resolve().parent
    # All experts for every token: with two mixtures in a row, what a cache in bf16 rounds off is
    # enough to change a choice, and choices have their own golden files.
    shape = dict(tiny.MODELS["deepseek-v3"], num_hidden_layers=LAYERS + 1)
    shape.update(used=shape["experts"], groups=1, groups_used=1)
    model = tiny.random_model(shape, 200)
    weights = Mtp(tiny.random_model(shape, 200), 201).weights
    write_gguf(here / "tiny" / f"{NAME}.gguf", shape, model, weights)
    text = golden_json(Mtp(model, 201), 200, model=f"{NAME}.gguf")
    (here / "tiny" / f"{NAME}.json").write_text(text)

    shape = dict(shape, tied=False)
    model = tiny.random_model(shape, 210)
    mtp = write_folder(here / "hf" / NAME, model, lambda: Mtp(model, 211))
    (here / "hf" / NAME / "golden.json").write_text(golden_json(mtp, 210))


if __name__ == "__main__":
    main()
