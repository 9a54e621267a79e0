"""Turns what tests/gpu/turn.sh variants measured into the constants at the head of cuda/pass.cu.

    choose.py VARIANTS [cuda/pass.cu]      prints the choice, and writes it where the file is named
"""

import pathlib
import re
import sys

MARGIN = 0.98  # another way must win by this much


def main():
    times = {}  # (shape, variant, batch) -> ms at depth 2
    for line in pathlib.Path(sys.argv[1]).read_text().splitlines():
        fields = line.split()
        if len(fields) >= 7 and fields[4] == "2":
            times[fields[0], fields[1], int(fields[3])] = float(fields[6])
    if not times:
        sys.exit("choose.py: nothing was measured")

    def ms(shape, variant, batch=1):
        return times.get((shape, variant, batch), float("inf"))

    def best_chunk(shape, otherwise):
        chunks = [otherwise] + [int(v.split("=")[1]) for s, v, b in times if s == shape and b == 1 and v.startswith("LOOPD_PASS_CHUNK=")]
        times_of = {c: ms(shape, f"LOOPD_PASS_CHUNK={c}") for c in chunks}
        times_of[otherwise] = ms(shape, "as_it_is") * MARGIN
        return min(times_of, key=times_of.get)

    choice = {
        "kOnCluster": str(ms("default", "as_it_is") < ms("default", "LOOPD_CUDA_NO_PASS=1")).lower(),
        "kOnGrid": str(ms("40b", "as_it_is") < ms("40b", "LOOPD_CUDA_NO_PASS=1")).lower(),
        "kClusterChunk": best_chunk("default", 4),
        "kGridChunk": best_chunk("40b", 4),
        "kGridRows": 8 if ms("40b", "as_it_is", 8) < ms("40b", "LOOPD_CUDA_NO_PASS=1", 8) else 4,
    }
    if ms("default", "LOOPD_PASS_TEAM=grid") < MARGIN * ms("default", "as_it_is"):
        print("note: the default model runs faster on the whole device: set kClusterBytes to 0")
    print("choice:", ", ".join(f"{name} = {value}" for name, value in choice.items()))
    if len(sys.argv) < 3:
        return
    path = pathlib.Path(sys.argv[2])
    text = path.read_text()
    for name, value in choice.items():
        text, count = re.subn(rf"(constexpr \w+ {name} = )\w+;", rf"\g<1>{value};", text)
        assert count == 1, name
    path.write_text(text)


if __name__ == "__main__":
    main()
