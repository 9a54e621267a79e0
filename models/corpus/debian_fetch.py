"""Downloads named Debian source and binary packages with apt, in a private configuration, and resumes after a kill."""

import glob
import os
import re
import subprocess

BATCH_SOURCES = 12
BATCH_BINARIES = 40
BINARY_BYTES_MAX = 20_000_000
SOURCE_BINARIES = re.compile(r"(python3-|golang-.*-dev$|librust-.*-dev$)(?!.*-(doc|dbg|debug)$)")


def read_names(path):
    """Returns the package names of a list file; `#` starts a comment."""
    names = []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            name = line.split("#")[0].strip()
            if name:
                names.append(name)
    return names


def system_entries():
    """Yields (uri, suite, signed_by) of the machine's own apt entries that carry Debian's main component."""
    for path in glob.glob("/etc/apt/sources.list.d/*.sources"):
        for stanza in open(path, encoding="utf-8").read().split("\n\n"):
            fields = {}
            for line in stanza.splitlines():
                if ":" in line and not line.startswith("#"):
                    key, value = line.split(":", 1)
                    fields[key.strip()] = value.strip()
            if "main" not in fields.get("Components", "").split() or "debian-archive" not in fields.get("Signed-By", ""):
                continue
            for uri in fields["URIs"].split():
                for suite in fields["Suites"].split():
                    yield uri, suite, fields["Signed-By"]
    if os.path.exists("/etc/apt/sources.list"):
        for line in open("/etc/apt/sources.list", encoding="utf-8"):
            words = [w for w in line.split() if not w.startswith("[")]
            if len(words) > 3 and words[0] == "deb" and "main" in words[3:] and "debian" in words[1]:
                yield words[1], words[2], "/usr/share/keyrings/debian-archive-keyring.gpg"


