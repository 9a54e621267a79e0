"""Finds exact and near duplicates over the whole corpus with numpy: MinHash over 5-token shingles, banded, then verified."""

import hashlib

import numpy

SHINGLE_TOKENS = 5
BINS = 128
BANDS = 21
ROWS = 6
JACCARD_MIN = 0.7
PRIME = numpy.uint64(0x9E3779B97F4A7C15)
# Byte classes: 0 blank, 1 part of a word, 2 punctuation (each its own token); non-ASCII counts as a word.
CLASSES = numpy.full(256, 2, dtype=numpy.uint8)
CLASSES[[9, 10, 11, 12, 13, 32]] = 0
for _first, _last in ((48, 57), (65, 90), (97, 122), (95, 95), (128, 255)):
    CLASSES[_first:_last + 1] = 1
_POWERS = {"length": 0}


def _powers(length):
    """Returns PRIME^i and PRIME^-i (mod 2^64) for i < length, grown on demand."""
    if _POWERS["length"] < length:
        size = max(length, 1 << 18)
        inverse = numpy.uint64(pow(int(PRIME), -1, 1 << 64))
        with numpy.errstate(over="ignore"):
            up = numpy.cumprod(numpy.concatenate(([numpy.uint64(1)], numpy.full(size, PRIME, dtype=numpy.uint64))))
            down = numpy.cumprod(numpy.concatenate(([numpy.uint64(1)], numpy.full(size, inverse, dtype=numpy.uint64))))
        _POWERS.update(length=size, up=up, down=down)
    return _POWERS["up"], _POWERS["down"]


def mix(values):
    """Spreads 64-bit values over all bits (the finaliser of splitmix64)."""
    values = values ^ (values >> numpy.uint64(30))
    values = values * numpy.uint64(0xBF58476D1CE4E5B9)
    values = values ^ (values >> numpy.uint64(27))
    values = values * numpy.uint64(0x94D049BB133111EB)
    return values ^ (values >> numpy.uint64(31))


def token_spans(data):
    """Returns the array of bytes and the starts and ends of its tokens."""
    array = numpy.frombuffer(data, dtype=numpy.uint8)
    kinds = CLASSES[array]
    change = numpy.empty(len(array), dtype=bool)
    change[:1] = True
    change[1:] = (kinds[1:] != kinds[:-1]) | (kinds[1:] == 2)
    starts = numpy.flatnonzero(change)
    ends = numpy.append(starts[1:], len(array))
    solid = kinds[starts] != 0
    return array, starts[solid], ends[solid]


def span_hashes(array, starts, ends):
    """Hashes every span by a prefix sum of byte * PRIME^position, shifted back to position 0."""
    up, down = _powers(len(array) + 1)
    prefix = numpy.zeros(len(array) + 1, dtype=numpy.uint64)
    numpy.cumsum((array.astype(numpy.uint64) + numpy.uint64(1)) * up[:len(array)], out=prefix[1:])
    return mix((prefix[ends] - prefix[starts]) * down[starts])


def window_hashes(tokens, width):
    """Returns the hash of every run of `width` tokens; a shorter text gives one hash of what there is."""
    if len(tokens) < width:
        tokens = numpy.concatenate((tokens, numpy.zeros(width - len(tokens), dtype=numpy.uint64)))
    total = numpy.zeros(len(tokens) - width + 1, dtype=numpy.uint64)
    for offset in range(width):
        total = total * PRIME + tokens[offset:offset + len(total)]
    return mix(total)


def signature(data):
    """Returns BINS minima: each shingle falls into one bin, an empty bin borrows from its right neighbour."""
    array, starts, ends = token_spans(data)
    shingles = numpy.sort(window_hashes(span_hashes(array, starts, ends), SHINGLE_TOKENS))
    bins = (shingles >> numpy.uint64(57)).astype(numpy.int64)
    first = numpy.searchsorted(bins, numpy.arange(BINS))
    full = numpy.zeros(BINS, dtype=bool)
    inside = first < len(bins)
    full[inside] = bins[first[inside]] == numpy.flatnonzero(inside)
    values = numpy.zeros(BINS, dtype=numpy.uint64)
    # Without the bin number a borrowed minimum equals the lender's own in every file, as densification needs.
    values[full] = shingles[first[full]] & numpy.uint64((1 << 57) - 1)
    places = numpy.flatnonzero(full)
    lender = places[numpy.searchsorted(places, numpy.arange(BINS)) % len(places)]
    distance = ((lender - numpy.arange(BINS)) % BINS).astype(numpy.uint64)
    return (mix(values[lender] + distance * PRIME) >> numpy.uint64(32)).astype(numpy.uint32)


def normalised_hash(data):
    """Hashes the text without its white space, so that re-indented copies are exact duplicates."""
    return hashlib.sha256(b"".join(data.split())).digest()[:8]


def band_keys(signatures):
    """Returns one 64-bit key per file and band."""
    keys = numpy.empty((len(signatures), BANDS), dtype=numpy.uint64)
    for band in range(BANDS):
        total = numpy.full(len(signatures), band + 1, dtype=numpy.uint64)
        for row in range(ROWS):
            total = mix(total * PRIME + signatures[:, band * ROWS + row].astype(numpy.uint64))
        keys[:, band] = total
    return keys


def near_duplicates(signatures, order):
    """Walks the files in `order`; returns {file: earlier kept file with estimated Jaccard >= JACCARD_MIN}."""
    keys = band_keys(signatures)
    # Only keys that two files share can matter; the rest never enters the table.
    flat = numpy.sort(keys, axis=None)
    shared = numpy.unique(flat[1:][flat[1:] == flat[:-1]])
    common = numpy.isin(keys, shared)
    table, duplicates = {}, {}
    needed = JACCARD_MIN * BINS
    for file in order:
        file_keys = keys[file][common[file]].tolist()
        candidates = {}
        for key in file_keys:
            for other in table.get(key, ()):
                candidates[other] = True
        if candidates:
            others = numpy.fromiter(candidates, dtype=numpy.int64)
            equal = (signatures[others] == signatures[file]).sum(axis=1)
            best = int(equal.argmax())
            if equal[best] >= needed:
                duplicates[file] = int(others[best])
                continue
        for key in file_keys:
            table.setdefault(key, []).append(file)
    return duplicates
