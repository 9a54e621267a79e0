"""Builds loopd and runs every suite, each to its own log, and adds up what passed: `scripts/test` calls this.

A suite is a command. Its cases are counted from what its runner prints (doctest, unittest, node's TAP, or lines that
start with ok, FAIL or skip); a runner that prints none of these counts as one case. Exit code 77 means skipped.
"""

import collections
import json
import os
import pathlib
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).parents[1]
LOGS = ROOT / "build/test"
RELEASE = ROOT / "build/release/loopd"
SANITIZED = ROOT / "build/dev/loopd"
TAIL_LINES = 40  # of a failed suite's log, shown at once


@dataclass
class Suite:
    name: str
    command: list
    needs: str = ""  # the build it runs on: "release", "dev" or none
    timeout_s: int = 600
    one_case: bool = False  # counts as one, whatever it prints
    environment: dict = field(default_factory=dict)


@dataclass
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __iadd__(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        return self


def builds():
    """Name -> steps. The release binary is what users run; dev has ASan, UBSan and all unit suites."""
    jobs = ["-j", str(os.cpu_count() or 1)]
    return {
        "release": [["cmake", "--preset", "release"], ["cmake", "--build", "--preset", "release", "--target", "loopd", *jobs]],
        "dev": [["cmake", "--preset", "dev"], ["cmake", "--build", "--preset", "dev", *jobs]],
    }


def scripted_suites():
    """Suites that drive the finished binary, or need none. The environment says which binary and which model."""
    model = os.environ.get("LOOPD_MODEL", str(ROOT / "models/default"))
    released = {"LOOPD_BINARY": str(RELEASE), "LOOPD_MODEL": model}
    # Its packages are where apt puts numpy; another python3 may come first in the path.
    debian_python = "/usr/bin/python3" if pathlib.Path("/usr/bin/python3").exists() else sys.executable
    transcripts = [sys.executable, "tests/transcripts/run.py", "--model", model]
    node_tests = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "tests/clients").glob("*.test.mjs"))
    return [
        Suite("models", [debian_python, "-m", "unittest", "discover", "-v", "-s", "tests/models", "-p", "*test*.py"]),
        Suite("transcripts", [*transcripts, "--binary", str(RELEASE)], "release"),
        Suite("transcripts-sanitized", [*transcripts, "--binary", str(SANITIZED)], "dev"),
        Suite("clients", ["node", "--test", "--test-reporter=tap", *node_tests], "release", environment=released),
        Suite("neovim", ["tests/clients/neovim/run"], "release", 400, environment=released),
        Suite("emacs", ["tests/clients/emacs/run"], "release", 300, environment=released),
        Suite("helix", ["tests/clients/helix/run"], "release", 300, environment=released),
        Suite("vscode", ["tests/clients/vscode/run"], "release", 1200, environment=released),
        # Behind the editors: the table of clients must not claim what they have not just shown.
        Suite("client-table", ["node", "tests/clients/table.mjs", "--check"]),
        Suite("gpu", ["tests/gpu/run"], "release", 1800),
        Suite("races", ["scripts/races"], "", 1200, one_case=True),
        Suite("try", ["scripts/try"], "release", 300, one_case=True, environment=released),
    ]


def unit_suites():
    """What ctest knows in build/dev: a doctest binary per room, the replayed fuzz corpora, the layering rules."""
    listing = subprocess.run(
        ["ctest", "--test-dir", "build/dev", "--show-only=json-v1"], cwd=ROOT, capture_output=True, check=True
    )
    names = [test["name"] for test in json.loads(listing.stdout)["tests"]]
    command = ["ctest", "--test-dir", "build/dev", "--verbose", "--no-tests=error", "--tests-regex"]
    return [Suite(name, [*command, f"^{re.escape(name)}$"], "dev", 900) for name in names]


