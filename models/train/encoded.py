"""Carries an encoded corpus to a machine whose time is dear: as small as its text packed, and ready where that takes minutes.

    python3 encoded.py pack CORPUS OUT        (CORPUS: a folder that corpus.py has filled)
writes OUT/tokens-00.xz, ... (PIECE ids each), OUT/files.npy.xz and OUT/bytes.npy.xz.
    python3 encoded.py unpack IN CORPUS
makes the folder again; the pieces may have come in any order.
"""
import argparse
import glob
import lzma
import multiprocessing
import os

import numpy as np

PIECE = 60_000_000     # ids; some 17 MB when packed
# Neighbours share names over long distances; ids have two bytes, whose places matter (lc and lp share four bits).
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 4, "dict_size": 64 << 20, "lc": 1, "lp": 1, "pb": 1}]


def pack_piece(task):
    source, start, size, target = task
    with open(source, "rb") as f:
        f.seek(start)
        data = f.read(size)
    with lzma.open(target + ".part", "wb", filters=FILTERS) as out:
        out.write(data)
    os.replace(target + ".part", target)
    return target


def pack(corpus, out, workers):
    os.makedirs(out, exist_ok=True)
    tokens, width = os.path.join(corpus, "tokens.u2"), 2 * PIECE
    tasks = [(tokens, at, width, os.path.join(out, f"tokens-{i:02d}.xz")) for i, at in enumerate(range(0, os.path.getsize(tokens), width))]
    for name in ("files.npy", "bytes.npy"):
        path = os.path.join(corpus, name)
        tasks.append((path, 0, os.path.getsize(path), os.path.join(out, name + ".xz")))
    with multiprocessing.Pool(workers) as pool:
        for target in pool.imap(pack_piece, tasks):
            print(f"{target}: {os.path.getsize(target) / 2**20:.1f} MiB", flush=True)


def unpack_piece(task):
    """Writes one piece at its place; pieces before the last hold PIECE ids."""
    source, target, start = task
    with lzma.open(source, "rb") as packed, open(os.open(target, os.O_WRONLY | os.O_CREAT), "wb") as out:
        out.seek(start)
        out.write(packed.read())


def unpack(folder, corpus, workers):
    os.makedirs(corpus, exist_ok=True)
    pieces = sorted(glob.glob(os.path.join(folder, "tokens-*.xz")))
    numbers = [int(os.path.basename(p)[len("tokens-"):-len(".xz")]) for p in pieces]
    if numbers != list(range(len(pieces))) or not pieces:
        raise SystemExit(f"{folder}: has pieces {numbers} of tokens, expected 0, 1, ... without a gap; copy those that are missing")
    tasks = [(p, os.path.join(corpus, "tokens.u2"), 2 * PIECE * i) for i, p in enumerate(pieces)]
    tasks += [(os.path.join(folder, name + ".xz"), os.path.join(corpus, name), 0) for name in ("files.npy", "bytes.npy")]
    with multiprocessing.Pool(workers) as pool:
        pool.map(unpack_piece, tasks, 1)
    told, found = int(np.load(os.path.join(corpus, "files.npy"))["end"].max()), os.path.getsize(tasks[0][1]) // 2
    if told != found:
        raise SystemExit(f"{folder}: its pieces hold {found} ids, files.npy tells of {told}; copy the last pieces, too")


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("what", choices=["pack", "unpack"]), p.add_argument("source"), p.add_argument("target")
    p.add_argument("--workers", type=int, default=os.cpu_count())
    a = p.parse_args()
    (pack if a.what == "pack" else unpack)(a.source, a.target, a.workers)


if __name__ == "__main__":
    main()
