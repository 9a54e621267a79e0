"""Tests the schedule, the row source and the orthogonalisation of models/train; needs numpy, regex and torch."""
import collections
import os
import sys
import tempfile
import types
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../models/train"))
try:
    import numpy as np
    import torch
    import optimizer
    import train
    MISSING = ""
except ImportError as e:
    MISSING = str(e)


@unittest.skipIf(MISSING, f"skip: {MISSING}")
class ScheduleTest(unittest.TestCase):
    def setUp(self):
        self.a = types.SimpleNamespace(warmup_steps=100, cool_from=0.65, loops_from=0.3, seed=1,
                                       depths={1: 0.25, 2: 0.4, 3: 0.35})

    def test_rate_rises_holds_and_falls(self):
        self.assertAlmostEqual(train.rate(self.a, 0.0, 49), 0.5)
        self.assertEqual(train.rate(self.a, 0.6, 5000), 1.0)
        self.assertAlmostEqual(train.rate(self.a, 0.825, 5000), 0.5)
        self.assertAlmostEqual(train.rate(self.a, 1.0, 5000), 0.02)

    def test_depths_follow_the_curriculum_and_are_the_same_on_every_rank(self):
        self.assertEqual({train.pick_depth(self.a, 0.2, s) for s in range(500)}, {1})
        drawn = [train.pick_depth(self.a, 0.5, s) for s in range(4000)]
        self.assertEqual(drawn, [train.pick_depth(self.a, 0.9, s) for s in range(4000)])
        for depth, n in collections.Counter(drawn).items():
            self.assertAlmostEqual(n / 4000, self.a.depths[depth], delta=0.03)

    def test_ranks_share_every_row_of_every_epoch(self):
        with tempfile.TemporaryDirectory() as folder:
            for epoch in (0, 1):
                np.save(os.path.join(folder, f"epoch-{epoch:03d}.npy"), np.full((12, 5), epoch * 100) + np.arange(12)[:, None])
            ranks = [train.Rows(folder, r, 3, 2, lambda **k: None) for r in range(3)]
            seen = [int(x) for _ in range(4) for r in ranks for x in r.next()[:, 0]]
        self.assertEqual(sorted(seen), [*range(12), *range(100, 112)])

    def test_separators_weigh_nothing_and_the_middle_and_its_end_what_is_asked(self):
        rows = torch.tensor([[6, 50, 2, 60, 1, 70, 3, 80, 81, 4, 6, 90]])
        _, targets, weights = train.split_rows(rows, torch.device("cpu"), middle_weight=3, end_weight=6)
        self.assertEqual(targets.tolist(), [[50, 2, 60, 1, 70, 3, 80, 81, 4, 6, 90]])
        self.assertEqual(weights.tolist(), [[1, 0, 1, 0, 1, 0, 3, 3, 6, 0, 1]])

    def test_orthogonalise_brings_singular_values_near_one(self):
        torch.manual_seed(0)
        for shape in ((3, 32, 48), (2, 48, 32)):
            s = torch.linalg.svdvals(optimizer.orthogonalise(torch.randn(*shape)))
            self.assertTrue((s > 0.5).all() and (s < 1.3).all())


if __name__ == "__main__":
    unittest.main()
