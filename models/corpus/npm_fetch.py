"""Downloads named npm packages with npm's own client (`npm pack`), and resumes after a kill."""

import concurrent.futures
import json
import os
import subprocess

BATCH = 16
PARALLEL = 3
REPORT_EVERY = 10


def _pack(names, folder):
    """Packs `names` into `folder`; returns {requested name: tarball} or None when npm refused the batch."""
    done = subprocess.run(["npm", "pack", "--json", "--ignore-scripts", "--silent", "--pack-destination", folder] + names,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder)
    try:
        listed = json.loads(done.stdout)
    except ValueError:
        return None
    entries = list(listed.values()) if isinstance(listed, dict) else listed
    if done.returncode != 0 or any("filename" not in e for e in entries):
        return None
    found = {}
    for entry in entries:
        bare = entry["filename"].replace("@", "").replace("/", "-")
        found[entry["name"]] = bare
    return found


def _pack_batch(names, folder):
    found = _pack(names, folder)
    if found is not None:
        return found
    # One unknown name fails the whole batch, so each is asked for on its own.
    found = {}
    for name in names:
        found.update(_pack([name], folder) or {})
    return found


def fetch(names, root, report):
    """Downloads the packages into root/tarballs; root/index.json maps a name to its tarball. Returns the names not had."""
    folder = os.path.join(root, "tarballs")
    os.makedirs(folder, exist_ok=True)
    index_path = os.path.join(root, "index.json")
    index = {}
    if os.path.exists(index_path):
        index = json.load(open(index_path, encoding="utf-8"))
    wanted = [n for n in names if n not in index]
    batches = [wanted[i:i + BATCH] for i in range(0, len(wanted), BATCH)]
    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        for number, found in enumerate(pool.map(lambda b: _pack_batch(b, folder), batches)):
            index.update(found)
            with open(index_path + ".new", "w", encoding="utf-8") as out:
                json.dump(index, out, indent=0, sort_keys=True)
            os.replace(index_path + ".new", index_path)
            if number % REPORT_EVERY == 0:
                report("npm packages %d/%d" % (min((number + 1) * BATCH, len(wanted)), len(wanted)))
    return [n for n in names if n not in index]
