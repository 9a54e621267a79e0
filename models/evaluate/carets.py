"""Draws caret positions from held-out projects and writes them as infilling tasks, one JSON object a line.

    /usr/bin/python3 models/evaluate/carets.py CACHE/pack/heldout.xz heldout.jsonl.gz --per-language 2000

The same list serves every system and depth. A task is what `loopd eval infill` reads: task_id, path, language, prompt,
suffix, canonical_solution; and `kind`, `project` for tables and for the bootstrap over projects.
"""

import argparse
import gzip
import json
import lzma
import random
import re

# What a caret stands behind, and its share of the carets:
#   line    the blanks that open a line; the whole line is wanted
#   after   one of . ( = , or a blank inside a line; the rest of the line is wanted
#   word    a letter inside an identifier; the rest of the line is wanted
#   closed  an opening bracket whose partner the editor has already typed; what stands between them is wanted
KINDS = (("line", 0.3), ("after", 0.3), ("word", 0.2), ("closed", 0.2))

COMMENT = re.compile(r"^\s*(#|//|/\*|\*|\"\"\"|''')")
CLOSER = {"(": ")", "[": "]", "{": "}"}
# Characters kept on each side of the caret: more than any prompt window of the model.
WINDOW = 16_000


def read_frames(path):
    """Yields (header, text) of a packed corpus: a JSON line with "n", then n bytes."""
    with lzma.open(path, "rb") as stream:
        while line := stream.readline():
            header = json.loads(line)
            yield header, stream.read(header["n"]).decode()


def closing(line, start):
    """Index of the bracket that closes the one at `start`, on this line; None where it lies beyond."""
    depth = 0
    for i in range(start, len(line)):
        if line[i] in CLOSER:
            depth += 1
        elif line[i] in CLOSER.values():
            depth -= 1
            if depth == 0:
                return i
    return None


def places(kind, line):
    """(start, end) columns of what a caret of this kind on `line` has to fill in."""
    indent = len(line) - len(line.lstrip())
    end = len(line.rstrip())
    if kind == "line":
        return [(indent, end)]
    if kind == "after":
        return [(m.end(), end) for m in re.finditer(r"[.(=, ]", line[:end]) if indent < m.end() < end]
    if kind == "word":
        return [(i, end) for i in range(indent + 1, end) if line[i - 1].isidentifier() and (line[i].isalnum() or line[i] == "_")]
    found = [(i + 1, closing(line, i)) for i in range(indent, end) if line[i] in CLOSER]
    return [(start, stop) for start, stop in found if stop is not None and stop > start]


def nontrivial(text):
    """At least two letters or digits: a bracket or a bare sign says nothing about a model."""
    return sum(c.isalnum() for c in text) >= 2


def draw(header, text, kind, rng):
    """One task of this kind from this file, or None where it has no place for it."""
    lines = text.split("\n")
    for _ in range(12):
        row = rng.randrange(len(lines))
        line = lines[row]
        if not nontrivial(line) or COMMENT.match(line) or len(line) > 200:
            continue
        options = [(a, b) for a, b in places(kind, line) if nontrivial(line[a:b])]
        if not options:
            continue
        start, end = rng.choice(options)
        offset = sum(len(each) + 1 for each in lines[:row])
        return {"path": header["path"], "project": header["project"], "language": header["lang"], "kind": kind,
                "prompt": text[max(0, offset + start - WINDOW): offset + start], "canonical_solution": line[start:end],
                "suffix": text[offset + end: offset + end + WINDOW]}
    return None


def tasks(path, per_language, seed):
    """All tasks, equally many for each language where it has enough files, spread evenly over its projects."""
    projects = {}
    for header, text in read_frames(path):
        projects.setdefault(header["lang"], {}).setdefault(header["project"], []).append((header, text))
    for language, files in sorted(projects.items()):
        rng = random.Random(f"{seed} {language}")
        names = sorted(files)
        seen = set()
        for attempt in range(per_language * 6):
            if len(seen) == per_language:
                break
            kind = rng.choices([k for k, _ in KINDS], [w for _, w in KINDS])[0]
            task = draw(*rng.choice(files[names[attempt % len(names)]]), kind, rng)
            if not task:
                continue
            key = (task["path"], task["prompt"][-200:], task["canonical_solution"])
            if key not in seen:
                seen.add(key)
                yield {"task_id": f"{language}/{len(seen)}", **task}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("heldout", help="packed held-out files of the corpus tool")
    parser.add_argument("out", help="FILE.jsonl.gz to write")
    parser.add_argument("--per-language", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    counts = {}
    with gzip.open(arguments.out, "wt", encoding="utf-8") as out:
        for task in tasks(arguments.heldout, arguments.per_language, arguments.seed):
            out.write(json.dumps(task, ensure_ascii=False) + "\n")
            counts[task["language"]] = counts.get(task["language"], 0) + 1
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
