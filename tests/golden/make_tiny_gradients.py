#!/usr/bin/env python3
"""Gradients of tiny models of each family by PyTorch's autograd, and three steps of its AdamW, in
double precision.

    python make_tiny_gradients.py > tiny_gradients.txt
    python make_tiny_gradients.py --adamw > tiny_adamw.txt

The model is written here from the papers, apart from minke's code. Like minke's forward pass
(docs/numerics.md) it rounds q, k, v and the exponentials of each page of 64 keys to bf16, with the
identity as the rounding's gradient. Weights and tokens come from spread() below, which
src/train/testing.h repeats. Needs torch; made with 2.15.
"""

import math
import sys

import torch

LAYERS, DIM, HEADS, KV_HEADS, HEAD_DIM, FFN, VOCABULARY = 2, 48, 6, 2, 8, 80, 37
EXPERTS, USED, EXPERT_DIM, GROUPS, GROUPS_USED, ROUTE_SCALE = 8, 3, 32, 4, 2, 2.5
Q_RANK, KV_RANK, NOPE_DIM, ROPE_DIM, VALUE_DIM = 20, 32, 12, 8, 16
EPSILON = 1e-5
PAGE = 64
LENGTHS = [6, 1, 80, 17]  # rows of each sequence
MODELS = [
    ("llama", True),
    ("llama", False),
    ("qwen2", True),
    ("qwen2", False),
    ("qwen3", True),
    ("qwen3moe", False),
    ("deepseek-v2-lite", False),
    ("deepseek-v3", False),
]
ADAMW_STEPS, LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM = 3, 1e-3, 0.1, 1.0
torch.set_default_dtype(torch.float64)


def spread(stream, index):
    mask = 0xFFFFFFFF
    h = (index * 2654435761 + stream * 2246822519 + 374761393) & mask
    h ^= h >> 15
    h = h * 2246822519 & mask
    h ^= h >> 13
    h = h * 3266489917 & mask
    h ^= h >> 16
    return h / 2147483648.0 - 1.0


def weight(stream, shape, scale, offset=0.0):
    count = math.prod(shape)
    values = torch.tensor([offset + spread(stream, i) * scale for i in range(count)])
    # minke's weights are fp32.
    return values.float().double().reshape(shape).requires_grad_()


def tokens(stream, count):
    return [int((spread(stream, i) + 1.0) / 2.0 * VOCABULARY) for i in range(count)]


def rounded(x):
    return x + (x.detach().float().bfloat16().double() - x.detach())


def has_mixture(family, layer):
    return family == "qwen3moe" or (family.startswith("deepseek") and layer > 0)


def attention_shapes(family):
    if family.startswith("deepseek"):
        q = HEADS * (NOPE_DIM + ROPE_DIM)
        if family == "deepseek-v3":
            yield "attn_q_a.weight", (Q_RANK, DIM)
            yield "attn_q_a_norm.weight", (Q_RANK,)
            yield "attn_q_b.weight", (q, Q_RANK)
        else:
            yield "attn_q.weight", (q, DIM)
        yield "attn_kv_a_mqa.weight", (KV_RANK + ROPE_DIM, DIM)
        yield "attn_kv_a_norm.weight", (KV_RANK,)
        yield "attn_k_b.weight", (HEADS, KV_RANK, NOPE_DIM)
        yield "attn_v_b.weight", (HEADS, VALUE_DIM, KV_RANK)
        yield "attn_output.weight", (DIM, HEADS * VALUE_DIM)
        return
    q, kv = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
    yield "attn_q.weight", (q, DIM)
    yield "attn_k.weight", (kv, DIM)
    yield "attn_v.weight", (kv, DIM)
    if family == "qwen2":
        yield "attn_q.bias", (q,)
        yield "attn_k.bias", (kv,)
        yield "attn_v.bias", (kv,)
    if family.startswith("qwen3"):
        yield "attn_q_norm.weight", (HEAD_DIM,)
        yield "attn_k_norm.weight", (HEAD_DIM,)
    yield "attn_output.weight", (DIM, q)


def feed_forward_shapes(family, layer):
    if not has_mixture(family, layer):
        yield "ffn_gate.weight", (FFN, DIM)
        yield "ffn_up.weight", (FFN, DIM)
        yield "ffn_down.weight", (DIM, FFN)
        return
    yield "ffn_gate_inp.weight", (EXPERTS, DIM)
    if family == "deepseek-v3":
        yield "exp_probs_b.bias", (EXPERTS,)
    if family != "qwen3moe":
        shared = EXPERT_DIM * (1 if family == "deepseek-v3" else 2)
        yield "ffn_gate_shexp.weight", (shared, DIM)
        yield "ffn_up_shexp.weight", (shared, DIM)
        yield "ffn_down_shexp.weight", (DIM, shared)
    yield "ffn_gate_exps.weight", (EXPERTS, EXPERT_DIM, DIM)
    yield "ffn_up_exps.weight", (EXPERTS, EXPERT_DIM, DIM)
    yield "ffn_down_exps.weight", (EXPERTS, DIM, EXPERT_DIM)


