"""Names the upstream project of a package, so that a Debian source, a binary package and npm packages of one project share a split."""

import hashlib
import re

# (kept bytes below, projects held out per thousand).
HELD_OUT_PER_MILLE = ((250_000, 100), (1_000_000, 60), (float("inf"), 25))
# A repository called like this says nothing without its owner.
GENERIC = {"core", "sdk", "api", "utils", "util", "common", "monorepo", "packages", "js", "cli", "app", "client", "server",
           "lib", "library", "main", "source", "src", "node", "go", "web", "react", "tools", "ui", "docs", "python", "java"}
# Owners who cut one project into a repository per folder.
ONE_PROJECT_OWNERS = {"stdlib-js": "stdlib", "effect-ts": "effect"}
FORGE = re.compile(r"(?:github\.com|gitlab\.[a-z.]+|bitbucket\.org|codeberg\.org|git\.sr\.ht|gitee\.com)[/:]+([^/#?\s]+)/([^/#?\s]+)", re.I)
PREFIX = re.compile(r"^(lib(?=[a-z].*-java$)|librust-|rust-|golang-(?:github|gitlab|gopkg|golang|google|x|go|k8s|uber|code)-|"
                    r"node-|python3?-|py-|ros-|ruby-|r-cran-|@types/)")
SUFFIX = re.compile(r"(-java|\.js|-js|-dev|-python|\.py|-clojure|\.git)+$")
VERSION = re.compile(r"[-_.]?\d+(\.\d+)*$")


def project_key(name, repository):
    """Returns a lower-case key; `repository` may be empty or any form of repository or home page address."""
    found = FORGE.search(repository or "")
    if found and not name.startswith("@types/"):
        owner, repo = found.group(1).lower().lstrip("~"), found.group(2).lower()
        if owner in ONE_PROJECT_OWNERS:
            return ONE_PROJECT_OWNERS[owner]
        key = _bare(repo)
        return owner + "-" + key if key in GENERIC else key
    if name.startswith("@") and "/" in name and not name.startswith("@types/"):
        return name[1:].split("/")[0].lower()
    return _bare(name.lower())


def _bare(name):
    name = SUFFIX.sub("", PREFIX.sub("", name))
    shorter = VERSION.sub("", name)
    return shorter if len(shorter) > 1 else name


def split_of(project, kept_bytes):
    """Returns `heldout` or `train` by the project's hash; a small project is held out more often than a large one.

    Confidence intervals count projects and training counts bytes, so many small projects make the better held-out set.
    A project that is held out at one size is held out at every smaller one too.
    """
    per_mille = next(p for limit, p in HELD_OUT_PER_MILLE if kept_bytes < limit)
    digest = hashlib.sha256(("loopd split 1 " + project).encode()).digest()
    return "heldout" if int.from_bytes(digest[:4], "big") % 1000 < per_mille else "train"
