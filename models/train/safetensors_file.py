"""Reads and writes safetensors files: 8 bytes of header length, a JSON header, raw little-endian tensors."""
import json
import struct

import numpy as np

NAMES = {"float32": "F32", "float16": "F16", "int8": "I8", "int32": "I32", "int64": "I64", "float64": "F64"}
TYPES = {v: k for k, v in NAMES.items()}


def write(path, tensors: dict):
    """tensors {name: numpy array}; returns the file's size. Data starts at a multiple of 64 bytes."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, t in tensors.items():
        header[name] = {"dtype": NAMES[str(t.dtype)], "shape": list(t.shape), "data_offsets": [at, at + t.nbytes]}
        at += t.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % 64)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for t in tensors.values():
            f.write(np.ascontiguousarray(t).tobytes())
    return 8 + len(text) + at


def read(path):
    """{name: numpy array}."""
    with open(path, "rb") as f:
        blob = f.read()
    size = struct.unpack("<Q", blob[:8])[0]
    out = {}
    for name, e in json.loads(blob[8:8 + size]).items():
        if name != "__metadata__":
            a, b = e["data_offsets"]
            out[name] = np.frombuffer(blob[8 + size + a:8 + size + b], TYPES[e["dtype"]]).reshape(e["shape"])
    return out
