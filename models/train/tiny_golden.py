"""Writes a tiny random loopd checkpoint and PyTorch logits for it, so that the engine is judged from outside.

The forward below is written apart from model.py, position by position in float64 from the formulas of README.md, and
the two are compared before anything is written:   python3 tiny_golden.py ../../tests/golden/loopd_tiny
"""
import json
import os
import sys

import torch

import attention
import export
import model
import safetensors_file
from optimizer import Weights

TINY = model.Shape(vocab=97, width=32, hidden=48, layers=3, heads=4, kv_heads=2, head_dim=8, loops=6, window=8)


def norm(x, eps):
    return x / (x.pow(2).mean() + eps).sqrt()


def rotate(x, position, theta):
    half = x.shape[-1] // 2
    angle = position * theta ** (-torch.arange(half, dtype=torch.float64) / half)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


def attend(q, keys, values):
    """One head: q [hd], keys and values lists of [hd]."""
    k, v = torch.stack(keys), torch.stack(values)
    return (k @ q / q.shape[0] ** 0.5).softmax(0) @ v


def slow_logits(s, t, ids, depth):
    """[len(ids), vocab] float64, one token after another; t: checkpoint tensors in float64."""
    caches = [[([], []) for _ in range(s.layers)] for _ in range(depth)]
    out = []
    for position, token in enumerate(ids):
        e = norm(t["model.embed_tokens.weight"][token], s.eps)
        h = None
        for loop in range(depth):
            r = s.row(loop)
            x = e * t["model.loop_input_norm.weight"][r]
            before, h = h, x if loop == 0 else x + norm(h, s.eps) * t["model.loop_state_norm.weight"][r - 1]
            for i in range(s.layers):
                h = slow_layer(s, t, h, i, loop, position, caches)
            if loop > 0:
                h = h + before * t["model.loop_carry.weight"][r - 1]
        out.append(t["model.embed_tokens.weight"] @ (norm(h, s.eps) * t["model.norm.weight"][s.row(depth - 1)]))
    return torch.stack(out)


def slow_layer(s, t, h, i, loop, position, caches):
    r = s.row(loop)
    w = {n[len(f"model.layers.{i}."):]: v for n, v in t.items() if n.startswith(f"model.layers.{i}.")}
    x = norm(h, s.eps) * w["input_layernorm.weight"][r]
    q, k, v = ((w[f"self_attn.{n}_proj.weight"] @ x).view(-1, s.head_dim) for n in "qkv")
    q = torch.stack([rotate(norm(a, s.eps) * w["self_attn.q_norm.weight"][r], position, s.theta) for a in q])
    k = torch.stack([rotate(norm(a, s.eps) * w["self_attn.k_norm.weight"][r], position, s.theta) for a in k])
    keys, values = caches[loop][i]
    keys.append(k), values.append(v)
    group, mixed = s.heads // s.kv_heads, []
    for n in range(s.heads):
        far = attend(q[n], [a[n // group] for a in caches[0][i][0]], [a[n // group] for a in caches[0][i][1]])
        if loop > 0:
            near = attend(q[n], [a[n // group] for a in keys[-s.window:]], [a[n // group] for a in values[-s.window:]])
            g = t[f"model.gate_projections.{i}.weight"][r, n] @ q[n] + t[f"model.gate_projections.{i}.bias"][r, n]
            far = g.sigmoid() * far + (1 - g.sigmoid()) * near
        mixed.append(far)
    h = h + w["self_attn.o_proj.weight"] @ torch.cat(mixed)
    x = norm(h, s.eps) * w["post_attention_layernorm.weight"][r]
    gate, up = w["mlp.gate_proj.weight"] @ x, w["mlp.up_proj.weight"] @ x
    return h + w["mlp.down_proj.weight"] @ (gate * gate.sigmoid() * up)


def random_weights(s, seed=5):
    """Every tensor away from its neutral value, so that a tensor left out or misread shows."""
    torch.manual_seed(seed)
    named = model.initial_weights(s, seed, residual_zero=False)
    for n in named:
        if n in model.vector_shapes(s):
            named[n] = named[n] + torch.randn_like(named[n]) * (0.5 if n == "gate_w" else 0.2)
    named["embed"] = torch.randn_like(named["embed"])
    return named


def main():
    folder = sys.argv[1]
    named = random_weights(TINY)
    attention.WINDOW = TINY.window
    ids = torch.randint(8, TINY.vocab, (90,), generator=torch.Generator().manual_seed(9)).tolist()
    plain = export.plain_tensors(TINY, named)
    exact = {n: t.double() for n, t in plain.items()}
    weights = Weights(TINY, named, torch.device("cpu"), torch.float32)
    logits = {}
    for depth in (1, 2, 3, 6):
        slow = slow_logits(TINY, exact, ids, depth)
        fast = model.Model(TINY).logits(weights.leaves, torch.tensor([ids]), depth)[0].detach()
        error = ((slow - fast).norm() / slow.norm()).item()
        assert error < 1e-5, f"depth {depth}: model.py and the slow forward differ by {error:.1e}"
        logits[f"depth_{depth}"] = slow.float().numpy()
    export.write_model(folder, TINY, named, quantised=False)
    safetensors_file.write(os.path.join(folder, "logits.safetensors"), logits)
    with open(os.path.join(folder, "ids.json"), "w") as f:
        json.dump({"ids": ids, "torch": torch.__version__, "made_by": "models/train/tiny_golden.py"}, f)
    print(folder, sum(os.path.getsize(os.path.join(folder, n)) for n in os.listdir(folder)), "bytes")


if __name__ == "__main__":
    main()
