"""Trains loopd on the GPUs of one machine within a budget of wall seconds: torchrun --nproc-per-node N train.py ...

The clock starts with the process, so warm-up and compilation are inside --seconds; the learning rate, the depth
curriculum and quantisation-aware training are functions of the share of the remaining time that has passed. Rank 0
reads the clock and tells the others each step, so that all ranks take the same decisions. One JSON line per event
goes to LOG. See README.md for the command of the shipped run.
"""
import argparse
import dataclasses
import json
import os
import random
import sys
import threading
import time

import numpy as np
import torch
import torch.distributed as dist

import attention
import export
import model
import restore
from batches import Rows, split_rows
from judge import Judge
from optimizer import Weights

START = time.time()


def arguments(argv=None):
    p = argparse.ArgumentParser()
    p.add_argument("--rows", required=True, help="folder rows.py fills: epoch-000.npy, ..., val.npy, bytes.npy")
    p.add_argument("--out", required=True, help="folder for log.jsonl, weights and the exported model")
    p.add_argument("--tokenizer", help="tokenizer.json to put beside the exported model")
    p.add_argument("--seconds", type=float, required=True, help="training ends this long after the process starts")
    p.add_argument("--from-warm", action="store_true", help="count --seconds from the end of the warm-up instead")
    p.add_argument("--budget-file", help="when it exists, the number in it replaces --seconds (read while running)")
    p.add_argument("--length", type=int, default=2048, help="tokens of a row")
    p.add_argument("--batch", type=int, default=16, help="rows per GPU and step")
    p.add_argument("--kernels", default="flash-expanded", choices=[*attention.CANDIDATES, "math"])
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--init", help="weights.pt or the folder of an exported model to start from")
    p.add_argument("--carry-on", action="store_true", help="with --init: loops >= 3 start from the state, not the embedding")
    p.add_argument("--resume", help="state.pt to go on from exactly (weights and optimiser)")
    p.add_argument("--save-state", action="store_true", help="also write state.pt at the end (weights and optimiser)")
    p.add_argument("--muon-lr", type=float, default=0.02)
    p.add_argument("--embed-lr", type=float, default=3e-3)
    p.add_argument("--vector-lr", type=float, default=3e-3)
    p.add_argument("--decay", type=float, default=0.05, help="decoupled weight decay of the matrices, times the rate")
    p.add_argument("--warmup-steps", type=int, default=200)
    p.add_argument("--depths", default="1:.12,2:.22,3:.36,4:.12,5:.09,6:.09",
                   help="share of the steps at each depth once the curriculum has opened the loops")
    p.add_argument("--layers", type=int, help="another number of layers, for controls")
    p.add_argument("--long-rows", help="folder of longer rows, read instead of --rows after --long-from")
    p.add_argument("--long-length", type=int, default=4096, help="their tokens; a step keeps its number of tokens")
    p.add_argument("--long-from", type=float, default=2.0, help="share of the time after which rows are long")
    p.add_argument("--middle-weight", type=float, default=3, help="weight of the text between <|fim_middle|> and <|fim_end|>")
    p.add_argument("--end-weight", type=float, default=6, help="weight of <|fim_end|> in the loss")
    p.add_argument("--loops-from", type=float, default=0.3, help="share of the time after which depths are mixed")
    p.add_argument("--cool-from", type=float, default=0.65, help="share of the time after which the rate falls")
    p.add_argument("--qat-from", type=float, default=0.85, help="share of the time after which weights are rounded")
    p.add_argument("--shallow-exits", default="1:.3", help="weights of the losses at shallower exits in deeper steps")
    p.add_argument("--validate-every", type=float, default=150, help="seconds")
    p.add_argument("--val-rows", type=int, default=192)
    p.add_argument("--stop-tokens", type=float, default=150e6)
    p.add_argument("--stop-loss", type=float, default=2.5, help="abort when depth 1 is above this after --stop-tokens")
    p.add_argument("--tiny", action="store_true", help="a toy shape, for rehearsal on a CPU")
    a = p.parse_args(argv)
    a.depths, a.shallow_exits = weights_by_depth(a.depths), weights_by_depth(a.shallow_exits)
    return a


def weights_by_depth(text):
    """{1: .3, 2: .7} from "1:.3,2:.7"."""
    return {int(d): float(w) for d, w in (part.split(":") for part in text.split(","))}


def rate(a, progress, step):
    """Learning rate factor: warm-up in steps, plateau, then a straight fall to 2 % at the end."""
    warm = min(1.0, (step + 1) / a.warmup_steps)
    cool = 1.0 if progress < a.cool_from else (1 - progress) / (1 - a.cool_from)
    return warm * max(cool, 0.02)


def pick_depth(a, progress, step):
    if progress < a.loops_from:
        return 1
    return random.Random(a.seed * 1000003 + step).choices(list(a.depths), list(a.depths.values()))[0]