def count_cases(text, code):
    """The cases a suite's output tells of, checked against its exit code."""
    count = Count()
    for passed, failed, skipped in re.findall(
        r"\[doctest\] test cases:\s*\d+ \|\s*(\d+) passed \|\s*(\d+) failed \|\s*(\d+) skipped", text
    ):
        count += Count(int(passed), int(failed), int(skipped))
    for total, result in re.findall(r"^Ran (\d+) tests? in .*\n\n((?:OK|FAILED).*)$", text, re.MULTILINE):
        parts = {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", result)}
        failed = parts.get("failures", 0) + parts.get("errors", 0)
        count += Count(int(total) - failed - parts.get("skipped", 0), failed, parts.get("skipped", 0))
    tap = {key: int(value) for key, value in re.findall(r"^# (pass|fail|cancelled|skipped|todo) (\d+)$", text, re.MULTILINE)}
    if tap:
        count += Count(tap["pass"], tap["fail"] + tap["cancelled"], tap["skipped"] + tap["todo"])
    else:
        lines = re.findall(r"^(ok|FAIL|skip)\b", text, re.MULTILINE)
        count += Count(lines.count("ok"), lines.count("FAIL"), lines.count("skip"))
    if (code == 77 and count == Count()) or "***Skipped" in text or re.search(r"^Ran 0 tests", text, re.MULTILINE):
        count += Count(skipped=1)
    elif code not in (0, 77) and count.failed == 0:
        count += Count(failed=1)
    elif count == Count():
        count += Count(passed=1)
    return count


def run_suite(suite):
    """Runs one suite into its log; returns its count and prints one line, or the log's end where it failed."""
    log = LOGS / f"{suite.name}.log"
    began = time.monotonic()
    with log.open("wb") as stream:
        try:
            code = subprocess.run(
                suite.command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT,
                timeout=suite.timeout_s, env={**os.environ, **suite.environment},
            ).returncode
        except subprocess.TimeoutExpired:
            code = 124
            stream.write(f"\nstopped after {suite.timeout_s} s\n".encode())
    text = log.read_text(errors="replace")
    count = count_cases("" if suite.one_case else text, code)
    seconds = time.monotonic() - began
    verdict = "FAIL" if count.failed else "ok  " if count.passed else "skip"
    cases = f"{count.passed} cases" + (f", {count.failed} FAILED" if count.failed else "")
    skipped = f", {count.skipped} skipped" if count.skipped else ""
    print(f"{verdict} {suite.name:22} {cases}{skipped} ({seconds:.1f} s)", flush=True)
    reasons = re.findall(r"^skip [^:]*: (.*)$|^ok \d+ - .* # SKIP (.*)$|\.\.\. skipped ['\"](.*)['\"]$", text, re.MULTILINE)
    for reason, times in collections.Counter("".join(found) for found in reasons).items():
        print(f"       skipped {times}: {reason}")
    if count.failed:
        print("\n".join("       " + line for line in text.splitlines()[-TAIL_LINES:]))
        print(f"       the whole log: {log.relative_to(ROOT)}", flush=True)
    return count


def build(name):
    """True where the build succeeded."""
    log = LOGS / f"build-{name}.log"
    began = time.monotonic()
    with log.open("wb") as stream:
        for command in builds()[name]:
            if subprocess.run(command, cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT, check=False).returncode:
                print(f"FAIL build {name}; the end of {log.relative_to(ROOT)}:")
                print("\n".join("       " + line for line in log.read_text(errors="replace").splitlines()[-TAIL_LINES:]))
                return False
    print(f"ok   build {name} ({time.monotonic() - began:.0f} s)", flush=True)
    return True


def main():
    wanted = sys.argv[1:]
    left_out = set(os.environ.get("LOOPD_TEST_LEAVE_OUT", "").split())
    scripted = scripted_suites()
    names = {suite.name for suite in scripted}
    LOGS.mkdir(parents=True, exist_ok=True)
    total = Count()
    only_scripted = bool(wanted) and set(wanted) <= names
    needed = {suite.needs for suite in scripted if not wanted or suite.name in wanted} - {""}
    if not only_scripted:
        needed.add("dev")
    built = {name for name in ("release", "dev") if name in needed and build(name)}
    total += Count(failed=len(needed - built))

    units = unit_suites() if "dev" in built and not only_scripted else []
    suites = units + scripted
    if wanted == ["--list"]:
        print("\n".join(suite.name for suite in suites))
        return 0
    if "dev" in built or only_scripted:
        unknown = set(wanted) - {suite.name for suite in suites}
        if unknown:
            print(f"no such suite: {', '.join(sorted(unknown))}; `scripts/test --list` names them", file=sys.stderr)
            return 2
    for suite in suites:
        if wanted and suite.name not in wanted:
            continue
        if suite.name in left_out:
            print(f"skip {suite.name:22} left out by LOOPD_TEST_LEAVE_OUT")
            total += Count(skipped=1)
            continue
        if suite.needs and suite.needs not in built:
            print(f"skip {suite.name:22} the {suite.needs} build failed")
            total += Count(skipped=1)
            continue
        total += run_suite(suite)
    print(f"{total.passed} passed, {total.failed} failed, {total.skipped} skipped")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
