"""Trains the byte-level BPE of 16384 tokens on a sample of the corpus and writes tokenizer.json.

    python3 tokenizer.py SAMPLE.xz [MORE.xz ...] --out tokenizer.json --megabytes 60
"""
import argparse
import random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

import corpus
from bpe import PATTERN, SPECIAL

VOCAB = 16384


def blank():
    t = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(PATTERN), behavior="isolated")
    t.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    return t


def sample(paths, limit):
    """Texts of up to `limit` bytes, spread over the whole corpus and over its languages (square-root weighting)."""
    by_language = {}
    for path in paths:
        for head, data in corpus.records(path):
            by_language.setdefault(head["lang"], []).append(data)
    rng, out = random.Random(0), []
    weights = {lang: sum(map(len, files)) ** 0.5 for lang, files in by_language.items()}
    for lang, files in sorted(by_language.items()):
        share, taken = limit * weights[lang] / sum(weights.values()), 0
        rng.shuffle(files)
        for data in files:
            if taken >= share:
                break
            out.append(data.decode("utf-8", "replace"))
            taken += len(data)
    return out


def main():
    p = argparse.ArgumentParser()
    p.add_argument("sample", nargs="+"), p.add_argument("--out", required=True)
    p.add_argument("--megabytes", type=float, default=60)
    a = p.parse_args()
    texts = sample(a.sample, a.megabytes * 1e6)
    t = blank()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=SPECIAL, min_frequency=2,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), max_token_length=32)
    t.train_from_iterator(texts, trainer)
    ids = t.get_vocab()
    assert [ids[s] for s in SPECIAL] == list(range(8)) and len(ids) == VOCAB, f"{len(ids)} tokens: sample too small?"
    t.save(a.out)
    n = sum(map(len, t.encode_batch(texts[:2000])))
    print(f"{a.out}: {sum(len(x.encode()) for x in texts[:2000]) / n:.2f} bytes per token over {len(texts)} files")


if __name__ == "__main__":
    main()
