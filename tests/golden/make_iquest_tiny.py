"""Makes the tiny iquestloopcoder checkpoint and its expected logits, in NumPy float64, straight from the architecture's description.

    /usr/bin/python3 tests/golden/make_iquest_tiny.py tests/golden/iquest_tiny

Nothing here shares code with the engine: every loop recomputes every position with masks, and no cache exists.
"""

import json
import pathlib
import struct
import sys

import numpy as np

CONFIG = {
    "model_type": "iquestloopcoder", "vocab_size": 97, "hidden_size": 32, "intermediate_size": 48,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0, "max_position_embeddings": 512, "tie_word_embeddings": False, "hidden_act": "silu",
    "loop_num": 2, "loop_window_size": 64, "eos_token_id": [2],
}
TOKENS = 150  # well beyond the window of 64, below which a missing window is invisible
DEPTHS = (1, 2, 3, 6)
KEPT_ROWS = [0, 1, 62, 63, 64, 65, 80, 100, 126, 127, 128, 140, 148, 149]


def make_weights(random):
    heads, kv, dim, hidden = (CONFIG[k] for k in ("num_attention_heads", "num_key_value_heads", "head_dim", "hidden_size"))
    inner, vocab = CONFIG["intermediate_size"], CONFIG["vocab_size"]

    def matrix(rows, cols):
        return random.standard_normal((rows, cols)) / np.sqrt(cols)

    def gain(size):
        return 1 + 0.1 * random.standard_normal(size)

    weights = {"model.embed_tokens.weight": random.standard_normal((vocab, hidden)), "model.norm.weight": gain(hidden),
               "lm_head.weight": matrix(vocab, hidden)}
    for i in range(CONFIG["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        weights[layer + "input_layernorm.weight"] = gain(hidden)
        weights[layer + "post_attention_layernorm.weight"] = gain(hidden)
        weights[layer + "self_attn.q_proj.weight"] = matrix(heads * dim, hidden)
        weights[layer + "self_attn.k_proj.weight"] = matrix(kv * dim, hidden)
        weights[layer + "self_attn.v_proj.weight"] = matrix(kv * dim, hidden)
        weights[layer + "self_attn.o_proj.weight"] = matrix(hidden, heads * dim)
        weights[layer + "mlp.gate_proj.weight"] = matrix(inner, hidden)
        weights[layer + "mlp.up_proj.weight"] = matrix(inner, hidden)
        weights[layer + "mlp.down_proj.weight"] = matrix(hidden, inner)
        # Gates near 1/2, so that a fault in either branch shows.
        weights[f"model.gate_projections.{i}.weight"] = 0.5 * random.standard_normal((heads, dim))
        weights[f"model.gate_projections.{i}.bias"] = 0.1 * random.standard_normal(heads)
    return {name: value.astype(np.float32) for name, value in weights.items()}


def rms_norm(x, gain):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + CONFIG["rms_norm_eps"]) * gain


def rotate(x):
    """Half-split RoPE of [positions, heads, dim] by absolute position."""
    dim = CONFIG["head_dim"]
    frequency = CONFIG["rope_theta"] ** (-np.arange(0, dim, 2) / dim)
    angle = np.arange(len(x))[:, None, None] * frequency
    a, b = x[..., : dim // 2], x[..., dim // 2:]
    return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], -1)


def attend(q, k, v, window=None):
    """[positions, heads, dim]; a query sees itself and, with a window, the window - 1 positions before."""
    positions = np.arange(len(q))
    distance = positions[:, None] - positions[None, :]
    visible = (distance >= 0) & (True if window is None else distance < window)
    out = np.empty_like(q)
    share = q.shape[1] // k.shape[1]
    for head in range(q.shape[1]):
        score = q[:, head] @ k[:, head // share].T / np.sqrt(CONFIG["head_dim"])
        score = np.where(visible, score, -np.inf)
        weight = np.exp(score - score.max(-1, keepdims=True))
        out[:, head] = weight / weight.sum(-1, keepdims=True) @ v[:, head // share]
    return out


def forward(weights, ids, depth):
    weights = {name: value.astype(np.float64) for name, value in weights.items()}
    count, dim = len(ids), CONFIG["head_dim"]
    h = weights["model.embed_tokens.weight"][ids]
    first_loop = {}
    for loop in range(depth):
        for i in range(CONFIG["num_hidden_layers"]):
            name = f"model.layers.{i}."
            x = rms_norm(h, weights[name + "input_layernorm.weight"])
            q, k, v = ((x @ weights[f"{name}self_attn.{part}_proj.weight"].T).reshape(count, -1, dim) for part in "qkv")
            q, k = rotate(q), rotate(k)
            if loop == 0:
                first_loop[i] = k, v
                mixed = attend(q, k, v)
            else:
                gate = np.einsum("thd,hd->th", q, weights[f"model.gate_projections.{i}.weight"])
                gate = 1 / (1 + np.exp(-gate - weights[f"model.gate_projections.{i}.bias"]))[..., None]
                mixed = gate * attend(q, *first_loop[i]) + (1 - gate) * attend(q, k, v, CONFIG["loop_window_size"])
            h = h + mixed.reshape(count, -1) @ weights[name + "self_attn.o_proj.weight"].T
            x = rms_norm(h, weights[name + "post_attention_layernorm.weight"])
            inner = x @ weights[name + "mlp.gate_proj.weight"].T
            inner = inner / (1 + np.exp(-inner)) * (x @ weights[name + "mlp.up_proj.weight"].T)
            h = h + inner @ weights[name + "mlp.down_proj.weight"].T
    return rms_norm(h, weights["model.norm.weight"]) @ weights["lm_head.weight"].T


def write_safetensors(file, tensors):
    header, offset = {}, 0
    for name, value in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [offset, offset + value.nbytes]}
        offset += value.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(v.tobytes() for v in tensors.values()))


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(20261122)
    weights = make_weights(random)
    ids = [int(i) for i in random.integers(0, CONFIG["vocab_size"], TOKENS)]
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=1) + "\n")
    write_safetensors(folder / "model.safetensors", weights)
    index = {"weight_map": {name: "model.safetensors" for name in weights}}  # keeps the logits from being read as weights
    (folder / "model.safetensors.index.json").write_text(json.dumps(index) + "\n")
    logits = {f"depth_{d}": forward(weights, ids, d)[KEPT_ROWS].astype(np.float32) for d in DEPTHS}
    write_safetensors(folder / "logits.safetensors", logits)
    (folder / "ids.json").write_text(json.dumps({"ids": ids, "rows": KEPT_ROWS}) + "\n")


if __name__ == "__main__":
    main()
