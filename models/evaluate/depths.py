"""Judges every depth of a model on held-out carets with several processes of `loopd eval infill`, and prints the table.

    python3 models/evaluate/depths.py heldout.jsonl.gz [--binary build/release/loopd] [--depths 1,2,3,4,5,6]
        [--limit 1600] [--processes 8] [--max-tokens 48] [--cases-out cases.jsonl] [-- more options of loopd]
    python3 models/evaluate/depths.py --cases cases-0.jsonl cases-1.jsonl ... [--against cases-of-another-model.jsonl]

Tasks are spread evenly over the file. With --cases-out every answer is written down when it is there, and the same command
goes on where an earlier one was stopped (cases.jsonl.asked tells whether it is the same). Exact match is of non-trivial lines, averaged over languages, with a 95 % interval.
With --cases nothing is run: the cases are those that an earlier run, or ../train/evaluate.py on a GPU, has written.
The last columns compare a depth with the one before, task by task: how many it won and lost, and the chance of a split
as uneven as that between equals (exact two-sided sign test); and, in cases of ../train/evaluate.py, by how much the
original costs fewer or more bits, with a 95 % interval of that difference.
"""
import argparse
import collections
import concurrent.futures
import gzip
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[2]
TASKS_AT_ONCE = 16


def read_lines(path):
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as file:
        return [line for line in file if line.strip()]


def answered(path, depths):
    """The cases in a file of an earlier run, of tasks that have all depths; the last line may have been cut off."""
    by_task = collections.defaultdict(dict)
    for line in read_lines(str(path)) if path.exists() else []:
        try:
            case = json.loads(line)
            by_task[case["task_id"]][case["depth"]] = case
        except json.JSONDecodeError:
            continue
    return [case for cases in by_task.values() if set(depths) <= set(cases) for case in cases.values()]


def claim(path, asked):
    """Notes beside a file of cases what was asked for them, so that answers to something else are not taken for these."""
    note = path.with_name(path.name + ".asked")
    if path.exists() and (not note.exists() or json.loads(note.read_text(encoding="utf-8")) != asked):
        sys.exit(f"{path}: has answers to another question ({note.name} says to which); name another file, or remove it")
    note.write_text(json.dumps(asked), encoding="utf-8")


