"""Finds corpus files that share text with an evaluation set: 10-token windows with normalised identifiers, and longer ones without."""

import gzip
import json
import re

import numpy

import dedup

WINDOW_TOKENS = 10
# With every identifier made the same, only a longer run of tokens says more than "a loop with a test inside".
RENAMED_TOKENS = 30
# A window that many projects contain is an idiom of the language, not a trace of the evaluation set.
IDIOM_PROJECTS = 12
TEXT_FIELDS = ("prompt", "canonical_solution", "suffix", "test")
KEYWORDS = ("and as assert async await break case class continue def del elif else except false finally for from global if "
            "import in is lambda none nonlocal not or pass raise return true try while with yield len range str int list "
            "function const let var public private static void new null this fn mut func struct").split()
LOWER = numpy.arange(256, dtype=numpy.uint8)
LOWER[65:91] += 32
FILTER_BITS = 24
FILTER_MASK = numpy.uint64((1 << FILTER_BITS) - 1)
ANY_NAME = numpy.uint64(0x1D)


def _token_hash(word):
    array, starts, ends = dedup.token_spans(word.encode())
    return dedup.span_hashes(array, starts, ends)[0]


def _keyword_hashes():
    return numpy.array(sorted(int(_token_hash(word)) for word in KEYWORDS), dtype=numpy.uint64)


_KEYWORD_HASHES = _keyword_hashes()


def normalise(data):
    """Lowers the case and drops underscores, so that `maxValue`, `max_value` and `MAX_VALUE` are one identifier."""
    array = LOWER[numpy.frombuffer(data, dtype=numpy.uint8)]
    return array[array != 95].tobytes()


def windows(data):
    """Returns the sorted window hashes of a text: named windows and renamed windows in one array."""
    found = _all_windows(data)
    return numpy.unique(found)


def _all_windows(data):
    if not data.strip():
        return numpy.zeros(0, dtype=numpy.uint64)
    array, starts, ends = dedup.token_spans(normalise(data))
    if len(starts) == 0:
        return numpy.zeros(0, dtype=numpy.uint64)
    tokens = dedup.span_hashes(array, starts, ends)
    first = array[starts]
    is_name = ((first >= 97) & (first <= 122)) & ~numpy.isin(tokens, _KEYWORD_HASHES)
    renamed = numpy.where(is_name, ANY_NAME, tokens)
    found = []
    for values, width, salt in ((tokens, WINDOW_TOKENS, 1), (renamed, RENAMED_TOKENS, 2)):
        if len(values) >= width:
            found.append(dedup.window_hashes(values, width) ^ numpy.uint64(salt))
    return numpy.concatenate(found) if found else numpy.zeros(0, dtype=numpy.uint64)


def evaluation_windows(paths):
    """Returns the sorted windows of all texts of JSON-lines files (.gz or plain); the whole function is one text."""
    texts = set()
    for path in paths:
        opener = gzip.open if path.endswith(".gz") else open
        with opener(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                texts.add("".join(row.get(f, "") for f in ("prompt", "canonical_solution", "suffix")))
                texts.add(row.get("test", ""))
    parts = [windows(re.sub(r"\s+", " ", t).encode()) for t in sorted(texts)]
    return numpy.unique(numpy.concatenate(parts)) if parts else numpy.zeros(0, dtype=numpy.uint64)


def filter_of(evaluation):
    """Returns a bitmap over the low bits of the evaluation windows: it rejects nearly every other window without a search."""
    bitmap = numpy.zeros(1 << FILTER_BITS, dtype=bool)
    bitmap[(evaluation & FILTER_MASK).astype(numpy.int64)] = True
    return bitmap


def shared(data, evaluation, bitmap):
    """Returns the evaluation windows (sorted, with their `filter_of`) that occur in `data`."""
    if len(evaluation) == 0:
        return evaluation
    mine = _all_windows(data)
    mine = numpy.unique(mine[bitmap[(mine & FILTER_MASK).astype(numpy.int64)]])
    place = numpy.searchsorted(evaluation, mine)
    place[place == len(evaluation)] = 0
    return mine[evaluation[place] == mine]


def contaminated(hits, projects):
    """hits[i] = windows of file i, projects[i] its project; returns the files left with a window that is no idiom."""
    seen = {}
    for found, project in zip(hits, projects):
        for window in found.tolist():
            seen.setdefault(window, set()).add(project)
    telling = {w for w, owners in seen.items() if len(owners) < IDIOM_PROJECTS}
    return {i for i, found in enumerate(hits) if any(w in telling for w in found.tolist())}
