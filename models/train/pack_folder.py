"""Packs source files of a folder in the corpus format, for rehearsals and for training on one's own code.

    python3 pack_folder.py FOLDER OUT.xz [--megabytes 20]     the first two path components name the project
"""
import argparse
import json
import lzma
import os

LANGUAGES = {".py": "python", ".c": "c", ".h": "c", ".cc": "cpp", ".cpp": "cpp", ".hpp": "cpp", ".js": "javascript",
             ".ts": "typescript", ".go": "go", ".rs": "rust", ".java": "java"}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("folder"), p.add_argument("out"), p.add_argument("--megabytes", type=float, default=20)
    a = p.parse_args()
    left = a.megabytes * 1e6
    with lzma.open(a.out, "wb", preset=1) as out:
        for place, folders, names in os.walk(a.folder):
            folders.sort()
            for name in sorted(names):
                path, end = os.path.join(place, name), os.path.splitext(name)[1]
                if left < 0 or end not in LANGUAGES or not 200 < os.path.getsize(path) < 200_000:
                    continue
                data, inside = open(path, "rb").read(), os.path.relpath(path, a.folder)
                head = {"path": inside, "project": inside.split(os.sep)[0], "lang": LANGUAGES[end], "n": len(data)}
                out.write(json.dumps(head).encode() + b"\n" + data)
                left -= len(data)


if __name__ == "__main__":
    main()
