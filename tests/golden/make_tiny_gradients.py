#!/usr/bin/env python3
"""Gradients of tiny llama, qwen2 and qwen3 models by PyTorch's autograd, in double precision.

    python make_tiny_gradients.py > tiny_gradients.txt

The model is written here from the papers, apart from minke's code. Like minke's forward pass
(docs/numerics.md) it rounds q, k, v and the exponentials of each page of 64 keys to bf16, with the
identity as the rounding's gradient. Weights and tokens come from spread() below, which
src/train/testing.h repeats. Needs torch; made with 2.15.
"""

import math

import torch

LAYERS, DIM, HEADS, KV_HEADS, HEAD_DIM, FFN, VOCABULARY = 2, 48, 6, 2, 8, 80, 37
EPSILON = 1e-5
PAGE = 64
LENGTHS = [6, 1, 80, 17]  # rows of each sequence
MODELS = [
    ("llama", True),
    ("llama", False),
    ("qwen2", True),
    ("qwen2", False),
    ("qwen3", True),
]
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


def shapes(architecture, tied):
    """(name, shape) in minke's order of traversal."""
    q, kv = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
    yield "token_embd.weight", (VOCABULARY, DIM)
    for i in range(LAYERS):
        yield f"blk.{i}.attn_norm.weight", (DIM,)
        yield f"blk.{i}.attn_q.weight", (q, DIM)
        yield f"blk.{i}.attn_k.weight", (kv, DIM)
        yield f"blk.{i}.attn_v.weight", (kv, DIM)
        if architecture == "qwen2":
            yield f"blk.{i}.attn_q.bias", (q,)
            yield f"blk.{i}.attn_k.bias", (kv,)
            yield f"blk.{i}.attn_v.bias", (kv,)
        if architecture == "qwen3":
            yield f"blk.{i}.attn_q_norm.weight", (HEAD_DIM,)
            yield f"blk.{i}.attn_k_norm.weight", (HEAD_DIM,)
        yield f"blk.{i}.attn_output.weight", (DIM, q)
        yield f"blk.{i}.ffn_norm.weight", (DIM,)
        yield f"blk.{i}.ffn_gate.weight", (FFN, DIM)
        yield f"blk.{i}.ffn_up.weight", (FFN, DIM)
        yield f"blk.{i}.ffn_down.weight", (DIM, FFN)
    yield "output_norm.weight", (DIM,)
    if not tied:
        yield "output.weight", (VOCABULARY, DIM)


def make_weights(architecture, tied):
    weights = {}
    for stream, (name, shape) in enumerate(shapes(architecture, tied), start=100):
        scale = 0.2 if len(shape) == 1 else 2.5 / math.sqrt(shape[1])
        weights[name] = weight(stream, shape, scale, 1.0 if name.endswith("norm.weight") else 0.0)
    return weights


def rms_norm(x, w):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON) * w


def rope(x, architecture):
    """x [rows, heads, HEAD_DIM]"""
    pairs = HEAD_DIM // 2
    frequencies = (10000.0 ** (-2.0 * torch.arange(pairs) / HEAD_DIM)).float().double()
    angles = torch.outer(torch.arange(x.shape[0]).double(), frequencies)
    cos, sin = angles.cos()[:, None, :], angles.sin()[:, None, :]
    if architecture != "llama":
        a, b = x[..., :pairs], x[..., pairs:]
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)


def attention(q, k, v):
    """One sequence: [rows, heads, HEAD_DIM] -> [rows, heads * HEAD_DIM]"""
    rows = q.shape[0]
    k = rounded(k).repeat_interleave(HEADS // KV_HEADS, 1)
    v = rounded(v).repeat_interleave(HEADS // KV_HEADS, 1)
    scores = torch.einsum("ihd,jhd->hij", rounded(q), k) / math.sqrt(HEAD_DIM)
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
    return (mixed / total.transpose(0, 1)[..., None]).flatten(1)


def forward(w, ids, architecture):
    x = w["token_embd.weight"][ids]
    rows = len(ids)
    for i in range(LAYERS):
        layer = {name.removeprefix(f"blk.{i}."): value for name, value in w.items()}

        def project(name, heads):
            y = h @ layer[f"attn_{name}.weight"].T
            if architecture == "qwen2":
                y = y + layer[f"attn_{name}.bias"]
            y = y.reshape(rows, heads, HEAD_DIM)
            if architecture == "qwen3" and name != "v":
                y = rms_norm(y, layer[f"attn_{name}_norm.weight"])
            return y

        h = rms_norm(x, layer["attn_norm.weight"])
        q = rope(project("q", HEADS), architecture)
        k = rope(project("k", KV_HEADS), architecture)
        x = x + attention(q, k, project("v", KV_HEADS)) @ layer["attn_output.weight"].T
        h = rms_norm(x, layer["ffn_norm.weight"])
        gate = torch.nn.functional.silu(h @ layer["ffn_gate.weight"].T)
        x = x + (gate * (h @ layer["ffn_up.weight"].T)) @ layer["ffn_down.weight"].T
    head = w.get("output.weight", w["token_embd.weight"])
    return rms_norm(x, w["output_norm.weight"]) @ head.T


def main():
    print("# Made by make_tiny_gradients.py. For each weight: its name, the gradient's norm, and")
    print("# its elements 0, 97, 194 and 291 (modulo its length).")
    for architecture, tied in MODELS:
        w = make_weights(architecture, tied)
        loss, targets = 0.0, 0
        for stream, length in enumerate(LENGTHS, start=50):
            ids = tokens(stream, length + 1)
            logits = forward(w, torch.tensor(ids[:-1]), architecture)
            loss = loss + torch.nn.functional.cross_entropy(
                logits, torch.tensor(ids[1:]), reduction="sum"
            )
            targets += length
        loss = loss / targets
        loss.backward()
        print(f"model {architecture} {'tied' if tied else 'untied'} {loss.item():.9g}")
        for name, value in w.items():
            gradient = value.grad.flatten()
            some = [gradient[i * 97 % len(gradient)].item() for i in range(4)]
            print(name, *(f"{number:.9g}" for number in [gradient.norm().item(), *some]))


main()
