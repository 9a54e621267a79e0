"""Fake quantisation for training and the very same numbers for export: int4 groups of 64, int8 embedding rows.

int4: w ~ q * s with q in [-8, 7] and one float16 s per 64 neighbouring inputs of a row. s is the candidate with the
least squared error among a few clip ratios of the group's largest magnitude. int8: s = largest magnitude / 127.
"""
import torch

GROUP = 64
# s = ratio * max|w|. 1/7 is exact at both ends, 1/8 clips the positive end to 7/8, the rest clip a little more.
RATIOS = (1 / 7.0, 1 / 7.5, 1 / 8.0, 1 / 8.7, 1 / 9.5, 1 / 10.5)


def int4_scales(w):
    """float32 [..., in / 64], already rounded through float16; w float32 [..., in]."""
    g = w.unflatten(-1, (-1, GROUP))
    top = g.abs().amax(-1).clamp_min(1e-6)
    best, least = None, None
    for ratio in RATIOS:
        s = (top * ratio).half().float()
        q = (g / s[..., None]).round().clamp(-8, 7)
        error = (q * s[..., None] - g).square().sum(-1)
        best = s if best is None else torch.where(error < least, s, best)
        least = error if least is None else torch.minimum(error, least)
    return best


def int4_codes(w, s):
    """Integers in [-8, 7] as float32, same shape as w."""
    return (w.unflatten(-1, (-1, GROUP)) / s[..., None]).round().clamp(-8, 7).flatten(-2)


def int4_round(w):
    """w as int4 stores it, float32."""
    s = int4_scales(w)
    return (int4_codes(w, s).unflatten(-1, (-1, GROUP)) * s[..., None]).flatten(-2)


def int8_scales(w):
    """float32 [rows, 1], rounded through float16."""
    return (w.abs().amax(-1, keepdim=True).clamp_min(1e-6) / 127).half().float()


def int8_codes(w, s):
    return (w / s).round().clamp(-127, 127)


def int8_round(w):
    s = int8_scales(w)
    return int8_codes(w, s) * s
