"""The GPU engine's peer: PyTorch decoding the same synthetic shapes, compiled and replayed as a CUDA graph.

    python3 bench/peer_torch.py [--json] [--shapes 40b,default] [--kinds int4,bf16] [--depths 2,1] [--context 16] [--layers N]

One token at batch 1, weights random: torch.compile fuses what is between the products, the step is captured in a CUDA
graph, so that Python costs nothing. bf16 weights, and int4 through torch's own weight-only product where it has one.
Compiling unrolls every layer, so few layers are measured and their time scaled to all of them; the row says how many
("layers"), and that of the head is measured by itself and counted once. Both the compiled step and the plain one are
measured, and the faster is the row. With --json one object a line, as it comes.
"""

import argparse
import json
import sys

import torch
import torch.nn.functional as F

SHAPES = {
    "default": dict(hidden=768, inner=2048, layers=10, heads=12, kv_heads=4, dim=64, vocab=16384),
    "7b": dict(hidden=5120, inner=27648, layers=14, heads=40, kv_heads=8, dim=128, vocab=76800),
    "40b": dict(hidden=5120, inner=27648, layers=80, heads=40, kv_heads=8, dim=128, vocab=76800),
}
WINDOW = 64
NAMES = {"default": "default", "7b": "7b", "40b": "40b-loop"}


class Dense:
    """y = W x with bf16 weights."""

    def __init__(self, rows, cols):
        self.weight = torch.randn(rows, cols, device="cuda", dtype=torch.bfloat16) / cols**0.5
        self.bytes = self.weight.nbytes

    def __call__(self, x):
        return F.linear(x, self.weight)


