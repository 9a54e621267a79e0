"""Plays the dialogues *.lsp against a real loopd process and checks every answer.

    python3 tests/transcripts/run.py --binary build/release/loopd [--model DIR] [NAME...]

A dialogue is a text file, one instruction a line; lines that start with blanks continue the one before.

    # text            a comment; the first line says what the dialogue shows
    needs model       skipped unless there is a model; other dialogues run without one
    args A B          command line of the process (default: none, which means LSP on stdio)
    > {json}          the client sends this message; the runner adds the header
    < {json}          the server must answer this: the response with that id, or the notification or request with that
                      method. A subset is enough: keys that are not named may have any value.
    <+ {json}         the same, and more of these may follow
    raw TEXT          the client sends these very bytes; \\r \\n \\t \\\\ and \\xNN are understood
    repeat N TEXT     the same bytes N times
    one-by-one        from here on every byte is written by itself
    eof               the client closes its end
    exit N            the process must end with exit code N; the last instruction of every dialogue

In a pattern "<any>", "<int>", "<string>" and "<absent>" stand for values of that kind, "~RE" for a string that matches
the expression, and a list that ends with "..." may go on. Answers nobody expected fail the dialogue: every request is
answered exactly once, and nothing but protocol may appear on stdout. Requests of the server are answered with null.
"""

import argparse
import io
import json
import os
import pathlib
import queue
import re
import subprocess
import sys
import threading

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
PATIENCE_S = 30  # for one answer; generous because sanitizer builds on a busy machine are slow


class Mismatch(Exception):
    """Says what was expected and what came instead."""


