"""Writes recordings of typing for `loopd bench keystrokes`: somebody types missing parts of a file, from top to bottom.

The gaps between keys are drawn from a log-normal distribution with the mean of 239 ms that Dhakal et al. report for 168,000
typists ("Observations on Typing from 136 Million Keystrokes", CHI 2018, doi:10.1145/3173574.3174220), sigma 0.5, plus
a pause in front of a new line or part. The seed is fixed, so that a recording can be made again. Of 100 characters two are
typed wrong, noticed, and taken back; now and then the cursor goes elsewhere and comes back.

A recording is JSON lines. The first: path, language, indent, start (the text when typing begins), final (when it ends). Then
one key or jump a line: wait (ms), key (a character, "\\n", "\\b") or jump (byte offset), at (how many bytes of `final` stand
in front of the cursor then), and take, where the typist would rather take a suggestion that says what comes next.

    python3 bench/keystrokes/record.py FILE FIRST-LAST[,FIRST-LAST...] --indent 4 --seed 1 > NAME.jsonl
"""

import argparse
import json
import math
import random
import sys
from pathlib import Path

OPENERS = {"(": ")", "[": "]", "{": "}"}
QUOTES = "\"'"
ROOM = " \t\r\n)]};,:"


class Typist:
    """The same editor as lsp/commands/typist.h, which replays what this one records. Texts are ASCII here."""

    def __init__(self, text, indent):
        self.text, self.indent, self.cursor, self.partners = text, indent, 0, set()

    def apply(self, start, end, new, cursor):
        self.text = self.text[:start] + new + self.text[end:]
        moved = {at for at in self.partners if not start <= at < end}
        self.partners = {at - (end - start) + len(new) if at >= end else at for at in moved}
        self.cursor = cursor

    def awaits(self, c):
        return self.text[self.cursor : self.cursor + 1] == c and self.cursor in self.partners

    def line_start(self):
        return self.text.rfind("\n", 0, self.cursor) + 1

    def blank_before(self):
        return self.text[self.line_start() : self.cursor].strip(" \t") == ""

    def press(self, key):
        if key == "\n":
            return self.press_return()
        if key == "\b":
            return self.press_backspace()
        at = self.cursor
        if self.awaits(key):
            return self.apply(at, at + 1, key, at + 1)
        following = self.text[at : at + 1] or "\n"
        before = self.text[at - 1 : at] if at else "\n"
        quotes = key in QUOTES and not (before.isalnum() or before == "_") and before != key
        if following in ROOM and (key in OPENERS or quotes):
            self.apply(at, at, key + OPENERS.get(key, key), at + 1)
            self.partners.add(at + 1)
            return None
        step = min(len(self.indent), at - self.line_start())
        if key == "}" and self.blank_before() and step and self.text[at - step : at] == self.indent[:step] == self.indent:
            return self.apply(at - step, at, "}", at - step + 1)
        return self.apply(at, at, key, at + 1)

    def press_return(self):
        at, start = self.cursor, self.line_start()
        line = self.text[start:at]
        own = "\n" + line[: len(line) - len(line.lstrip(" \t"))]
        before = line.rstrip(" \t")[-1:]
        deeper = own + self.indent if before in OPENERS or before == ":" else own
        splits = before in OPENERS and self.text[at : at + 1] == OPENERS[before]
        self.apply(at, at, deeper + own if splits else deeper, at + len(deeper))

    def press_backspace(self):
        at, start = self.cursor, self.line_start()
        if at > start and self.blank_before() and at - start >= len(self.indent):
            step = (at - start) % len(self.indent) or len(self.indent)
            return self.apply(at - step, at, "", at - step)
        before = self.text[at - 1]
        pair = (before in OPENERS or before in QUOTES) and self.awaits(OPENERS.get(before, before))
        return self.apply(at - 1, at + (1 if pair else 0), "", at - 1)


