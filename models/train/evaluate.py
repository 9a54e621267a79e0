"""Greedy fill-in-the-middle on the GPU, many tasks at once: judges every depth, and cross-checks the C++ engine.

    loopd eval infill FILE.jsonl.gz --print-prompts | xz > prompts.jsonl.xz
    python3 evaluate.py WEIGHTS --tokenizer tokenizer.json --prompts prompts.jsonl.xz --out cases.jsonl
        [--depths 1,2,3] [--end-biases 0,3] [--limit N] [--part 0/4] [--int4]

WEIGHTS is a weights.pt or an exported folder. Prompts are those of the daemon, with the bytes that the answer must begin
with. An answer ends at <|fim_end|>, or at the end of a line where the hole lies in one. Exact match: answer and original
are equal, trailing blanks aside. Bits: -log2 of the original's probability (its first --new-tokens tokens, the end among them).
`--out` gets a line per task, depth and bias, which `../evaluate/depths.py --cases` makes a table of; a line of sums is
printed for each depth and bias.
"""
import argparse
import json
import lzma
import math
import os
import random
import sys
import time

import torch
import torch.nn.functional as F

import attention
import bpe
import model
import restore
from optimizer import Weights

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "evaluate"))
from similarity import edit_similarity  # noqa: E402

BATCH_TOKENS = 524288   # whose keys and values are held at once: 16 GB
PREFILL_TOKENS = 131072
STOPS = (bpe.END_OF_TEXT, bpe.FIM_END, bpe.FILE_SEP)


class Spelling:
    """Which tokens may come next when the text must go on with given bytes."""

    def __init__(self, encoder):
        self.bytes = encoder.spelling
        self.exact, self.longer, self.masks = {}, {}, {}
        for i, s in enumerate(self.bytes):
            if s:
                self.exact[s] = i
                for n in range(1, len(s) + 1):
                    self.longer.setdefault(s[:n], []).append(i)

    def allowed(self, wanted):
        """Ids whose spelling begins with `wanted`, or that `wanted` begins with."""
        if wanted not in self.masks:
            shorter = [self.exact[wanted[:n]] for n in range(1, len(wanted)) if wanted[:n] in self.exact]
            self.masks[wanted] = self.longer.get(wanted, []) + shorter
        return self.masks[wanted]


class Answer:
    """The text of one task as it grows."""

    def __init__(self, case, spelling):
        self.spelling, self.forced, self.text, self.ended, self.done = spelling, case["forced"].encode(), b"", False, False
        self.one_line = "\n" not in case["canonical_solution"]

    def add(self, token):
        if token in STOPS:
            self.done, self.ended = True, token == bpe.FIM_END
            return
        s = self.spelling.bytes[token]
        n = min(len(s), len(self.forced))
        self.forced, self.text = self.forced[n:], self.text + s[n:]
        self.done = self.one_line and b"\n" in self.text.lstrip()

    def result(self):
        text = self.text
        if self.one_line:
            start = len(text) - len(text.lstrip())
            end = text.find(b"\n", start)
            text = text if end < 0 else text[:end]
        return text.decode("utf-8", "replace")


