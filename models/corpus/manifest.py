"""Writes what ships beside the model: a row per training file and the attribution of every package."""

import collections
import glob
import json
import lzma
import os
import re

import archives
import licences

MANIFEST_BYTES_MAX = 7_000_000
NOTICE_BYTES_MAX = 3_000_000
COLUMNS = "package\tversion\tpath\tsha256_16\tlicence\tsplit\tbytes\n"
NOTICE_HEAD = """The default model was trained on source files of the packages below.
Each entry: package, version, address, licences of the files used, then their copyright lines.
E-mail addresses are left out. TRAINING_DATA.tsv.xz lists every file. The texts of the licences are at the end.
"""
COMMON_LICENCES = "/usr/share/common-licenses"


def _reports(cache):
    reports = {}
    for path in glob.glob(os.path.join(cache, "kept", "*.json")):
        reports[os.path.basename(path)[:-5]] = json.load(open(path, encoding="utf-8"))
    return reports


def _stanza_text(text, identifier):
    """Returns the body of a stand-alone `License:` paragraph of a machine-readable copyright file, or an empty string."""
    for stanza in re.split(r"\n[ \t]*\n", text):
        head, _, body = stanza.strip().partition("\n")
        if head.startswith("License:") and licences.allowed_expression(head[8:]) == identifier:
            return re.sub(r"(?m)^ \.?", "", body).strip()
    return ""


def _licence_texts(cache, licences_of, reports):
    """Returns {identifier: text}: as Debian ships it, else from the first package whose used files have only that licence."""
    texts = {}
    for identifier in ("Apache-2.0", "CC0-1.0"):
        path = os.path.join(COMMON_LICENCES, identifier)
        if os.path.exists(path):
            texts[identifier] = open(path, encoding="utf-8").read()
    for package in sorted(licences_of, key=lambda p: (not p.startswith("npm-"), p)):
        identifier = " ".join(licences_of[package])
        if identifier in texts or " " in identifier:
            continue
        text = ""
        if package.startswith("npm-"):
            path = os.path.join(cache, "npm", "tarballs", package[4:] + ".tgz")
            text = archives.read_npm(path).licence_file.strip() if os.path.exists(path) else ""
        elif package.startswith("deb-"):
            for path in glob.glob(os.path.join(cache, "apt", "binaries", package[4:] + "_*.deb"))[:1]:
                text = _stanza_text(archives.deb_copyright(path), identifier)
        if 300 < len(text) < 20_000:
            texts[identifier] = text
    return texts


def write(cache, manifest_path, notice_path, report):
    """Reads pack/files.jsonl and the package reports; raises when an output would be too large to ship."""
    reports = _reports(cache)
    rows, licences_of = [], collections.defaultdict(collections.Counter)
    with open(os.path.join(cache, "pack", "files.jsonl"), encoding="utf-8") as lines:
        for line in lines:
            file = json.loads(line)
            package = reports[file["package"]]
            licences_of[file["package"]][file["licence"]] += 1
            rows.append("\t".join((package["name"], package["version"], file["path"], file["sha256"], file["licence"],
                                   file["split"], str(file["n"]))))
    rows.sort()
    data = lzma.compress((COLUMNS + "\n".join(rows) + "\n").encode(), preset=6)
    if len(data) > MANIFEST_BYTES_MAX:
        raise SystemExit("the manifest packs to %d bytes, above %d" % (len(data), MANIFEST_BYTES_MAX))
    entries = []
    for package in sorted(licences_of, key=lambda p: reports[p]["name"]):
        known = reports[package]
        head = "%s %s (%s%s)" % (known["name"], known["version"], known["kind"], ", " + known["repository"].strip() if known["repository"].strip() else "")
        entries.append("\n".join([head, "  " + ", ".join(sorted(licences_of[package]))] + ["  " + line for line in known["notice"]]))
    texts = _licence_texts(cache, licences_of, reports)
    text = NOTICE_HEAD + "\n" + "\n\n".join(entries) + "\n\n" + "\n\n".join(
        "==== %s ====\n%s" % (identifier, texts[identifier]) for identifier in sorted(texts)) + "\n"
    notice = lzma.compress(text.encode(), preset=6)
    if len(notice) > NOTICE_BYTES_MAX:
        raise SystemExit("the notice packs to %d bytes, above %d" % (len(notice), NOTICE_BYTES_MAX))
    for path, content in ((manifest_path, data), (notice_path, notice)):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "wb") as out:
            out.write(content)
    report("%d files, %d packages; manifest %d bytes, notice %d bytes; licence texts: %s" %
           (len(rows), len(entries), len(data), len(notice), ", ".join(sorted(texts))))
