"""Packs training rows of T + 1 tokens from the encoded corpus, one shuffled epoch after another.

A row is filled without gaps by items, each a window of one file: plain text, or fill-in-the-middle as
    <|file_sep|>{path}\\n<|fim_suffix|>{S}<|fim_prefix|>{P}<|fim_middle|>{M}<|fim_end|>
Cuts are between characters: what stands on each side of one is what the tokenizer gives for it alone. <|fim_middle|>
costs a daemon one token a keystroke and tells the model where the caret is, and so how much is likely to be missing.
Items of one project follow each other, files of one folder first, so that earlier items are cross-file context.

    python3 rows.py CORPUS OUT --tokenizer tokenizer.json --epochs 12
writes OUT/val.npy, then OUT/epoch-000.npy, ... (uint16 [rows, T + 1]), each complete when its name appears; with --slices N
there are N of them an epoch.
"""
import argparse
import multiprocessing
import os
import random
import shutil
import time

import numpy as np

import bpe

FIM_SHARE = 0.72
NO_SUFFIX = 0.05            # of the FIM items
# What an item's hole ends with, cumulative: the end of a line, the end of a block; the rest end inside a line.
LINE_END, BLOCK_END = 0.55, 0.70
# Where the caret stands in a hole within one line, cumulative: in column 0, at the text's start, behind one of . ( = , or a
# blank, inside a word; the rest leave nothing to fill in, which a model has to recognise as well.
COLUMN_ZERO, LINE_START, BEHIND_SIGN, IN_WORD = 0.22, 0.42, 0.72, 0.96
BLOCK_LINES = 12            # most lines of a hole that ends a block
SHORTEST, LONGEST = 150, 1800      # tokens of a window, log-uniform
SUFFIX_LIMIT = 512
SCRAP = 48                  # a smaller remainder of a row is not worth an item
TASK_TOKENS = 1_000_000
LONGEST_LINE = 400          # tokens or characters; longer lines are data
CLOSING = set(")]}>\"'`,;:")
PAIRS = {"(": ")", "[": "]", "{": "}", '"': '"', "'": "'", "`": "`"}


def is_word(character):
    return character.isalnum() or character == "_"


def partner(text, start):
    """Index of what closes the bracket or quote at `start`; None where it lies beyond the line."""
    opening, closing, depth = text[start], PAIRS[text[start]], 0
    for i in range(start + 1, len(text)):
        if text[i] == closing:
            if not depth:
                return i
            depth -= 1
        elif text[i] == opening:
            depth += 1
    return None