class Int4:
    """y = W x with int4 weights in groups of 128, through torch._weight_int4pack_mm."""

    def __init__(self, rows, cols, group=128):
        self.group = group
        packed = torch.randint(0, 255, (rows, cols // 2), device="cuda", dtype=torch.uint8)
        self.weight = torch._convert_weight_to_int4pack(packed, 8)
        self.scales = torch.full((cols // group, rows, 2), 0.01, device="cuda", dtype=torch.bfloat16)
        self.bytes = self.weight.nbytes + self.scales.nbytes

    def __call__(self, x):
        return torch._weight_int4pack_mm(x, self.weight, self.group, self.scales)


class Layer:
    def __init__(self, shape, linear):
        h, width, kv = shape["hidden"], shape["heads"] * shape["dim"], shape["kv_heads"] * shape["dim"]
        self.qkv, self.o = linear(width + 2 * kv, h), linear(h, width)
        self.gate_up, self.down = linear(2 * shape["inner"], h), linear(h, shape["inner"])
        self.norms = [torch.ones(h, device="cuda", dtype=torch.bfloat16) for _ in range(2)]
        self.gate = torch.zeros(shape["heads"], shape["dim"], device="cuda", dtype=torch.bfloat16)
        self.bytes = sum(m.bytes for m in (self.qkv, self.o, self.gate_up, self.down))


def rms(x, gain):
    return F.rms_norm(x.float(), (x.shape[-1],)).to(x.dtype) * gain


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def make_step(shape, layers, depth, context, linear, head):
    """A function of nothing that computes the next token behind `context` others, over preallocated memory."""
    heads, kv_heads, dim = shape["heads"], shape["kv_heads"], shape["dim"]
    size = context + 16
    cache = torch.zeros(depth, len(layers), 2, kv_heads, size, dim, device="cuda", dtype=torch.bfloat16)
    angles = context / (10000 ** (torch.arange(0, dim, 2, device="cuda") / dim))
    cos, sin = angles.cos().to(torch.bfloat16), angles.sin().to(torch.bfloat16)
    embedding = torch.randn(shape["vocab"], shape["hidden"], device="cuda", dtype=torch.bfloat16)
    norm = torch.ones(shape["hidden"], device="cuda", dtype=torch.bfloat16)
    token = torch.zeros(1, device="cuda", dtype=torch.long)

    def attend(q, r, i, first):
        keys, values = cache[r, i, 0, None, :, first : context + 1], cache[r, i, 1, None, :, first : context + 1]
        return F.scaled_dot_product_attention(q[None, :, None], keys, values, enable_gqa=True)[0, :, 0]

    def step():
        h = embedding[token]
        for r in range(depth):
            for i, layer in enumerate(layers):
                x = layer.qkv(rms(h, layer.norms[0]))[0]
                q, k, v = x.split((heads * dim, kv_heads * dim, kv_heads * dim))
                q = rotate(q.view(heads, dim), cos, sin)
                cache[r, i, 0, :, context] = rotate(k.view(kv_heads, dim), cos, sin)
                cache[r, i, 1, :, context] = v.view(kv_heads, dim)
                out = attend(q, 0, i, 0)
                if r > 0:
                    gate = torch.sigmoid((q * layer.gate).sum(-1, keepdim=True) + 2)
                    out = gate * out + (1 - gate) * attend(q, r, i, max(0, context + 1 - WINDOW))
                h = h + layer.o(out.reshape(1, -1))
                gate, up = layer.gate_up(rms(h, layer.norms[1])).chunk(2, -1)
                h = h + layer.down(F.silu(gate) * up)
        token.copy_(head(rms(h, norm)).argmax(-1))
        return token

    return step


def capture(step):
    """The step as a CUDA graph, compiled first."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())  # weights and the first token are made there
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph


def milliseconds(graph, rounds=50):
    times = []
    for i in range(rounds + 5):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        if i >= 5:
            times.append(begin.elapsed_time(end))
    return sorted(times)[len(times) // 2]


def copy_gbs():
    a = torch.empty(1 << 30, device="cuda", dtype=torch.uint8)
    b = torch.empty_like(a)
    times = []
    for _ in range(10):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        b.copy_(a)
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return 2 * a.nbytes / min(times) / 1e6


def matmul_tflops(n=8192):
    a, b = (torch.randn(n, n, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    times = []
    for _ in range(10):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        a @ b
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return 2 * n**3 / min(times) / 1e9


def measure(name, kind, depths, context, wanted_layers, copy):
    shape = SHAPES[name]
    linear = Dense if kind == "bf16" else Int4
    count = wanted_layers or shape["layers"]
    layers = [Layer(shape, linear) for _ in range(count)]
    head = linear(shape["vocab"], shape["hidden"])
    token = torch.ones(1, shape["hidden"], device="cuda", dtype=torch.bfloat16)
    head_ms = milliseconds(capture(lambda: head(token)))
    for depth in depths:
        step = make_step(shape, layers, depth, context, linear, head)
        ways = {"CUDA graph": milliseconds(capture(step))}
        try:
            ways["torch.compile + CUDA graph"] = milliseconds(capture(torch.compile(step, fullgraph=False)))
        except Exception as error:  # whatever the compiler says, the plain step is measured
            print(f"peer_torch: {name}:{kind} does not compile: {str(error).splitlines()[0][:100]}", file=sys.stderr, flush=True)
        how = min(ways, key=ways.get)
        ms = head_ms + (ways[how] - head_ms) * shape["layers"] / count
        scale = shape["layers"] / count
        moved = depth * scale * sum(layer.bytes for layer in layers) + head.bytes
        moved += depth * shape["layers"] * 4 * shape["kv_heads"] * shape["dim"] * context
        gbs = moved / ms / 1e6
        yield {
            "bench": "decode", "shape": f"{NAMES[name]}:{kind}", "peer": f"torch {torch.__version__}, {how}", "depth": depth,
            "batch": 1, "context": context, "layers": count, "ms_per_token": ms, "bandwidth_gbs": gbs,
            "bandwidth_pct": 100 * gbs / copy, "copy_bandwidth_gbs": copy, "device": torch.cuda.get_device_name(),
        }  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--shapes", default="40b,default")
    parser.add_argument("--kinds", default="int4,bf16")
    parser.add_argument("--depths", default="2,1")
    parser.add_argument("--context", type=int, default=16)
    parser.add_argument("--layers", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(1)
    torch.set_grad_enabled(False)
    copy = copy_gbs()
    for name in options.shapes.split(","):
        for kind in options.kinds.split(","):
            layers = options.layers or 2
            try:
                for row in measure(name, kind, [int(d) for d in options.depths.split(",")], options.context, layers, copy):
                    if options.json:
                        print(json.dumps(row), flush=True)
                    else:
                        print(f"{row['shape']:16} depth {row['depth']} {row['ms_per_token']:.3f} ms {row['bandwidth_gbs']:.0f} GB/s; {row['peer']}", flush=True)
            except Exception as error:
                print(f"peer_torch: {name}:{kind}: {str(error).splitlines()[0]}", file=sys.stderr, flush=True)
            torch.cuda.empty_cache()
    rate = matmul_tflops()
    if options.json:
        print(json.dumps({"bench": "prefill", "shape": "bf16 matmul 8192", "depth": 0, "batch": 1, "context": 0, "tokens_per_s": 0,
                          "tflops": rate, "device": torch.cuda.get_device_name()}))  # fmt: skip
    else:
        print(f"bf16 product of 8192: {rate:.0f} TFLOP/s; copies {copy:.0f} GB/s")


if __name__ == "__main__":
    main()
