"""Keeps tests/gpu/last_run.json: what the GPU tests said, on which device, of which sources.

    record.py LOG      writes the record from a log of `ok` and `FAIL` lines
    record.py --say    one line on the last run, with a warning where the sources have changed since
    record.py --hash   the hash of cuda/ and inference/
"""

import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
RECORD = pathlib.Path(os.environ.get("LOOPD_GPU_RECORD", ROOT / "tests/gpu/last_run.json"))
SOURCES = {".h", ".cpp", ".cu", ".cuh", ".txt"}


def source_hash():
    """Of names and contents, in order, so that it is the same wherever the tree lies."""
    digest = hashlib.sha256()
    for folder in ("cuda", "inference"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix in SOURCES:
                digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def say():
    if not RECORD.exists():
        return "never run on a GPU"
    record = json.loads(RECORD.read_text())
    line = f"last run {record['date']} on {record['device']}: {record['passed']} passed, {record['failed']} failed"
    if record.get("not_run"):
        line += f"; not run then: {', '.join(record['not_run'])}"
    if record["source_hash"] != source_hash():
        line += "; WARNING: cuda/ or inference/ has changed since, run tests/gpu/run on a GPU"
    return line


def first_line(*command):
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip().splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return ""


def write(log):
    text = pathlib.Path(log).read_text(errors="replace")
    record = {
        "source_hash": source_hash(),
        "device": first_line("nvidia-smi", "--query-gpu=name", "--format=csv,noheader"),
        "passed": len(re.findall(r"^ok\b", text, re.MULTILINE)),
        "failed": len(re.findall(r"^FAIL\b", text, re.MULTILINE)),
        "date": datetime.date.today().isoformat(),
        "commit": os.environ.get("LOOPD_COMMIT") or first_line("git", "rev-parse", "--short", "HEAD"),
        "checks": re.findall(r"^(?:ok|FAIL)\b.*$", text, re.MULTILINE),
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{record['passed']} passed, {record['failed']} failed: {RECORD}")


def main():
    if sys.argv[1:] == ["--say"]:
        print(say())
    elif sys.argv[1:] == ["--hash"]:
        print(source_hash())
    elif len(sys.argv) == 2:
        write(sys.argv[1])
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
