"""Drops files that teach nothing or teach wrongly: generated, minified, vendored, data, wrong size, not text."""

import os
import re
import zlib

SIZE_MIN = 200
SIZE_MAX = 200_000
LINE_CHARS_MAX = 1000
LINE_MEAN_MAX = 100
LONG_LINE_CHARS = 160
LONG_LINE_SHARE_MAX = 0.2
DIGIT_SHARE_MAX = 0.2
LETTER_SHARE_MIN = 0.3
ASCII_SHARE_MIN = 0.8
# Tables of constants compress to almost nothing; hand-written code stays above this in every language tried.
COMPRESSED_SHARE_MIN = 0.09

VENDORED = re.compile(
    r"(^|/)(node_modules|vendor|vendored|_vendor|third[_-]?party|3rd[_-]?party|thirdparty|external|externals|extern|"
    r"bundled|dist|dist-[^/]*|build|out|coverage|bower_components|deps|Godeps|contrib/libs|\.git|\.yarn|"
    r"minified|min|_build|site-packages|egg-info|pods|carthage)(/|$)", re.I)
# Folders that hold the same module again, compiled for another module system.
COMPILED = re.compile(r"^(lib-(commonjs|amd|esm|es2015|cjs|mjs)|esm?|esm?\d+|es\d+|_?cjs|umd|amd|system|iife|module|commonjs|"
                      r"_esm|_cjs|fesm\d*|esnext|bundles?|legacy|modern|node-esm|compiled|target|lib\.esm|lib/(esm?|cjs|umd|module|commonjs|esnext))(/|$)",
                      re.I)
TEST_DATA = re.compile(r"(^|/)(testdata|test[_-]data|fixtures?|__snapshots__|snapshots?|test[_-]?files|corpus|corpora|"
                       r"goldens?|expected|baselines?|locales?|i18n/(data|locales?)|l10n|translations?|mocks?)(/|$)", re.I)
NAME = re.compile(r"(\.min\.|[-.]bundle\.|\.pb\.(go|cc|h)$|_pb2(_grpc)?\.py$|_pb\.(js|d\.ts|ts)$|\.g\.(ts|dart)$|zz_generated|"
                  r"_generated\.|\.generated\.|_gen\.go$|bindata\.go$|\.designer\.|moc_|ui_[^/]*\.h$|\.umd\.|\.cjs\.js$|\.esm\.js$|"
                  r"_string\.go$|\.tab\.[ch]$|lex\.yy\.|parsetab\.py$|_rc\.py$|versioneer\.py$|_version\.py$|[-_]wrap\.(c|cxx)$)",
                  re.I)
GENERATED = re.compile(
    r"auto(matically)?[- ]?generated|@generated|code generated|machine[- ]generated|\bgenerated (by|from|with|using|automatically|code|file)\b|"
    r"do not (edit|modify|change)|DO NOT EDIT|this (file|code) (is|was|has been) (generated|created by|produced by)|"
    r"created by (the )?(cython|swig|bison|flex|javacc|antlr)|GENERATED|bison implementation|swig-generated|"
    r"generated on \w|@Generated\b|yacc parser made by", re.I)
GENERATED_HEAD = 1200
COMPILED_JS = re.compile(
    r"defineProperty\(exports, ?[\"']__esModule|sourceMappingURL=|__awaiter = |__webpack_require__|_interopRequireDefault|"
    r"__decorate = |_classCallCheck|_createClass|__extends = |_inheritsLoose|_jsx\(|_toConsumableArray|regeneratorRuntime|"
    r"goog\.provide\(.{0,80}\);goog|babelHelpers|__publicField|__toESM|react/compiler-runtime|_extends\(\{|_objectWithoutProperties")
HEX_TABLE = re.compile(r"\b0[xX][0-9a-fA-F]+[uUlL]*\b,?")
BASE64_RUN = re.compile(r"[A-Za-z0-9+/=]{180,}")
CPP_IN_HEADER = re.compile(r"^\s*(namespace\s+\w|class\s+\w+[^;]*$|template\s*<|using\s+\w+|public:|private:|protected:)|std::|::\w+\(",
                           re.M)


def reason_for_path(path):
    """Returns why a path is refused before its content is read, or an empty string."""
    if VENDORED.search(os.path.dirname(path)):
        return "vendored"
    if COMPILED.search(path):
        return "compiled copy"
    if TEST_DATA.search(os.path.dirname(path)):
        return "test data"
    if NAME.search(path):
        return "generated"
    return ""


def decode(data):
    """Returns the text with LF line ends, or None when the bytes are no UTF-8 text."""
    if b"\0" in data:
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text


def reason_for_text(text, language):
    """Returns why a text is refused, or an empty string."""
    size = len(text)
    if size < SIZE_MIN or size > SIZE_MAX:
        return "size"
    if GENERATED.search(text[:GENERATED_HEAD]):
        return "generated"
    lines = text.split("\n")
    lengths = [len(line) for line in lines]
    if max(lengths) > LINE_CHARS_MAX or size / len(lines) > LINE_MEAN_MAX:
        return "minified"
    long = sum(n for n in lengths if n > LONG_LINE_CHARS)
    if long > LONG_LINE_SHARE_MAX * size:
        return "minified"
    if language in ("javascript", "typescript") and COMPILED_JS.search(text):
        return "compiled copy"
    return _reason_for_statistics(text, size)


def _reason_for_statistics(text, size):
    data = text.encode("utf-8")
    digits = sum(data.count(d) for d in b"0123456789")
    if digits > DIGIT_SHARE_MAX * size:
        return "digits"
    if size / len(data) < ASCII_SHARE_MIN:
        return "not code"
    if "0x" in text and sum(len(m.group()) for m in HEX_TABLE.finditer(text)) > 0.25 * size:
        return "digits"
    if BASE64_RUN.search(text):
        return "data"
    letters = sum(map(str.isalpha, text[:8000]))
    if letters < LETTER_SHARE_MIN * min(size, 8000):
        return "not code"
    if size > 4000 and len(zlib.compress(data, 1)) < COMPRESSED_SHARE_MIN * len(data):
        return "repetitive"
    return ""


def redundant_outputs(names):
    """Returns the paths in one npm package that a compiler wrote beside their TypeScript source or declaration."""
    outputs = set()
    has_source = any(n.endswith((".ts", ".tsx")) and not n.endswith(".d.ts") for n in names)
    for name in names:
        for end in (".d.ts", ".d.mts", ".d.cts"):
            if name.endswith(end):
                stem = name[:-len(end)]
                scripts = [stem + s for s in (".js", ".mjs", ".cjs", ".jsx") if stem + s in names]
                if scripts or has_source or name + ".map" in names:
                    outputs.add(name)
                    if has_source:
                        outputs.update(scripts)
        if name.endswith((".cjs", ".mjs")) and (name[:-4] + ".js" in names or name[:-4] + ".mjs" in names and name.endswith(".cjs")):
            outputs.add(name)
        if name.endswith(".map") and name[:-4] in names:
            outputs.add(name[:-4])
        if name.endswith((".ts", ".tsx")) and not name.endswith(".d.ts"):
            stem = name.rsplit(".", 1)[0]
            outputs.update(stem + s for s in (".js", ".mjs", ".cjs", ".jsx") if stem + s in names)
    return outputs


def header_language(text, has_cpp):
    """Tells C from C++ for a `.h`: by its own words, else by what else the package holds."""
    if CPP_IN_HEADER.search(text):
        return "cpp"
    return "cpp" if has_cpp else "c"