class RowMaker:
    """Fills rows from windows; `done` collects the finished ones."""

    def __init__(self, encoder, tokens, length, rng, longest=LONGEST):
        self.encoder, self.tokens, self.length, self.rng, self.longest = encoder, tokens, length, rng, longest
        self.row, self.at, self.done = np.full(length, bpe.PAD, "<u2"), 0, []
        self.is_newline = np.zeros(encoder.size, bool)
        self.is_newline[encoder.newlines] = True

    def write(self, *parts):
        """Appends tokens to the row, dropping what does not fit."""
        for p in parts:
            n = min(len(p), self.length - self.at)
            self.row[self.at:self.at + n] = p[:n]
            self.at += n
        if self.at == self.length:
            self.done.append(self.row)
            self.row, self.at = np.full(self.length, bpe.PAD, "<u2"), 0

    def windows(self, f):
        """Cuts a file into windows (start, end) at line starts; lengths log-uniform."""
        text, end = int(f["text"]), int(f["end"])
        lines = np.flatnonzero(self.is_newline[self.tokens[text:end]]) + 1 + text
        out, at = [], text
        while at < end:
            want = at + int(SHORTEST * (self.longest / SHORTEST) ** self.rng.random())
            if want >= end - SHORTEST // 2:
                stop = end
            else:
                i = int(np.searchsorted(lines, want))
                stop = int(lines[i]) if i < len(lines) and lines[i] < want + 200 else want
            out.append((at, stop))
            at = stop
        return out

    def add(self, f, a, b):
        """Places the window [a, b) of file f, cutting it where the row ends and going on in the next row."""
        head, end = self.tokens[f["head"]:f["text"]][:64], int(f["end"])
        while a < b:
            room = self.length - self.at
            overhead = len(head) + 5
            if room < overhead + SCRAP:
                used = max(0, room - len(head) - 1)
                self.write([bpe.FILE_SEP], head, self.tokens[a:a + used])
                a = self.next_line(a + used, b) if used else a
            elif overhead + (b - a) + SCRAP < room:
                self.item(head, a, b, end, None)
                return
            else:
                cut = min(b, a + room - overhead + 8)
                self.item(head, a, cut, end, room)
                a = self.next_line(cut, b)
            if b - a < SCRAP:
                return

    def next_line(self, at, b):
        hits = np.flatnonzero(self.is_newline[self.tokens[at - 1:b]])
        return at + int(hits[0]) if len(hits) else b

    def item(self, head, a, b, end, exact):
        """Writes one item; `exact` is the number of tokens it must not exceed, if any."""
        w = self.tokens[a:b]
        cut = self.cut(w) if b - a >= 24 and self.rng.random() < FIM_SHARE else None
        if cut is None:
            tail = [bpe.END_OF_TEXT] if b == end else []
            self.write([bpe.FILE_SEP], head, w, tail)
            return
        prefix, middle, suffix = cut
        if exact is not None:
            over = len(head) + 5 + len(prefix) + len(middle) + len(suffix) - exact
            if over > 0:
                kept = max(0, len(suffix) - over)
                over -= len(suffix) - kept
                suffix, prefix = suffix[:kept], prefix[over:]
        self.write([bpe.FILE_SEP], head, [bpe.FIM_SUFFIX], suffix, [bpe.FIM_PREFIX], prefix, [bpe.FIM_MIDDLE], middle,
                   [bpe.FIM_END])

    def cut(self, w):
        """(tokens of P, of M, of S) of a window, or None when it has no place to cut."""
        n, rng = len(w), self.rng
        without = rng.random() < NO_SUFFIX
        aim = n if without else n - rng.randint(0, min(SUFFIX_LIMIT, int(0.6 * n)))
        newlines = np.flatnonzero(self.is_newline[w])
        ends = newlines[(newlines > 0) & ~self.is_newline[w[newlines - 1]]]
        style = rng.random()
        if without and style >= BLOCK_END:
            style = 0.0
        if style >= BLOCK_END:
            inside = self.inside_line(w, newlines, aim)
            if inside:
                return inside
        if not len(ends):
            return None
        i = min(int(np.searchsorted(ends, aim)), len(ends) - 1)
        block = LINE_END <= style < BLOCK_END
        if block:
            i = self.block_end(w, ends, newlines, i)
        stop = int(ends[i])
        suffix = w[stop:stop] if without else w[stop:stop + SUFFIX_LIMIT]
        line = int(np.searchsorted(newlines, stop))
        if block:
            line = max(0, line - rng.randrange(BLOCK_LINES))
        start = int(newlines[line - 1]) + 1 if line else 0
        if block and start and rng.random() < 0.5:
            # Behind the line that opens the block: the answer begins with the line break.
            return w[:start - 1], w[start - 1:stop], suffix
        text = self.encoder.decode(w[start:stop]).decode("utf-8", "replace")
        if len(text) > LONGEST_LINE:
            return None
        first = text.split("\n", 1)[0]
        if block:
            at = 0 if rng.random() < COLUMN_ZERO else len(first) - len(first.lstrip())
        else:
            at = self.caret(text, len(text))
        return np.concatenate([w[:start], self.encoder.encode(text[:at])]), self.encoder.encode(text[at:]), suffix

    def indent(self, w, start):
        """Width of the blanks a line starts with; None for a line without text."""
        if start >= len(w) or self.is_newline[w[start]]:
            return None
        s = self.encoder.spelling[w[start]]
        return len(s) - len(s.lstrip(b" \t"))

    def block_end(self, w, ends, newlines, i):
        """Index into `ends` of the next line end after which the indentation falls; i when there is none near."""
        starts = np.concatenate([[0], newlines + 1])
        for k in range(i, min(i + 25, len(ends))):
            line = int(np.searchsorted(newlines, ends[k]))
            here = self.indent(w, int(starts[line]))
            for after in starts[line + 1:line + 4]:
                width = self.indent(w, int(after))
                if width is not None:
                    if here is not None and width < here:
                        return k
                    break
        return i

    def inside_line(self, w, newlines, aim):
        """A hole that ends inside a line near `aim`, before something that an editor may have typed already."""
        first = int(np.searchsorted(newlines, aim))
        for line in range(min(first, len(newlines)), max(-1, first - 6), -1):
            start = 0 if line == 0 else int(newlines[line - 1]) + 1
            stop = int(newlines[line]) if line < len(newlines) else len(w)
            if stop - start < 2 or stop - start > LONGEST_LINE:
                continue
            text = self.encoder.decode(w[start:stop]).decode("utf-8", "replace")
            hole = self.hole(text)
            if hole:
                left, middle, right = (self.encoder.encode(t) for t in (text[:hole[0]], text[hole[0]:hole[1]], text[hole[1]:]))
                return np.concatenate([w[:start], left]), middle, np.concatenate([right, w[stop:]])[:SUFFIX_LIMIT]
        return None

    def hole(self, text):
        """(start, end) of a hole inside a line: between a bracket or quote and its partner, or up to any character."""
        indent, kind = len(text) - len(text.lstrip()), self.rng.random()
        if kind < 0.6:
            opened = [i for i in range(indent, len(text) - 1) if text[i] in PAIRS]
            self.rng.shuffle(opened)
            for i in opened:
                end = partner(text, i)
                if end is not None and end > i + 1:
                    # Mostly right behind the opening sign, as an editor leaves the caret; else further in.
                    return (i + 1 if kind < 0.4 else self.rng.randint(i + 1, end)), end
        ends = [i for i in range(indent + 1, len(text)) if text[i] in CLOSING or kind > 0.8]
        if not ends:
            return None
        end = self.rng.choice(ends)
        return self.caret(text, end), end

    def caret(self, text, end):
        """Where the caret stands in a line whose hole ends at `end`."""
        indent, kind = min(len(text) - len(text.lstrip()), end), self.rng.random()
        if kind < COLUMN_ZERO:
            return 0
        if kind < LINE_START:
            return indent
        if kind < BEHIND_SIGN:
            places = [i for i in range(indent + 1, end) if text[i - 1] in ".(=, "]
        elif kind < IN_WORD:
            places = [i for i in range(indent + 1, end) if is_word(text[i - 1]) and is_word(text[i])]
        else:
            return end
        return self.rng.choice(places) if places else indent

    def finish(self):
        """Pads the last row if it is mostly full; returns all rows as one array."""
        if self.at > 0.6 * self.length:
            self.done.append(self.row)
        return np.stack(self.done) if self.done else np.zeros((0, self.length), "<u2")


