"""Checks the corpus tool's decisions: licences, filters, masking, projects and split, duplicates, decontamination, framing."""

import inspect
import io
import json
import lzma
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "models", "corpus"))

import archives
import filters
import gather
import licences
import masking
import projects

try:
    import numpy
    import assemble
    import decontaminate
    import dedup
    import pack
except ImportError:
    numpy = None

DEP5 = """Format: copyright-format/1.0
Upstream-Name: sample

Files: *
Copyright: 2010 Jane Roe
           2012 John Doe
License: Expat

Files: src/gpl/*
 src/odd?.c
Copyright: 2011 Others
License: GPL-2+

Files: src/gpl/free.c
Copyright: 2013 Free Author
License: GPL-2 or BSD-3-clause
"""
CODE = "def area(width, height):\n    '''Area of a rectangle.'''\n    return width * height\n\n\n" * 4


def dep5_package(text=DEP5):
    package = archives.Package("debian", "sample", "1.0")
    package.copyright = text
    return package


def npm_package(field, licence_file):
    package = archives.Package("npm", "sample", "1.0")
    package.licence_field = field
    package.licence_file = licence_file
    return package


class LicenceTest(unittest.TestCase):
    def test_names(self):
        for name, expected in (("Expat", "MIT"), ("MIT", "MIT"), ("Apache-2.0", "Apache-2.0"), ("Apache-2", "Apache-2.0"),
                               ("Apache License, Version 2.0", "Apache-2.0"), ("BSD-3-clause", "BSD-3-Clause"),
                               ("BSD-2-Clause", "BSD-2-Clause"), ("ISC", "ISC"), ("zlib/libpng", "Zlib"), ("BSL-1.0", "BSL-1.0"),
                               ("Boost-1.0", "BSL-1.0"), ("Unlicense", "Unlicense"), ("CC0-1.0", "CC0-1.0"), ("0BSD", "0BSD"),
                               ("PSF-2", "PSF-2.0"), ("Apache-2.0 WITH LLVM-exception", "Apache-2.0"),
                               ("GPL-3+", ""), ("LGPL-2.1", ""), ("MPL-2.0", ""), ("EPL-1.0", ""), ("Apache-1.1", ""), ("JSON", ""),
                               ("MIT-with-GPL-parts", ""), ("CC-BY-4.0", ""), ("BUSL-1.1", ""), ("UNLICENSED", ""),
                               ("SEE LICENSE IN LICENSE", ""), ("", "")):
            with self.subTest(name=name):
                self.assertEqual(licences.allowed_name(name), expected)

    def test_expressions(self):
        for text, expected in (("GPL-2 or MIT", "MIT"), ("(MIT OR GPL-3.0-or-later)", "MIT"), ("MIT AND Apache-2.0", "Apache-2.0 AND MIT"),
                               ("MIT and GPL-2", ""), ("Expat, and BSD-3-clause", "BSD-3-Clause AND MIT"), ("MIT | GPL-2.0", "MIT"),
                               ("(GPL-2 or MIT) and LGPL-2", ""), ("(GPL-2 or MIT) and ISC", "ISC AND MIT")):
            with self.subTest(text=text):
                self.assertEqual(licences.allowed_expression(text), expected)

    def test_dep5_takes_the_last_rule_that_matches(self):
        decide = licences.PackageLicence(dep5_package()).decide
        for path, expected in (("main.c", "MIT"), ("src/gpl/deep/tainted.c", ""), ("src/odd1.c", ""), ("src/gpl/free.c", "BSD-3-Clause"),
                               ("src/other.c", "MIT")):
            with self.subTest(path=path):
                self.assertEqual(decide(path, CODE)[0], expected)

    def test_a_header_overrules_the_package(self):
        decide = licences.PackageLicence(dep5_package()).decide
        for header in ("// under the terms of the GNU General Public License\n", "/* SPDX-License-Identifier: MPL-2.0 */\n",
                       "// This is proprietary software.\n", "# Licensed under LGPLv3\n", "// Copyright X. CONFIDENTIAL.\n",
                       " * GNU Lesser\n * General Public License\n"):
            with self.subTest(header=header):
                self.assertEqual(decide("main.c", header + CODE), ("", "licence header"))
        self.assertEqual(decide("main.c", "// SPDX-License-Identifier: GPL-2.0 OR MIT\n" + CODE)[0], "MIT")

    def test_free_text_copyright_trusts_only_the_header(self):
        decide = licences.PackageLicence(dep5_package("This package is under some licence.\n")).decide
        self.assertEqual(decide("main.c", CODE), ("", "licence unknown"))
        self.assertEqual(decide("Main.java", "/* Licensed under the Apache License, Version 2.0 */\n" + CODE)[0], "Apache-2.0")

    def test_words_of_a_licence_are_found_through_comment_signs(self):
        for head, expected in (
                ("// Permission to use, copy, modify, and/or distribute\n// this software for any purpose\n", "ISC"),
                ("/*\n * Permission is hereby\n * granted, free of charge, to any person\n */\n", "MIT"),
                ("# Licensed under the Apache License,\n# Version 2.0 (the License)\n", "Apache-2.0"),
                ("# see http://www.apache.org/licenses/LICENSE-2.0\n", "Apache-2.0"),
                ("; Redistribution and use in source\n; and binary forms\n", "BSD"), ("int main(void);\n", "")):
            with self.subTest(head=head):
                self.assertEqual(licences.named_in(head), expected)

    def test_npm_needs_field_and_file(self):
        for field, text, expected in (("MIT", "MIT License", "MIT"), ("MIT", "", ""), ("", "MIT License", ""),
                                      ("BSD", "Do what you want to public license", ""), ("GPL-3.0", "x", ""),
                                      ("MIT", "GNU General Public License", ""), ("(MIT OR GPL-3.0)", "MIT or the GNU General Public", "MIT")):
            with self.subTest(field=field, text=text):
                self.assertEqual(licences.PackageLicence(npm_package(field, text)).decide("src/a.ts", CODE)[0], expected)


