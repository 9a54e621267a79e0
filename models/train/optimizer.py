"""Weights and their update: float32 masters, bf16 working copies that autograd sees, Muon and AdamW.

All gradients live in two flat buffers (bf16 for matrices and embedding, float32 for gains and gates), so that one
all-reduce each makes the ranks agree. Autograd accumulates into views of them. Because the working copies are leaves,
quantisation-aware training is only another way of filling them: the gradient with respect to the rounded weight is
applied to the master (straight-through).
"""
import torch
import torch.distributed as dist

import model
import quantize

# Newton-Schulz quintic coefficients (Keller Jordan's Muon).
NS = (3.4445, -4.7750, 2.0315)


def orthogonalise(m, steps=5):
    """Approximate polar factor of each matrix of a batch m bf16 [n, rows, cols], by Newton-Schulz iteration."""
    a, b, c = NS
    tall = m.shape[-2] > m.shape[-1]
    x = m.mT if tall else m
    x = x / (x.float().norm(dim=(-2, -1), keepdim=True) * 1.01 + 1e-7).to(x.dtype)
    for _ in range(steps):
        g = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(g, g, g, beta=b, alpha=c), x, beta=a, alpha=1)
    return x.mT if tall else x


def orthogonalise_shared(m):
    """orthogonalise, each rank doing its share of the batch; every rank gets the same whole result."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return orthogonalise(m)
    world, rank, n = dist.get_world_size(), dist.get_rank(), m.shape[0]
    share = -(-n // world)
    mine = m[rank * share:(rank + 1) * share]
    if mine.shape[0] < share:
        mine = torch.cat([mine, m.new_zeros(share - mine.shape[0], *m.shape[1:])])
    whole = m.new_empty(share * world, *m.shape[1:])
    dist.all_gather(list(whole.split(share)), orthogonalise(mine).contiguous())
    return whole[:n]


def nesterov(grad, momentum, rate=0.95):
    """Updates the float32 momentum in place; returns the bf16 direction to orthogonalise."""
    g = grad.float()
    momentum.lerp_(g, 1 - rate)
    return torch.lerp(g, momentum, rate).bfloat16()


class Weights:
    """Masters, working copies, gradients and optimiser state of one rank."""

    def __init__(self, s: model.Shape, masters: dict, device, work_type=torch.bfloat16):
        self.s, self.device, self.steps = s, device, 0
        self.matrices = list(model.matrix_shapes(s))
        self.vectors = list(model.vector_shapes(s))
        wide, narrow = self.matrices + ["embed"], self.vectors
        self.master, self.master_flat = self.flat(masters, wide, torch.float32, device)
        self.small, self.small_flat = self.flat(masters, narrow, torch.float32, device)
        self.work, self.work_flat = self.flat(masters, wide, work_type, device)
        self.grad, self.grad_flat = self.flat(None, wide, work_type, device, like=self.master)
        self.small_grad, self.small_grad_flat = self.flat(None, narrow, torch.float32, device, like=self.small)
        split = self.master_flat.numel() - masters["embed"].numel()
        self.momentum = torch.zeros(split, device=device)
        self.embed_state = [torch.zeros_like(self.master["embed"]) for _ in range(2)]
        self.small_state = [torch.zeros_like(self.small_flat) for _ in range(2)]
        self.round4 = self.compile(quantize.int4_round)
        self.nesterov = self.compile(nesterov)
        self.leaves = self.make_leaves()

    def compile(self, f):
        return torch.compile(f, dynamic=False) if self.device.type == "cuda" else f

    @staticmethod
    def flat(values, names, dtype, device, like=None):
        """({name: view}, flat buffer); every view starts at a multiple of 64 elements."""
        shapes = {n: (values or like)[n].shape for n in names}
        sizes = {n: -(-shapes[n].numel() // 64) * 64 for n in names}
        buffer = torch.zeros(sum(sizes.values()), dtype=dtype, device=device)
        views, at = {}, 0
        for n in names:
            views[n] = buffer[at:at + shapes[n].numel()].view(shapes[n])
            if values is not None:
                views[n].copy_(values[n])
            at += sizes[n]
        return views, buffer

    def make_leaves(self):
        """What Model reads: dicts of leaf views by loop and layer, whose .grad are views of the flat gradient buffers."""
        def leaf(value, grad):
            x = value.detach().requires_grad_()
            x.grad = grad
            return x

        shared = [{n: leaf(self.work[n][i], self.grad[n][i]) for n in self.matrices} for i in range(self.s.layers)]
        loops = [[{**matrices, **{n: leaf(self.small[n][i][r], self.small_grad[n][i][r]) for n in model.BLOCK_VECTORS}}
                  for i, matrices in enumerate(shared)] for r in range(self.s.rows)]
        out = {"loops": loops, "embed": leaf(self.work["embed"], self.grad["embed"])}
        for n in ("norm", "input_gain", "state_gain", "carry_gain"):
            out[n] = [leaf(self.small[n][i], self.small_grad[n][i]) for i in range(self.small[n].shape[0])]
        return out

    @torch.no_grad()
    def refresh(self, quantised: bool):
        """Fills the working copies from the masters, rounded as the export rounds them when `quantised`."""
        if not quantised:
            self.work_flat.copy_(self.master_flat)
            return
        for n in self.matrices:
            self.work[n].copy_(self.round4(self.master[n]))
        self.work["embed"].copy_(quantize.int8_round(self.master["embed"]))

    def zero_grad(self):
        self.grad_flat.zero_()
        self.small_grad_flat.zero_()

    def parts(self, buffer):
        """The matrices as Muon sees them, q, k, v and gate, up apart: lists of views [layers, a, b] of one shape."""
        q = self.s.heads * self.s.head_dim
        kv = self.s.kv_heads * self.s.head_dim
        f = self.s.hidden
        return [
            [buffer["qkv"][:, :q], buffer["o"]],
            [buffer["qkv"][:, q:q + kv], buffer["qkv"][:, q + kv:]],
            [buffer["gate_up"][:, :f], buffer["gate_up"][:, f:], buffer["down"].mT],
        ]

    @torch.no_grad()
    def step(self, lr: float, muon_lr: float, decay: float, vector_lr: float, embed_lr: float):
        """One update from the summed gradients; `lr` in [0, 1] scales every rate."""
        self.steps += 1
        self.grad_flat.nan_to_num_(0.0, 0.0, 0.0)
        self.small_grad_flat.nan_to_num_(0.0, 0.0, 0.0)
        n = self.momentum.numel()
        update = self.nesterov(self.grad_flat[:n], self.momentum)
        views, at = {}, 0
        for name in self.matrices:
            size = self.master[name].numel()
            views[name] = update[at:at + size].view(self.master[name].shape)
            at += -(-size // 64) * 64
        self.master_flat[:n].mul_(1 - lr * muon_lr * decay)
        for directions, masters in zip(self.parts(views), self.parts(self.master)):
            joined = orthogonalise_shared(torch.cat(directions))
            for part, master in zip(joined.split(self.s.layers), masters):
                # An orthogonal matrix with more outputs than inputs has smaller entries; `down` is seen transposed.
                a, b = master.shape[-2:]
                scale = (a / b) ** 0.5 if a > b and master.stride(-1) == 1 else 1.0
                master.add_(part, alpha=-lr * muon_lr * scale)
        self.adam(self.master["embed"], self.grad["embed"].float(), self.embed_state, lr * embed_lr)
        self.adam(self.small_flat, self.small_grad_flat, self.small_state, lr * vector_lr)

    def adam(self, p, g, state, lr, betas=(0.9, 0.95), eps=1e-10):
        m, v = state
        m.lerp_(g, 1 - betas[0])
        v.lerp_(g.square(), 1 - betas[1])
        m_hat = m / (1 - betas[0] ** self.steps)
        p.sub_(m_hat / ((v / (1 - betas[1] ** self.steps)).sqrt() + eps), alpha=lr)

    def state(self):
        """Everything needed to go on exactly: masters and optimiser state, on the CPU."""
        return {"steps": self.steps, "master": self.master_flat.cpu(), "small": self.small_flat.cpu(),
                "momentum": self.momentum.cpu(), "embed": [x.cpu() for x in self.embed_state],
                "vectors": [x.cpu() for x in self.small_state]}

    def load_state(self, d):
        self.steps = d["steps"]
        self.master_flat.copy_(d["master"])
        self.small_flat.copy_(d["small"])
        self.momentum.copy_(d["momentum"])
        for mine, theirs in zip(self.embed_state + self.small_state, d["embed"] + d["vectors"]):
            mine.copy_(theirs)

    def named(self):
        """{name: float32 CPU tensor} in initial_weights' names."""
        return {n: t.detach().float().cpu() for n, t in {**self.master, **self.small}.items()}
