"""Reads check.py's attention lines on stdin; prints the fastest kernel pair whose every finding is in bounds."""
import json
import sys

found = {}
for line in sys.stdin:
    if line.startswith("{"):
        d = json.loads(line)
        found.setdefault(d["kernels"], []).append(d)
right = {k: sum(d["ms"] for d in v) for k, v in found.items() if len(v) == 2 and not any(d["broken"] for d in v)}
print(min(right, key=right.get) if right else "flex")
