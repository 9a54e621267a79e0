"""Tests the row maker and the BPE encoder of models/train on a small tokenizer made here; needs numpy and regex."""
import json
import os
import random
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../models/train"))
try:
    import numpy as np
    import bpe
    import corpus
    import encoded
    import rows
    MISSING = ""
except ImportError as e:
    MISSING = str(e)

MERGES = [["i", "n"], ["e", "r"], ["r", "e"], ["t", "o"], ["s", "e"], ["\u0120", "="], ["d", "e"], ["de", "f"],
          ["\u0120", "\u0120"], ["\u0120\u0120", "\u0120\u0120"], ["re", "t"], ["u", "r"], ["ret", "ur"], ["retur", "n"]]
SOURCE = "".join(f"def f{i}(alpha, beta):\n    total = alpha[{i}] + beta\n    if total:\n        return total\n\n\n"
                 for i in range(200))


def write_tokenizer(path):
    vocab = {s: i for i, s in enumerate(bpe.SPECIAL)}
    for c in sorted(bpe.byte_letters().values()):
        vocab[c] = len(vocab)
    for a, b in MERGES:
        vocab[a + b] = len(vocab)
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"model": {"vocab": vocab, "merges": MERGES}}, f)


@unittest.skipIf(MISSING, f"skip: {MISSING}")
class RowsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        path = os.path.join(cls.folder.name, "tokenizer.json")
        write_tokenizer(path)
        cls.encoder = bpe.Encoder(path)
        corpus.start_worker(path)
        cls.tokens, cls.files = corpus.encode_chunk(
            [({"path": f"src/m{i}.py", "project": "p"}, SOURCE[i * 7:].encode()) for i in range(4)])

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def write_corpus(self, folder, projects):
        """A corpus folder of these files, each once in every project."""
        tables = []
        for i in range(projects):
            table = self.files.copy()
            table["project"] = i
            for field in ("head", "text", "end"):
                table[field] += i * len(self.tokens)
            tables.append(table)
        np.tile(self.tokens, projects).tofile(os.path.join(folder, "tokens.u2"))
        np.save(os.path.join(folder, "files.npy"), np.concatenate(tables))
        np.save(os.path.join(folder, "bytes.npy"), np.array([len(b) for b in self.encoder.spelling], np.uint8))

    def test_an_encoded_corpus_comes_back_whole_and_a_missing_piece_is_named(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(encoded, "PIECE", len(self.tokens) // 3), \
                mock.patch("builtins.print"):
            there, packed, back = (os.path.join(folder, name) for name in ("there", "packed", "back"))
            os.mkdir(there)
            self.write_corpus(there, 1)
            encoded.pack(there, packed, 1)
            self.assertEqual(len([n for n in os.listdir(packed) if n.startswith("tokens-")]), 4)
            encoded.unpack(packed, back, 1)
            for name in ("tokens.u2", "files.npy", "bytes.npy"):
                with open(os.path.join(there, name), "rb") as one, open(os.path.join(back, name), "rb") as other:
                    self.assertEqual(one.read(), other.read(), name)
            os.remove(os.path.join(packed, "tokens-03.xz"))
            os.remove(os.path.join(back, "tokens.u2"))
            with self.assertRaisesRegex(SystemExit, f"files.npy tells of {len(self.tokens)}; copy the last pieces"):
                encoded.unpack(packed, back, 1)
            os.remove(os.path.join(packed, "tokens-01.xz"))
            with self.assertRaisesRegex(SystemExit, "pieces .0, 2. of tokens"):
                encoded.unpack(packed, back, 1)

    def test_slices_of_an_epoch_hold_its_rows_and_held_out_rows_are_the_same_for_every_seed(self):
        def run(folder, name, *more):
            command = ["rows.py", folder, os.path.join(folder, name), "--tokenizer", os.path.join(self.folder.name, "tokenizer.json"),
                       "--epochs", "1", "--length", "257", "--workers", "1", *more]
            with mock.patch.object(sys, "argv", command), mock.patch.object(rows, "TASK_TOKENS", len(self.tokens)), mock.patch("builtins.print"):
                rows.main()
            return {n[:-4]: np.load(os.path.join(folder, name, n)) for n in os.listdir(os.path.join(folder, name)) if n[0] != "b"}

        with tempfile.TemporaryDirectory() as folder:
            self.write_corpus(folder, 12)
            files = np.load(os.path.join(folder, "files.npy"))
            files["held_out"] = files["project"] == 0
            np.save(os.path.join(folder, "files.npy"), files)
            whole, cut, other = run(folder, "whole"), run(folder, "cut", "--slices", "3"), run(folder, "other", "--seed", "2")
        self.assertEqual(sorted(cut), ["epoch-000", "epoch-001", "epoch-002", "val"])
        together = np.concatenate([cut[n] for n in sorted(cut)[:3]])
        self.assertEqual(sorted(map(bytes, together)), sorted(map(bytes, whole["epoch-000"])))
        self.assertNotEqual(sorted(map(bytes, together)), sorted(map(bytes, other["epoch-000"])))
        for each in (cut, other):
            self.assertEqual(each["val"].tolist(), whole["val"].tolist())

    def make(self, seed, length=513):
        maker = rows.RowMaker(self.encoder, self.tokens, length, random.Random(seed))
        for f in self.files:
            for a, b in maker.windows(f):
                maker.add(f, a, b)
        return maker.finish()

    def texts(self, row):
        """[(special token before it, ids)] of a row."""
        out = []
        for t in row.tolist():
            if t < len(bpe.SPECIAL):
                out.append((t, []))
            elif out:
                out[-1][1].append(t)
        return out

    def test_encoder_merges_by_rank_and_comes_back(self):
        self.assertEqual(self.encoder.decode(self.encoder.encode("def x\r\n  return 1\u00e9")).decode(), "def x\r\n  return 1\u00e9")
        self.assertEqual(len(self.encoder.encode("return")), 1)
        self.assertEqual(len(self.encoder.encode("re\nturn")), 5)

    def test_lines_can_be_encoded_alone(self):
        whole = self.encoder.encode(SOURCE).tolist()
        lines = [t for line in SOURCE.splitlines(keepends=True) for t in self.encoder.encode(line).tolist()]
        self.assertEqual(whole, lines)

    def test_windows_cover_the_file_without_overlap(self):
        maker = rows.RowMaker(self.encoder, self.tokens, 513, random.Random(1))
        for f in self.files:
            w = maker.windows(f)
            self.assertEqual((w[0][0], w[-1][1]), (f["text"], f["end"]))
            self.assertTrue(all(a[1] == b[0] for a, b in zip(w, w[1:])))

    def test_rows_are_full_and_canonical(self):
        made = self.make(2)
        self.assertGreater(len(made), 20)
        self.assertLess((made[:-1] == bpe.PAD).mean(), 1e-3)
        for row in made:
            for _, ids in self.texts(row)[:-1]:
                text = self.encoder.decode(ids).decode()
                self.assertEqual(self.encoder.encode(text).tolist(), ids)

    def test_middle_and_suffix_join_to_the_file(self):
        joined = 0
        for row in self.make(3):
            items = self.texts(row)
            for (a, head), (b, suffix), (c, prefix), (d, middle), (e, _) in zip(*(items[i:] for i in range(5))):
                if (a, b, c, d, e) == (bpe.FILE_SEP, bpe.FIM_SUFFIX, bpe.FIM_PREFIX, bpe.FIM_MIDDLE, bpe.FIM_END):
                    self.assertTrue(self.encoder.decode(head).startswith(b"src/m"))
                    self.assertIn(self.encoder.decode(prefix + middle + suffix), SOURCE.encode())
                    self.assertLessEqual(len(suffix), rows.SUFFIX_LIMIT)
                    joined += 1
        self.assertGreater(joined, 20)

    def test_held_out_projects_are_whole_and_few(self):
        table = np.zeros(1000, corpus.TABLE)
        table["project"] = [corpus.project_hash(f"p{i // 4}") for i in range(1000)]
        table["end"] = np.random.default_rng(0).integers(100, 9000, 1000)
        table["end"][:4] = 10_000_000
        out = corpus.held_out(table)
        self.assertFalse(out[:4].any())
        share = table["end"][out].sum() / table["end"].sum()
        self.assertTrue(0.5 * corpus.HELD_OUT < share <= corpus.HELD_OUT)
        for p in np.unique(table["project"]):
            self.assertEqual(len(set(out[table["project"] == p])), 1)


if __name__ == "__main__":
    unittest.main()
