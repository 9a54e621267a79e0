"""Proof before training: the attention calls of the run against explicit float32 math, then the copy task.

    python3 check.py attention --kernels flash-expanded     outputs and gradients of both block functions, block times
    python3 check.py model --kernels flash-expanded         tokens/s and memory per depth, then the copy task
    python3 check.py copy --kernels flash-expanded          the copy task alone
All use the compiled block functions, the working types and the shapes of the run (16 rows of 2048 tokens).
One JSON line per finding; exit code 1 when a bound is broken.
"""
import argparse
import contextlib
import fcntl
import json
import os
import time

import torch

import attention
import model
from optimizer import Weights

ROWS, T = 16, 2048
BOUND = 0.04  # relative error of bf16 kernels against float32: 2^-8 per rounding, several roundings deep


def say(**fields):
    print(json.dumps(fields), flush=True)


def random_layer(s, device):
    """One layer's weights with outputs that are not zero, gates that move, gains away from 1."""
    torch.manual_seed(3)
    named = model.initial_weights(s, 3, residual_zero=False)
    w = {n: named[n][0] for n in model.matrix_shapes(s)}
    for n in model.BLOCK_VECTORS:
        w[n] = named[n][0][0] + 0.1 * torch.randn_like(named[n][0][0])
    return {n: t.to(device) for n, t in w.items()}


def run_block(function, h, kv, w, tables, kind, seeds, as_type):
    """(outputs, gradients by name) of one block function at inputs cast to as_type (matrices and activations)."""
    cast = lambda t, n="": t.to(as_type) if n in ("", "qkv", "o", "gate_up", "down") else t
    w = {n: cast(t, n).clone().requires_grad_() for n, t in w.items()}
    h = cast(h).clone().requires_grad_()
    k, v = (cast(x).clone().requires_grad_() for x in kv)
    if kind == "first":
        out = function(h, w, *tables)
    else:
        out = (function(h, k, v, w, *tables),)
    torch.autograd.backward(out, [x.to(o.dtype) for x, o in zip(seeds, out)])
    grads = {"h": h.grad, **{n: t.grad for n, t in w.items()}}
    if kind == "later":
        grads |= {"k1": k.grad, "v1": v.grad}
    return [o.detach() for o in out], {n: g for n, g in grads.items() if g is not None}


def reference(s, h, kv, w, tables, kind, seeds):
    """The same in float32 with explicit math, two rows at a time; weight gradients are summed over rows."""
    f = {"first": model.first_loop, "later": model.later_loop}[kind]
    plain = (lambda h, w, c, n: f(s, h, w, c, n, attention.Math)) if kind == "first" else \
        (lambda h, k, v, w, c, n: f(s, h, k, v, w, c, n, attention.Math))
    outs, total = [], {}
    for at in range(0, ROWS, 2):
        cut = slice(at, at + 2)
        out, grads = run_block(plain, h[cut], [x[cut] for x in kv], w, tables, kind, [x[cut] for x in seeds],
                               torch.float32)
        outs.append(out)
        for n, g in grads.items():
            total.setdefault(n, []).append(g)
    merged = {n: torch.cat(g) if n in ("h", "k1", "v1") else torch.stack(g).sum(0) for n, g in total.items()}
    return [torch.cat(o) for o in zip(*outs)], merged


def error(a, b):
    return ((a.float() - b.float()).norm() / b.float().norm()).item()


def check_attention(name, device):
    s = model.Shape()
    torch.backends.cuda.matmul.allow_tf32 = False
    w, tables = random_layer(s, device), model.rope_table(T, s, device)
    gen = torch.Generator(device).manual_seed(7)
    draw = lambda *shape: torch.randn(*shape, generator=gen, device=device).bfloat16().float()
    w = {n: t.bfloat16().float() if n in model.matrix_shapes(s) else t for n, t in w.items()}
    h, kv = draw(ROWS, T, s.width), [draw(ROWS, s.kv_heads, T, s.head_dim) * 1.4 for _ in range(2)]
    net, fine = model.Model(s, attention.select(name, T, device), compiled=True), True
    for kind, function in (("first", net.first), ("later", net.later)):
        seeds = [draw(ROWS, T, s.width)]
        if kind == "first":  # KV1 also gets gradients from the later loops
            seeds += [draw(ROWS, s.kv_heads, T, s.head_dim) for _ in range(2)]
        out, grads = run_block(function, h, kv, w, tables, kind, seeds, torch.bfloat16)
        with gpu_turn():
            ms = time_block(function, h, kv, w, tables, kind, seeds)
            right, right_grads = reference(s, h, kv, w, tables, kind, seeds)
        # The residual passes h and its gradient through: what the block adds is what is judged.
        added = [out[0].float() - h] + [o for o in out[1:]], [right[0] - h] + right[1:]
        errors = {f"out{i}": error(a, b) for i, (a, b) in enumerate(zip(*added))}
        errors |= {n: error(grads[n], right_grads[n]) for n in right_grads if n != "h"}
        errors["h"] = error(grads["h"].float() - seeds[0], right_grads["h"] - seeds[0])
        bad = {n: e for n, e in errors.items() if not e < BOUND}
        fine &= not bad
        del right, right_grads, out, grads
        say(check="attention", kernels=name, loop=kind, worst=max(errors, key=errors.get), ms=round(ms, 2),
            error=round(max(errors.values()), 5), broken={n: round(e, 3) for n, e in bad.items()})
    return fine