class Decoder:
    """Keys and values for a batch of prompts: loop 1's whole, a later loop's from `window` positions before the answer on."""

    def __init__(self, s, work, device):
        self.s, self.work, self.device = s, work, device

    def prefill(self, prompts, originals, room, depth):
        """Runs loops 1..depth over prompts and originals; self.last[r]: state after each prompt's last token.

        Returns [prompt][loop]: -log2 of the probability of the originals, lists of tokens. What follows a prompt is not seen
        by its answer: keys and values from there on are written anew as the answer grows."""
        # Multiples of 64, which masked attention kernels ask for.
        T = -(-max(len(p) + len(o) for p, o in zip(prompts, originals)) // 64) * 64
        self.length = T + room
        ids = torch.full((len(prompts), T), bpe.PAD, device=self.device)
        for i, (p, o) in enumerate(zip(prompts, originals)):
            ids[i, :len(p) + len(o)] = torch.tensor(p + o, device=self.device)
        self.at = torch.tensor([len(p) for p in prompts], device=self.device)
        self.start = (self.at - self.s.window).clamp_min(0)
        self.cos, self.sin = model.rope_table(self.length, self.s, self.device)
        ahead = torch.arange(max(map(len, originals)), device=self.device)
        places = (self.at[:, None] - 1 + ahead).clamp_max(T - 2)
        counted = ahead < torch.tensor([len(o) for o in originals], device=self.device)[:, None]
        rows, parts, bits = max(1, PREFILL_TOKENS // T), [], []
        for i in range(0, len(ids), rows):
            some = slice(i, i + rows)
            states, cache = self.run(ids[some], places[some], self.start[some], room, depth)
            targets = ids[some].gather(1, places[some] + 1).flatten()
            lost = [F.cross_entropy(self.logits(h, r + 1).flatten(0, 1), targets, reduction="none").view_as(counted[some]) for r, h in enumerate(states)]
            bits += torch.stack([(x * counted[some]).sum(1) / math.log(2) for x in lost], 1).tolist()
            parts.append(([h[:, 0] for h in states], cache))
        self.last = [torch.cat(x) for x in zip(*(last for last, _ in parts))]
        self.cache = [[tuple(torch.cat(x) for x in zip(*layer)) for layer in zip(*loop)] for loop in zip(*(cache for _, cache in parts))]
        return bits

    def run(self, ids, at, start, room, depth):
        """(by loop the states at positions `at` [B, n], [loop][layer] -> keys and values) of some of the prompts."""
        s, w, T = self.s, self.work, ids.shape[1]
        cos, sin, row = self.cos[:T], self.sin[:T], torch.arange(len(ids), device=self.device)
        kept = (start[:, None] + torch.arange(s.window + room, device=self.device)).clamp_max(T - 1)
        e = model.rms(F.embedding(ids, w["embed"]), None, s.eps)
        states, cache, first, h = [], [], [], None
        for r in range(depth):
            own = s.row(r)
            before, h = h, model.entry(s, e, h, w["input_gain"][own], w["state_gain"][own - 1] if r else None)
            layers = []
            for i, layer in enumerate(w["loops"][own]):
                q, k, v = model.heads(s, h, layer, cos, sin)
                if r:
                    layers.append(tuple(x[row[:, None], :, kept].transpose(1, 2) for x in (k, v)))
                    a = self.mix(q, attention.sdpa_expanded(q, *first[i]), self.local(q, k, v), layer)
                else:
                    first.append((k, v))
                    layers.append(tuple(F.pad(x, (0, 0, 0, room)) for x in (k, v)))
                    a = attention.sdpa_expanded(q, k, v)
                h = model.finish(s, h, a, layer)
            h = model.carry(h, before, w["carry_gain"][own - 1]) if r else h
            states.append(h[row[:, None], at])
            cache.append(layers)
        return states, cache

    def local(self, q, k, v):
        i = torch.arange(q.shape[2], device=q.device)
        band = (i[:, None] >= i) & (i[:, None] - i < self.s.window)
        return F.scaled_dot_product_attention(q, attention.expand(k, q.shape[1]), attention.expand(v, q.shape[1]), attn_mask=band)

    @staticmethod
    def mix(q, far, near, layer):
        gate = torch.sigmoid((q.float() * layer["gate_w"][:, None, :]).sum(-1, keepdim=True) + layer["gate_b"][:, None, None])
        return (near.float() + gate * (far.float() - near.float())).to(q.dtype)

    @staticmethod
    def attend(q, k, v, seen):
        """q [B, heads, 1, hd] over k and v [B, kv_heads, T, hd] where seen [B, T]; each kv head is read once."""
        B, heads, _, size = q.shape
        scores = (q.view(B, k.shape[1], -1, size) @ k.transpose(-1, -2)).float() * size ** -0.5
        weights = scores.masked_fill(~seen[:, None, None, :], -1e30).softmax(-1).to(v.dtype)
        return (weights @ v).view(B, heads, 1, size)

    def step(self, tokens, at, start, cache):
        """State after `tokens` [B] at positions `at` [B]; as many loops as `cache` holds."""
        s, w, row = self.s, self.work, torch.arange(len(tokens), device=self.device)
        e = model.rms(F.embedding(tokens[:, None], w["embed"]), None, s.eps)
        cos, sin = self.cos[at][:, None, None, :], self.sin[at][:, None, None, :]
        everything = torch.arange(self.length, device=self.device) <= at[:, None]
        slot = at - start
        near = slot[:, None] - torch.arange(s.window - 1, -1, -1, device=self.device)
        h = None
        for r, layers in enumerate(cache):
            own, mine = s.row(r), slot if r else at
            before, h = h, model.entry(s, e, h, w["input_gain"][own], w["state_gain"][own - 1] if r else None)
            for i, layer in enumerate(w["loops"][own]):
                q, k, v = model.heads(s, h, layer, cos, sin)
                for held, new in zip(layers[i], (k, v)):
                    held[row, :, mine] = new[:, :, 0]
                a = self.attend(q, *cache[0][i], everything)
                if r:
                    recent = [x[row[:, None], :, near.clamp_min(0)].transpose(1, 2) for x in layers[i]]
                    a = self.mix(q, a, self.attend(q, *recent, near >= 0), layer)
                h = model.finish(s, h, a, layer)
            h = model.carry(h, before, w["carry_gain"][own - 1]) if r else h
        return h[:, 0]

    def logits(self, h, depth):
        return F.linear(model.rms(h, self.work["norm"][self.s.row(depth - 1)], self.s.eps), self.work["embed"]).float()

    def complete(self, cases, spelling, depth, bias, new_tokens):
        """Greedy answers of the prefilled batch; `bias` is added to the logits of the tokens that end an answer."""
        answers = [Answer(c, spelling) for c in cases]
        growing, h, at, start, cache = answers, self.last[depth - 1], self.at, self.start, self.cache[:depth]
        for _ in range(new_tokens):
            logits = self.logits(h, depth)
            logits[:, list(STOPS)] += bias
            for i, answer in enumerate(growing):
                if answer.forced and not answer.done:
                    kept = torch.tensor(spelling.allowed(answer.forced), device=self.device)
                    masked = torch.full_like(logits[i], -1e30)
                    masked[kept] = logits[i, kept]
                    logits[i] = masked
            token = logits.argmax(-1)
            for answer, t in zip(growing, token.tolist()):
                if not answer.done:
                    answer.add(t)
            left = [i for i, answer in enumerate(growing) if not answer.done]
            if not left:
                break
            if 2 * len(left) <= len(growing):
                # Most answers are short: the long ones go on among themselves.
                growing, rows = [growing[i] for i in left], torch.tensor(left, device=self.device)
                token, at, start = token[rows], at[rows], start[rows]
                cache = [[tuple(x[rows] for x in layer) for layer in loop] for loop in cache]
            h = self.step(token, at, start, cache)
            at = (at + 1).clamp_max(self.length - 1)
        return answers


def load(path, device, int4, s):
    """Working copies of a weights.pt or an exported folder."""
    named = restore.masters(path, s) if os.path.isdir(path) else torch.load(path, map_location="cpu")
    weights = Weights(s, named, device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    weights.refresh(int4)
    return weights.leaves


def read_cases(path, limit, part):
    with lzma.open(path, "rt", encoding="utf-8") as f:
        cases = [json.loads(line) for line in f]
    if limit:
        cases = [cases[n * len(cases) // limit] for n in range(min(limit, len(cases)))]
    index, parts = map(int, part.split("/"))
    return sorted(cases[index::parts], key=lambda c: len(c["tokens"]))


def batches(cases, most):
    """Cases of about one length together, in an order that tells nothing: what a run that is cut off has judged is a fair sample."""
    out = []
    while cases:
        out.append(cases[-min(most, max(1, BATCH_TOKENS // len(cases[-1]["tokens"]))):])
        cases = cases[:len(cases) - len(out[-1])]
    return random.Random(0).sample(out, len(out))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("weights"), p.add_argument("--tokenizer", required=True), p.add_argument("--prompts", required=True)
    p.add_argument("--out"), p.add_argument("--depths", default="1,2,3,4,5,6"), p.add_argument("--limit", type=int)
    p.add_argument("--end-biases", default="0"), p.add_argument("--part", default="0/1"), p.add_argument("--int4", action="store_true")
    p.add_argument("--gpu", type=int, default=0), p.add_argument("--batch", type=int, default=512)
    p.add_argument("--new-tokens", type=int, default=48)
    a = p.parse_args()
    device = torch.device("cuda", a.gpu) if torch.cuda.is_available() else torch.device("cpu")
    s, depths, biases = model.Shape(), [int(d) for d in a.depths.split(",")], [float(b) for b in a.end_biases.split(",")]
    encoder = bpe.Encoder(a.tokenizer)
    spelling, decoder = Spelling(encoder), Decoder(s, load(a.weights, device, a.int4, s), device)
    cases, sums, began = read_cases(a.prompts, a.limit, a.part), {}, time.time()
    out = open(a.out, "w") if a.out else None
    with torch.no_grad():
        for part in batches(cases, a.batch):
            originals = [([*map(int, encoder.encode(c["forced"] + c["canonical_solution"]))] + [bpe.FIM_END])[:a.new_tokens] for c in part]
            bits = decoder.prefill([c["tokens"] for c in part], originals, a.new_tokens, max(depths))
            for depth in depths:
                for bias in biases:
                    for case, answer, told in zip(part, decoder.complete(part, spelling, depth, bias, a.new_tokens), bits):
                        got, want = answer.result().rstrip(), case["canonical_solution"].rstrip()
                        row = [sum(c.isalnum() for c in want) >= 2, got == want, round(edit_similarity(got, want), 4), answer.ended]
                        total = sums.setdefault((depth, bias), [0, 0, 0, 0, 0])
                        for i, x in enumerate([1, row[0], row[0] and row[1], row[2], row[3]]):
                            total[i] += x
                        if out:
                            out.write(json.dumps({"task_id": case["task_id"], "language": case["language"], "depth": depth,
                                                  "end_bias": bias, "nontrivial": row[0], "exact": row[1],
                                                  "edit_similarity": row[2], "ended": row[3], "bits": round(told[depth - 1], 3)}) + "\n")
    for (depth, bias), (n, nontrivial, exact, similarity, ended) in sorted(sums.items()):
        print(json.dumps({"depth": depth, "end_bias": bias, "tasks": n, "nontrivial_exact_match": round(exact / nontrivial, 4),
                          "edit_similarity": round(similarity / n, 4), "end_rate": round(ended / n, 4),
                          "seconds": round(time.time() - began, 1)}), flush=True)


if __name__ == "__main__":
    main()