class FilterTest(unittest.TestCase):
    def test_paths(self):
        for path, expected in (("src/main.py", ""), ("node_modules/a/b.js", "vendored"), ("vendor/github.com/x/y.go", "vendored"),
                               ("third_party/zlib/zlib.c", "vendored"), ("dist/index.js", "vendored"), ("esm/index.js", "compiled copy"),
                               ("pkg/testdata/big.go", "test data"), ("src/app.min.js", "generated"), ("api/x.pb.go", "generated"),
                               ("src/builder/build.py", ""), ("distance.py", ""), ("src/vendor.py", "")):
            with self.subTest(path=path):
                self.assertEqual(filters.reason_for_path(path), expected)

    def test_texts(self):
        table = "int t[] = {\n" + "0x1f, 0x2e, 0x3d, 0x4c, 0x5b, 0x6a,\n" * 40 + "};\n"
        digits = "values = [\n" + "  123456, 987654, 555555,\n" * 40 + "]\n"
        for name, text, expected in (("code", CODE, ""), ("short", "x = 1\n", "size"), ("long", CODE * 2000, "size"),
                                     ("generated", "# Code generated by protoc. DO NOT EDIT.\n" + CODE, "generated"),
                                     ("minified", "var a=1;" * 400, "minified"), ("table", table, "digits"), ("digits", digits, "digits"),
                                     ("base64", CODE * 5 + "x = '" + "QUJD" * 60 + "'\n", "data")):
            with self.subTest(name=name):
                self.assertEqual(filters.reason_for_text(text, "python"), expected)

    def test_compiled_javascript(self):
        text = 'Object.defineProperty(exports, "__esModule", { value: true });\n' + CODE
        self.assertEqual(filters.reason_for_text(text, "javascript"), "compiled copy")
        names = {"src/a.ts", "lib/a.js", "lib/a.d.ts", "lib/b.js", "b.js", "b.js.map", "types/only.d.ts"}
        outputs = filters.redundant_outputs(names)
        self.assertIn("lib/a.js", outputs)
        self.assertIn("lib/a.d.ts", outputs)
        self.assertIn("b.js", outputs)
        self.assertNotIn("src/a.ts", outputs)
        self.assertEqual(filters.redundant_outputs({"index.d.ts", "readme"}), set())

    def test_decode(self):
        self.assertEqual(filters.decode(b"a\r\nb\r\n"), "a\nb\n")
        self.assertEqual(filters.decode(b"\xef\xbb\xbfa\n"), "a\n")
        self.assertIsNone(filters.decode(b"\xff\xfe\x00"))
        self.assertIsNone(filters.decode("caf\u00e9".encode("latin-1")))

    def test_headers(self):
        self.assertEqual(filters.header_language("int f(void);\n", False), "c")
        self.assertEqual(filters.header_language("namespace a {\nint f();\n}\n", False), "cpp")
        self.assertEqual(filters.header_language("int f(void);\n", True), "cpp")