def run(arguments, lines, more):
    """The cases of all tasks. A process has a few tasks at once, whose cases it writes down; what is there is not asked again."""
    depths = [int(d) for d in arguments.depths.split(",")]
    kept = pathlib.Path(arguments.cases_out) if arguments.cases_out else None
    if kept:
        claim(kept, [arguments.tasks, arguments.binary, depths, arguments.max_tokens, os.environ.get("LOOPD_MODEL", ""), more])
    cases = answered(kept, depths) if kept else []
    known = {case["task_id"] for case in cases}
    lines = [line for line in lines if json.loads(line)["task_id"] not in known]
    if known:
        print(f"{len(known)} tasks are answered in {kept}; {len(lines)} are left", file=sys.stderr)
    out = open(kept, "w", encoding="utf-8") if kept else None

    def keep(some):
        if out:
            out.write("".join(json.dumps(case) + "\n" for case in some))
            out.flush()

    def answer(some):
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as tasks:
            tasks.write("".join(some))
            tasks.flush()
            command = [arguments.binary, "eval", "infill", tasks.name, "--cases", "--depths", arguments.depths,
                       "--max-tokens", str(arguments.max_tokens), "--threads", "1", *more]
            done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise ChildProcessError(f"{' '.join(command)}: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    keep(cases)
    with concurrent.futures.ThreadPoolExecutor(arguments.processes) as pool:
        jobs = [pool.submit(answer, lines[i:i + TASKS_AT_ONCE]) for i in range(0, len(lines), TASKS_AT_ONCE)]
        try:
            for job in concurrent.futures.as_completed(jobs):
                keep(job.result())
                cases += job.result()
        except (ChildProcessError, KeyboardInterrupt) as stopped:
            pool.shutdown(wait=False, cancel_futures=True)
            sys.exit(f"stopped: {stopped}".rstrip(": ") + (f"; the same command goes on from {kept}" if kept else ""))
    return cases


def sign_test(won, lost):
    """Chance that two equals split as unevenly as won : lost or more, ties left out (binomial, two-sided)."""
    n, k = won + lost, min(won, lost)
    return min(1.0, 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n) if n else 1.0


def exact_match(cases):
    """(mean over languages of the share of non-trivial lines filled exactly, half a 95 % interval of it)."""
    languages = collections.defaultdict(list)
    for case in cases:
        if case["nontrivial"]:
            languages[case["language"]].append(case["exact"])
    shares = [(sum(x) / len(x), len(x)) for x in languages.values()]
    error = math.sqrt(sum(p * (1 - p) / n for p, n in shares)) / len(shares)
    return statistics.mean(p for p, _ in shares), 1.96 * error


def median_ms(cases):
    """Empty where many tasks were answered at once, so that no time belongs to one."""
    return f"{statistics.median(c['ms'] for c in cases):.0f}" if "ms" in cases[0] else ""


def bits_against(here, before):
    """Change of the bits of all originals from one depth to the next in percent, from the differences task by task."""
    changes, whole = [here[task]["bits"] - before[task]["bits"] for task in here], sum(c["bits"] for c in before.values())
    share = 100 * len(changes) / whole
    return f"{share * statistics.mean(changes):+.2f} +- {1.96 * share * statistics.stdev(changes) / math.sqrt(len(changes)):.2f} %"


def lines_against(here, before):
    """Tasks won and lost against other cases of the same tasks, and the chance of such a split between equals."""
    pairs = [(case["exact"], before[task]["exact"]) for task, case in here.items()]
    won, lost = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
    return f"+{won} -{lost}, p = {sign_test(won, lost):.2g}"


def comparison(cases, others):
    """Markdown rows, one a depth: cases of one model against another's, over the tasks that both have answered."""
    lines = ["| depth | tasks | exact match of the others | of these | against the others | bits of the original, against the others |",
             "| --- | --- | --- | --- | --- | --- |"]
    for d in sorted({case["depth"] for case in cases}):
        before = {c["task_id"]: c for c in others if c["depth"] == d}
        here = {c["task_id"]: c for c in cases if c["depth"] == d and c["task_id"] in before}
        before = {task: before[task] for task in here}
        if not here:
            continue
        bits = all("bits" in c for c in (*here.values(), *before.values())) and len(here) > 1
        lines.append(f"| {d} | {len(here)} | {100 * exact_match(before.values())[0]:.1f} % | {100 * exact_match(here.values())[0]:.1f} % | "
                     f"{lines_against(here, before)} | {bits_against(here, before) if bits else ''} |")
    return lines


def table(cases):
    """Markdown rows, one a depth."""
    depths = sorted({case["depth"] for case in cases})
    by_depth = {d: {c["task_id"]: c for c in cases if c["depth"] == d} for d in depths}
    lines = ["| depth | tasks | non-trivial exact match | edit similarity | ended by itself | median ms | against the depth before | bits of the original, against the depth before |",
             "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for d in depths:
        here = list(by_depth[d].values())
        match, error = exact_match(here)
        against = bits = ""
        if d - 1 in by_depth:
            against = lines_against(by_depth[d], by_depth[d - 1])
            bits = bits_against(by_depth[d], by_depth[d - 1]) if "bits" in here[0] and len(here) > 1 else ""
        lines.append(f"| {d} | {len(here)} | {100 * match:.1f} +- {100 * error:.1f} % | {statistics.mean(c['edit_similarity'] for c in here):.3f} | "
                     f"{100 * statistics.mean(c['ended'] for c in here):.1f} % | {median_ms(here)} | {against} | {bits} |")
    return lines


def main():
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    own, more = sys.argv[1:end], sys.argv[end + 1:]
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("tasks", nargs="?"), parser.add_argument("--binary", default=str(ROOT / "build/release/loopd"))
    parser.add_argument("--depths", default="1,2,3,4,5,6"), parser.add_argument("--limit", type=int)
    parser.add_argument("--processes", type=int, default=8), parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--cases-out", help="write every case to this file, and go on from what it has")
    parser.add_argument("--cases", nargs="+", help="make the table of these instead of running tasks")
    parser.add_argument("--against", help="with --cases: compare them with these of another model instead, task by task")
    arguments = parser.parse_args(own)
    if bool(arguments.tasks) == bool(arguments.cases):
        parser.error("a file of tasks, or --cases with files of cases, is needed")
    if arguments.against and not arguments.cases:
        parser.error("--against compares cases, so --cases is needed")
    try:
        if arguments.cases:
            cases = [json.loads(line) for path in arguments.cases for line in read_lines(path)]
            others = [json.loads(line) for line in read_lines(arguments.against)] if arguments.against else []
            if arguments.against and not {c["task_id"] for c in cases} & {c["task_id"] for c in others}:
                sys.exit(f"{arguments.against}: has no task in common with these cases; compare cases of one file of tasks")
            print("\n".join(comparison(cases, others) if arguments.against else table(cases)))
            return
        lines = read_lines(arguments.tasks)
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror or error}; expected a .jsonl or .jsonl.gz of carets.py, or cases of one")
    wanted = min(arguments.limit or len(lines), len(lines))
    cases = run(arguments, [lines[n * len(lines) // wanted] for n in range(wanted)], more)
    print("\n".join(table(cases)))


if __name__ == "__main__":
    main()
