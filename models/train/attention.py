"""The attention kernels the model can run on: explicit math as the yardstick, and the GPU calls compared with it.

Every kernel pair offers causal(q, k, v) and local(q, k, v): q [B, heads, T, hd], k and v [B, kv_heads, T, hd].
local sees the last WINDOW keys, the query's own included. Which GPU pair the run uses is check.py's finding.
"""
from types import SimpleNamespace

import torch
import torch.nn.functional as F

WINDOW = 64


def expand(x, heads):
    """Repeats each kv head for its group of query heads (group-major, as in Llama)."""
    return x if x.shape[1] == heads else x.repeat_interleave(heads // x.shape[1], 1)


def explicit(q, k, v, window=None):
    """Softmax attention written out, in the type of q. Memory is quadratic in T."""
    k, v, T = expand(k, q.shape[1]), expand(v, q.shape[1]), q.shape[2]
    i = torch.arange(T, device=q.device)
    seen = i[:, None] >= i
    if window:
        seen = seen & (i[:, None] - i < window)
    scores = (q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5
    return scores.masked_fill(~seen, -1e30).softmax(-1) @ v


class Math:
    """Explicit math for the CPU and as the reference."""
    causal = staticmethod(explicit)

    @staticmethod
    def local(q, k, v):
        return explicit(q, k, v, WINDOW)


def use_backend(name: str):
    """Allows exactly one SDPA backend, so that no heuristic chooses another one silently."""
    b = torch.backends.cuda
    b.enable_flash_sdp(name == "flash")
    b.enable_cudnn_sdp(name == "cudnn")
    b.enable_mem_efficient_sdp(name == "efficient")
    b.enable_math_sdp(name == "math")


def sdpa_expanded(q, k, v):
    return F.scaled_dot_product_attention(q, expand(k, q.shape[1]), expand(v, q.shape[1]), is_causal=True)


def sdpa_grouped(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


def flex_kernel(T: int, window, device):
    """flex_attention with grouped kv heads; its block mask is made here, once, and captured as data."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    def rule(b, h, i, j):
        return (i >= j) & (i - j < window) if window else i >= j

    mask = create_block_mask(rule, None, None, T, T, device=device)
    return lambda q, k, v: flex_attention(q, k, v, block_mask=mask, enable_gqa=True)


# name -> (global attention call or None for flex, SDPA backend it forces)
CANDIDATES = {
    "flash-expanded": (sdpa_expanded, "flash"),
    "cudnn-expanded": (sdpa_expanded, "cudnn"),
    "flash-grouped": (sdpa_grouped, "flash"),
    "cudnn-grouped": (sdpa_grouped, "cudnn"),
    "flex": (None, "flash"),
}


def select(name: str, T: int, device):
    """The kernel pair called `name` for rows of T tokens: its backend forced, its masks made."""
    if name == "math":
        return Math
    causal, backend = CANDIDATES[name]
    use_backend(backend)
    return SimpleNamespace(causal=causal or flex_kernel(T, None, device), local=flex_kernel(T, WINDOW, device))
