"""Reads source files out of Debian source tarballs, binary packages and npm tarballs without unpacking them to disk."""

import gzip
import io
import json
import lzma
import os
import re
import tarfile

LANGUAGES = {
    ".py": "python", ".js": "javascript", ".mjs": "javascript", ".cjs": "javascript", ".jsx": "javascript",
    ".ts": "typescript", ".tsx": "typescript", ".mts": "typescript", ".cts": "typescript", ".java": "java",
    ".go": "go", ".rs": "rust", ".c": "c", ".h": "c", ".cc": "cpp", ".cpp": "cpp", ".cxx": "cpp", ".hpp": "cpp",
    ".hh": "cpp", ".hxx": "cpp", ".ipp": "cpp", ".cu": "cpp", ".cuh": "cpp",
}
READ_BYTES_MAX = 220_000
ROOTS = re.compile(r"^(usr/share/gocode/src/[^/]+/[^/]+/[^/]+/|usr/share/gocode/src/|usr/share/cargo/registry/[^/]+/|"
                   r"usr/lib/python3/dist-packages/|usr/include/|usr/share/nodejs/[^/]+/)")


class Package:
    """One archive's wanted content: texts that tell its licence, and its source files as (path, bytes)."""

    def __init__(self, kind, name, version):
        self.kind = kind
        self.name = name
        self.version = version
        self.copyright = ""
        self.repository = ""
        self.licence_field = ""
        self.licence_file = ""
        self.files = []
        self.names = set()


def language_of(path):
    return LANGUAGES.get(os.path.splitext(path)[1].lower(), "")


def _members(tar):
    """Yields (path, member) of regular files; a broken archive ends the walk at the break."""
    try:
        for member in tar:
            if member.isfile():
                yield member.name, member
    except (tarfile.TarError, EOFError, lzma.LZMAError, OSError):
        return


def _strip_first(path):
    path = path[2:] if path.startswith("./") else path
    return path.split("/", 1)[1] if "/" in path else path


def _read_sources(tar, package, strip):
    for path, member in _members(tar):
        path = strip(path)
        package.names.add(path)
        if member.size <= READ_BYTES_MAX and language_of(path):
            package.files.append((path, tar.extractfile(member).read()))


def _deb_part(path, prefix):
    """Returns the bytes of one member of a .deb, which is an `ar` archive of 60-byte headers."""
    with open(path, "rb") as deb:
        deb.seek(8)
        while True:
            header = deb.read(60)
            if len(header) < 60:
                return None
            size = int(header[48:58])
            if header[:16].decode().strip().startswith(prefix):
                return deb.read(size)
            deb.seek(size + size % 2, 1)


def deb_copyright(path):
    """Returns the text of the package's own copyright file, or an empty string."""
    data = _deb_part(path, "data.tar")
    if data is None:
        return ""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as tar:
        for name, member in _members(tar):
            if re.match(r"(\./)?usr/share/doc/[^/]+/copyright(\.gz)?$", name):
                text = tar.extractfile(member).read()
                return (gzip.decompress(text) if name.endswith(".gz") else text).decode("utf-8", "replace")
    return ""


def read_deb(path, repository):
    """Reads a binary package that holds sources (Go, Rust, Python, headers)."""
    name, version = os.path.basename(path).split("_")[:2]
    package = Package("debian", name, version.replace("%3a", ":"))
    package.repository = repository
    data = _deb_part(path, "data.tar")
    with tarfile.open(fileobj=io.BytesIO(data), mode="r|*") as tar:
        for entry, member in _members(tar):
            entry = entry[2:] if entry.startswith("./") else entry
            if re.match(r"usr/share/doc/[^/]+/copyright$", entry):
                package.copyright = tar.extractfile(member).read().decode("utf-8", "replace")
            elif entry.startswith("usr/share/doc/"):
                continue
            elif language_of(entry) and member.size <= READ_BYTES_MAX:
                entry = ROOTS.sub("", entry)
                package.names.add(entry)
                package.files.append((entry, tar.extractfile(member).read()))
    return package


def _copyright_of_diff(path):
    """Takes debian/copyright out of a version 1.0 source package's diff: there it is one block of added lines."""
    text = gzip.open(path, "rt", encoding="utf-8", errors="replace").read()
    at = re.search(r"^\+\+\+ \S*/debian/copyright\S*$", text, re.M)
    if not at:
        return ""
    lines = []
    for line in text[at.end():].lstrip("\n").split("\n")[1:]:
        if not line.startswith("+"):
            break
        lines.append(line[1:])
    return "\n".join(lines)


def source_copyright(path):
    """Returns debian/copyright out of a .debian.tar.* or .diff.gz."""
    if path.endswith(".diff.gz"):
        return _copyright_of_diff(path)
    with tarfile.open(path, mode="r|*") as tar:
        for name, member in _members(tar):
            if name.endswith("debian/copyright"):
                return tar.extractfile(member).read().decode("utf-8", "replace")
    return ""


def read_source(tar_path, name, version, copyright_text, repository):
    """Reads a Debian source package's upstream tarball; a native one carries its own debian/copyright."""
    package = Package("debian", name, version)
    package.repository = repository
    package.copyright = copyright_text
    with tarfile.open(tar_path, mode="r|*") as tar:
        for path, member in _members(tar):
            path = _strip_first(path)
            if path == "debian/copyright" and not package.copyright:
                package.copyright = tar.extractfile(member).read().decode("utf-8", "replace")
            package.names.add(path)
            if member.size <= READ_BYTES_MAX and language_of(path) and not path.startswith("debian/"):
                package.files.append((path, tar.extractfile(member).read()))
    return package


def read_npm(path):
    """Reads an npm tarball with its declared licence, licence file and repository."""
    package = Package("npm", "", "")
    manifest = {}
    with tarfile.open(path, mode="r|gz") as tar:
        for entry, member in _members(tar):
            entry = _strip_first(entry)
            package.names.add(entry)
            if entry == "package.json":
                try:
                    manifest = json.loads(tar.extractfile(member).read().decode("utf-8-sig", "replace"))
                except ValueError:
                    manifest = {}
            elif re.match(r"(?i)[^/]*(licen[sc]e|copying)[^/]*$", entry) and not language_of(entry):
                package.licence_file += tar.extractfile(member).read(200_000).decode("utf-8", "replace")
            elif member.size <= READ_BYTES_MAX and language_of(entry):
                package.files.append((entry, tar.extractfile(member).read()))
    package.name = manifest.get("name", os.path.basename(path))
    package.version = str(manifest.get("version", ""))
    field = manifest.get("license") or manifest.get("licenses") or ""
    parts = field if isinstance(field, list) else [field]
    parts = [p.get("type", "") if isinstance(p, dict) else str(p) for p in parts]
    package.licence_field = " OR ".join(p for p in parts if p)
    repository = manifest.get("repository") or manifest.get("homepage") or ""
    package.repository = repository.get("url", "") if isinstance(repository, dict) else str(repository)
    return package
