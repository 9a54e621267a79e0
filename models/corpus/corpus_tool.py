"""Command line of the corpus tool: one step per command, each skipping what an earlier run has finished."""

import argparse
import glob
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)


def report(text):
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def write_unavailable(cache, list_path, names):
    """Leaves the names of a list that cannot be had, one a line; an empty file says that everything was."""
    folder = os.path.join(cache, "unavailable")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, os.path.basename(list_path)), "w", encoding="utf-8") as out:
        out.writelines(name + "\n" for name in names)


def fetch_debian(options):
    import debian_fetch
    apt = debian_fetch.PrivateApt(os.path.join(options.cache, "apt"))
    apt.update()
    known_binary = {fields["Package"] for fields in apt.index("*_Packages*")}
    known_source = set(apt.source_files())
    lists = options.list or sorted(glob.glob(os.path.join(HERE, "packages", "debian-*.txt")))
    for path in lists:
        names = debian_fetch.read_names(path)
        binaries = [n for n in names if n in known_binary and n not in known_source and debian_fetch.SOURCE_BINARIES.match(n)]
        sources = [n for n in names if n not in binaries]
        failed = apt.fetch_binaries(binaries, report)
        if not options.stand_ins_only:
            apt.fetch_sources(sources, report)
        apt.fetch_binaries(apt.stand_ins(sources), report)
        failed += [n for n in sources if not apt.readable(n)]
        report("%s: %d names, %d unavailable" % (os.path.basename(path), len(names), len(failed)))
        write_unavailable(options.cache, path, failed)


def fetch_npm(options):
    import debian_fetch
    import npm_fetch
    lists = options.list or sorted(glob.glob(os.path.join(HERE, "packages", "npm-*.txt")))
    for path in lists:
        names = debian_fetch.read_names(path)
        failed = npm_fetch.fetch(names, os.path.join(options.cache, "npm"), report)
        report("%s: %d names, %d unavailable" % (os.path.basename(path), len(names), len(failed)))
        write_unavailable(options.cache, path, failed)


def gather_step(options):
    import debian_fetch
    import gather
    gather.run(options.cache, debian_fetch.PrivateApt(os.path.join(options.cache, "apt")), options.workers,
               options.only, report)


def sample_step(options):
    import pack
    pack.write_sample(options.cache, os.path.join(options.cache, "sample.xz"), options.megabytes * 1_000_000, report)


def analyse_step(options):
    import assemble
    import pack
    assemble.analyse(options.cache, options.eval or [], options.workers, report, pack.read_index(options.cache))


def pack_step(options):
    import assemble
    import json
    import pack
    earlier = pack.read_index(options.cache) if options.add else []
    files, chosen, dropped = assemble.choose(options.cache, report, earlier)
    summary = pack.write_all(options.cache, files, chosen, options.workers, report, earlier)
    summary["dropped"] = dropped
    with open(os.path.join(options.cache, "pack", "READY"), "w", encoding="utf-8") as out:
        json.dump(summary, out, indent=1, sort_keys=True)


def manifest_step(options):
    import manifest
    manifest.write(options.cache, os.path.join(options.target, "TRAINING_DATA.tsv.xz"),
                   os.path.join(options.target, "NOTICE.xz"), report)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", default=os.path.expanduser("~/.cache/loopd-corpus"))
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("fetch-debian", help="download the Debian packages of packages/debian-*.txt")
    one.add_argument("--list", action="append")
    one.add_argument("--stand-ins-only", action="store_true", help="only fetch binary packages for what sources lack")
    one.set_defaults(run=fetch_debian)
    one = commands.add_parser("fetch-npm", help="download the npm packages of packages/npm-*.txt")
    one.add_argument("--list", action="append")
    one.set_defaults(run=fetch_npm)
    one = commands.add_parser("gather", help="read, license-check, filter and mask every downloaded package")
    one.add_argument("--workers", type=int, default=2)
    one.add_argument("--only", default="", help="only packages whose kept name starts so: deb-, src-, npm-")
    one.set_defaults(run=gather_step)
    one = commands.add_parser("sample", help="write a tokenizer sample of the training split")
    one.add_argument("--megabytes", type=int, default=11, help="per language")
    one.set_defaults(run=sample_step)
    one = commands.add_parser("analyse", help="hash every kept file and compare it with the evaluation sets")
    one.add_argument("--eval", action="append", help="JSON lines with prompt, canonical_solution, suffix, test; .gz or plain")
    one.add_argument("--workers", type=int, default=2)
    one.set_defaults(run=analyse_step)
    one = commands.add_parser("pack", help="choose the files and write pack/part-XX.xz, pack/heldout.xz, then pack/READY")
    one.add_argument("--workers", type=int, default=2)
    one.add_argument("--add", action="store_true", help="keep what is packed, above all its held-out set, and add parts with what is new")
    one.set_defaults(run=pack_step)
    one = commands.add_parser("manifest", help="write TRAINING_DATA.tsv.xz and NOTICE.xz for what was packed")
    one.add_argument("--target", default=os.path.join(HERE, ".."))
    one.set_defaults(run=manifest_step)
    options = parser.parse_args(arguments)
    os.makedirs(options.cache, exist_ok=True)
    options.run(options)


if __name__ == "__main__":
    main()
