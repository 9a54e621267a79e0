"""Chooses the corpus: split, decontamination, duplicates across ecosystems, and a byte budget per language."""

import collections
import glob
import hashlib
import json
import multiprocessing
import os
import pathlib
import re

import numpy

import decontaminate
import dedup
import gather
import projects

# Raw bytes per language; above it every project gives way evenly, its tests first.
BUDGET = {"python": 380e6, "typescript": 200e6, "java": 240e6, "cpp": 270e6, "go": 200e6, "c": 270e6, "rust": 150e6,
          "javascript": 180e6}
HELD_OUT_LANGUAGE_BYTES = 8e6
HELD_OUT_PROJECT_BYTES = 260e3
TESTS = re.compile(r"(^|/)(tests?|testing|spec|specs|__tests__|testsuite)(/|$)|_test\.(go|py|cc|cpp|c|rs)$|(^|/)test_[^/]*\.py$|"
                   r"Tests?\.java$|[.-](test|spec)\.(js|ts|tsx|jsx|mjs)$", re.I)


# Before duplicates are known, this many times the budget is looked at; more would cost time and be cut away again.
LOOKED_AT = 1.25
_EVALUATION = []


def _use_evaluation(evaluation):
    """Gives each worker its own copy once, instead of one copy with every job."""
    _EVALUATION[:] = [evaluation, decontaminate.filter_of(evaluation)]


def analyse_package(job):
    """Adds some files of one package to the .npz beside it: exact hashes, MinHash signatures and evaluation windows."""
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
    analysis = {"at": numpy.array([at for at, _ in places], dtype=numpy.int64), "exact": numpy.array(exact, dtype=numpy.uint64),
                "signatures": numpy.array(signatures, dtype=numpy.uint32).reshape(-1, dedup.BINS),
                "hits": numpy.concatenate(hits), "counts": numpy.array(counts, dtype=numpy.int64)}
    if os.path.exists(target):
        with numpy.load(target) as before:
            analysis = {name: numpy.concatenate((before[name], values)) for name, values in analysis.items()}
    with open(target + ".new", "wb") as out:
        numpy.savez(out, **analysis)
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


def looked_at(files, earlier):
    """Returns the files that get a chance: LOOKED_AT times each language's budget, cut evenly over the projects, and `earlier` rows'."""
    kept = set(fit(files, range(len(files)), {k: v * LOOKED_AT for k, v in BUDGET.items()}, float("inf")))
    known = gather.file_keys(earlier)
    return [f for i, f in enumerate(files) if i in kept or (f["package"], f["path"]) in known]


def _analysed(path):
    if not os.path.exists(path):
        return set()
    with numpy.load(path) as analysis:
        return set(analysis["at"].tolist())


def analyse(cache, evaluation_paths, workers, report, earlier=()):
    """Analyses every file that an earlier run has not; a change of the evaluation set starts over."""
    evaluation = decontaminate.evaluation_windows(evaluation_paths)
    mark = hashlib.sha256(evaluation.tobytes()).hexdigest()
    mark_path = os.path.join(cache, "kept", "evaluation.mark")
    if not os.path.exists(mark_path) or pathlib.Path(mark_path).read_text(encoding="utf-8") != mark:
        for stale in glob.glob(os.path.join(cache, "kept", "*.npz")):
            os.remove(stale)
        with open(mark_path, "w") as out:
            out.write(mark)
    places = collections.defaultdict(list)
    for record in looked_at(read_records(cache), earlier):
        places[record["package"]].append((record["at"], record["n"]))
    todo = []
    for package, wanted in sorted(places.items()):
        path = os.path.join(cache, "kept", package)
        done = _analysed(path + ".npz")
        missing = sorted(place for place in wanted if place[0] not in done)
        if missing:
            todo.append((path + ".pack", missing))
    report("%d packages, %.0f MB to analyse against %d evaluation windows" %
           (len(todo), sum(n for _, part in todo for _, n in part) / 1e6, len(evaluation)))
    with multiprocessing.Pool(workers, _use_evaluation, (evaluation,)) as pool:
        for number, _ in enumerate(pool.imap_unordered(analyse_package, todo, chunksize=8), 1):
            if number % 500 == 0:
                report("analysed %d/%d" % (number, len(todo)))


def load(cache, earlier):
    """Returns the looked-at file records and the arrays of their analyses, in one order."""
    places = collections.defaultdict(list)
    for record in looked_at(read_records(cache), earlier):
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


def splits_of(files, earlier):
    """Returns the split of every file, None for one that belongs to neither.

    `earlier` holds the rows of an earlier pack: its files keep their split and its held-out projects theirs, and no further
    project is held out, so that models trained on either text are judged by the same carets.
    """
    sizes = collections.Counter()
    for record in files:
        sizes[record["project"]] += record["n"]
    fixed = {(row["package"], row["path"]): row["split"] for row in earlier}
    held_out = {row["project"] for row in earlier if row["split"] == "heldout"}
    result = []
    for record in files:
        project = record["project"]
        split = fixed.get((record["package"], record["path"]))
        if split is None:
            split = "heldout" if project in held_out else projects.split_of(project, sizes[project])
            split = None if earlier and split == "heldout" else split
        result.append(split)
    return result


def choose(cache, report, earlier=()):
    """Returns (files, {file index: split}, statistics); files of `earlier` rows (see splits_of) are always among the chosen."""
    files, exact, signatures, hits = load(cache, earlier)
    splits = splits_of(files, earlier)
    known = gather.file_keys(earlier)
    before = {i for i, r in enumerate(files) if (r["package"], r["path"]) in known}
    if len(before) < len(known):
        report("%d files of the earlier pack are not in the cache: what resembles them is not found" % (len(known) - len(before)))
    dropped = collections.defaultdict(collections.Counter)
    bad = decontaminate.contaminated(hits, [r["project"] for r in files])
    if bad & before:
        report("%d packed files share text with this evaluation set and stay: pack anew, without --add" % len(bad & before))
    bad -= before
    for index in bad:
        dropped["evaluation set"][files[index]["lang"]] += 1
    for index, split in enumerate(splits):
        if split is None and index not in bad:
            dropped["of a held-out project"][files[index]["lang"]] += 1
    # Earlier files come first, then those for training, so that of a pair across the split the held-out copy is the one to go.
    order = sorted((i for i in range(len(files)) if i not in bad and splits[i] is not None),
                   key=lambda i: (i not in before, splits[i] != "train", bool(TESTS.search(files[i]["path"])), files[i]["project"],
                                  files[i]["path"]))
    seen, unique = {}, []
    for index in order:
        key = int(exact[index])
        if key in seen and index not in before:
            dropped["exact duplicate"][files[index]["lang"]] += 1
            if splits[seen[key]] != splits[index]:
                dropped["exact duplicate across the split"][files[index]["lang"]] += 1
            continue
        seen[key] = index
        unique.append(index)
    near = {i: other for i, other in dedup.near_duplicates(signatures, unique).items() if i not in before}
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
    result.update({i: splits[i] for i in before})
    for index in clean:
        if index not in result:
            dropped["over the budget"][files[index]["lang"]] += 1
    return files, result, dropped
