"""Turns trained float32 masters into the folder the engine loads: safetensors shards, index, config.json, tokenizer.json.

Body matrices become compressed-tensors "pack-quantized" int4 in groups of 64, the embedding int8 per row, by exactly
the rounding that quantisation-aware training used (quantize.py). `--float32` writes plain weights for parity tests.

    python3 export.py weights.pt OUT [--tokenizer tokenizer.json] [--float32]
"""
import argparse
import json
import os
import shutil

import numpy as np
import torch

import model
import quantize
import safetensors_file

SHARD = 15_500_000  # bytes; every file stays under 16 MB with its header


def config(s: model.Shape, quantised: bool) -> dict:
    c = {
        "model_type": "loopd", "architectures": ["LoopdForCausalLM"], "vocab_size": s.vocab, "hidden_size": s.width,
        "intermediate_size": s.hidden, "num_hidden_layers": s.layers, "num_attention_heads": s.heads,
        "num_key_value_heads": s.kv_heads, "head_dim": s.head_dim, "rms_norm_eps": s.eps, "rope_theta": s.theta,
        "max_position_embeddings": 4096, "tie_word_embeddings": True, "qk_norm": True, "loop_num": s.loops,
        "loop_window_size": s.window, "loop_own_gains": s.rows, "bos_token_id": 0, "eos_token_id": [0, 4],
        "fim_layout": "suffix_prefix_middle",
    }
    if quantised:
        weights = {"num_bits": 4, "group_size": quantize.GROUP, "symmetric": True, "strategy": "group", "type": "int"}
        rows = {"num_bits": 8, "symmetric": True, "strategy": "channel", "type": "int"}
        c["quantization_config"] = {
            "quant_method": "compressed-tensors", "format": "pack-quantized",
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights},
                              "embedding": {"targets": ["Embedding"], "weights": rows}},
            "ignore": ["lm_head"],
        }
    return c


def plain_tensors(s: model.Shape, named: dict) -> dict:
    """{checkpoint name: float32 tensor}, fused matrices split again."""
    q, kv, f = s.heads * s.head_dim, s.kv_heads * s.head_dim, s.hidden
    out = {"model.embed_tokens.weight": named["embed"]}
    for i in range(s.layers):
        p = f"model.layers.{i}."
        out[p + "input_layernorm.weight"] = named["norm1"][i]
        for n, w in zip("qkv", named["qkv"][i].split([q, kv, kv])):
            out[p + f"self_attn.{n}_proj.weight"] = w
        out[p + "self_attn.o_proj.weight"] = named["o"][i]
        out[p + "self_attn.q_norm.weight"] = named["q_norm"][i]
        out[p + "self_attn.k_norm.weight"] = named["k_norm"][i]
        out[p + "post_attention_layernorm.weight"] = named["norm2"][i]
        for n, w in zip(("gate", "up"), named["gate_up"][i].split([f, f])):
            out[p + f"mlp.{n}_proj.weight"] = w
        out[p + "mlp.down_proj.weight"] = named["down"][i]
        out[f"model.gate_projections.{i}.weight"] = named["gate_w"][i]
        out[f"model.gate_projections.{i}.bias"] = named["gate_b"][i]
    out["model.norm.weight"] = named["norm"]
    out["model.loop_input_norm.weight"] = named["input_gain"]
    out["model.loop_state_norm.weight"] = named["state_gain"]
    out["model.loop_carry.weight"] = named["carry_gain"]
    return {n: t.detach().float().contiguous() for n, t in out.items()}


def pack_int4(codes):
    """codes float in [-8, 7] [out, in] -> int32 [out, in / 8]; nibble i of word c is column 8c + i, stored q + 8."""
    u = (codes.to(torch.int64) + 8).unflatten(-1, (-1, 8)).numpy().astype(np.uint32)
    word = np.zeros(u.shape[:-1], np.uint32)
    for i in range(8):
        word |= u[..., i] << np.uint32(4 * i)
    return word.view(np.int32)


def quantised_tensors(plain: dict) -> dict:
    """{checkpoint name: numpy array} in compressed-tensors naming."""
    out = {}
    for name, w in plain.items():
        if name.endswith("_proj.weight"):
            s = quantize.int4_scales(w)
            out[name + "_packed"] = pack_int4(quantize.int4_codes(w, s))
            out[name + "_scale"] = s.half().numpy()
            out[name + "_shape"] = np.array(w.shape, np.int64)
        elif name == "model.embed_tokens.weight":
            s = quantize.int8_scales(w)
            out[name] = quantize.int8_codes(w, s).to(torch.int8).numpy()
            out[name + "_scale"] = s.half().numpy()
        else:
            out[name] = w.numpy()
    return out


def write_shards(folder, tensors: dict) -> int:
    """Writes shards of at most SHARD bytes and their index; returns the bytes written."""
    shards, size = [{}], 0
    for name, t in tensors.items():
        if size + t.nbytes > SHARD and shards[-1]:
            shards.append({})
            size = 0
        shards[-1][name] = t
        size += t.nbytes
    names = [f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
    total = sum(safetensors_file.write(os.path.join(folder, n), s) for n, s in zip(names, shards))
    index = {"metadata": {"total_size": sum(t.nbytes for t in tensors.values())},
             "weight_map": {t: n for n, s in zip(names, shards) for t in s}}
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as f:
        json.dump(index, f, indent=1)
    return total


def write_model(folder, s: model.Shape, named: dict, tokenizer=None, quantised=True) -> int:
    """The whole folder; returns the bytes of weights and tokenizer together."""
    os.makedirs(folder, exist_ok=True)
    plain = plain_tensors(s, named)
    tensors = quantised_tensors(plain) if quantised else {n: t.numpy() for n, t in plain.items()}
    total = write_shards(folder, tensors)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config(s, quantised), f, indent=2)
    if tokenizer:
        shutil.copy(tokenizer, os.path.join(folder, "tokenizer.json"))
        total += os.path.getsize(tokenizer)
    return total


def main():
    p = argparse.ArgumentParser()
    p.add_argument("weights"), p.add_argument("out")
    p.add_argument("--tokenizer"), p.add_argument("--float32", action="store_true")
    a = p.parse_args()
    total = write_model(a.out, model.Shape(), torch.load(a.weights, map_location="cpu"), a.tokenizer, not a.float32)
    print(f"{a.out}: {total / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
