"""Greedy fill-in-the-middle on the GPU by plain recomputation: a cross-check of the C++ engine, not a fast path.

    python3 evaluate.py weights.pt --tokenizer tokenizer.json [--infill HumanEval-SingleLineInfilling.jsonl.gz]
        [--rows val.npy] [--depths 1,2,4] [--limit 320] [--int4]
Exact match: the generated text up to <|fim_end|> equals the original, trailing blanks aside. `--rows` takes the last
item of each held-out row with the caret before its last line's middle. One JSON line per depth.
"""
import argparse
import gzip
import json
import random
import time
from types import SimpleNamespace

import numpy as np
import torch

import attention
import bpe
import model
from optimizer import Weights

STOPS = (bpe.END_OF_TEXT, bpe.FIM_END, bpe.FILE_SEP)


def infill_cases(path, encoder, limit):
    """[(prompt ids, expected text)] of a HumanEval-infilling file, spread over it."""
    lines = [json.loads(x) for x in gzip.open(path, "rt", encoding="utf-8")]
    random.Random(0).shuffle(lines)
    out = []
    for x in lines[:limit]:
        ids = [bpe.FILE_SEP, *encoder.encode("solution.py\n").tolist(), bpe.FIM_SUFFIX,
               *encoder.encode(x["suffix"])[:512].tolist(), bpe.FIM_PREFIX, *encoder.encode(x["prompt"]).tolist()]
        out.append((ids, x["canonical_solution"]))
    return out


def row_cases(path, encoder, limit):
    """[(prompt ids, expected text)] from held-out rows: the last complete item, caret inside its last line."""
    rng, out = random.Random(0), []
    for row in np.load(path)[:limit * 2]:
        row = row.tolist()
        if bpe.FIM_END not in row:
            continue
        end = len(row) - 1 - row[::-1].index(bpe.FIM_END)
        start = end - 1
        while row[start] > bpe.PAD and row[start] not in encoder.newlines:
            start -= 1
        if end - start > 3:
            caret = rng.randint(start + 2, end - 1)
            out.append((row[max(0, end - 1000):caret], encoder.decode(row[caret:end]).decode("utf-8", "replace")))
    return out[:limit]


def complete(net, work, prompts, depth, new_tokens, device):
    """Greedy continuations (lists of ids, stop token included) of a batch of prompts."""
    length = -(-(max(map(len, prompts)) + new_tokens) // 64) * 64
    ids = torch.full((len(prompts), length), bpe.PAD, device=device)
    for i, p in enumerate(prompts):
        ids[i, :len(p)] = torch.tensor(p, device=device)
    at = torch.tensor([len(p) for p in prompts], device=device)
    index, alive = torch.arange(len(prompts), device=device), torch.ones(len(prompts), dtype=torch.bool, device=device)
    out = [[] for _ in prompts]
    for _ in range(new_tokens):
        longest = -(-int(at.max()) // 64) * 64
        h = net.states(work, ids[:, :longest], depth)[-1][index, at - 1]
        token = torch.nn.functional.linear(model.rms(h, work["norm"], net.s.eps), work["embed"]).argmax(-1)
        for i, t in enumerate(token.tolist()):
            if alive[i]:
                out[i].append(t)
                alive[i] = t not in STOPS
        if not alive.any():
            break
        ids[index, at] = torch.where(alive, token, ids[index, at])
        at = torch.where(alive, at + 1, at).clamp_max(length - 1)
    return out


def judge(net, work, cases, depth, encoder, device, new_tokens=48, batch=32):
    cases = sorted(cases, key=lambda c: len(c[0]))
    right = ended = 0
    for i in range(0, len(cases), batch):
        part = cases[i:i + batch]
        for ids, (_, want) in zip(complete(net, work, [p for p, _ in part], depth, new_tokens, device), part):
            text = encoder.decode([t for t in ids if t not in STOPS]).decode("utf-8", "replace")
            right += text.rstrip() == want.rstrip()
            ended += ids[-1] == bpe.FIM_END
    return {"exact_match": round(right / len(cases), 4), "ended": round(ended / len(cases), 4), "cases": len(cases)}


def load(path, device, int4):
    """Working copies of a weights.pt, ready for Model."""
    cuda = device.type == "cuda"
    weights = Weights(model.Shape(), torch.load(path, map_location="cpu"), device,
                      torch.bfloat16 if cuda else torch.float32)
    weights.refresh(int4)
    return weights


def main():
    p = argparse.ArgumentParser()
    p.add_argument("weights"), p.add_argument("--tokenizer", required=True), p.add_argument("--infill")
    p.add_argument("--rows"), p.add_argument("--depths", default="1,2,4"), p.add_argument("--limit", type=int, default=320)
    p.add_argument("--int4", action="store_true"), p.add_argument("--gpu", type=int, default=0)
    a = p.parse_args()
    device = torch.device("cuda", a.gpu) if torch.cuda.is_available() else torch.device("cpu")
    encoder, weights = bpe.Encoder(a.tokenizer), load(a.weights, device, a.int4)
    kernels = SimpleNamespace(causal=attention.sdpa_expanded, local=attention.Math.local)
    net = model.Model(model.Shape(), kernels if device.type == "cuda" else attention.Math)
    sets = {"infill": infill_cases(a.infill, encoder, a.limit) if a.infill else [],
            "held_out": row_cases(a.rows, encoder, a.limit) if a.rows else []}
    with torch.no_grad():
        for depth in map(int, a.depths.split(",")):
            for name, cases in sets.items():
                if cases:
                    began = time.time()
                    found = judge(net, weights.leaves, cases, depth, encoder, device)
                    print(json.dumps({"check": name, "depth": depth, "int4": a.int4, **found,
                                      "seconds": round(time.time() - began, 1)}), flush=True)


if __name__ == "__main__":
    main()
