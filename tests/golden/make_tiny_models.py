"""Writes tests/golden/tiny: small random models as GGUF, with golden logits.

    make_tiny_models.py [OUT_DIR]      (needs torch, transformers, gguf, numpy)

Each model NAME gives NAME.gguf (all tensors F32) and NAME.json: token ids, positions, and the fp32
logits after each of these positions as transformers computes them with eager attention. The ids run
past the original context of the scaled models.

Conventions that a reader of GGUF must know, checked against both transformers and llama.cpp:

- llama: the rows of Q and K (and their biases) are reordered, so that RoPE turns adjacent pairs
  (2i, 2i+1); in transformers it turns the halves (i, i + d/2). qwen2, qwen3: not reordered, halves.
- linear: every frequency is divided by rope.scaling.factor.
- llama3: the tensor rope_freqs.weight holds one divisor for each frequency, already blended; no
  rope.scaling key is written.
- yarn: rope.scaling.{type, factor, original_context_length}, optionally yarn_beta_fast (32),
  yarn_beta_slow (1) and attn_factor (1). The frequency is a blend of f and f / factor along a ramp
  over the frequency's index, whose ends are floor and ceil of the correction dimensions, held to
  [0, d - 1] (d, not d / 2). cos and sin are both multiplied by (0.1 ln(factor) + 1) x attn_factor,
  so the scores grow by its square. transformers' attention_factor is that whole product.
  (llama.cpp reads the two betas for a few architectures only; here they are to be honoured.)
- deepseek2 with yarn: cos and sin are left alone, and scores are multiplied by the square of 1 +
  rope.scaling.yarn_log_multiplier x ln(factor); the key holds 0.1 x mscale_all_dim.
- deepseek2's halves of kv_b_proj lie in one tensor, attn_kv_b, or in two: attn_k_b, turned to
  [heads, kv_lora_rank, nope], and attn_v_b, [heads, value, kv_lora_rank]. Files with the two give
  the widths of the cache as key and value length, and a head's as key_length_mla, value_length_mla.
- Experts are stacks: ffn_{gate,up,down}_exps.
"""

import argparse
import json
import math
import pathlib

import gguf
import numpy as np
import torch
import transformers

TOKENS = 160
POSITIONS = [0, 1, 7, 31, 63, 64, 100, 159]
ORIGINAL_CONTEXT = 64
CONTEXT = 256

# Small next to the real ones, so that a file stays below 300 KB.
LAYERS_DEEP = dict(
    hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
)
LAYERS_ROPE = dict(
    hidden_size=64,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=1,
    intermediate_size=32,
)
# DeepSeek: a dense block and one with experts. Heads have 16 + 8 wide keys and 16 wide values.
LATENT = dict(
    hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32, tied=True
)
KV_RANK, NOPE, ROPE, VALUE = 32, 16, 8, 16
LLAMA3 = dict(low_freq_factor=1.0, high_freq_factor=4.0)
YARN_FACTOR = 4.0
YARN_ATTENTION = 1.25
MODELS = {
    "llama": dict(LAYERS_DEEP, family="llama", tied=True, intermediate_size=64),
    "llama-untied-bias": dict(LAYERS_DEEP, family="llama", intermediate_size=32, bias=True),
    "llama-wide-heads": dict(
        hidden_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=64,
        intermediate_size=48,
        family="llama",
        tied=True,
    ),
    "llama-linear": dict(LAYERS_ROPE, family="llama", tied=True, rope="linear", factor=4.0),
    "llama-yarn": dict(LAYERS_ROPE, family="llama", tied=True, rope="yarn", factor=YARN_FACTOR),
    "llama-llama3": dict(LAYERS_ROPE, family="llama", tied=True, rope="llama3", factor=8.0),
    "qwen2": dict(LAYERS_DEEP, family="qwen2", tied=True, intermediate_size=64),
    "qwen2-untied": dict(LAYERS_DEEP, family="qwen2", intermediate_size=32),
    "qwen2-yarn": dict(
        LAYERS_ROPE,
        family="qwen2",
        tied=True,
        rope="yarn",
        factor=YARN_FACTOR,
        attn_factor=YARN_ATTENTION,
        beta_fast=16.0,
        beta_slow=2.0,
    ),
    "qwen3": dict(LAYERS_DEEP, head_dim=24, family="qwen3", tied=True, intermediate_size=64),
    "qwen3moe": dict(
        LAYERS_ROPE, head_dim=24, family="qwen3moe", tied=True, experts=8, used=3, normalise=True
    ),
    "deepseek-v2-lite": dict(LATENT, family="v2", layout="kv_b", experts=8, used=3, shared=2),
    "deepseek-v2": dict(
        LATENT,
        family="v2",
        layout="both",
        q_rank=24,
        experts=8,
        used=3,
        shared=1,
        groups=4,
        groups_used=2,
        scale=2.0,
        rope="yarn",
        factor=YARN_FACTOR,
        mscale=0.707,
    ),
    "deepseek-v3": dict(
        LATENT,
        family="v3",
        layout="split",
        q_rank=24,
        experts=8,
        used=3,
        shared=1,
        groups=4,
        groups_used=2,
        scale=2.5,
        normalise=True,
    ),
    "deepseek-v3-yarn": dict(
        LATENT,
        family="v3",
        layout="split",
        experts=8,
        used=2,
        shared=1,
        scale=2.5,
        normalise=True,
        rope="yarn",
        factor=YARN_FACTOR,
        mscale=1.0,
    ),
}
EXPERT_SIZE = 16