def shapes(family, tied):
    """(name, shape) in minke's order of traversal."""
    yield "token_embd.weight", (VOCABULARY, DIM)
    for i in range(LAYERS):
        yield f"blk.{i}.attn_norm.weight", (DIM,)
        for name, shape in attention_shapes(family):
            yield f"blk.{i}.{name}", shape
        yield f"blk.{i}.ffn_norm.weight", (DIM,)
        for name, shape in feed_forward_shapes(family, i):
            yield f"blk.{i}.{name}", shape
    yield "output_norm.weight", (DIM,)
    if not tied:
        yield "output.weight", (VOCABULARY, DIM)


def make_weights(family, tied):
    weights = {}
    for stream, (name, shape) in enumerate(shapes(family, tied), start=100):
        scale = 0.2 if len(shape) == 1 else 2.5 / math.sqrt(shape[-1])
        weights[name] = weight(stream, shape, scale, 1.0 if name.endswith("norm.weight") else 0.0)
    return weights


def rms_norm(x, w):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON) * w


def rope(x, family):
    """x [rows, heads, 8]"""
    frequencies = (10000.0 ** (-2.0 * torch.arange(4) / 8)).float().double()
    angles = torch.outer(torch.arange(x.shape[0]).double(), frequencies)
    cos, sin = angles.cos()[:, None, :], angles.sin()[:, None, :]
    if family.startswith("qwen"):
        a, b = x[..., :4], x[..., 4:]
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)


def attention(q, k, v, scale):
    """One sequence, q, k and v rounded: [rows, heads, head_dim], keys and values of as many heads
    -> [rows, heads, value_dim]"""
    rows = q.shape[0]
    scores = torch.einsum("ihd,jhd->hij", q, k) * scale
    scores = scores.masked_fill(torch.ones(rows, rows).triu(1).bool(), -math.inf)
    total_max = scores.detach().amax(-1, keepdim=True)
    total, mixed = 0.0, 0.0
    for begin in range(0, rows, PAGE):
        page = scores[..., begin : begin + PAGE]
        page_max = page.detach().amax(-1, keepdim=True).clamp(min=-1e30)
        weights = torch.exp(page - page_max)
        rescale = torch.exp(page_max - total_max)
        total = total + (weights * rescale).sum(-1)
        values = torch.einsum("hij,jhd->ihd", rounded(weights) * rescale, v[begin : begin + PAGE])
        mixed = mixed + values
    return mixed / total.transpose(0, 1)[..., None]


