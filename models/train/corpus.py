"""Reads the packed corpus and turns it into one flat array of token ids plus a table of files.

A pack part is an xz stream of records: a JSON line {"path", "project", "lang", "n"}, then n bytes of text. Files of one
project are neighbours and stay so.

    python3 corpus.py OUT --tokenizer tokenizer.json part-00.xz part-01.xz ... [--held-out held.xz] [--workers N]
writes OUT/tokens.u2 (text and headers of all files), OUT/files.npy (TABLE) and OUT/bytes.npy (bytes per token).
"""
import argparse
import json
import lzma
import multiprocessing
import os
import time
import zlib

import numpy as np

import bpe

# head: first id of the "{path}\n" header, text: first id of the text, end: one past its last id.
TABLE = np.dtype([("project", "u4"), ("folder", "u4"), ("head", "i8"), ("text", "i8"), ("end", "i8"), ("bytes", "i8"),
                  ("held_out", "?")])
HELD_OUT = 0.008      # share of the tokens that is never trained on
CHUNK = 2_000_000     # bytes of text per task


def records(path):
    """Yields (header dict, bytes) of one part."""
    with lzma.open(path, "rb") as f:
        while line := f.readline():
            if line.strip():
                head = json.loads(line)
                yield head, f.read(head["n"])


def project_hash(name):
    return zlib.crc32(name.encode())


def held_out(table):
    """Marks whole projects in the order of their hash until HELD_OUT of the tokens are reached; no large ones."""
    sizes = table["end"] - table["text"]
    projects, where = np.unique(table["project"], return_inverse=True)  # sorted by hash
    totals = np.bincount(where, sizes)
    small = totals < max(HELD_OUT / 2 * totals.sum(), totals.min() + 1)
    chosen = small & (np.cumsum(totals * small) <= max(HELD_OUT * totals.sum(), totals[small][0]))
    return chosen[where]


def chunks(path):
    """Lists of records of about CHUNK bytes."""
    out, size = [], 0
    for r in records(path):
        out.append(r)
        size += len(r[1])
        if size > CHUNK:
            yield out
            out, size = [], 0
    if out:
        yield out


ENCODER = None


def start_worker(tokenizer):
    global ENCODER
    ENCODER = bpe.Encoder(tokenizer)


def encode_chunk(chunk):
    """(ids of the chunk, its rows of TABLE with offsets from the chunk's start)."""
    ids, rows, at = [], [], 0
    for head, data in chunk:
        h = ENCODER.encode(head["path"] + "\n")
        t = ENCODER.encode(data.decode("utf-8", "replace"))
        ids += [h, t]
        folder = head["project"] + "/" + os.path.dirname(head["path"])
        rows.append((project_hash(head["project"]), project_hash(folder), at, at + len(h), at + len(h) + len(t),
                     len(data), False))
        at += len(h) + len(t)
    return np.concatenate(ids) if ids else np.zeros(0, "<u2"), np.array(rows, TABLE)


def split_part(task):
    """Decompresses one part into chunk files, so that all cores share the encoding; returns their paths."""
    path, folder, number = task
    names = []
    for i, chunk in enumerate(chunks(path)):
        names.append(os.path.join(folder, f"chunk-{number:03d}-{i:04d}"))
        with open(names[-1], "wb") as f:
            for head, data in chunk:
                f.write(json.dumps(head).encode() + b"\n" + data)
    return names


def encode_file(name):
    out = []
    with open(name, "rb") as f:
        while line := f.readline():
            head = json.loads(line)
            out.append((head, f.read(head["n"])))
    os.remove(name)
    return encode_chunk(out)


def build(out, tokenizer, parts, workers, apart=()):
    """`apart`: parts that are wholly held out; without any, whole projects are held out by hash."""
    os.makedirs(out, exist_ok=True)
    began, at, tables = time.time(), 0, []
    parts = list(parts) + list(apart)
    with multiprocessing.Pool(workers, start_worker, (tokenizer,)) as pool:
        lists = pool.map(split_part, [(p, out, i) for i, p in enumerate(parts)], 1)
        names = [n for part in lists for n in part]
        kept_apart = {n for part in lists[len(parts) - len(apart):] for n in part}
        with open(os.path.join(out, "tokens.u2"), "wb") as f:
            for name, (ids, table) in zip(names, pool.imap(encode_file, names)):
                table["held_out"] = name in kept_apart
                ids.tofile(f)
                for field in ("head", "text", "end"):
                    table[field] += at
                at += len(ids)
                tables.append(table)
    table = np.concatenate(tables)
    if not apart:
        table["held_out"] = held_out(table)
    np.save(os.path.join(out, "files.npy"), table)
    spelling = bpe.Encoder(tokenizer).spelling
    np.save(os.path.join(out, "bytes.npy"), np.array([len(b) for b in spelling], np.uint8))
    kept = ~table["held_out"]
    print(f"corpus: {len(table)} files, {len(np.unique(table['project']))} projects, {table['bytes'].sum() / 1e6:.0f} MB, "
          f"{at / 1e6:.1f}M tokens ({(table['end'] - table['text'])[kept].sum() / 1e6:.1f}M to train on), "
          f"{table['bytes'].sum() / max(1, at):.2f} bytes per token, {time.time() - began:.0f} s", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("out"), p.add_argument("parts", nargs="+")
    p.add_argument("--held-out", nargs="*", default=[], help="parts kept for validation")
    p.add_argument("--tokenizer", required=True), p.add_argument("--workers", type=int, default=os.cpu_count())
    a = p.parse_args()
    build(a.out, a.tokenizer, sorted(a.parts), a.workers, a.held_out)


if __name__ == "__main__":
    main()