MERGES = ["t h", "Ġ th", "Ġth e", "i n", "Ġ a", "e r", "o n", "Ġ t", "in g", "a n", "h e"]
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def byte_alphabet():
    """Returns GPT-2's printable stand-in for each byte, in the order of the bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet, spare = [], 0
    for byte in range(256):
        if byte in printable:
            alphabet.append(chr(byte))
        else:
            alphabet.append(chr(256 + spare))
            spare += 1
    return alphabet


def vocabulary():
    """270 tokens: no multiple of 16, so that the last panel of the output has a ragged end."""
    tokens = byte_alphabet() + [merge.replace(" ", "") for merge in MERGES] + CONTROL
    kinds = [gguf.TokenType.NORMAL] * (len(tokens) - len(CONTROL))
    return tokens, kinds + [gguf.TokenType.CONTROL] * len(CONTROL)


def rope_parameters(shape):
    result = {"rope_type": shape.get("rope", "default"), "rope_theta": 10000.0}
    if "rope" in shape:
        result["factor"] = shape["factor"]
    if result["rope_type"] in ("yarn", "llama3"):
        result["original_max_position_embeddings"] = ORIGINAL_CONTEXT
    if result["rope_type"] == "llama3":
        result.update(LLAMA3)
    if "mscale" in shape:
        result["mscale"] = result["mscale_all_dim"] = shape["mscale"]
    if "attn_factor" in shape:
        result["attention_factor"] = shape["attn_factor"] * (0.1 * math.log(shape["factor"]) + 1)
        result["beta_fast"], result["beta_slow"] = shape["beta_fast"], shape["beta_slow"]
    return result


def random_model(shape, seed):
    """Returns a model whose weights are large enough that attention and RoPE decide the logits."""
    settings = dict(
        vocab_size=len(vocabulary()[0]),
        max_position_embeddings=CONTEXT,
        rms_norm_eps=1e-5,
        tie_word_embeddings=shape.get("tied", False),
        rope_parameters=rope_parameters(shape),
        attn_implementation="eager",
        **{key: shape[key] for key in shape if key.endswith(("_size", "_layers", "_heads"))},
    )
    mixture = dict(
        n_routed_experts=shape.get("experts"),
        num_experts_per_tok=shape.get("used"),
        n_shared_experts=shape.get("shared"),
        moe_intermediate_size=EXPERT_SIZE,
        routed_scaling_factor=shape.get("scale", 1.0),
        n_group=shape.get("groups", 1),
        topk_group=shape.get("groups_used", 1),
        norm_topk_prob=shape.get("normalise", False),
        first_k_dense_replace=1,
    )
    latent = dict(
        q_lora_rank=shape.get("q_rank"),
        kv_lora_rank=KV_RANK,
        qk_nope_head_dim=NOPE,
        qk_rope_head_dim=ROPE,
        v_head_dim=VALUE,
        num_key_value_heads=shape["num_attention_heads"],
    )
    if shape["family"] == "v2":
        grouped = "groups" in shape
        config = transformers.DeepseekV2Config(
            topk_method="group_limited_greedy" if grouped else "greedy",
            **{**settings, **mixture, **latent},
        )
        model = transformers.DeepseekV2ForCausalLM(config)
    elif shape["family"] == "v3":
        config = transformers.DeepseekV3Config(**{**settings, **mixture, **latent})
        model = transformers.DeepseekV3ForCausalLM(config)
    elif shape["family"] == "qwen3moe":
        config = transformers.Qwen3MoeConfig(
            head_dim=shape["head_dim"],
            num_experts=shape["experts"],
            num_experts_per_tok=shape["used"],
            moe_intermediate_size=EXPERT_SIZE,
            norm_topk_prob=True,
            **settings,
        )
        model = transformers.Qwen3MoeForCausalLM(config)
    elif shape["family"] == "llama":
        head_dim = shape.get("head_dim", settings["hidden_size"] // shape["num_attention_heads"])
        config = transformers.LlamaConfig(
            head_dim=head_dim, attention_bias=shape.get("bias", False), **settings
        )
        model = transformers.LlamaForCausalLM(config)
    elif shape["family"] == "qwen3":
        config = transformers.Qwen3Config(head_dim=shape["head_dim"], **settings)
        model = transformers.Qwen3ForCausalLM(config)
    else:
        config = transformers.Qwen2Config(use_sliding_window=False, **settings)
        model = transformers.Qwen2ForCausalLM(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            noise = torch.randn(weight.shape, generator=generator)
            if "norm" in name:
                weight.copy_(1 + 0.1 * noise)
            elif name.endswith("bias"):
                weight.copy_(0.5 * noise)
            elif "embed" in name or "lm_head" in name:
                weight.copy_(0.5 * noise)
            else:
                weight.copy_(1.5 * noise / weight.shape[-1] ** 0.5)
        for name, buffer in model.named_buffers():
            # Above zero, so that scores of groups that were not chosen, which transformers sets to
            # zero and not to minus infinity, come last.
            if name.endswith("e_score_correction_bias"):
                buffer.copy_(0.3 * torch.rand(buffer.shape, generator=generator))
    return model.float().eval()


def permute(array, heads):
    """Reorders rows from halves to adjacent pairs, as llama.cpp stores Q and K of llama."""
    shape = (heads, 2, array.shape[0] // heads // 2, *array.shape[1:])
    return array.reshape(shape).swapaxes(1, 2).reshape(array.shape)


def llama3_divisors(head_dim, theta, factor):
    """Returns the divisor of each frequency, in the form that rope_freqs.weight holds."""
    result = []
    for index in range(head_dim // 2):
        wavelength = 2 * math.pi * theta ** (2 * index / head_dim)
        turns = ORIGINAL_CONTEXT / wavelength
        low, high = LLAMA3["low_freq_factor"], LLAMA3["high_freq_factor"]
        smooth = min(max((turns - low) / (high - low), 0.0), 1.0)
        result.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(result, dtype=np.float32)


GGUF_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.q_a_proj": "attn_q_a",
    "self_attn.q_a_layernorm": "attn_q_a_norm",
    "self_attn.q_b_proj": "attn_q_b",
    "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa",
    "self_attn.kv_a_layernorm": "attn_kv_a_norm",
    "self_attn.kv_b_proj": "attn_kv_b",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp",
    "mlp.gate.e_score_correction": "exp_probs_b",
    "mlp.shared_experts.gate_proj": "ffn_gate_shexp",
    "mlp.shared_experts.up_proj": "ffn_up_shexp",
    "mlp.shared_experts.down_proj": "ffn_down_shexp",
}


def gguf_tensors(name, array, shape):
    """Yields what becomes of one of transformers' parameters."""
    fixed = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    if name in fixed:
        yield fixed[name], array
        return
    _, _, layer, rest = name.split(".", 3)
    block = f"blk.{layer}."
    if rest == "mlp.experts.gate_up_proj":
        yield block + "ffn_gate_exps.weight", array[:, :EXPERT_SIZE]
        yield block + "ffn_up_exps.weight", array[:, EXPERT_SIZE:]
        return
    if rest == "mlp.experts.down_proj":
        yield block + "ffn_down_exps.weight", array
        return
    rest = rest.replace("e_score_correction_bias", "e_score_correction.bias")
    part, suffix = rest.rsplit(".", 1)
    if part == "self_attn.kv_b_proj" and shape["layout"] != "kv_b":
        heads = array.reshape(shape["num_attention_heads"], NOPE + VALUE, KV_RANK)
        yield block + "attn_k_b.weight", heads[:, :NOPE].swapaxes(1, 2)
        yield block + "attn_v_b.weight", heads[:, NOPE:]
        if shape["layout"] == "split":
            return
    yield f"{block}{GGUF_NAMES[part]}.{suffix}", array