@contextlib.contextmanager
def gpu_turn():
    """One checking process at a time uses the GPU, so that several may compile at once and timings stay clean."""
    with open("/tmp/loopd-check-" + os.environ.get("CUDA_VISIBLE_DEVICES", "all"), "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def time_block(function, h, kv, w, tables, kind, seeds, repeat=12):
    times = []
    for _ in range(repeat):
        torch.cuda.synchronize()
        began = time.time()
        run_block(function, h, kv, w, tables, kind, seeds, torch.bfloat16)
        torch.cuda.synchronize()
        times.append((time.time() - began) * 1e3)
    return sorted(times)[repeat // 2]


class Trial:
    """A fresh model with the run's optimiser, for timing and for the copy task."""

    def __init__(self, name, device, kernels=None, net=None):
        self.s, self.device = model.Shape(), device
        self.weights = Weights(self.s, model.initial_weights(self.s, 1), device)
        self.net = net or model.Model(self.s, kernels, compiled=True)

    def step(self, rows, depth, exits, counted=None):
        """One training step on rows [B, T + 1]; `counted` weights per target. Returns {exit: mean nll tensor}."""
        ids, targets = rows[:, :-1].contiguous(), rows[:, 1:].contiguous()
        counted = torch.ones_like(targets, dtype=torch.float32) if counted is None else counted
        self.weights.refresh(False)
        self.weights.zero_grad()
        losses = self.net.losses(self.weights.leaves, ids, targets, counted, depth, exits)
        (sum(losses[x][0] * g for x, g in exits.items()) / counted.sum()).backward()
        self.weights.step(min(1.0, self.weights.steps / 50 + 0.02), 0.02, 0.03, 3e-3, 3e-3)
        return {x: losses[x][0].detach() / counted.sum() for x in exits}


def speed(trial, device):
    rows = torch.randint(8, 16384, (ROWS, T + 1), device=device)
    for depth in (1, 2, 3, 4, 6):
        exits = {1: 0.3, depth: 1.0}
        try:
            for _ in range(2):
                trial.step(rows, depth, exits)
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            began, n = time.time(), 12 // depth + 3
            for _ in range(n):
                trial.step(rows, depth, exits)
            torch.cuda.synchronize()
        except torch.OutOfMemoryError as e:
            say(check="speed", depth=depth, error=str(e)[:200])
            continue
        say(check="speed", depth=depth, tok_s=int(ROWS * T * n / (time.time() - began)),
            memory_gb=round(torch.cuda.max_memory_allocated() / 2**30, 1))
    profile(trial, rows)


def profile(trial, rows):
    """Where the time of a depth-2 step goes: the 20 costliest kernels, in ms per step."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as p:
        for _ in range(2):
            trial.step(rows, 2, {1: 0.3, 2: 1.0})
        torch.cuda.synchronize()
    rows = sorted(p.key_averages(), key=lambda e: -e.device_time_total)[:20]
    say(check="profile", ms={e.key[:70]: [e.count // 2, round(e.device_time_total / 2e3, 2)] for e in rows})


def copy_rows(gen, device, period=512):
    """Rows whose first `period` random tokens of 64 repeat, far beyond the local window.
    Returns (rows, weight 1 on every target that can be copied)."""
    piece = torch.randint(8, 72, (ROWS, period), generator=gen).to(device)
    counted = torch.zeros(ROWS, T, device=device)
    counted[:, period:] = 1
    return piece.repeat(1, T // period + 1)[:, :T + 1], counted


def copy_task(name, depths, device, net, steps=600):
    """True when the loss on copied tokens falls under 0.1 nats (chance: ln 64 = 4.16) at every depth trained."""
    trial, gen = Trial(name, device, net=net), torch.Generator().manual_seed(11)
    log, last = [], {}
    for step in range(steps):
        rows, counted = copy_rows(gen, device)
        depth = depths[step % len(depths)]
        exits = {depth: 1.0} if depth == 1 else {1: 0.5, depth: 1.0}
        means = trial.step(rows, depth, exits, counted)
        if step % 50 >= 50 - len(depths):
            last |= {f"{x}of{depth}": round(v.item(), 3) for x, v in means.items()}
        if step % 50 == 49:
            log.append((step + 1, dict(last)))
            if max(last.values()) < 0.05:
                break
    fine = max(last.values()) < 0.1
    say(check="copy", kernels=name, depths=depths, log=log, learned=fine)
    return fine


def main():
    p = argparse.ArgumentParser()
    p.add_argument("what", choices=["attention", "model", "copy"])
    p.add_argument("--kernels", default="flash-expanded", choices=list(attention.CANDIDATES))
    a = p.parse_args()
    device = torch.device("cuda")
    torch.set_float32_matmul_precision("highest" if a.what == "attention" else "high")
    if a.what == "attention":
        fine = check_attention(a.kernels, device)
    else:
        trial = Trial(a.kernels, device, attention.select(a.kernels, T, device))
        if a.what == "model":
            speed(trial, device)
        net = trial.net
        del trial
        fine = copy_task(a.kernels, (1,), device, net) & copy_task(a.kernels, (1, 2, 3), device, net)
    raise SystemExit(0 if fine else 1)


if __name__ == "__main__":
    main()
