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

    def own(vectors, dimensions=1):
        """[..., rows, *], from rows of their own or from one that all loops share."""
        return torch.stack([v if v.dim() > dimensions else v.expand(s.rows, *v.shape) for v in vectors])

    return {
        "embed": t["model.embed_tokens.weight"],
        "qkv": each("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "o": each("self_attn.o_proj"), "gate_up": each("mlp.gate_proj", "mlp.up_proj"), "down": each("mlp.down_proj"),
        "norm1": own(w["input_layernorm.weight"] for w in layers), "norm2": own(w["post_attention_layernorm.weight"] for w in layers),
        "q_norm": own(w["self_attn.q_norm.weight"] for w in layers), "k_norm": own(w["self_attn.k_norm.weight"] for w in layers),
        "gate_w": own((t[f"model.gate_projections.{i}.weight"] for i in range(s.layers)), 2),
        "gate_b": own(t[f"model.gate_projections.{i}.bias"] for i in range(s.layers)),
        "norm": own([t["model.norm.weight"]])[0], "input_gain": t["model.loop_input_norm.weight"][:s.rows],
        "state_gain": t["model.loop_state_norm.weight"][:s.rows - 1],
        "carry_gain": t.get("model.loop_carry.weight", torch.zeros(s.rows - 1, s.width)),
    }


def carry_on(named: dict) -> dict:
    """The same weights with loops >= 3 going on from the state before rather than beginning anew from the embedding.

    Trained together, all later loops settle for the entry of the second one, and a third finds nothing that the second
    did not. Nothing is lost by moving it: what its blocks add is then a correction.
    """
    moved = {n: t.clone() for n, t in named.items()}
    moved["input_gain"][2:] *= 0.5
    moved["state_gain"][1:] *= 2.0
    moved["carry_gain"][1:] = 0.5
    return moved
