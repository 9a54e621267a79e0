"""Tests the export of models/train: int4 packing, scales, shards and index; needs numpy and torch."""
import json
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../models/train"))
try:
    import numpy as np
    import torch
    import export
    import model
    import quantize
    import restore
    import safetensors_file
    MISSING = ""
except ImportError as e:
    MISSING = str(e)


@unittest.skipIf(MISSING, f"skip: {MISSING}")
class ExportTest(unittest.TestCase):
    def test_nibble_i_is_column_8c_plus_i_stored_plus_8(self):
        codes = torch.tensor([[-8.0, -7, 0, 1, 2, 3, 6, 7]])
        self.assertEqual(export.pack_int4(codes).view("<u4").tolist(), [[0xFEBA9810]])

    def test_stored_codes_and_scales_give_what_training_saw(self):
        torch.manual_seed(0)
        w = torch.randn(24, 256) * torch.rand(24, 1)
        t = export.quantised_tensors({"x_proj.weight": w})
        words = t["x_proj.weight_packed"].view("<u4")
        codes = np.stack([(words >> np.uint32(4 * i)) & 15 for i in range(8)], -1).reshape(24, 256).astype(int) - 8
        back = codes.reshape(24, 4, 64) * t["x_proj.weight_scale"].astype(np.float32)[..., None]
        self.assertTrue(np.array_equal(back.reshape(24, 256).astype(np.float32), quantize.int4_round(w).numpy()))
        self.assertEqual(t["x_proj.weight_shape"].tolist(), [24, 256])

    def test_an_exported_model_is_restored_as_it_was_rounded(self):
        s = model.Shape(vocab=128, width=64, hidden=128, layers=2, heads=2, kv_heads=1, head_dim=64, loops=3)
        named = model.initial_weights(s, 0, residual_zero=False)
        named["norm2"] = torch.rand_like(named["norm2"])
        with tempfile.TemporaryDirectory() as folder:
            export.write_model(folder, s, named)
            back = restore.masters(folder, s)
        self.assertEqual(set(back), set(named))
        for name, t in named.items():
            rounded = (quantize.int4_round(t) if name in model.matrix_shapes(s) else
                       quantize.int8_round(t) if name == "embed" else t)
            self.assertTrue(torch.equal(back[name], rounded), name)

    def test_the_chosen_clip_is_no_worse_than_plain_rounding(self):
        torch.manual_seed(1)
        w = torch.randn(64, 128)
        plain = (w.unflatten(-1, (-1, 64)).abs().amax(-1, keepdim=True) / 7)
        rounded = ((w.unflatten(-1, (-1, 64)) / plain).round().clamp(-8, 7) * plain).flatten(-2)
        self.assertLess((quantize.int4_round(w) - w).norm(), 0.98 * (rounded - w).norm())

    def test_folder_is_complete_and_every_tensor_is_indexed(self):
        s = model.Shape(vocab=128, width=64, hidden=128, layers=2, heads=2, kv_heads=1, head_dim=32)
        with tempfile.TemporaryDirectory() as folder:
            total = export.write_model(folder, s, model.initial_weights(s, 0))
            with open(os.path.join(folder, "model.safetensors.index.json"), encoding="utf-8") as f:
                where = json.load(f)["weight_map"]
            read = {}
            for name in set(where.values()):
                read |= safetensors_file.read(os.path.join(folder, name))
            self.assertEqual(set(read), set(where))
            self.assertEqual(total, sum(os.path.getsize(os.path.join(folder, n)) for n in set(where.values())))
            self.assertEqual(len(where), 1 + 1 + 2 * (7 * 3 + 4 + 2) + 4)
            self.assertEqual(read["model.loop_state_norm.weight"].shape, (2, 64))
            self.assertEqual(read["model.layers.1.input_layernorm.weight"].shape, (3, 64))


if __name__ == "__main__":
    unittest.main()
