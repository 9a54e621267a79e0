"""Chooses the corpus: split, decontamination, duplicates across ecosystems, and a byte budget per language."""

import collections
import glob
import hashlib
import json
import multiprocessing
import os
import re

import numpy

import decontaminate
import dedup
import gather
import projects

# Raw bytes per language; above it every project gives way evenly, its tests first.
BUDGET = {"python": 190e6, "typescript": 120e6, "java": 110e6, "cpp": 120e6, "go": 95e6, "c": 95e6, "rust": 95e6,
          "javascript": 90e6}
HELD_OUT_LANGUAGE_BYTES = 8e6
HELD_OUT_PROJECT_BYTES = 260e3
TESTS = re.compile(r"(^|/)(tests?|testing|spec|specs|__tests__|testsuite)(/|$)|_test\.(go|py|cc|cpp|c|rs)$|(^|/)test_[^/]*\.py$|"
                   r"Tests?\.java$|[.-](test|spec)\.(js|ts|tsx|jsx|mjs)$", re.I)


# Before duplicates are known, this many times the budget is looked at; more would cost time and be cut away again.
LOOKED_AT = 1.6
_EVALUATION = []


def _use_evaluation(evaluation):
    """Gives each worker its own copy once, instead of one copy with every job."""
    _EVALUATION[:] = [evaluation, decontaminate.filter_of(evaluation)]


def analyse_package(job):
    """Writes a .npz beside one package's kept files: exact hashes, MinHash signatures and evaluation windows of some files."""
    path, places = job
    exact, signatures, hits, counts = [], [], [], []
    with open(path, "rb") as stream:
        for at, size in places:
            stream.seek(at)
            data = stream.read(size)
            exact.append(int.from_bytes(dedup.normalised_hash(data), "little"))
            signatures.append(dedup.signature(data))
            found = decontaminate.shared(data, *_EVALUATION)
            hits.append(found)
            counts.append(len(found))
    target = path[:-5] + ".npz"
    with open(target + ".new", "wb") as out:
        numpy.savez(out, at=numpy.array([at for at, _ in places], dtype=numpy.int64),
                    exact=numpy.array(exact, dtype=numpy.uint64),
                    signatures=numpy.array(signatures, dtype=numpy.uint32).reshape(-1, dedup.BINS),
                    hits=numpy.concatenate(hits), counts=numpy.array(counts, dtype=numpy.int64))
    os.replace(target + ".new", target)


def read_records(cache):
    """Returns the header of every kept file, with `package` and `at`, the place of its text in the package's stream."""
    files = []
    for path in sorted(glob.glob(os.path.join(cache, "kept", "*.pack"))):
        with open(path, "rb") as stream:
            while True:
                line = stream.readline()
                if not line:
                    break
                record = json.loads(line)
                record["package"] = os.path.basename(path)[:-5]
                record["at"] = stream.tell()
                stream.seek(record["n"], 1)
                files.append(record)
    return files


def looked_at(files):
    """Returns the files that get a chance: LOOKED_AT times each language's budget, cut evenly over the projects."""
    kept = fit(files, range(len(files)), {k: v * LOOKED_AT for k, v in BUDGET.items()}, float("inf"))
    return [files[i] for i in kept]


def _analysed(path):
    if not os.path.exists(path):
        return set()
    with numpy.load(path) as analysis:
        return set(analysis["at"].tolist())


def analyse(cache, evaluation_paths, workers, report):
    """Analyses every file that an earlier run has not; a change of the evaluation set starts over."""
    evaluation = decontaminate.evaluation_windows(evaluation_paths)
    mark = hashlib.sha256(evaluation.tobytes()).hexdigest()
    mark_path = os.path.join(cache, "kept", "evaluation.mark")
    if not os.path.exists(mark_path) or open(mark_path).read() != mark:
        for stale in glob.glob(os.path.join(cache, "kept", "*.npz")):
            os.remove(stale)
        with open(mark_path, "w") as out:
            out.write(mark)
    places = collections.defaultdict(list)
    for record in looked_at(read_records(cache)):
        places[record["package"]].append((record["at"], record["n"]))
    todo = []
    for package, wanted in sorted(places.items()):
        path = os.path.join(cache, "kept", package)
        if not {at for at, _ in wanted} <= _analysed(path + ".npz"):
            todo.append((path + ".pack", sorted(wanted)))
    report("%d packages, %.0f MB to analyse against %d evaluation windows" %
           (len(todo), sum(n for _, part in todo for _, n in part) / 1e6, len(evaluation)))
    with multiprocessing.Pool(workers, _use_evaluation, (evaluation,)) as pool:
        for number, _ in enumerate(pool.imap_unordered(analyse_package, todo, chunksize=8), 1):
            if number % 500 == 0:
                report("analysed %d/%d" % (number, len(todo)))


