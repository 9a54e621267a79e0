"""Held-out carets put back together give the file; the n-gram baseline repeats what the file repeats."""

import json
import lzma
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "models", "evaluate"))
import carets
import depths
import ngram

SOURCE = """import os


def area(width, height):
    return width * height


def volume(width, height, depth):
    return area(width, height) * depth
"""


class Carets(unittest.TestCase):
    def test_a_task_put_together_is_the_file(self):
        rng = random.Random(3)
        header = {"path": "shapes.py", "project": "shapes", "lang": "python"}
        kinds = set()
        for kind, _ in carets.KINDS * 10:
            task = carets.draw(header, SOURCE, kind, rng)
            if task:
                kinds.add(kind)
                self.assertEqual(task["prompt"] + task["canonical_solution"] + task["suffix"], SOURCE)
                self.assertTrue(carets.nontrivial(task["canonical_solution"]))
                self.assertNotIn("\n", task["canonical_solution"])
        self.assertEqual(kinds, {kind for kind, _ in carets.KINDS})

    def test_places(self):
        line = "    total = add(first, second)"
        self.assertEqual(carets.places("line", line), [(4, len(line))])
        self.assertIn((line.index("(") + 1, line.index(")")), carets.places("closed", line))
        self.assertEqual(carets.places("closed", "foo(bar("), [])
        self.assertNotIn(4, [start for start, _ in carets.places("word", line)])

    def test_every_project_is_used_and_no_caret_twice(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "heldout.xz")
            with lzma.open(path, "wb") as out:
                for project in ("a", "b", "c"):
                    data = SOURCE.replace("area", project + "_area").encode()
                    header = {"path": project + ".py", "project": project, "lang": "python", "n": len(data)}
                    out.write(json.dumps(header).encode() + b"\n" + data)
            tasks = list(carets.tasks(path, 12, seed=1))
        self.assertEqual(len(tasks), 12)
        self.assertEqual({t["project"] for t in tasks}, {"a", "b", "c"})
        self.assertEqual(len({(t["path"], t["prompt"], t["canonical_solution"]) for t in tasks}), 12)


class Ngram(unittest.TestCase):
    def test_repeats_what_followed_the_longest_context(self):
        prompt = "x = load(path)\ny = load(name)\nz = store(name)\nx = load("
        self.assertEqual(ngram.complete(prompt, "\n"), "path)")

    def test_finishes_a_word_and_stops_at_the_line(self):
        self.assertEqual(ngram.complete("configuration = 1\nprint(conf", "\n"), "iguration = 1")

    def test_says_nothing_about_what_it_never_saw(self):
        self.assertEqual(ngram.complete("a b\nq", "\n"), "")


class DepthsTest(unittest.TestCase):
    def case(self, task, depth, exact, language="go", nontrivial=True):
        return {"task_id": task, "language": language, "depth": depth, "exact": exact, "nontrivial": nontrivial,
                "edit_similarity": float(exact), "ended": True, "ms": 1.0}

    def test_the_sign_test_is_the_exact_binomial_one(self):
        # R: binom.test(c(won, lost))$p.value
        for won, lost, p in ((5, 3, 0.7265625), (10, 1, 0.01171875), (0, 6, 0.03125), (4, 4, 1), (0, 0, 1)):
            self.assertAlmostEqual(depths.sign_test(won, lost), p)

    def test_every_language_counts_the_same_and_trivial_lines_not_at_all(self):
        cases = [self.case("a", 1, True), self.case("b", 1, False, "c"), self.case("d", 1, False, "c"),
                 self.case("e", 1, True, "c", nontrivial=False)]
        self.assertAlmostEqual(depths.exact_match(cases)[0], 0.5)

    def test_depths_are_compared_task_by_task(self):
        cases = [self.case(t, d, exact) for t, d, exact in (("a", 1, True), ("b", 1, False), ("c", 1, False),
                                                            ("c", 2, True), ("b", 2, True), ("a", 2, False))]
        self.assertIn("| 1 | +2 -1, p = 1 |", depths.table(cases)[-1])

    def test_bits_are_compared_task_by_task(self):
        # 10, 20, 30 bits become 9, 18, 30: one less on average, standard deviation 1, of 20.
        cases = [self.case(t, d, True) | {"bits": bits} for t, d, bits in (("a", 1, 10.0), ("b", 1, 20.0), ("c", 1, 30.0),
                                                                           ("c", 2, 30.0), ("a", 2, 9.0), ("b", 2, 18.0))]
        self.assertIn("| -5.00 +- 5.66 % |", depths.table(cases)[-1])

    def test_two_models_are_compared_over_what_both_have_answered(self):
        others = [self.case("a", 1, True), self.case("b", 1, False), self.case("c", 1, False)]
        cases = [self.case("b", 1, True), self.case("a", 1, True), self.case("d", 1, False), self.case("a", 2, True)]
        self.assertEqual(depths.comparison(cases, others)[2:], ["| 1 | 2 | 50.0 % | 100.0 % | +1 -0, p = 1 |  |"])

    def test_a_run_that_stops_half_way_goes_on_where_it_was(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            # Stands for loopd: answers every task, and notes which; fails at the last one while there is a file `fail`.
            binary = folder / "loopd"
            binary.write_text(f"""#!{sys.executable}
import json, pathlib, sys
tasks = [json.loads(line)["task_id"] for line in open(sys.argv[3])]
if "t39" in tasks and pathlib.Path(r"{folder}/fail").exists(): sys.exit("eval infill: out of luck")
with open(r"{folder}/asked", "a") as asked: asked.write("".join(t + chr(10) for t in tasks))
for depth in (1, 2):
    for t in tasks:
        print(json.dumps(dict(task_id=t, language="go", depth=depth, exact=True, nontrivial=True, edit_similarity=1.0, ended=True, ms=1.0)))
""")
            binary.chmod(0o755)
            tasks, cases = folder / "tasks.jsonl", folder / "cases.jsonl"
            tasks.write_text("".join(json.dumps({"task_id": f"t{i}"}) + "\n" for i in range(40)))
            (folder / "fail").touch()
            command = [sys.executable, depths.__file__, str(tasks), "--binary", str(binary), "--depths", "1,2", "--processes", "1", "--cases-out", str(cases)]
            stopped = subprocess.run(command, capture_output=True, text=True)
            self.assertEqual(stopped.returncode, 1)
            self.assertIn("out of luck; the same command goes on from", stopped.stderr)
            # As a machine leaves it that is switched off: the last line is torn.
            cases.write_text(cases.read_text()[:-20])
            (folder / "fail").unlink()
            done = subprocess.run(command, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("| 2 | 40 | 100.0", done.stdout)
            asked = (folder / "asked").read_text().split()
            self.assertEqual((len(asked), len(set(asked))), (41, 40))  # only the torn task twice
            other = subprocess.run([*command, "--", "--model", "another"], capture_output=True, text=True)
            self.assertIn("has answers to another question", other.stderr)
            self.assertEqual(len(cases.read_text().splitlines()), 80)

    def test_answers_given_many_at_once_have_no_time(self):
        cases = [self.case("a", 1, True)]
        del cases[0]["ms"]
        self.assertIn("| 100.0 % |  |  |", depths.table(cases)[-1])


if __name__ == "__main__":
    unittest.main()