def instructions(path):
    """Yields (line number, verb, rest) of a dialogue, continuation lines joined."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line[0] in " \t":
            found[-1][1] += " " + line.strip()
        else:
            found.append([number, line])
    for number, line in found:
        verb, _, rest = line.partition(" ")
        yield number, verb, rest


def unescape(text):
    """The bytes that a raw instruction stands for."""
    named = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}
    return re.sub(
        rb"\\(?:x([0-9a-f]{2})|(.))", lambda m: bytes.fromhex(m[1].decode()) if m[1] else named[m[2]], text.encode()
    )


def difference(pattern, value, at="message"):
    """Why `value` does not match `pattern`; None where it does."""
    kinds = {"<any>": object, "<int>": int, "<string>": str}
    if isinstance(pattern, str) and pattern in kinds:
        return None if isinstance(value, kinds[pattern]) else f"{at}: {value!r} is no {pattern}"
    if isinstance(pattern, str) and pattern.startswith("~"):
        fits = isinstance(value, str) and re.search(pattern[1:], value)
        return None if fits else f"{at}: {value!r} does not match {pattern[1:]!r}"
    if isinstance(pattern, dict):
        if not isinstance(value, dict):
            return f"{at}: {value!r} is no object"
        for key, expected in pattern.items():
            if expected == "<absent>":
                if key in value:
                    return f"{at}.{key}: should not be there, is {value[key]!r}"
            elif key not in value:
                return f"{at}.{key}: missing"
            elif (why := difference(expected, value[key], f"{at}.{key}")) is not None:
                return why
        return None
    if isinstance(pattern, list):
        open_end = pattern[-1:] == ["..."]
        wanted = pattern[:-1] if open_end else pattern
        if not isinstance(value, list) or len(value) < len(wanted) or (len(value) > len(wanted) and not open_end):
            return f"{at}: {value!r} is no list of {len(wanted)}"
        return next((why for i, p in enumerate(wanted) if (why := difference(p, value[i], f"{at}[{i}]"))), None)
    return None if type(pattern) is type(value) and pattern == value else f"{at}: {value!r}, expected {pattern!r}"


class Process:
    """A loopd under test: frames what goes in, unframes what comes out."""

    def __init__(self, command, environment):
        self.child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, bufsize=0
        )
        self.one_by_one = False
        self.arrived = queue.Queue()
        self.backlog = []
        self.tolerated = []
        self.stderr = b""
        self.threads = [threading.Thread(target=f, daemon=True) for f in (self._read, self._drain)]
        for thread in self.threads:
            thread.start()

    def _drain(self):
        self.stderr = self.child.stderr.read()

    def _read(self):
        try:
            stream = io.BufferedReader(self.child.stdout)
            while header := stream.readline():
                length = re.fullmatch(rb"Content-Length: (\d+)\r\n", header)
                if not length or stream.readline() != b"\r\n":
                    raise Mismatch(f"stdout carries {header!r}, which is no header")
                self.arrived.put(json.loads(stream.read(int(length[1])).decode("utf-8")))
            self.arrived.put(None)
        except (Mismatch, ValueError) as error:
            self.arrived.put(error)

    def send(self, data):
        try:
            for piece in [bytes([b]) for b in data] if self.one_by_one else [data]:
                view = memoryview(piece)
                while view:
                    view = view[self.child.stdin.write(view) :]
        except BrokenPipeError:
            raise Mismatch("the process no longer reads") from None

    def message(self, body):
        self.send(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    def _next(self, what):
        try:
            message = self.arrived.get(timeout=PATIENCE_S)
        except queue.Empty:
            raise Mismatch(f"no {what} within {PATIENCE_S} s") from None
        if isinstance(message, Exception):
            raise Mismatch(f"broken output: {message}")
        if message is None:
            raise Mismatch(f"the process closed stdout before {what}")
        if "method" in message and "id" in message:
            self.message(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": None}).encode())
        return message

    def expect(self, pattern):
        key = "method" if "method" in pattern else "id"
        what = f"message with {key} {pattern[key]!r}"

        def fits(message):
            return ("method" in message) == (key == "method") and message.get(key) == pattern[key]

        for index, message in enumerate(self.backlog):
            if fits(message):
                del self.backlog[index]
                break
        else:
            while not fits(message := self._next(what)):
                self.backlog.append(message)
        if (why := difference(pattern, message)) is not None:
            raise Mismatch(f"{why}; the whole answer: {json.dumps(message)[:600]}")

    def finish(self, code):
        """Waits for the end; whatever came unexpectedly fails here."""
        try:
            self.child.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise Mismatch(f"still running {PATIENCE_S} s after it should have ended") from None
        for thread in self.threads:
            thread.join(PATIENCE_S)
        while (message := self.arrived.get()) is not None:
            if isinstance(message, Exception):
                raise Mismatch(f"broken output: {message}")
            self.backlog.append(message)
        extra = [m for m in self.backlog if "method" not in m and all(difference(p, m) for p in self.tolerated)]
        if extra:
            raise Mismatch(f"answers nobody asked for: {json.dumps(extra)[:600]}")
        if self.child.returncode != code:
            raise Mismatch(f"exit code {self.child.returncode}, expected {code}")

    def kill(self):
        self.child.kill()
        self.child.wait()


def play(path, binary, model):
    """Runs one dialogue; raises Mismatch with the line, or returns why it was skipped."""
    steps = list(instructions(path))
    verbs = {verb: rest for _, verb, rest in steps}
    if "needs" in verbs and model is None:
        return "no model in models/default or $LOOPD_MODEL"
    if steps[-1][1] != "exit":
        raise Mismatch("the last instruction must be exit")
    missing = str(HERE / "no-model-here")
    environment = dict(os.environ, LOOPD_STANDALONE="1", LOOPD_MODEL=str(model) if "needs" in verbs else missing)
    process = Process([binary, *verbs.get("args", "").split()], environment)
    try:
        for number, verb, rest in steps:
            try:
                if verb == ">":
                    process.message(json.dumps(json.loads(rest), ensure_ascii=False).encode())
                elif verb == "<":
                    process.expect(json.loads(rest))
                elif verb == "<+":
                    process.expect(json.loads(rest))
                    process.tolerated.append(json.loads(rest))
                elif verb == "raw":
                    process.send(unescape(rest))
                elif verb == "repeat":
                    count, _, text = rest.partition(" ")
                    process.send(unescape(text) * int(count))
                elif verb == "one-by-one":
                    process.one_by_one = True
                elif verb == "eof":
                    process.child.stdin.close()
                elif verb == "exit":
                    process.finish(int(rest))
                elif verb not in ("needs", "args"):
                    raise Mismatch(f"unknown instruction {verb!r}")
            except (Mismatch, ValueError) as error:
                raise Mismatch(f"line {number}: {error}") from None
    except Mismatch as error:
        process.kill()
        process.threads[1].join(5)
        tail = process.stderr.decode(errors="replace").strip().splitlines()[-12:]
        raise Mismatch("\n    ".join([str(error), *tail])) from None
    return None


def main():
    parser = argparse.ArgumentParser(description="Plays LSP dialogues against loopd.")
    parser.add_argument("--binary", default=str(ROOT / "build/release/loopd"))
    parser.add_argument("--model", default=os.environ.get("LOOPD_MODEL", str(ROOT / "models/default")))
    parser.add_argument("names", nargs="*", help="dialogues to play, without .lsp; all where none is named")
    options = parser.parse_args()
    model = pathlib.Path(options.model)
    model = model if (model / "config.json").exists() else None
    failed = 0
    for path in sorted(HERE.glob("*.lsp")):
        if options.names and path.stem not in options.names:
            continue
        try:
            skipped = play(path, options.binary, model)
            print(f"skip {path.stem}: {skipped}" if skipped else f"ok {path.stem}", flush=True)
        except Mismatch as error:
            failed += 1
            print(f"FAIL {path.stem}: {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
