"""A small byte-level BPE encoder for tokenizer.json, fast on code because nearly every piece comes from a table.

Training rows need the ids of cut lines millions of times; this gives them without a foreign call each, and lets the
rest of the pipeline run where Hugging Face's `tokenizers` is not installed. tokenizer_golden.py compares the two.
"""
import heapq
import json

import numpy as np
import regex

# Newlines are pieces of their own and nothing merges across them, so a line can be re-encoded alone.
PATTERN = (r"\r?\n|[^\S\r\n]{2,}|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|[^\S\r\n]|\s")
SPECIAL = ["<|endoftext|>", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_end|>", "<|repo_name|>",
           "<|file_sep|>", "<|pad|>"]
END_OF_TEXT, FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE, FIM_END, REPO_NAME, FILE_SEP, PAD = range(8)
TABLE_LIMIT = 1_000_000


def byte_letters():
    """The GPT-2 table: byte -> printable character that stands for it in vocab and merges."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    out, spare = {b: chr(b) for b in plain}, 256
    for b in range(256):
        if b not in out:
            out[b] = chr(spare)
            spare += 1
    return out


class Encoder(dict):
    """Maps a piece of text to the little-endian uint16 bytes of its ids; misses are computed by merging."""

    def __init__(self, path):
        super().__init__()
        with open(path, encoding="utf-8") as f:
            d = json.load(f)
        self.vocab = d["model"]["vocab"]
        merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in d["model"]["merges"]]
        self.ranks = {m: i for i, m in enumerate(merges)}
        self.letters = byte_letters()
        back = {c: b for b, c in self.letters.items()}
        self.size = len(self.vocab)
        self.spelling = [b""] * self.size
        for token, i in self.vocab.items():
            if i >= len(SPECIAL):
                self.spelling[i] = bytes(back[c] for c in token)
        self.find = regex.compile(PATTERN).findall
        self.newlines = [i for i, b in enumerate(self.spelling) if b in (b"\n", b"\r\n")]

    def __missing__(self, piece):
        value = np.array([self.vocab[p] for p in self.merge(piece)], "<u2").tobytes()
        if len(self) < TABLE_LIMIT and len(piece) < 64:
            self[piece] = value
        return value

    def merge(self, piece):
        """Lowest rank first, leftmost among equals. A heap of pairs over a linked list, because a scan for every merge
        takes minutes on the pieces of 100 kB that embedded data makes."""
        parts = [self.letters[b] for b in piece.encode("utf-8")]
        following, before = [*range(1, len(parts)), -1], [-1, *range(len(parts) - 1)]
        heap = [(r, i, a, b) for i, (a, b) in enumerate(zip(parts, parts[1:])) if (r := self.ranks.get((a, b))) is not None]
        heapq.heapify(heap)

        def offer(i):
            j = following[i] if i >= 0 else -1
            if j >= 0 and (rank := self.ranks.get((parts[i], parts[j]))) is not None:
                heapq.heappush(heap, (rank, i, parts[i], parts[j]))

        while heap:
            _, i, a, b = heapq.heappop(heap)
            j = following[i]
            if parts[i] != a or j < 0 or parts[j] != b:
                continue  # one side has been merged with something else since
            parts[i], parts[j] = a + b, ""
            following[i] = following[j]
            if following[i] >= 0:
                before[following[i]] = i
            offer(i), offer(before[i])
        return [p for p in parts if p]

    def encode(self, text: str):
        """uint16 ids of ordinary text (special tokens inside it are spelled out, not recognised)."""
        return np.frombuffer(b"".join(map(self.__getitem__, self.find(text))), "<u2")

    def decode(self, ids) -> bytes:
        return b"".join(self.spelling[i] for i in ids)
