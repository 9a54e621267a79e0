"""The baseline a model has to beat: an unbounded cache n-gram over the file at hand, on the tasks of `loopd eval infill`.

    /usr/bin/python3 models/evaluate/ngram.py heldout.jsonl.gz [--limit N]

The next token is the one that followed the longest earlier occurrence of the current context in the file (prompt and
suffix, the hole left out); among equally long ones the most frequent, then the nearest. It writes until the line ends.
"""

import argparse
import collections
import gzip
import json
import re

from similarity import edit_similarity

TOKEN = re.compile(r"\n|[ \t]+|[A-Za-z_]\w*|\d+|.", re.DOTALL)
LONGEST_CONTEXT = 16
MOST_TOKENS = 60


def successors(tokens):
    """Positions that follow each token."""
    table = collections.defaultdict(list)
    for i in range(1, len(tokens)):
        table[tokens[i - 1]].append(i)
    return table


def next_token(tokens, table, context, banned=None):
    """What followed the longest match of the context's end in `tokens`; None where nothing but `banned` ever did."""
    best, votes = 0, collections.Counter()
    for position in reversed(table.get(context[-1], [])):
        if tokens[position] == banned:
            continue
        length = 1
        while length < min(LONGEST_CONTEXT, len(context), position) and tokens[position - 1 - length] == context[-1 - length]:
            length += 1
        if length > best:
            best, votes = length, collections.Counter()
        if length == best:
            votes[tokens[position]] += 1
    return votes.most_common(1)[0][0] if votes else None  # first come, first: the nearest among equals


def complete(prompt, suffix):
    """The rest of the line. A word cut by the caret is finished with the nearest word that begins like it."""
    context = TOKEN.findall(prompt)
    known = TOKEN.findall(prompt) + ["\n"] + TOKEN.findall(suffix)
    text = ""
    cut = re.search(r"[A-Za-z_]\w*$", prompt)
    if cut:
        begins = [t for t in known[:len(context) - 1] if t.startswith(cut[0]) and t != cut[0]]
        if begins:
            text = begins[-1][len(cut[0]):]
            context[-1] = begins[-1]
    table = successors(known)
    for _ in range(MOST_TOKENS):
        # A suggestion may not be empty, so the line does not end before something was written.
        token = next_token(known, table, context, None if text.strip() else "\n") if context else None
        if token is None or token == "\n":
            break
        text += token
        context.append(token)
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks")
    parser.add_argument("--limit", type=int, default=None)
    arguments = parser.parse_args()
    scores = collections.defaultdict(lambda: [0, 0, 0, 0, 0.0])  # count, exact, non-trivial, non-trivial exact, similarity
    opener = gzip.open if arguments.tasks.endswith(".gz") else open
    with opener(arguments.tasks, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            if arguments.limit is not None and number >= arguments.limit:
                break
            task = json.loads(line)
            wanted = task["canonical_solution"].rstrip()
            got = complete(task["prompt"], task["suffix"]).rstrip()
            same = got == wanted
            for language in (task.get("language", "python"), "all"):
                score = scores[language]
                score[0] += 1
                score[1] += same
                if sum(c.isalnum() for c in wanted) >= 2:
                    score[2] += 1
                    score[3] += same
                score[4] += edit_similarity(got, wanted)
    print("language    tasks  exact  non-trivial  similarity")
    for language, (count, exact, trivial, trivial_exact, similarity) in sorted(scores.items()):
        print(f"{language:10s} {count:6d}  {exact / count:.3f}  {trivial_exact / max(1, trivial):11.3f}  {similarity / count:10.3f}")


if __name__ == "__main__":
    main()
