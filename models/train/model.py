"""The loopd language model in PyTorch: one set of transformer blocks passed over d times.

Loop 1 is a plain causal decoder whose keys and values (KV1) are kept. Loop r >= 2 runs the same blocks again on
e * input_gain[r] + RMSNorm(h) * state_gain[r], and leaves its result plus h * carry_gain[r]; each head mixes, by a learned sigmoid gate, global attention on KV1
with attention over the last `window` keys of its own loop. Every loop has an exit through the tied embedding.

The blocks are pure functions of tensors, so that torch.compile makes exactly two graphs (loop 1, and loops >= 2) that
all layers and all depths share. Weights reach them as bf16 working copies prepared once per step (optimizer.py);
there is no autocast.
"""
from dataclasses import dataclass

import torch
import torch.nn.functional as F

import attention


@dataclass(frozen=True)
class Shape:
    """Sizes of the model; the defaults are the shipped one."""
    vocab: int = 16384
    width: int = 768
    hidden: int = 2048
    layers: int = 10
    heads: int = 12
    kv_heads: int = 4
    head_dim: int = 64
    loops: int = 6
    own: int = 3          # loops with gains and gates of their own; a later one takes those of the last
    window: int = 64
    theta: float = 100000.0
    eps: float = 1e-5

    @property
    def rows(self):
        """Rows of gains: one for each loop that has its own."""
        return min(self.own, self.loops)

    def row(self, r):
        """Row of loop r, both counted from 0."""
        return min(r, self.rows - 1)


# Matrices that Muon trains, with the shape of one layer's slice. q, k, v and gate, up are fused along the rows.
def matrix_shapes(s: Shape) -> dict:
    kv = s.kv_heads * s.head_dim
    return {
        "qkv": (s.heads * s.head_dim + 2 * kv, s.width),
        "o": (s.width, s.heads * s.head_dim),
        "gate_up": (2 * s.hidden, s.width),
        "down": (s.width, s.hidden),
    }


# Gains and gates of a block, and those of the whole model, float32 throughout. The first loops have their own: they are
# what lets the same matrices do something else the next time round, for 0.1 % more weights.
BLOCK_VECTORS = ("norm1", "norm2", "q_norm", "k_norm", "gate_w", "gate_b")


def vector_shapes(s: Shape) -> dict:
    return {
        "norm1": (s.layers, s.rows, s.width),
        "norm2": (s.layers, s.rows, s.width),
        "q_norm": (s.layers, s.rows, s.head_dim),
        "k_norm": (s.layers, s.rows, s.head_dim),
        "gate_w": (s.layers, s.rows, s.heads, s.head_dim),
        "gate_b": (s.layers, s.rows, s.heads),
        "norm": (s.rows, s.width),
        "input_gain": (s.rows, s.width),
        "state_gain": (s.rows - 1, s.width),
        "carry_gain": (s.rows - 1, s.width),
    }


def initial_weights(s: Shape, seed: int, residual_zero: bool = True) -> dict:
    """Float32 CPU masters. Output projections start at zero, so that the residual starts as the embedding.

    q/k gains of 1.4 allow attention logits up to 1.4^2 * sqrt(64) = 15.7: with a gain of 1 the cap is 8, which is too
    flat over 2048 keys. The gate bias of 1 starts the later loops at 73 % global, 27 % local attention.
    """
    gen = torch.Generator().manual_seed(seed)
    out = {"embed": torch.randn(s.vocab, s.width, generator=gen) * 0.02}
    for name, shape in matrix_shapes(s).items():
        w = torch.randn(s.layers, *shape, generator=gen) * shape[1] ** -0.5 * 0.6
        out[name] = w * 0 if residual_zero and name in ("o", "down") else w
    for name, shape in vector_shapes(s).items():
        fill = {"q_norm": 1.4, "k_norm": 1.4, "gate_w": 0.0, "gate_b": 1.0, "carry_gain": 0.0}.get(name, 1.0)
        out[name] = torch.full(shape, fill)
    return out


def rms(x, gain=None, eps=1e-5):
    """RMSNorm over the last dimension, computed in float32, returned in x's type."""
    y = x.float()
    y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + eps)
    return (y if gain is None else y * gain).to(x.dtype)


def rope_table(length: int, s: Shape, device):
    """cos and sin, each float32 [length, head_dim / 2], half-split (NeoX) rotation."""
    inverse = s.theta ** (-torch.arange(0, s.head_dim, 2, dtype=torch.float64) / s.head_dim)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * inverse
    return angle.cos().float().to(device), angle.sin().float().to(device)


def norm_rope(x, gain, cos, sin, eps):
    """Per-head RMSNorm, then rotation. x [B, heads, T, head_dim]; float32 inside, x's type outside."""
    y = x.float()
    y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + eps) * gain
    a, b = y.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)


def heads(s, h, w, cos, sin):
    """q [B, heads, T, hd] and k, v [B, kv_heads, T, hd] of one layer from the residual h [B, T, width]."""
    B, T, _ = h.shape
    x = F.linear(rms(h, w["norm1"], s.eps), w["qkv"])
    kv = s.kv_heads * s.head_dim
    q, k, v = x.split([s.heads * s.head_dim, kv, kv], -1)
    q = q.view(B, T, s.heads, s.head_dim).transpose(1, 2)
    k = k.view(B, T, s.kv_heads, s.head_dim).transpose(1, 2)
    v = v.view(B, T, s.kv_heads, s.head_dim).transpose(1, 2)
    return norm_rope(q, w["q_norm"], cos, sin, s.eps), norm_rope(k, w["k_norm"], cos, sin, s.eps), v