class PrivateApt:
    """An apt configuration of its own, so that source entries never have to be added to the system's lists."""

    def __init__(self, root):
        self.root = root
        self._sources = None
        for folder in ("lists/partial", "archives/partial", "sources", "binaries"):
            os.makedirs(os.path.join(root, folder), exist_ok=True)
        self.list_file = os.path.join(root, "sources.list")
        self.options = ["-q", "-o", "Dir::Etc::sourcelist=" + self.list_file, "-o", "Dir::Etc::sourceparts=/dev/null",
                        "-o", "Dir::State::lists=" + os.path.join(root, "lists"),
                        "-o", "Dir::Cache=" + os.path.join(root, "archives"),
                        "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=2"]

    def update(self):
        """Fetches the package indexes once; a later run uses those on disk."""
        if glob.glob(os.path.join(self.root, "lists", "*_source_Sources*")):
            return
        with open(self.list_file, "w", encoding="utf-8") as out:
            for uri, suite, key in system_entries():
                for kind in ("deb", "deb-src"):
                    out.write("%s [signed-by=%s] %s %s main\n" % (kind, key, uri, suite))
        subprocess.run(["apt-get"] + self.options + ["update"], check=True, stdout=subprocess.DEVNULL)

    def index(self, pattern):
        """Yields the stanzas of the downloaded indexes that match `pattern`, as dicts with multi-line values."""
        for path in sorted(glob.glob(os.path.join(self.root, "lists", pattern))):
            text = subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", path], check=True, capture_output=True)
            for stanza in text.stdout.decode("utf-8", "replace").split("\n\n"):
                fields, key = {}, None
                for line in stanza.split("\n"):
                    if line[:1] in (" ", "\t") and key:
                        fields[key] += "\n" + line.strip()
                    elif ":" in line:
                        key, value = line.split(":", 1)
                        fields[key] = value.strip()
                if "Package" in fields:
                    yield fields

    def source_files(self):
        """Returns {source package: [stanza with `tars`: {file name: size}]}; a package may have several versions."""
        packages = {}
        for fields in self.index("*_source_Sources*"):
            tars = {}
            for line in fields.get("Files", "").split("\n"):
                words = line.split()
                if len(words) == 3 and not words[2].endswith((".asc", ".dsc")):
                    tars[words[2]] = int(words[1])
            packages.setdefault(fields["Package"], []).append(dict(fields, tars=tars))
        return packages

    def _apt(self, arguments, folder):
        done = subprocess.run(["apt-get"] + self.options + arguments, cwd=os.path.join(self.root, folder),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        return done.stdout

    def have_source(self, stanza):
        folder = os.path.join(self.root, "sources")
        for name, size in stanza["tars"].items():
            path = os.path.join(folder, name)
            if not os.path.exists(path) or os.path.getsize(path) != size:
                return False
        return True

    def _path_if_whole(self, stanza, wanted):
        for name, size in stanza["tars"].items():
            path = os.path.join(self.root, "sources", name)
            if wanted(name) and os.path.exists(path) and os.path.getsize(path) == size:
                return path
        return ""

    def upstream_tar(self, stanza):
        """Returns the path of the downloaded upstream tarball (a native package has only one), or an empty string."""
        return self._path_if_whole(stanza, lambda n: ".orig.tar." in n or (len(stanza["tars"]) == 1 and ".tar." in n))

    def copyright_path(self, stanza):
        """Returns what holds debian/copyright: Debian's part of the source, else a binary package built from it."""
        path = self._path_if_whole(stanza, lambda n: ".debian.tar." in n or n.endswith(".diff.gz"))
        if path:
            return path
        for name in stanza.get("Binary", "").replace("\n", " ").split(","):
            found = glob.glob(os.path.join(self.root, "binaries", name.strip() + "_*.deb"))
            if found:
                return found[0]
        return ""

    def readable(self, name):
        """Tells whether a source package or a stand-in for it is on disk, together with its copyright file."""
        if self._sources is None:
            self._sources = self.source_files()
        have = {os.path.basename(p).split("_")[0] for p in glob.glob(os.path.join(self.root, "binaries", "*.deb"))}
        for stanza in self._sources.get(name, []):
            if self.upstream_tar(stanza) and (self.copyright_path(stanza) or len(stanza["tars"]) == 1):
                return True
            built = [b.strip() for b in stanza.get("Binary", "").replace("\n", " ").split(",")]
            if any(b in have and SOURCE_BINARIES.match(b) for b in built):
                return True
        return False

    def fetch_sources(self, names, report):
        """Downloads source packages; returns the names that cannot be had (apt answers 404 or knows no such name)."""
        known = self.source_files()
        wanted = [n for n in names if n in known and not any(self.have_source(s) for s in known[n])]
        failed = [n for n in names if n not in known]
        for start in range(0, len(wanted), BATCH_SOURCES):
            batch = wanted[start:start + BATCH_SOURCES]
            self._apt(["source", "--download-only"] + batch, "sources")
            for name in batch:
                if not any(self.have_source(s) for s in known[name]):
                    failed.append(name)
            report("source packages %d/%d, failed %d" % (start + len(batch), len(wanted), len(failed)))
        return failed

    def stand_ins(self, names):
        """Returns binary packages that make up for source packages the mirror no longer has in full: the smallest one
        where only debian/copyright is missing, and those that hold sources where the upstream tarball is missing."""
        sizes = {f["Package"]: int(f.get("Size", 0)) for f in self.index("*_Packages*")}
        known = self.source_files()
        chosen = []
        for name in names:
            for stanza in known.get(name, [])[-1:]:
                built = [b.strip() for b in stanza.get("Binary", "").replace("\n", " ").split(",")]
                built = sorted((sizes[b], b) for b in built if b in sizes)
                if self.upstream_tar(stanza):
                    chosen += [b for _, b in built[:1]] if not self.copyright_path(stanza) else []
                else:
                    chosen += [b for size, b in built if SOURCE_BINARIES.match(b) and size < BINARY_BYTES_MAX]
        return chosen

    def fetch_binaries(self, names, report):
        """Downloads binary packages without installing them; returns the names that cannot be had."""
        folder = os.path.join(self.root, "binaries")
        have = {os.path.basename(p).split("_")[0] for p in glob.glob(os.path.join(folder, "*.deb"))}
        wanted = [n for n in names if n not in have]
        for start in range(0, len(wanted), BATCH_BINARIES):
            batch = wanted[start:start + BATCH_BINARIES]
            before = len(os.listdir(folder))
            self._apt(["download"] + batch, "binaries")
            if len(os.listdir(folder)) == before and len(batch) > 1:
                # One unknown name makes apt refuse the whole batch, so the rest is asked for one at a time.
                for name in batch:
                    self._apt(["download", name], "binaries")
            report("binary packages %d/%d" % (start + len(batch), len(wanted)))
        have = {os.path.basename(p).split("_")[0] for p in glob.glob(os.path.join(folder, "*.deb"))}
        return [n for n in names if n not in have]