def write_mixture_metadata(writer, shape, config):
    writer.add_expert_count(shape["experts"])
    writer.add_expert_used_count(shape["used"])
    writer.add_expert_feed_forward_length(EXPERT_SIZE)
    if shape["family"] == "qwen3moe":
        return
    split = shape["layout"] != "kv_b"
    writer.add_vocab_size(config.vocab_size)
    writer.add_leading_dense_block_count(1)
    writer.add_expert_shared_count(shape["shared"])
    writer.add_expert_weights_scale(shape.get("scale", 1.0))
    if shape["family"] == "v3":
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
        writer.add_expert_weights_norm(True)
    if "groups" in shape:
        writer.add_expert_group_count(shape["groups"])
        writer.add_expert_group_used_count(shape["groups_used"])
    if "q_rank" in shape:
        writer.add_q_lora_rank(shape["q_rank"])
    writer.add_kv_lora_rank(KV_RANK)
    writer.add_key_length(KV_RANK + ROPE if split else NOPE + ROPE)
    writer.add_value_length(KV_RANK if split else VALUE)
    if split:
        writer.add_key_length_mla(NOPE + ROPE)
        writer.add_value_length_mla(VALUE)
    if "mscale" in shape:
        writer.add_rope_scaling_yarn_log_mul(0.1 * shape["mscale"])