CONTEXT = {}


def start_worker(folder, tokenizer, length, longest):
    os.nice(10)
    CONTEXT.update(encoder=bpe.Encoder(tokenizer), length=length, longest=longest, files=np.load(os.path.join(folder, "files.npy")),
                   tokens=np.memmap(os.path.join(folder, "tokens.u2"), "<u2", "r"))


def make_rows(task):
    """Rows of one task: (seed, indices of files, grouped by project)."""
    seed, indices = task
    rng, files = random.Random(seed), CONTEXT["files"]
    maker = RowMaker(CONTEXT["encoder"], CONTEXT["tokens"], CONTEXT["length"], rng, CONTEXT["longest"])
    at = 0
    while at < len(indices):
        project, pieces, folders = files[indices[at]]["project"], [], {}
        while at < len(indices) and files[indices[at]]["project"] == project:
            f = files[indices[at]]
            order = folders.setdefault(int(f["folder"]), rng.random())
            pieces += [(order, rng.random(), indices[at], a, b) for a, b in maker.windows(f)]
            at += 1
        for _, _, i, a, b in sorted(pieces):
            maker.add(files[i], a, b)
    return maker.finish()


def tasks(files, wanted, rng):
    """Shuffled projects dealt into lists of about TASK_TOKENS; a larger project is split between folders."""
    groups, size = {}, files["end"] - files["text"]
    for i in np.flatnonzero(wanted):
        groups.setdefault(int(files[i]["project"]), []).append(int(i))
    order = list(groups)
    rng.shuffle(order)
    out, now, total = [], [], 0
    for project in order:
        shuffled = {}
        members = sorted(groups[project], key=lambda i: (shuffled.setdefault(int(files[i]["folder"]), rng.random()), i))
        for i in members:
            now.append(i)
            total += int(size[i])
            if total > TASK_TOKENS:
                out.append(now)
                now, total = [], 0
    return out + [now] if now else out


def save(path, rows):
    np.save(path + ".part.npy", rows)
    shutil.move(path + ".part.npy", path)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("corpus"), p.add_argument("out"), p.add_argument("--tokenizer", required=True)
    p.add_argument("--epochs", type=int, default=12), p.add_argument("--length", type=int, default=2049)
    p.add_argument("--workers", type=int, default=os.cpu_count()), p.add_argument("--seed", type=int, default=1)
    p.add_argument("--val-rows", type=int, default=512)
    p.add_argument("--slices", type=int, default=1, help="files an epoch is dealt into, by project, so that the first is there sooner")
    p.add_argument("--longest", type=int, default=LONGEST, help="tokens of the longest window")
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    files = np.load(os.path.join(a.corpus, "files.npy"))
    shutil.copy(os.path.join(a.corpus, "bytes.npy"), a.out)
    with multiprocessing.Pool(a.workers, start_worker, (a.corpus, a.tokenizer, a.length, a.longest)) as pool:
        for epoch in range(-1, a.epochs):
            # Held-out rows are the same whatever the seed, so that runs can be compared.
            began, seed = time.time(), a.seed * 1000 + epoch if epoch >= 0 else -1
            rng = random.Random(seed)
            wanted = files["held_out"] if epoch < 0 else ~files["held_out"]
            jobs = [(rng.random(), t) for t in tasks(files, wanted, rng)]
            slices = a.slices if epoch >= 0 else 1
            for i in range(slices):
                rows = np.concatenate(list(pool.imap(make_rows, jobs[i::slices])))
                rows = rows[np.random.default_rng(seed + 1).permutation(len(rows))]
                name = "val.npy" if epoch < 0 else f"epoch-{epoch * slices + i:03d}.npy"
                save(os.path.join(a.out, name), rows[:a.val_rows] if epoch < 0 else rows)
                print(f"rows: {name}, {len(rows)} rows, {time.time() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
