"""Reads an exported model back into float32 masters, so that training can go on from what was shipped.

Rounded weights are taken as they are. Training rounds them again at its end, by the same function.
"""
import glob
import os

import numpy as np
import torch

import model
import quantize
import safetensors_file


def unpack_int4(words):
    """int32 [out, in / 8] as export.pack_int4 packs them -> float32 codes in [-8, 7] [out, in]."""
    u = words.view(np.uint32)
    nibbles = np.stack([(u >> np.uint32(4 * i)) & np.uint32(15) for i in range(8)], -1)
    return torch.from_numpy(nibbles.astype(np.float32) - 8).flatten(-2)


def plain_tensors(folder):
    """{checkpoint name: float32 tensor} of every shard, unrounded names."""
    stored = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.safetensors"))):
        stored.update(safetensors_file.read(path))
    out = {}
    for name, t in stored.items():
        if name.endswith("_packed"):
            base = name[:-len("_packed")]
            scale = torch.from_numpy(stored[base + "_scale"].astype(np.float32))
            codes = unpack_int4(t).unflatten(-1, (-1, quantize.GROUP))
            out[base] = (codes * scale[..., None]).flatten(-2)
        elif name + "_scale" in stored:
            out[name] = torch.from_numpy(t.astype(np.float32)) * torch.from_numpy(stored[name + "_scale"].astype(np.float32))
        elif not name.endswith(("_scale", "_shape")):
            out[name] = torch.from_numpy(t.astype(np.float32))
    return out


def masters(folder, s: model.Shape) -> dict:
    """Weights by initial_weights' names from a folder that export.write_model wrote."""
    t = plain_tensors(folder)
    layers = [{n[len(p):]: w for n, w in t.items() if n.startswith(p)} for p in (f"model.layers.{i}." for i in range(s.layers))]

    def each(*names):
        return torch.stack([torch.cat([w[n + ".weight"] for n in names]) for w in layers])

    return {
        "embed": t["model.embed_tokens.weight"],
        "qkv": each("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "o": each("self_attn.o_proj"), "gate_up": each("mlp.gate_proj", "mlp.up_proj"), "down": each("mlp.down_proj"),
        "norm1": each("input_layernorm"), "norm2": each("post_attention_layernorm"),
        "q_norm": each("self_attn.q_norm"), "k_norm": each("self_attn.k_norm"),
        "gate_w": torch.stack([t[f"model.gate_projections.{i}.weight"] for i in range(s.layers)]),
        "gate_b": torch.stack([t[f"model.gate_projections.{i}.bias"] for i in range(s.layers)]),
        "norm": t["model.norm.weight"], "input_gain": t["model.loop_input_norm.weight"],
        "state_gain": t["model.loop_state_norm.weight"],
    }