class MaskingTest(unittest.TestCase):
    def test_places(self):
        # The tokens are put together here so that no scanner takes this file for a leak.
        key = "AKIA" + "ABCDEFGHIJKLMNOP"
        forge = "ghp_" + "a1B2" * 9
        block = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAK\n-----END RSA PRIVATE KEY-----"
        for text, expected, kind in (
                ("# by jane.roe@uni-x.edu.au\n", "# by user@example.com\n", "email"),
                ("k = '%s'" % key, "k = 'SECRET_PLACEHOLDER'", "token"),
                ("t: %s" % forge, "t: SECRET_PLACEHOLDER", "token"),
                ('api_key = "Zx81kQmP02LsWv93RtYb"', 'api_key = "SECRET_PLACEHOLDER"', "token"),
                (block, "-----BEGIN RSA PRIVATE KEY-----SECRET_PLACEHOLDER-----END RSA PRIVATE KEY-----", "private key")):
            with self.subTest(text=text):
                masked, counts = masking.mask(text)
                self.assertEqual(masked, expected)
                self.assertEqual(counts[kind], 1)

    def test_code_stays(self):
        for text in ("@decorator.name\ndef f(): pass", "a @ b.T", "npm i react@18.2.0", "x = user@example.com",
                     'token = "authorization-header-name"', "m = A@B.c", 'import "@scope/name.js"'):
            with self.subTest(text=text):
                self.assertEqual(masking.mask(text)[0], text)


class ProjectTest(unittest.TestCase):
    def test_ecosystems_meet_in_one_key(self):
        for pairs in ((("node-semver", ""), ("semver", "git+https://github.com/npm/node-semver.git")),
                      (("libcommons-io-java", ""), ("commons-io", "")), (("python-attrs", ""), ("attrs", "")),
                      (("golang-github-spf13-cobra-dev", "https://github.com/spf13/cobra"), ("cobra", "")),
                      (("librust-serde-dev", ""), ("rust-serde", "https://github.com/serde-rs/serde")),
                      (("@tiptap/core", "github.com/ueberdosis/tiptap"), ("@tiptap/react", "https://github.com/ueberdosis/tiptap.git")),
                      (("golang-1.19", ""), ("golang-1.20", ""))):
            with self.subTest(pairs=pairs):
                self.assertEqual(projects.project_key(*pairs[0]), projects.project_key(*pairs[1]))

    def test_a_generic_repository_keeps_its_owner(self):
        self.assertNotEqual(projects.project_key("a", "https://github.com/one/core"), projects.project_key("b", "https://github.com/two/core"))

    def test_split_is_stable_and_small_projects_are_held_out_more(self):
        names = ["project%d" % i for i in range(4000)]
        large = {n for n in names if projects.split_of(n, 5_000_000) == "heldout"}
        small = {n for n in names if projects.split_of(n, 1000) == "heldout"}
        self.assertTrue(large < small)
        self.assertTrue(0.015 < len(large) / len(names) < 0.035)
        self.assertTrue(0.08 < len(small) / len(names) < 0.12)