def grouped_attention(layer, h, family):
    rows = h.shape[0]

    def project(name, heads):
        y = h @ layer[f"attn_{name}.weight"].T
        if family == "qwen2":
            y = y + layer[f"attn_{name}.bias"]
        y = y.reshape(rows, heads, HEAD_DIM)
        if family.startswith("qwen3") and name != "v":
            y = rms_norm(y, layer[f"attn_{name}_norm.weight"])
        return y

    def shared(x):
        return rounded(x).repeat_interleave(HEADS // KV_HEADS, 1)

    q = rope(project("q", HEADS), family)
    k = rope(project("k", KV_HEADS), family)
    mixed = attention(rounded(q), shared(k), shared(project("v", KV_HEADS)), HEAD_DIM**-0.5)
    return mixed.flatten(1) @ layer["attn_output.weight"].T


def latent_attention(layer, h, family):
    """In the absorbed form, as minke rounds: its keys are latents, its values their beginnings."""
    rows = h.shape[0]
    if family == "deepseek-v3":
        h_q = rms_norm(h @ layer["attn_q_a.weight"].T, layer["attn_q_a_norm.weight"])
        q = h_q @ layer["attn_q_b.weight"].T
    else:
        q = h @ layer["attn_q.weight"].T
    q = q.reshape(rows, HEADS, NOPE_DIM + ROPE_DIM)
    q_nope = torch.einsum("rhn,hln->rhl", q[..., :NOPE_DIM], layer["attn_k_b.weight"])
    q = torch.cat([q_nope, rope(q[..., NOPE_DIM:], family)], -1)
    down = h @ layer["attn_kv_a_mqa.weight"].T
    latent = rms_norm(down[:, :KV_RANK], layer["attn_kv_a_norm.weight"])
    k_rope = rope(down[:, None, KV_RANK:], family)[:, 0]
    key = rounded(torch.cat([latent, k_rope], -1))[:, None].expand(-1, HEADS, -1)
    scale = (NOPE_DIM + ROPE_DIM) ** -0.5
    mixed = attention(rounded(q), key, key[..., :KV_RANK], scale)
    values = torch.einsum("rhl,hvl->rhv", mixed, layer["attn_v_b.weight"])
    return values.flatten(1) @ layer["attn_output.weight"].T


def swiglu(h, gate, up, down):
    return (torch.nn.functional.silu(h @ gate.T) * (h @ up.T)) @ down.T


def dense(layer, h, suffix):
    return swiglu(h, *(layer[f"ffn_{name}{suffix}.weight"] for name in ("gate", "up", "down")))


def mixture(layer, h, family):
    logits = h @ layer["ffn_gate_inp.weight"].T
    if family == "deepseek-v3":
        scores = torch.sigmoid(logits)
        choice = (scores + layer["exp_probs_b.bias"]).detach()
        groups = choice.reshape(-1, GROUPS, EXPERTS // GROUPS)
        best = groups.topk(2, -1).values.sum(-1).topk(GROUPS_USED, -1).indices
        kept = torch.zeros(groups.shape[:2], dtype=torch.bool).scatter(1, best, True)
        choice = groups.masked_fill(~kept[..., None], -math.inf).flatten(1)
    else:
        scores = torch.softmax(logits, -1)
        choice = scores.detach()
    out = torch.zeros_like(h)
    for row in range(h.shape[0]):
        chosen = choice[row].topk(USED).indices
        weights = scores[row, chosen]
        if family != "deepseek-v2-lite":
            weights = weights / weights.sum()
        if family == "deepseek-v3":
            weights = weights * ROUTE_SCALE
        for weight, expert in zip(weights, chosen):
            stacks = (layer[f"ffn_{name}_exps.weight"][expert] for name in ("gate", "up", "down"))
            out[row] = out[row] + weight * swiglu(h[row], *stacks)
    return out if family == "qwen3moe" else out + dense(layer, h, "_shexp")


def forward(w, ids, family):
    x = w["token_embd.weight"][ids]
    attend = latent_attention if family.startswith("deepseek") else grouped_attention
    for i in range(LAYERS):
        layer = {name.removeprefix(f"blk.{i}."): value for name, value in w.items()}
        x = x + attend(layer, rms_norm(x, layer["attn_norm.weight"]), family)
        h = rms_norm(x, layer["ffn_norm.weight"])
        x = x + (mixture(layer, h, family) if has_mixture(family, i) else dense(layer, h, ""))
    head = w.get("output.weight", w["token_embd.weight"])
    return rms_norm(x, w["output_norm.weight"]) @ head.T


def mean_loss(w, family):
    loss = 0.0
    for stream, length in enumerate(LENGTHS, start=50):
        ids = tokens(stream, length + 1)
        logits = forward(w, torch.tensor(ids[:-1]), family)
        loss = loss + torch.nn.functional.cross_entropy(
            logits, torch.tensor(ids[1:]), reduction="sum"
        )
    return loss / sum(LENGTHS)


def gradients():
    print("# Made by make_tiny_gradients.py. For each weight: its name, the gradient's norm, and")
    print("# its elements 0, 97, 194 and 291 (modulo its length).")
    for family, tied in MODELS:
        w = make_weights(family, tied)
        loss = mean_loss(w, family)
        loss.backward()
        print(f"model {family} {'tied' if tied else 'untied'} {loss.item():.9g}")
        for name, value in w.items():
            gradient = (torch.zeros_like(value) if value.grad is None else value.grad).flatten()
            some = [gradient[i * 97 % len(gradient)].item() for i in range(4)]
            print(name, *(f"{number:.9g}" for number in [gradient.norm().item(), *some]))


def adamw():
    print("# Made by make_tiny_gradients.py --adamw. Of a model the losses before, between and")
    print(f"# behind {ADAMW_STEPS} steps. For each weight: its name, the length of the way it went, and")
    print("# the four elements with the largest first gradients: place, value before and behind.")
    for family, tied in MODELS:
        # The router's bias is not trained by gradients.
        w = make_weights(family, tied)
        trained = {n: value for n, value in w.items() if not n.endswith("exp_probs_b.bias")}
        start = {name: value.detach().clone().flatten() for name, value in trained.items()}
        matrices = [v for v in trained.values() if v.dim() > 1]
        vectors = [v for v in trained.values() if v.dim() == 1]
        optimiser = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": WEIGHT_DECAY},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=LEARNING_RATE,
            betas=(0.9, 0.95),
        )
        losses, largest = [], {}
        for _ in range(ADAMW_STEPS):
            optimiser.zero_grad()
            loss = mean_loss(w, family)
            losses.append(loss.item())
            loss.backward()
            if not largest:
                largest = {n: v.grad.flatten().abs().topk(4).indices for n, v in trained.items()}
            torch.nn.utils.clip_grad_norm_(trained.values(), CLIP_NORM)
            optimiser.step()
        losses.append(mean_loss(w, family).item())
        name_of = "tied" if tied else "untied"
        print(f"model {family} {name_of}", *(f"{number:.9g}" for number in losses))
        for name, value in trained.items():
            end = value.detach().flatten()
            print(name, f"{(end - start[name]).norm().item():.9g}", end="")
            for i in largest[name].tolist():
                print(f" {i} {start[name][i].item():.9g} {end[i].item():.9g}", end="")
            print()


adamw() if "--adamw" in sys.argv else gradients()