def write_metadata(writer, name, shape, config):
    latent = shape["family"] in ("v2", "v3")
    head_dim = getattr(config, "head_dim", None) or 64 // config.num_attention_heads
    head_dim = ROPE if latent else head_dim
    writer.add_name(f"tiny {name}")
    writer.add_context_length(CONTEXT)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(1 if shape.get("layout") == "split" else config.num_key_value_heads)
    if "experts" in shape:
        write_mixture_metadata(writer, shape, config)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(head_dim)
    if "head_dim" in shape:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    if shape.get("rope") in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(shape["rope"]))
        writer.add_rope_scaling_factor(shape["factor"])
    if shape.get("rope") == "yarn":
        writer.add_rope_scaling_orig_ctx_len(ORIGINAL_CONTEXT)
    if "attn_factor" in shape:
        writer.add_rope_scaling_attn_factors(shape["attn_factor"])
        writer.add_rope_scaling_yarn_beta_fast(shape["beta_fast"])
        writer.add_rope_scaling_yarn_beta_slow(shape["beta_slow"])
    tokens, kinds = vocabulary()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2" if shape["family"] == "llama" else "qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(MERGES)
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    return head_dim


def write_gguf(path, name, shape, model):
    config = model.config
    latent = shape["family"] in ("v2", "v3")
    writer = gguf.GGUFWriter(path, "deepseek2" if latent else shape["family"])
    head_dim = write_metadata(writer, name, shape, config)
    permuted = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    if shape.get("rope") == "llama3":
        writer.add_tensor(
            "rope_freqs.weight", llama3_divisors(head_dim, 10000.0, shape["factor"])
        )
    biases = [entry for entry in model.named_buffers() if "e_score" in entry[0]]
    for parameter, weight in [*model.named_parameters(), *biases]:
        for target, array in gguf_tensors(parameter, weight.detach().numpy(), shape):
            part = target.split(".")[2] if target.startswith("blk.") else ""
            if shape["family"] == "llama" and part in permuted:
                array = permute(array, permuted[part])
            writer.add_tensor(target, np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    default = pathlib.Path(__file__).resolve().parent / "tiny"
    parser.add_argument("out_dir", nargs="?", type=pathlib.Path, default=default)
    out_dir = parser.parse_args().out_dir
    out_dir.mkdir(parents=True, exist_ok=True)
    for seed, (name, shape) in enumerate(MODELS.items(), start=1):
        model = random_model(shape, seed)
        write_gguf(out_dir / f"{name}.gguf", name, shape, model)
        generator = torch.Generator().manual_seed(1000 + seed)
        ids = torch.randint(0, 256, (TOKENS,), generator=generator).tolist()
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        rows = [[float(f"{x:.9g}") for x in logits[at].tolist()] for at in POSITIONS]
        golden = {
            "model": f"{name}.gguf",
            "made_with": f"transformers {transformers.__version__}, torch {torch.__version__}",
            "ids": ids,
            "yarn_betas": [shape.get("beta_fast", 32.0), shape.get("beta_slow", 1.0)],
            "positions": POSITIONS,
            "logits": rows,
        }
        (out_dir / f"{name}.json").write_text(json.dumps(golden) + "\n")
        size_kb = (out_dir / f"{name}.gguf").stat().st_size / 1024
        print(f"{name}: {size_kb:.0f} KB, logits spread {logits.std():.3f}")


if __name__ == "__main__":
    main()