@unittest.skipIf(numpy is None, "numpy is missing: duplicates, decontamination and budgets are not checked")
class DuplicateTest(unittest.TestCase):
    def setUp(self):
        self.text, self.other = (inspect.getsource(module) for module in (gather, licences))

    def estimate(self, one, two):
        return (dedup.signature(one.encode()) == dedup.signature(two.encode())).mean()

    def test_token_spans(self):
        array, starts, ends = dedup.token_spans(b"a_1 = f(x)\n")
        self.assertEqual([array[s:e].tobytes() for s, e in zip(starts, ends)], [b"a_1", b"=", b"f", b"(", b"x", b")"])

    def test_a_token_hashes_alike_wherever_it_stands(self):
        array, starts, ends = dedup.token_spans(b"name + other * name")
        hashes = dedup.span_hashes(array, starts, ends)
        self.assertEqual(hashes[0], hashes[4])
        self.assertEqual(len(set(hashes.tolist())), 4)

    def test_estimate_follows_the_jaccard_index(self):
        self.assertEqual(self.estimate(self.text, self.text.replace("    ", "\t")), 1.0)
        self.assertGreater(self.estimate(self.text, self.text.replace("budget", "allowance")), 0.7)
        self.assertLess(self.estimate(self.text, self.other), 0.1)

        def shingles(text):
            array, starts, ends = dedup.token_spans(text.encode())
            return set(dedup.window_hashes(dedup.span_hashes(array, starts, ends), dedup.SHINGLE_TOKENS).tolist())
        half = self.text + self.other[:len(self.text) // 2]
        one, two = shingles(self.text), shingles(half)
        self.assertAlmostEqual(self.estimate(self.text, half), len(one & two) / len(one | two), delta=0.15)

    def test_the_first_in_order_stays(self):
        texts = [self.other, self.text, self.text.replace("budget", "allowance"), self.text]
        signatures = numpy.array([dedup.signature(t.encode()) for t in texts])
        self.assertEqual(dedup.near_duplicates(signatures, [0, 1, 2, 3]), {2: 1, 3: 1})
        self.assertEqual(dedup.near_duplicates(signatures, [3, 2, 1, 0]), {2: 3, 1: 3})

    def test_short_texts(self):
        self.assertEqual(dedup.signature(b"x").shape, (dedup.BINS,))
        self.assertEqual(dedup.normalised_hash(b"a  b\n"), dedup.normalised_hash(b"ab"))

    def test_budget_takes_evenly_and_tests_first(self):
        files = [{"lang": "go", "project": p, "path": path, "n": n} for p, path, n in
                 (("big", "a.go", 50), ("big", "b.go", 50), ("big", "c_test.go", 50), ("small", "d.go", 20))]
        kept = assemble.fit(files, range(4), {"go": 120}, float("inf"))
        self.assertEqual([files[i]["path"] for i in kept], ["a.go", "b.go", "d.go"])


@unittest.skipIf(numpy is None, "numpy is missing: decontamination is not checked")
class DecontaminationTest(unittest.TestCase):
    problem = ("def has_close_elements(numbers, threshold):\n    for idx, elem in enumerate(numbers):\n"
               "        for idx2, elem2 in enumerate(numbers):\n            if idx != idx2:\n"
               "                distance = abs(elem - elem2)\n                if distance < threshold:\n"
               "                    return True\n    return False\n")

    def hits(self, text):
        evaluation = decontaminate.windows(self.problem.encode())
        return decontaminate.shared(text.encode(), evaluation, decontaminate.filter_of(evaluation))

    def test_copies_are_found(self):
        self.assertGreater(len(self.hits("x = 1\n" + self.problem)), 10)
        self.assertGreater(len(self.hits(self.problem.replace("has_close_elements", "hasCloseElements").replace("\n", "\n  "))), 10)
        renamed = self.problem
        for old, new in (("numbers", "xs"), ("idx", "i"), ("elem", "v"), ("threshold", "t"), ("distance", "gap")):
            renamed = renamed.replace(old, new)
        self.assertGreater(len(self.hits(renamed)), 0)
        self.assertEqual(len(self.hits(CODE)), 0)

    def test_identifiers_are_one_however_they_are_written(self):
        self.assertEqual(decontaminate.normalise(b"maxValue max_value MAX_VALUE"), b"maxvalue maxvalue maxvalue")

    def test_an_idiom_of_many_projects_is_no_trace(self):
        window = numpy.array([7], dtype=numpy.uint64)
        rare = numpy.array([9], dtype=numpy.uint64)
        none = numpy.zeros(0, dtype=numpy.uint64)
        hits = [window] * decontaminate.IDIOM_PROJECTS + [rare, none]
        owners = ["p%d" % i for i in range(len(hits))]
        self.assertEqual(decontaminate.contaminated(hits, owners), {decontaminate.IDIOM_PROJECTS})


@unittest.skipIf(numpy is None, "numpy is missing: adding to a pack is not checked")
class AddTest(unittest.TestCase):
    """A pack that grows keeps its parts and its held-out set, and takes nothing that resembles or belongs to the held-out."""

    def keep(self, cache, package, project, texts):
        os.makedirs(os.path.join(cache, "kept"), exist_ok=True)
        with open(os.path.join(cache, "kept", package + ".pack"), "wb") as out:
            for path, text in texts.items():
                gather.write_frame(out, {"path": path, "lang": "python", "licence": "MIT", "project": project}, text.encode())

    def pack(self, cache, add):
        earlier = pack.read_index(cache) if add else []
        assemble.analyse(cache, [], 1, lambda text: None, earlier)
        files, chosen, dropped = assemble.choose(cache, lambda text: None, earlier)
        summary = pack.write_all(cache, files, chosen, 1, lambda text: None, earlier)
        with open(os.path.join(cache, "pack", "READY"), "w", encoding="utf-8") as out:
            json.dump(summary, out)
        return dropped

    def paths(self, cache, name):
        with lzma.open(os.path.join(cache, "pack", name)) as stream:
            return [header["path"] for header, _ in gather.read_frames(stream)]

    def test_add(self):
        held = next(n for n in ("p%d" % i for i in range(99)) if projects.split_of(n, 1000) == "heldout")
        other = next(n for n in ("q%d" % i for i in range(99)) if projects.split_of(n, 1000) == "heldout")
        train = next(n for n in ("p%d" % i for i in range(99)) if projects.split_of(n, 1000) == "train")
        sources = [inspect.getsource(m) for m in (gather, licences, filters, masking, projects, archives)]
        with tempfile.TemporaryDirectory() as cache:
            self.keep(cache, "a", train, {"a.py": sources[0]})
            self.keep(cache, "b", held, {"b.py": sources[1]})
            self.pack(cache, False)
            self.assertEqual((self.paths(cache, "part-00.xz"), self.paths(cache, "heldout.xz")), (["a.py"], ["b.py"]))
            self.keep(cache, "c", train + "x", {"new.py": sources[2], "copy.py": sources[1], "again.py": sources[0]})
            self.keep(cache, "d", held, {"more.py": sources[3]})
            self.keep(cache, "e", other, {"other.py": sources[4]})
            open(os.path.join(cache, "pack", "part-01.xz.new"), "w").close()
            dropped = self.pack(cache, True)
            self.assertEqual(sorted(os.listdir(os.path.join(cache, "pack"))),
                             ["READY", "files.jsonl", "heldout.xz", "part-00.xz", "part-01.xz"])
            self.assertEqual([self.paths(cache, "part-%02d.xz" % i) for i in (0, 1)], [["a.py"], ["new.py"]])
            self.assertEqual(self.paths(cache, "heldout.xz"), ["b.py"])
            self.assertEqual(dropped["exact duplicate"]["python"] + dropped["of a held-out project"]["python"], 4)
            self.assertEqual([(r["path"], r["split"]) for r in pack.read_index(cache)],
                             [("a.py", "train"), ("b.py", "heldout"), ("new.py", "train")])
            os.remove(os.path.join(cache, "pack", "READY"))
            with self.assertRaisesRegex(SystemExit, "0 files, files.jsonl of 3: a run was killed"):
                self.pack(cache, True)
            self.assertEqual(self.paths(cache, "part-01.xz"), ["new.py"])


class FrameTest(unittest.TestCase):
    def test_round_trip(self):
        stream = io.BytesIO()
        frames = [({"path": "a.py", "lang": "python"}, b"x = 1\n{\n"), ({"path": "\u00fc.c", "lang": "c"}, b"")]
        for header, data in frames:
            gather.write_frame(stream, header, data)
        stream.seek(0)
        self.assertEqual(list(gather.read_frames(stream)), [(dict(h, n=len(d)), d) for h, d in frames])


if __name__ == "__main__":
    unittest.main()
