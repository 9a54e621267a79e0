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

    def best(shape, name, otherwise):
        variants = {int(v.split("=")[1]): ms(s, v) for s, v, b in times if s == shape and b == 1 and v.startswith(name + "=")}
        variants[otherwise] = ms(shape, "as_it_is") * MARGIN
        return min(variants, key=variants.get)

    choice = {
        "kSmallOnGrid": str(ms("default", "as_it_is") < MARGIN * ms("default", "LOOPD_CUDA_NO_PASS=1")).lower(),
        "kOnGrid": str(ms("40b", "as_it_is") < ms("40b", "LOOPD_CUDA_NO_PASS=1")).lower(),
        "kGridChunk": best("40b", "LOOPD_PASS_CHUNK", 4),
        "kGridRows": 8 if ms("40b", "as_it_is", 8) < MARGIN * ms("40b", "LOOPD_CUDA_NO_PASS=1", 8) else 4,
    }
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
