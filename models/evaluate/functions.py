"""Draws functions from held-out projects and writes them with their bodies taken out, one JSON object a line.

    /usr/bin/python3 models/evaluate/functions.py CACHE/pack/heldout.xz functions.jsonl --count 500

A task is what `loopd eval implement` reads: task_id, path, language, text (the file, the body replaced by a placeholder)
and line (of the function's header, from 0); and `body`, what stood there. Which functions are drawn depends on nothing
but the seed: the same list serves every model and depth.
"""

import argparse
import json
import random
import re

from carets import read_frames

# Headers of functions with a body on the following lines. What the pattern of C and Java takes for one may be a
# control statement; those words are left out.
PYTHON = re.compile(r"^( *)(?:async )?def \w+\(.*\).*:\s*$")
BRACES = {
    "javascript": r"^(\s*)(?:export )?(?:default )?(?:async )?function\*? \w+\(.*\) \{\s*$",
    "typescript": r"^(\s*)(?:export )?(?:default )?(?:async )?function \w+(?:<.*>)?\(.*\).* \{\s*$",
    "rust": r"^(\s*)(?:pub(?:\(\w+\))? )?(?:const )?(?:async )?(?:unsafe )?fn \w+.*\) ?(?:->.*)?\{\s*$",
    "go": r"^()func (?:\(.*?\) )?\w+\(.*\).* \{\s*$",
    "java": r"^(\s*)(?:(?:public|private|protected|static|final|synchronized) )+[\w<>\[\], .]+ \w+\(.*\)(?: throws .*)? \{\s*$",
    "c": r"^()(?:static |const |inline |unsigned |struct )*\w+[ *]+\w+\([^;]*\)(?: \{)?\s*$",
    "cpp": r"^(\s*)(?!.*\b(?:if|for|while|switch|else|return|catch|new)\b)[\w:<>&*, ]+[ &*][\w:~]+\([^;]*\)(?: const)?(?: \{)?\s*$",
}
LONGEST = 40  # lines of a body
SHORTEST = 2


def indentation(line):
    return len(line) - len(line.lstrip())


def python_body(lines, row):
    """(first, end) lines of the body behind a header, its docstring left in place; None where it is no fit."""
    own = indentation(lines[row])
    end = row + 1
    while end < len(lines) and (not lines[end].strip() or indentation(lines[end]) > own):
        end += 1
    while end > row + 1 and not lines[end - 1].strip():
        end -= 1
    first = row + 1
    quote = re.match(r'\s*[rub]*("""|\'\'\')', lines[first]) if first < end else None
    if quote:
        closed = lines[first].count(quote[1]) > 1
        first += 1
        while not closed and first < end:
            closed = quote[1] in lines[first]
            first += 1
    return first, end


def brace_body(lines, row):
    """The same where braces hold the body: the lines between the header and the "}" at its own indentation."""
    own = indentation(lines[row])
    first = row + 1 if lines[row].rstrip().endswith("{") else row + 2
    if first > row + 1 and (first > len(lines) or lines[row + 1].strip() != "{"):
        return None
    for end in range(first, min(len(lines), first + LONGEST + 1)):
        if lines[end].startswith("}", own) and indentation(lines[end]) == own:
            return first, end
    return None


def draw(header, text, rng):
    """One task of this file, or None."""
    language = header["lang"]
    pattern = PYTHON if language == "python" else re.compile(BRACES.get(language, "$^"))
    lines = text.split("\n")
    rows = [i for i, line in enumerate(lines) if len(line) < 160 and pattern.match(line)]
    rng.shuffle(rows)
    for row in rows[:8]:
        found = python_body(lines, row) if language == "python" else brace_body(lines, row)
        if not found or not SHORTEST <= found[1] - found[0] <= LONGEST:
            continue
        first, end = found
        pad = re.match(r"\s*", lines[first])[0]
        stub = [pad + "pass"] if language == "python" else []
        return {"path": header["path"], "project": header["project"], "language": language, "line": row,
                "text": "\n".join(lines[:first] + stub + lines[end:]), "body": "\n".join(lines[first:end])}
    return None


def tasks(path, count, seed):
    """`count` tasks, equally many of each language, spread evenly over its projects."""
    projects = {}
    for header, text in read_frames(path):
        if len(text) < 60_000:
            projects.setdefault(header["lang"], {}).setdefault(header["project"], []).append((header, text))
    languages = sorted(set(projects) & ({"python"} | set(BRACES)))
    for index, language in enumerate(languages):
        rng = random.Random(f"{seed} {language}")
        names = sorted(projects[language])
        wanted = count // len(languages) + (index < count % len(languages))
        seen = set()
        for attempt in range(wanted * 60):
            if len(seen) == wanted:
                break
            task = draw(*rng.choice(projects[language][names[attempt % len(names)]]), rng)
            if task and (task["path"], task["line"]) not in seen:
                seen.add((task["path"], task["line"]))
                yield {"task_id": f"{language}/{len(seen)}", **task}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("heldout", help="packed held-out files of the corpus tool")
    parser.add_argument("out", help="FILE.jsonl to write")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    counts = {}
    with open(arguments.out, "w", encoding="utf-8") as out:
        for task in tasks(arguments.heldout, arguments.count, arguments.seed):
            out.write(json.dumps(task, ensure_ascii=False) + "\n")
            counts[task["language"]] = counts.get(task["language"], 0) + 1
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