class Clock:
    """Rank 0's view of the time, told to everyone once per step."""

    def __init__(self, a, rank):
        self.a, self.rank, self.began = a, rank, time.time()
        self.end = (self.began if a.from_warm else START) + a.seconds

    def tick(self, step, abort=False):
        """(progress in [0, 1], abort flag); progress 1 means stop."""
        if self.rank == 0 and step % 50 == 0 and self.a.budget_file and os.path.exists(self.a.budget_file):
            self.end = START + float(open(self.a.budget_file).read())
        progress = min(1.0, (time.time() - self.began) / max(1.0, self.end - self.began))
        told = torch.tensor([progress, float(abort)], dtype=torch.float64)
        if CONTROL is not None:
            dist.broadcast(told, 0, group=CONTROL)
        return told[0].item(), told[1].item() > 0


CONTROL = None  # gloo group for the clock when started by torchrun


def setup():
    """(rank, world, device); one process per GPU under torchrun, or one process alone."""
    global CONTROL
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
        torch.set_float32_matmul_precision("high")
    if "RANK" in os.environ:
        dist.init_process_group("nccl" if cuda else "gloo")
        CONTROL = dist.new_group(backend="gloo")
    return rank, world, device


def make_log(path, rank):
    def log(**fields):
        if rank == 0:
            line = json.dumps({"s": round(time.time() - START, 1), **fields})
            print(line, flush=True)
            with open(path, "a") as f:
                f.write(line + "\n")
    return log


def one_step(a, net, weights, batch, depth, world):
    """Forward, backward and gradient exchange; returns {exit: mean nll} tensors still on the device."""
    ids, targets, w = batch
    weights.zero_grad()
    exits = {x: w for x, w in a.shallow_exits.items() if x < depth} | {depth: 1.0}
    losses = net.losses(weights.leaves, ids, targets, w, depth, exits)
    total = sum(losses[x][0] * exits[x] for x in exits) / (targets.numel() * world)
    total.backward()
    if CONTROL is not None:
        dist.all_reduce(weights.grad_flat)
        dist.all_reduce(weights.small_grad_flat)
    counted = (w > 0).flatten()
    return {x: (losses[x][1] * counted).sum() / counted.sum() for x in exits}