class Recorder:
    def __init__(self, typist, final, chance):
        self.typist, self.final, self.chance = typist, final, chance
        self.events = []

    def gap(self, pause=0.0):
        sigma = 0.5
        mean = 239.0
        return round(self.chance.lognormvariate(math.log(mean) - sigma * sigma / 2, sigma) + pause)

    def note(self, wait, **event):
        self.events.append({"wait": wait, **event, "at": self.reached()})

    def reached(self):
        """Bytes of the final text in front of the cursor; a wrong character counts for nothing."""
        end = self.typist.cursor
        while not self.final.startswith(self.typist.text[:end]):
            end -= 1
        return end

    def key(self, key, wait=None):
        self.typist.press(key)
        self.note(self.gap() if wait is None else wait, key=key, **({"take": True} if self.chance.random() < 0.5 else {}))

    def jump(self, offset, pause=600.0):
        self.typist.cursor = offset
        self.typist.partners.clear()
        self.note(self.gap(pause), jump=offset)

    def type_until(self, end):
        limit = len(self.events) + 10 * (end - self.typist.cursor + 10)
        """Types until the text in front of the cursor is the final text's first `end` bytes."""
        while self.typist.cursor < end or not self.final.startswith(self.typist.text[: self.typist.cursor]):
            at = self.typist.cursor
            if len(self.events) > limit:
                sys.exit("stuck at:\n" + self.typist.text[at - 200 : at] + "|")
            if not self.final.startswith(self.typist.text[:at]):
                self.key("\b")  # the indentation that Return gave is too deep
                continue
            wanted = self.final[at]
            # What the editor closed on a later line is not typed: the cursor goes behind it.
            closed = self.typist.text[at:].split("\n", 2)
            if wanted == "\n" and len(closed) > 1 and closed[0] == "" and closed[1].strip() and set(closed[1].strip()) <= set(")]}") \
                    and self.final[at:].startswith("\n" + closed[1]) and any(p > at for p in self.typist.partners):
                self.jump(at + 1 + len(closed[1]), 150.0)
                continue
            if wanted.isalpha() and self.chance.random() < 0.02:
                self.key(self.chance.choice("asdfghjkl"))
                self.key("\b", self.gap(250.0))
                continue
            self.key(wanted, self.gap(350.0) if wanted == "\n" else None)
            if wanted == "\n" and self.chance.random() < 0.04:
                back = self.typist.cursor
                kept = set(self.typist.partners)
                self.jump(self.chance.randrange(self.final.rfind("\n", 0, back // 2) + 1, back // 2 + 1))
                self.jump(back)
                self.typist.partners = kept


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("lines", help="what is typed: FIRST-LAST[,FIRST-LAST...], counted from 1")
    parser.add_argument("--indent", type=int, default=4)
    parser.add_argument("--language", default="")
    parser.add_argument("--name", default="")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    lines = options.file.read_text(encoding="ascii").split("\n")
    spans = [tuple(int(n) for n in span.split("-")) for span in options.lines.split(",")]
    removed = {n for first, last in spans for n in range(first, last + 1)}
    # Of each part the first line stays with its indentation, behind which typing begins.
    begins = {first: lines[first - 1][: len(lines[first - 1]) - len(lines[first - 1].lstrip())] for first, _ in spans}
    start = "\n".join(begins.get(n, line) for n, line in enumerate(lines, 1) if n in begins or n not in removed)
    final = "\n".join(lines)
    typist = Typist(start, " " * options.indent)
    recorder = Recorder(typist, final, random.Random(options.seed))
    for first, last in spans:
        recorder.jump(len("\n".join(lines[: first - 1])) + (1 if first > 1 else 0) + len(begins[first]))
        recorder.type_until(len("\n".join(lines[:last])))
    if typist.text != final:
        sys.exit(typist.text[recorder.reached() - 300 : typist.cursor + 80] + "|\nwhat was typed is not the file; first difference at " + str(next((i for i, (a, b) in enumerate(zip(typist.text, final)) if a != b), -1)))
    head = {"path": options.name or options.file.name, "language": options.language, "indent": " " * options.indent, "seed": options.seed, "start": start, "final": final}
    for record in [head, *recorder.events]:
        print(json.dumps(record))


if __name__ == "__main__":
    main()
