"""Writes a trained weights.pt as bf16 pieces under 16 MB, packed, for keeping: pieces.py weights.pt OUT PART [FILES]

PART counts from 0; each part is FILES (default 4) files. `--join FOLDER weights.pt` puts the pieces together again.
The high and the low bytes of the numbers are stored apart, which packs better.
"""
import io
import os
import sys
import zlib

import numpy as np
import torch

PIECE = 15_900_000


def pack(path):
    named = torch.load(path, map_location="cpu")
    buffer = io.BytesIO()
    order = sorted(named)
    torch.save({n: named[n].shape for n in order}, buffer)
    flat = torch.cat([named[n].flatten() for n in order]).bfloat16().view(torch.int16).numpy().view(np.uint8)
    body = zlib.compress(flat[1::2].tobytes(), 1) , flat[0::2].tobytes()
    head = buffer.getvalue()
    return len(head).to_bytes(8, "little") + len(body[0]).to_bytes(8, "little") + head + body[0] + body[1]


def unpack(blob):
    a, b = int.from_bytes(blob[:8], "little"), int.from_bytes(blob[8:16], "little")
    shapes = torch.load(io.BytesIO(blob[16:16 + a]))
    high, low = zlib.decompress(blob[16 + a:16 + a + b]), blob[16 + a + b:]
    flat = np.empty(2 * len(high), np.uint8)
    flat[1::2], flat[0::2] = np.frombuffer(high, np.uint8), np.frombuffer(low, np.uint8)
    values, out, at = torch.from_numpy(flat.view(np.int16)).view(torch.bfloat16).float(), {}, 0
    for n in sorted(shapes):
        size = shapes[n].numel()
        out[n] = values[at:at + size].view(shapes[n])
        at += size
    return out


def main():
    if sys.argv[1] == "--join":
        folder = sys.argv[2]
        names = sorted(n for n in os.listdir(folder) if n.startswith("weights-"))
        blob = b"".join(open(os.path.join(folder, n), "rb").read() for n in names)
        torch.save(unpack(blob), sys.argv[3])
        return
    path, out, part = sys.argv[1], sys.argv[2], int(sys.argv[3])
    files = int(sys.argv[4]) if len(sys.argv) > 4 else 4
    blob = pack(path)
    count = -(-len(blob) // PIECE)
    for i in range(part * files, min((part + 1) * files, count)):
        with open(os.path.join(out, f"weights-{i:02d}.bin"), "wb") as f:
            f.write(blob[i * PIECE:(i + 1) * PIECE])
    print(f"{count} pieces of {len(blob) / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
