"""Writes the chosen files as framed, xz-compressed shards, and samples of them."""

import glob
import hashlib
import json
import lzma
import multiprocessing
import os
import time

import gather
import projects

# A shard holds neighbours of one language; this much raw text stays under SHARD_BYTES_MAX compressed.
SHARD_RAW_BYTES = 130_000_000
SHARD_BYTES_MAX = 30 * 1024 * 1024
# The large dictionary finds what files of one project share. Preset 9e would pack 13 % smaller in twice the time.
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 4, "dict_size": 64 * 1024 * 1024}]


def write_sample(cache, target, bytes_per_language, report):
    """Writes a training sample with the same quota for each language, exact duplicates removed, and then SAMPLE_READY."""
    left, seen = {}, set()
    with lzma.open(target + ".new", "wb", preset=2) as out:
        # The hash of the package name orders the packages, so that a quota is not filled by the first letters.
        paths = glob.glob(os.path.join(cache, "kept", "*.pack"))
        for path in sorted(paths, key=lambda p: hashlib.md5(os.path.basename(p).encode()).digest()):
            share = {}
            with open(path, "rb") as stream:
                for header, data in gather.read_frames(stream):
                    language = header["lang"]
                    digest = hashlib.md5(b"".join(data.split())).digest()
                    # At size 0 every project that could be held out is, so the sample is clean whatever is gathered later.
                    if projects.split_of(header["project"], 0) != "train" or digest in seen:
                        continue
                    share[language] = share.get(language, 0) + len(data)
                    if left.setdefault(language, bytes_per_language) < len(data) or share[language] > bytes_per_language // 20:
                        continue
                    left[language] -= len(data)
                    seen.add(digest)
                    gather.write_frame(out, {k: header[k] for k in ("path", "project", "lang")}, data)
    os.replace(target + ".new", target)
    with open(os.path.join(cache, "SAMPLE_READY"), "w", encoding="utf-8") as out:
        out.write(target)
    for language, rest in sorted(left.items()):
        report("sample: %-10s %.1f MB" % (language, (bytes_per_language - rest) / 1e6))


def _read_text(streams, cache, record):
    path = os.path.join(cache, "kept", record["package"] + ".pack")
    if streams.get("path") != path:
        if "file" in streams:
            streams["file"].close()
        streams.update(path=path, file=open(path, "rb"))
    streams["file"].seek(record["at"])
    return streams["file"].read(record["n"])


def write_shard(job):
    """Compresses one list of file records; returns (target, compressed bytes, [short sha256 of each text])."""
    cache, target, records = job
    streams, digests = {}, []
    with lzma.open(target + ".new", "wb", format=lzma.FORMAT_XZ, filters=FILTERS) as out:
        for record in records:
            data = _read_text(streams, cache, record)
            digests.append(hashlib.sha256(data).hexdigest()[:16])
            gather.write_frame(out, {k: record[k] for k in ("path", "project", "lang")}, data)
    if streams:
        streams["file"].close()
    os.replace(target + ".new", target)
    return target, os.path.getsize(target), digests


def shards_of(records):
    """Cuts the sorted records into lists of about SHARD_RAW_BYTES, equal in size so that none is nearly empty."""
    total = sum(r["n"] for r in records)
    count = max(1, -(-total // SHARD_RAW_BYTES))
    shards, filled = [[]], 0
    for record in records:
        if filled > total * len(shards) / count and len(shards) < count:
            shards.append([])
        shards[-1].append(record)
        filled += record["n"]
    return shards


def read_index(cache):
    """Returns the rows of pack/files.jsonl, one per chosen file; none where nothing has been packed."""
    path = os.path.join(cache, "pack", "files.jsonl")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _shards_before(folder, earlier):
    """Returns the shards that pack/READY names, which hold the `earlier` rows; a killed run may have left others beside them."""
    path = os.path.join(folder, "READY")
    shards = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as ready:
            shards = json.load(ready)["shards"]
    held = sum(shard["files"] for shard in shards.values())
    if held != len(earlier):
        raise SystemExit("%s tells of %d files, files.jsonl of %d: a run was killed between the two; pack anew, without --add" %
                         (path, held, len(earlier)))
    return shards


def _summary(rows, shards):
    splits = {}
    for row in rows:
        entry = splits.setdefault(row["split"], {}).setdefault(row["lang"], {"files": 0, "bytes": 0, "projects": set()})
        entry["files"] += 1
        entry["bytes"] += row["n"]
        entry["projects"].add(row["project"])
    for entries in splits.values():
        for entry in entries.values():
            entry["projects"] = len(entry["projects"])
    return {"shards": shards, "splits": splits, "made": time.strftime("%Y-%m-%d %H:%M")}


def write_all(cache, files, chosen, workers, report, earlier=()):
    """Writes pack/part-XX.xz, pack/heldout.xz and pack/files.jsonl; returns the summary that pack/READY will hold.

    With `earlier` rows of files.jsonl, their parts stay as they are and what they lack follows in parts of its own.
    """
    folder = os.path.join(cache, "pack")
    os.makedirs(folder, exist_ok=True)
    shards = _shards_before(folder, earlier) if earlier else {}
    for stale in glob.glob(os.path.join(folder, "*")):
        if os.path.basename(stale) not in (*shards, *(("files.jsonl", "READY") if earlier else ())):
            os.remove(stale)
    known = gather.file_keys(earlier)
    first = sum(name.startswith("part-") for name in shards)
    jobs = []
    for split, form in (("train", "part-%02d.xz"), ("heldout", "heldout.xz")):
        records = [files[i] for i, s in chosen.items() if s == split and (files[i]["package"], files[i]["path"]) not in known]
        records.sort(key=lambda r: (r["lang"], r["project"], r["package"], r["path"]))
        if earlier and split == "heldout":
            assert not records, "an earlier pack's held-out set may not grow"
            continue
        lists = shards_of(records) if split == "train" else [records]
        for number, part in enumerate(lists, first):
            name = form % number if split == "train" else form
            jobs.append((cache, os.path.join(folder, name), part))
    rows = list(earlier)
    with multiprocessing.Pool(workers) as pool:
        for job, (target, size, digests) in zip(jobs, pool.imap(write_shard, jobs)):
            name = os.path.basename(target)
            split = "heldout" if name == "heldout.xz" else "train"
            raw = sum(r["n"] for r in job[2])
            shards[name] = {"bytes": size, "raw": raw, "files": len(job[2])}
            report("%s: %d files, %.1f MB raw, %.2f MiB packed" % (name, len(job[2]), raw / 1e6, size / 2**20))
            if size > SHARD_BYTES_MAX:
                raise SystemExit("%s is %d bytes, above %d: lower SHARD_RAW_BYTES" % (target, size, SHARD_BYTES_MAX))
            for record, digest in zip(job[2], digests):
                row = {k: record[k] for k in ("package", "path", "project", "lang", "licence", "n")}
                rows.append(dict(row, split=split, sha256=digest))
    index = os.path.join(folder, "files.jsonl")
    with open(index + ".new", "w", encoding="utf-8") as out:
        out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    os.replace(index + ".new", index)
    return _summary(rows, shards)