def batches(a):
    """[(rows of a step on one GPU, tokens of a row)] of every row length of the run."""
    out = [(a.batch, a.length)]
    return out + [(max(1, a.batch * a.length // a.long_length), a.long_length)] if a.long_rows else out


def warm_up(a, net, weights, device):
    """Compiles every graph of the run on random tokens, while the rows may still be made; changes no weight."""
    for batch, length in batches(a):
        rows = torch.randint(8, net.s.vocab, (batch, length + 1), generator=torch.Generator().manual_seed(0))
        for depth in sorted({1, min(2, max(a.depths)), max(a.depths)}):
            one_step(a, net, weights, split_rows(rows, device), depth, 1)
    weights.refresh(True)
    weights.refresh(False)
    if device.type == "cuda":
        torch.cuda.synchronize()


def main():
    a = arguments()
    rank, world, device = setup()
    os.makedirs(a.out, exist_ok=True)
    log = make_log(os.path.join(a.out, "log.jsonl"), rank)
    shape = model.Shape(width=128, hidden=256, layers=2, heads=4, kv_heads=2, head_dim=32, window=64) if a.tiny else model.Shape()
    shape = dataclasses.replace(shape, layers=a.layers or shape.layers, loops=max(a.depths))
    cuda = device.type == "cuda"
    masters = model.initial_weights(shape, a.seed)
    if a.init:
        masters.update(restore.masters(a.init, shape) if os.path.isdir(a.init) else torch.load(a.init, map_location="cpu"))
    if a.carry_on:
        masters = restore.carry_on(masters)
    weights = Weights(shape, masters, device, torch.bfloat16 if cuda else torch.float32)
    if a.resume:
        weights.load_state(torch.load(a.resume, map_location="cpu"))
    weights.refresh(False)
    kernels = {length: attention.select(a.kernels, length, device) for _, length in batches(a)} if cuda else attention.Math
    net = model.Model(shape, kernels, compiled=cuda)
    log(event="start", world=world, command=sys.argv, torch=torch.__version__, kernels=a.kernels,
        device=torch.cuda.get_device_name() if cuda else "cpu",
        parameters=sum(t.numel() for t in masters.values()))
    warm_up(a, net, weights, device)
    log(event="warm", memory_gb=round(torch.cuda.max_memory_allocated() / 2**30, 1) if cuda else 0)
    source = Rows(a.rows, rank, world, a.batch, log)
    first = source.next()
    sizes = torch.from_numpy(np.load(os.path.join(a.rows, "bytes.npy")).astype(np.int64)).to(device)
    if CONTROL is not None:
        dist.barrier()
    judge = Judge(net, weights, sizes, a.batch, shape.loops, rank, world, device)
    step, tokens = run(a, net, weights, source, judge, rank, world, device, log, first)
    finish(a, shape, weights, judge, rank, log, step, tokens)
    if CONTROL is not None:
        dist.barrier()
        dist.destroy_process_group()


def held_out(a, folder):
    return np.load(os.path.join(folder, "val.npy"))[:a.val_rows]


def run(a, net, weights, source, judge, rank, world, device, log, rows):
    """The training loop; returns (steps, tokens seen by all ranks)."""
    val, long = held_out(a, a.rows), False
    clock, step, tokens, abort, judged = Clock(a, rank), 0, 0, False, bool(a.init or a.resume)
    pending, meter, events = [], [], []
    if a.init:
        # Where the run begins, on the rows that its end is measured on.
        log(event="validation", step=0, tokens=0, progress=0.0, bits_per_byte=judge.bits_per_byte(val, True))
    since_log, since_val, tokens_then = time.time(), time.time(), 0
    while True:
        progress, abort = clock.tick(step, abort)
        if abort:
            raise SystemExit(f"stopped: depth 1 did not fall under {a.stop_loss} nats within {a.stop_tokens:.0f} tokens")
        if progress >= 1.0:
            return step, tokens
        depth, quantised, factor = pick_depth(a, progress, step), progress >= a.qat_from, rate(a, progress, step)
        weights.refresh(quantised)
        means = one_step(a, net, weights, split_rows(rows, device, a.middle_weight, a.end_weight), depth, world)
        weights.step(factor, a.muon_lr, a.decay, a.vector_lr, a.embed_lr)
        pending += [(x, depth, v) for x, v in means.items()]
        tokens += rows[:, 1:].numel() * world
        if a.long_rows and not long and progress >= a.long_from:
            long, source = True, Rows(a.long_rows, rank, world, batches(a)[1][0], log)
        rows = source.next()
        # The CPU may run at most two steps ahead, or its clock would be ahead of the work.
        if device.type == "cuda":
            events.append(torch.cuda.Event())
            events[-1].record()
            if len(events) > 2:
                events.pop(0).synchronize()
        if step % 50 == 49:
            meter, pending = [(x, d, v.item()) for x, d, v in pending], []
            now = time.time()
            log(step=step + 1, progress=round(progress, 4), tokens=tokens, lr=round(factor, 4), quantised=quantised,
                loss={f"{x}of{d}": round(float(np.mean([v for y, e, v in meter if (y, e) == (x, d)])), 4)
                      for x, d in sorted({(y, e) for y, e, _ in meter})},
                tok_s=int((tokens - tokens_then) / (now - since_log)))
            since_log, tokens_then = now, tokens
            shallow = [v for x, _, v in meter if x == 1]
            if tokens > a.stop_tokens and not judged:
                judged, abort = True, not np.mean(shallow) < a.stop_loss
        if step % 1000 == 999 and CONTROL is not None:
            for flat in (weights.master_flat, weights.small_flat):
                dist.broadcast(flat, 0)
        step += 1
        if step % 50 == 0:
            due = torch.tensor([float(time.time() - since_val > a.validate_every)])
            if CONTROL is not None:
                dist.broadcast(due, 0, group=CONTROL)
            if due.item():
                log(event="validation", step=step, tokens=tokens, progress=round(progress, 4),
                    bits_per_byte=judge.bits_per_byte(val, quantised), copied=judge.copies(val))
                save(weights, os.path.join(a.out, "weights.pt"), rank)
                since_val = time.time()


def save(weights, path, rank):
    """Writes the masters from a thread, so that the GPUs go on."""
    if rank == 0:
        named = weights.named()

        def write():
            torch.save(named, path + ".part")
            os.replace(path + ".part", path)
        threading.Thread(target=write).start()


def finish(a, shape, weights, judge, rank, log, step, tokens):
    """Exports first, then measures: the model must exist even if something later fails."""
    if rank == 0:
        named = weights.named()
        total = export.write_model(os.path.join(a.out, "model"), shape, named, a.tokenizer)
        log(event="exported", bytes=total)
        torch.save(named, os.path.join(a.out, "weights.pt"))
    val, long = held_out(a, a.rows), {}
    if a.long_rows:
        # What text beyond the length that most of the training saw costs.
        rows, batch = held_out(a, a.long_rows)[:a.val_rows // 2], batches(a)[1][0]
        long = {"bits_per_byte_beyond": judge.bits_per_byte(rows, True, batch, a.length)}
    log(event="final", steps=step, tokens=tokens, bits_per_byte_int4=judge.bits_per_byte(val, True), **long,
        bits_per_byte_bf16=judge.bits_per_byte(val, False), copied=judge.copies(val))
    if rank == 0 and a.save_state:
        torch.save(weights.state(), os.path.join(a.out, "state.pt"))
    log(event="done")


if __name__ == "__main__":
    main()
