"""Holds the tree to its rules: who may include whom, one sentence on top of every file, paths in documents exist."""

import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1])

# Room -> what its files may include. `inference` may see only the two headers that describe the plug-in.
MAY_INCLUDE = {
    "context": {"context"},
    "inference": {"inference", "cuda"},
    "cuda": {"cuda"},
    "lsp": {"lsp", "context", "inference"},
}
# Folder -> the only files that include its headers, beside its own: the path of a keystroke knows no code action.
MAY_BE_INCLUDED_BY = {
    "lsp/actions": ("lsp/server.cpp", "lsp/commands/"),
    "lsp/commands": ("lsp/main.cpp",),
}
JSON_HEADERS = re.compile(r'#include [<"](nlohmann/json\.hpp|boost/)')
MAY_PARSE_JSON = {"inference": {"safetensors.cpp", "tokenizer_json.cpp", "model_config.cpp", "chat.cpp"}}
INCLUDE = re.compile(r'^\s*#include "([a-z_]+)/([^"]+)"', re.MULTILINE)
TYPE = re.compile(r"^(?:struct|class|enum class) (\w+)(?:\s[^;\n]*)?\{", re.MULTILINE)
SOURCES = ("*.h", "*.cpp", "*.cu", "*.cuh")
LONGEST_FILE = 500


def sources(folder):
    found = (p for pattern in SOURCES for p in (ROOT / folder).rglob(pattern))
    return sorted(p for p in found if "node_modules" not in p.parts)


def first_comment(text):
    """The sentence on top of a file, without its comment marks; empty where there is none."""
    lines = [line for line in text.splitlines() if not line.startswith("#!")]
    if not lines:
        return ""
    match = re.match(r'^(?://|#|--|;+|"""|/\*\*?)\s*(.+)', lines[0])
    return match.group(1) if match else ""


def problems():
    for room, allowed in MAY_INCLUDE.items():
        for path in sources(room):
            text = path.read_text()
            name = path.relative_to(ROOT)
            for other, header in INCLUDE.findall(text):
                if other not in allowed and (ROOT / other).is_dir():
                    yield f"{name}: includes {other}/{header}; {room} may include only {', '.join(sorted(allowed))}"
                inner = f"{other}/{header}".rpartition("/")[0]
                allowed_files = (f"{inner}/", *MAY_BE_INCLUDED_BY.get(inner, ()))
                if inner in MAY_BE_INCLUDED_BY and not name.as_posix().startswith(allowed_files):
                    yield f"{name}: includes {other}/{header}; only {', '.join(allowed_files)} may"
            if room in ("context", "cuda") and JSON_HEADERS.search(text):
                yield f"{name}: JSON and Asio headers stay out of {room}"
            if room == "inference" and JSON_HEADERS.search(text) and path.name not in MAY_PARSE_JSON["inference"]:
                yield f"{name}: of inference only {', '.join(sorted(MAY_PARSE_JSON['inference']))} read JSON"
    for room in MAY_INCLUDE:
        # Two types of one name in one namespace link without a word, and then destroy each other's members.
        homes = {}
        for path in sources(room):
            if path.suffix == ".h":
                for name in TYPE.findall(path.read_text()):
                    homes.setdefault(name, []).append(str(path.relative_to(ROOT)))
        for name, files in homes.items():
            if len(files) > 1:
                yield f"{files[1]}: type {name} is defined in {files[0]}, too"
    for folder in (*MAY_INCLUDE, "tests", "bench"):
        for path in sources(folder):
            text = path.read_text()
            name = path.relative_to(ROOT)
            if not first_comment(text):
                yield f"{name}: the first line must say, in one sentence, what the file is for"
            if text.count("\n") > LONGEST_FILE:
                yield f"{name}: {text.count(chr(10))} lines; over {LONGEST_FILE}, split it by subject"
            if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text) and path.name != "layering.py":
                yield f"{name}: finish it or file it; unfinished marks do not stay in the tree"
            if folder != "tests" and '#include "tests/' in text:
                yield f"{name}: nothing includes tests"
    pages = [page for page in ROOT.glob("editors/**/README.md") if "node_modules" not in page.parts]
    for document in sorted([*ROOT.glob("*.md"), *pages]):
        for target in re.findall(r"\]\((?!http|#)([^)#]+)", document.read_text()):
            if not (document.parent / target).exists():
                yield f"{document.relative_to(ROOT)}: links to {target}, which does not exist"


def main():
    found = list(problems())
    for problem in found:
        print(problem)
    print(f"layering: {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
