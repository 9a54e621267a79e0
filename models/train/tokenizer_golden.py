"""Writes the ids that Hugging Face `tokenizers` gives for varied strings, as goldens for the C++ tokenizer.

    python3 tokenizer_golden.py tokenizer.json ../../tests/golden/tokenizer_hf.json
The file also holds the sha256 of tokenizer.json. Exits 1 when bpe.py disagrees with `tokenizers`.
"""
import hashlib
import json
import sys

from tokenizers import Tokenizer

import bpe

TEXTS = [
    "", " ", "  ", "\n", "\r\n", "\r", "\t", "\n\n\n", " \n \n", "a", "def", " def", "  def", "\tdef", "\t\tdef", " \tdef",
    "def f(x):\n    return x + 1\n",
    "class Tree:\n\n    def __init__(self, left=None, right=None):\n        self.left = left\n        self.right = right\n",
    "for i in range(10):\r\n\tprint(f\"{i:>3} {i ** 2}\")\r\n",
    "int main(int argc, char **argv) {\n  for (size_t i = 0; i < n; ++i) sum += a[i]->value;\n  return 0;\n}\n",
    "#include <vector>\ntemplate <typename T>\nstd::vector<T> merge(const std::vector<T>& a) { return a; }\n",
    "func (s *Server) Serve(l net.Listener) error {\n\tdefer l.Close()\n\tif err != nil {\n\t\treturn fmt.Errorf(\"x: %w\", err)\n\t}\n}\n",
    "impl<'a> Iterator for Words<'a> {\n    type Item = &'a str;\n    fn next(&mut self) -> Option<Self::Item> { None }\n}\n",
    "const f = async ({ a, b = 1 }) => { await g(`${a}-${b}`); };\nexport default f;\n",
    "interface Props<T> extends Base { readonly items?: Array<T>; onClick(e: Event): void }\n",
    "public static <T extends Comparable<T>> T max(List<? super T> xs) { return xs.get(0); }\n",
    "SELECT id, name FROM users WHERE age >= 21 AND name LIKE '%o''x%' ORDER BY 1 DESC;\n",
    "#!/bin/sh\nset -eu\nfor f in *.c; do echo \"${f%.c}\" | sed 's/a/b/g' >> out.txt; done\n",
    "0", "7", "42", "1234567890", "3.14159e-10", "0xDEADBEEF", "1_000_000", "v1.2.3-rc.4", "x1y22z333", "²½Ⅷ٣",
    "snake_case_name camelCaseName PascalCaseName SCREAMING_CASE __dunder__",
    "foo.bar().baz[0]->qux::quux", "a+=b-=c*=d/=e%=f&=g|=h^=i<<=j>>=k", "!!??::;;,,..", "(((((((((())))))))))",
    "{}[]()<>", "\"'`\"'`", "\\n\\t\\\\", "=" * 40, "-" * 79 + "\n", "# " + "*" * 33, "a" * 100, " " * 1, " " * 2, " " * 3,
    " " * 7 + "x", " " * 40 + "y", "\t" * 9 + "z", "x ", "x  ", "x   \ny\t\n", "end of line  \r\n  next",
    "naïve café Straße", "e\u0301a\u0308o\u0302", "日本語のコメント # 変数", "中文 注释，标点。", "한국어 주석", "Привет, мир!",
    "مرحبا بالعالم", "हिन्दी", "ไทย", "🙂", "👩‍👩‍👧‍👦 family", "a🙂b 🚀🚀", "\u00a0nbsp\u00a0\u00a0two", "zero\u200bwidth", "\ufeffbom",
    "line\u2028sep\u2029para", "nel\u0085x", "\x00\x01\x1b[0m", "\x1c\x1d\x1e\x1f", "a\x0bb\x0cc", "\u3000ideographic space",
    "<|endoftext|>", "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>c<|fim_end|>", "x<|file_sep|>y", "<|fim_pre", "<| pad |>",
    "it's we'll I'd don't", "http://example.org/a?b=c&d=%20#e", "user@example.org", "TODO(name): x", "i" + "\u0307" + "İıſß",
]


def main():
    path, out = sys.argv[1:3]
    t, own = Tokenizer.from_file(path), bpe.Encoder(path)
    cases, wrong = [], 0
    for text in TEXTS:
        ids = t.encode(text, add_special_tokens=False).ids
        cases.append({"text": text, "ids": ids})
        if "<|" not in text:
            assert t.decode(ids, skip_special_tokens=False) == text, f"not reversible: {text!r}"
            if own.encode(text).tolist() != ids:
                wrong += 1
                print(f"bpe.py differs on {text!r}: {own.encode(text).tolist()} not {ids}")
    digest = hashlib.sha256(open(path, "rb").read()).hexdigest()
    with open(out, "w", encoding="utf-8") as f:
        json.dump({"tokenizer_sha256": digest, "made_by": "models/train/tokenizer_golden.py", "cases": cases}, f,
                  ensure_ascii=True, separators=(",", ":"))
    print(f"{out}: {len(cases)} strings, {wrong} differ in bpe.py")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