def finish(s, h, a, w):
    """Attention output a [B, heads, T, hd] into the residual, then the SwiGLU."""
    h = h + F.linear(a.transpose(1, 2).flatten(2), w["o"])
    gate, up = F.linear(rms(h, w["norm2"], s.eps), w["gate_up"]).chunk(2, -1)
    return h + F.linear(F.silu(gate) * up, w["down"])


def first_loop(s, h, w, cos, sin, kernels):
    """One layer of loop 1. Returns the residual and this layer's KV1."""
    q, k, v = heads(s, h, w, cos, sin)
    return finish(s, h, kernels.causal(q, k, v), w), k, v


def later_loop(s, h, k1, v1, w, cos, sin, kernels):
    """One layer of a loop >= 2: gate * global(KV1) + (1 - gate) * local(own keys of the last `window` positions)."""
    q, k, v = heads(s, h, w, cos, sin)
    gate = torch.sigmoid((q.float() * w["gate_w"][:, None, :]).sum(-1, keepdim=True) + w["gate_b"][:, None, None])
    far = kernels.causal(q, k1, v1)
    near = kernels.local(q, k, v)
    mixed = near.float() + gate * (far.float() - near.float())
    return finish(s, h, mixed.to(h.dtype), w)


def entry(s, e, h, input_gain, state_gain):
    """What a loop starts from: the normed embedding, plus from loop 2 on the normed state of the loop before."""
    x = e.float() * input_gain
    if h is not None:
        y = h.float()
        x = x + y * torch.rsqrt(y.square().mean(-1, keepdim=True) + s.eps) * state_gain
    return x.to(e.dtype)


def carry(h, before, gain):
    """The state a loop >= 2 leaves: what its blocks made, plus a share of the state before. So it may correct, not repeat."""
    return (h.float() + before.float() * gain).to(h.dtype)


def head_loss(s, h, norm, embed, targets, weights):
    """Weighted next-token loss of one exit, in nats: (sum of weight * nll, plain nll per token [B * T])."""
    logits = F.linear(rms(h, norm, s.eps), embed).float().flatten(0, 1)
    nll = F.cross_entropy(logits, targets.flatten(), reduction="none")
    return (nll * weights.flatten()).sum(), nll.detach()


class Model:
    """Runs the functions above over working copies; `compiled` makes the graphs of the GPU run.

    kernels: one attention pair for every row length, or {row length: pair}, since flex's masks belong to a length.
    """

    def __init__(self, s: Shape, kernels=attention.Math, compiled=False):
        self.s, self.kernels, self.lengths = s, kernels, {}
        self.wrap = (lambda f: torch.compile(f, dynamic=False, fullgraph=True)) if compiled else (lambda f: f)
        self.entry = self.wrap(lambda e, h, a, b: entry(s, e, h, a, b))
        self.carry = self.wrap(carry)
        self.head = self.wrap(lambda h, n, m, t, w: head_loss(s, h, n, m, t, w))
        self.embed = self.wrap(lambda ids, m: rms(F.embedding(ids, m), None, s.eps))

    def of_length(self, T, device):
        """(loop 1, later loops, cos, sin) for rows of T tokens."""
        if T not in self.lengths:
            s, kernels = self.s, self.kernels[T] if isinstance(self.kernels, dict) else self.kernels
            first = self.wrap(lambda h, w, cos, sin: first_loop(s, h, w, cos, sin, kernels))
            later = self.wrap(lambda h, k, v, w, cos, sin: later_loop(s, h, k, v, w, cos, sin, kernels))
            self.lengths[T] = (first, later, *rope_table(T, s, device))
        return self.lengths[T]

    def states(self, work: dict, ids, depth: int):
        """Residuals h_1 .. h_depth after each loop, each [B, T, width]. ids int64 [B, T]."""
        first, later, cos, sin = self.of_length(ids.shape[1], ids.device)
        e = self.embed(ids, work["embed"])
        cache, out = [], []
        h = self.entry(e, None, work["input_gain"][0], None)
        for w in work["loops"][0]:
            h, k, v = first(h, w, cos, sin)
            cache.append((k, v))
        out.append(h)
        for row in map(self.s.row, range(1, depth)):
            h = self.entry(e, out[-1], work["input_gain"][row], work["state_gain"][row - 1])
            for w, (k, v) in zip(work["loops"][row], cache):
                h = later(h, k, v, w, cos, sin)
            out.append(self.carry(h, out[-1], work["carry_gain"][row - 1]))
        return out

    def losses(self, work, ids, targets, weights, depth, exits):
        """{exit: (weighted loss sum, nll per token)} for the asked exits (1-based, each <= depth)."""
        hs = self.states(work, ids, depth)
        return {x: self.head(hs[x - 1], work["norm"][self.s.row(x - 1)], work["embed"], targets, weights) for x in exits}

    def logits(self, work, ids, depth):
        """Float logits [B, T, vocab] of the last loop."""
        h = self.states(work, ids, depth)[-1]
        return F.linear(rms(h, work["norm"][self.s.row(depth - 1)], self.s.eps), work["embed"]).float()