def load(cache):
    """Returns the looked-at file records and the arrays of their analyses, in one order."""
    places = collections.defaultdict(list)
    for record in looked_at(read_records(cache)):
        places[record["package"]].append(record)
    files, exact, signatures, hits = [], [], [], []
    for package, records in sorted(places.items()):
        with numpy.load(os.path.join(cache, "kept", package + ".npz")) as analysis:
            row_of = {at: row for row, at in enumerate(analysis["at"].tolist())}
            rows = [row_of[r["at"]] for r in records]
            parts = numpy.split(analysis["hits"], numpy.cumsum(analysis["counts"])[:-1])
            files += records
            exact.append(analysis["exact"][rows])
            signatures.append(analysis["signatures"][rows])
            hits += [parts[row] for row in rows]
    return files, numpy.concatenate(exact), numpy.concatenate(signatures), hits


def _budget_cap(totals, budget):
    """Returns the per-project cap whose sum of min(total, cap) just meets the budget (water filling)."""
    rest, left = budget, len(totals)
    for total in sorted(totals):
        if total * left > rest:
            return rest / left
        rest -= total
        left -= 1
    return float("inf")


def fit(files, chosen, budgets, project_max):
    """Returns the subset of `chosen` that meets each language's budget; tests go before other files, else by path hash."""
    by_language = collections.defaultdict(lambda: collections.defaultdict(list))
    for index in chosen:
        by_language[files[index]["lang"]][files[index]["project"]].append(index)
    kept = []
    for language, owners in sorted(by_language.items()):
        totals = [min(project_max, sum(files[i]["n"] for i in indexes)) for indexes in owners.values()]
        cap = min(project_max, _budget_cap(totals, budgets[language]))
        for indexes in owners.values():
            left = cap
            for index in sorted(indexes, key=lambda i: (bool(TESTS.search(files[i]["path"])),
                                                        hashlib.md5(files[i]["path"].encode()).digest())):
                if files[index]["n"] <= left:
                    left -= files[index]["n"]
                    kept.append(index)
    return sorted(kept)


def choose(cache, report):
    """Returns (files, {file index: split}, statistics)."""
    files, exact, signatures, hits = load(cache)
    sizes = collections.Counter()
    for record in files:
        sizes[record["project"]] += record["n"]
    splits = [projects.split_of(r["project"], sizes[r["project"]]) for r in files]
    dropped = collections.defaultdict(collections.Counter)
    bad = decontaminate.contaminated(hits, [r["project"] for r in files])
    for index in bad:
        dropped["evaluation set"][files[index]["lang"]] += 1
    # Training files come first, so that of a pair across the split the held-out copy is the one to go.
    order = sorted((i for i in range(len(files)) if i not in bad),
                   key=lambda i: (splits[i] != "train", bool(TESTS.search(files[i]["path"])), files[i]["project"], files[i]["path"]))
    seen, unique = {}, []
    for index in order:
        key = int(exact[index])
        if key in seen:
            dropped["exact duplicate"][files[index]["lang"]] += 1
            if splits[seen[key]] != splits[index]:
                dropped["exact duplicate across the split"][files[index]["lang"]] += 1
            continue
        seen[key] = index
        unique.append(index)
    near = dedup.near_duplicates(signatures, unique)
    for index, other in near.items():
        dropped["near duplicate"][files[index]["lang"]] += 1
        if splits[index] != splits[other]:
            dropped["near duplicate across the split"][files[index]["lang"]] += 1
    clean = [i for i in unique if i not in near]
    report("%d files, %d left after duplicates" % (len(files), len(clean)))
    held_budget = {language: HELD_OUT_LANGUAGE_BYTES for language in BUDGET}
    result = {i: "train" for i in fit(files, [i for i in clean if splits[i] == "train"], BUDGET, float("inf"))}
    result.update({i: "heldout" for i in fit(files, [i for i in clean if splits[i] == "heldout"], held_budget,
                                             HELD_OUT_PROJECT_BYTES)})
    for index in clean:
        if index not in result:
            dropped["over the budget"][files[index]["lang"]] += 1
    return files, result, dropped
