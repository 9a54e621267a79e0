"""Turns downloaded archives into kept files: one framed stream and one report per package, so that a kill loses nothing."""

import collections
import glob
import json
import multiprocessing
import os
import re

import archives
import filters
import licences
import masking
import projects

# One project may not drown the rest of its language.
PROJECT_BYTES_MAX = {"python": 9_000_000, "go": 9_000_000, "rust": 12_000_000, "java": 9_000_000,
                     "javascript": 4_000_000, "typescript": 6_000_000, "c": 9_000_000, "cpp": 9_000_000}
COPYRIGHT_LINE = re.compile(r"copyright\s+(?:\(c\)|©|\d{4})|\(c\)\s*\d{4}|©\s*\d{4}", re.I)


def write_frame(out, header, data):
    header = dict(header, n=len(data))
    out.write(json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    out.write(data)


def read_frames(stream):
    """Yields (header, bytes) of a framed stream: a JSON line whose `n` tells how many bytes follow."""
    while True:
        line = stream.readline()
        if not line:
            return
        header = json.loads(line)
        yield header, stream.read(header["n"])


def file_keys(rows):
    """Returns what names a file for good, for records of kept files and rows of pack/files.jsonl alike."""
    return {(row["package"], row["path"]) for row in rows}


def notice_lines(package, used_holders):
    """Returns the attribution lines of a package: DEP-5 holders of the kept files, else the lines of its licence file."""
    lines = []
    if used_holders:
        for holders in used_holders:
            lines += [line.strip() for line in holders.split("\n")]
    else:
        text = package.licence_file or package.copyright
        lines = [line.strip() for line in text.split("\n") if COPYRIGHT_LINE.search(line)]
    seen = []
    for line in lines:
        line = masking.EMAIL.sub("", line).replace("<>", "").strip(" \t.,*#")
        if line and len(line) < 300 and line not in seen:
            seen.append(line)
    return seen[:60]


def _keep(package, path, data, licence, outputs, has_cpp):
    """Returns (record, text, holders) of a kept file, or (reason, '', '')."""
    reason = filters.reason_for_path(path)
    if reason:
        return reason, "", ""
    if path in outputs:
        return "compiled copy", "", ""
    text = filters.decode(data)
    if text is None:
        return "not UTF-8", "", ""
    language = archives.language_of(path)
    reason = filters.reason_for_text(text, language)
    if reason:
        return reason, "", ""
    identifier, reason = licence.decide(path, text)
    if reason:
        return reason, "", ""
    if path.endswith(".h"):
        language = filters.header_language(text, has_cpp)
    rule = licences.rule_for(licence.rules, path) if licence.rules else None
    return {"path": path, "lang": language, "licence": identifier}, text, rule[1] if rule else ""


def gather_package(package, project, target):
    """Filters one package and writes target.pack and target.json."""
    licence = licences.PackageLicence(package)
    outputs = filters.redundant_outputs(package.names) if package.kind == "npm" else set()
    c_files = sum(p.endswith(".c") for p, _ in package.files)
    has_cpp = sum(p.endswith((".cc", ".cpp", ".cxx", ".hpp")) for p, _ in package.files) > c_files
    dropped, kept, masked = collections.Counter(), collections.Counter(), collections.Counter()
    budget, holders = dict(PROJECT_BYTES_MAX), []
    with open("%s.%d.new" % (target, os.getpid()), "wb") as out:
        # A fixed shuffle by path hash spreads a project that is over its budget evenly over its folders.
        for path, data in sorted(package.files, key=lambda f: projects.hashlib.md5(f[0].encode()).digest()):
            record, text, holder = _keep(package, path, data, licence, outputs, has_cpp)
            if isinstance(record, str):
                dropped[record] += 1
                continue
            text, counts = masking.mask(text)
            data = text.encode("utf-8")
            if budget[record["lang"]] < len(data):
                dropped["over the project's share"] += 1
                continue
            budget[record["lang"]] -= len(data)
            masked.update(counts)
            kept[record["lang"]] += len(data)
            if holder and holder not in holders:
                holders.append(holder)
            write_frame(out, dict(record, project=project), data)
    report = {"kind": package.kind, "name": package.name, "version": package.version, "project": project,
              "repository": package.repository, "dropped": dropped, "kept": kept, "masked": masked,
              "notice": notice_lines(package, holders) if kept else []}
    os.replace("%s.%d.new" % (target, os.getpid()), target + ".pack")
    with open(target + ".json.new", "w", encoding="utf-8") as out:
        json.dump(report, out, ensure_ascii=False)
    os.replace(target + ".json.new", target + ".json")


def jobs(cache, apt):
    """Yields (target, how to read it) for every downloaded archive; `apt` is a debian_fetch.PrivateApt."""
    folder = os.path.join(cache, "kept")
    homepages = {f["Package"]: (f.get("Homepage", ""), f.get("Source", f["Package"]).split()[0]) for f in apt.index("*_Packages*")}
    for path in sorted(glob.glob(os.path.join(apt.root, "binaries", "*.deb"))):
        name = os.path.basename(path).split("_")[0]
        if name.endswith("-dev") or name.startswith("python3-"):
            homepage, source = homepages.get(name, ("", name))
            yield os.path.join(folder, "deb-" + name), ("deb", path, homepage, source)
    for name, stanzas in sorted(apt.source_files().items()):
        for stanza in stanzas:
            upstream = apt.upstream_tar(stanza)
            if upstream:
                text_path = apt.copyright_path(stanza)
                if not text_path and ".orig.tar." in upstream:
                    continue
                yield (os.path.join(folder, "src-" + name),
                       ("source", upstream, name, stanza["Version"], text_path, stanza.get("Homepage", "") + " " + stanza.get("Vcs-Browser", "")))
                break
    for path in sorted(glob.glob(os.path.join(cache, "npm", "tarballs", "*.tgz"))):
        yield os.path.join(folder, "npm-" + os.path.basename(path)[:-4]), ("npm", path)


def run_job(job):
    target, how = job
    if os.path.exists(target + ".json"):
        return ""
    try:
        if how[0] == "deb":
            package = archives.read_deb(how[1], how[2])
            project = projects.project_key(how[3], how[2])
        elif how[0] == "source":
            text_path = how[4]
            text = ""
            if text_path:
                text = archives.deb_copyright(text_path) if text_path.endswith(".deb") else archives.source_copyright(text_path)
            package = archives.read_source(how[1], how[2], how[3], text, how[5])
            project = projects.project_key(how[2], how[5].split(" ")[0])
        else:
            package = archives.read_npm(how[1])
            project = projects.project_key(package.name, package.repository)
        gather_package(package, project, target)
        return ""
    except Exception as error:
        # One unreadable archive is reported and skipped; the other thousands go on.
        return "%s: %s: %s" % (os.path.basename(target), type(error).__name__, error)


def run(cache, apt, workers, only, report):
    os.makedirs(os.path.join(cache, "kept"), exist_ok=True)
    todo = [job for job in jobs(cache, apt)
            if not os.path.exists(job[0] + ".json") and os.path.basename(job[0]).startswith(only)]
    # Small archives first: whatever is killed, or needed early, then holds the most projects.
    todo.sort(key=lambda job: os.path.getsize(job[1][1]))
    report("%d packages to read" % len(todo))
    with multiprocessing.Pool(workers, maxtasksperchild=200) as pool:
        for number, fault in enumerate(pool.imap_unordered(run_job, todo, chunksize=4), 1):
            if fault:
                report("skipped " + fault)
            if number % 200 == 0:
                report("read %d/%d packages" % (number, len(todo)))
