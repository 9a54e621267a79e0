"""How alike two texts are, the same figure as `loopd eval infill` prints."""


def edit_similarity(a, b):
    """1 - Levenshtein distance / length of the longer; 1 for two empty strings."""
    if not a and not b:
        return 1.0
    above = list(range(len(b) + 1))
    for i, x in enumerate(a):
        row = [i + 1]
        for j, y in enumerate(b):
            row.append(min(above[j] + (x != y), above[j + 1] + 1, row[j] + 1))
        above = row
    return 1 - above[-1] / max(len(a), len(b))
