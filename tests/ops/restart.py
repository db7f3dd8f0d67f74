"""How long a drayd takes that finds a million objects: from its start until it accepts.

    restart.py DRAYD FIXTURE_REGISTRY [--objects N] [--rounds N] [--most S]

Makes a store whose packs/ has a file and a line of the journal for each of N packs, ten versions a package, and starts a drayd on it, over and over. Fails
when it does not know all of them, or when the median of the starts is over S seconds. The files are links to ones with nothing but a length: a start looks at names only. The
page cache has what was just written, as it has after a restart of a server that was in use; rows of the index are not looked at by a start.
"""

import argparse
import hashlib
import os
import pathlib
import statistics
import sys
import tempfile
import time

import rig

VERSIONS = 10
SIZE = 4000  # of a pack: one of another length is removed as soon as something is made of it


def line(i, digest):
    key = hashlib.sha256(b"key %d" % i).hexdigest()[:48]
    text = f"settled2 {key} {digest} {SIZE} 5000 20000 package-{i // VERSIONS} 1.{i % VERSIONS}.0"
    return f"{text} {hashlib.sha256(text.encode()).hexdigest()[:8]}\n"


def store_make(store, n):
    packs = store / "packs"
    packs.mkdir(parents=True)
    shards = [f"{i:02x}" for i in range(256)]
    for s in shards:
        (packs / s).mkdir()
        with open(packs / f"empty-{s}", "wb") as f:
            f.truncate(SIZE)
    with open(packs / "journal", "w", encoding="ascii") as journal:
        for i in range(n):
            digest = hashlib.sha256(b"pack %d" % i).hexdigest()
            os.link(packs / f"empty-{digest[:2]}", packs / digest[:2] / digest[2:])
            journal.write(line(i, digest))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("drayd")
    p.add_argument("registry")
    p.add_argument("--objects", type=int, default=1_000_000)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--most", type=float, default=2.0)
    o = p.parse_args()
    took, wrong = [], 0
    with tempfile.TemporaryDirectory(prefix="dray-restart-") as t:
        t = pathlib.Path(t)
        store_make(t / "store", o.objects)
        registry = rig.Registry(o.registry)
        for _ in range(o.rounds):
            begun = time.monotonic()
            d = rig.Drayd(o.drayd, registry.url, t, "--log-level", "warn", ready_s=600)
            took.append(time.monotonic() - begun)
            known, cpu, rss = d.metric("drayd_packs_settled"), d.metric("drayd_cpu_seconds_total"), rig.rss(d.process.pid)
            wrong += known != o.objects
            print(f"{known:.0f} packs: {took[-1]:.2f} s, {cpu:.2f} s of CPU, {rss >> 20} MiB", flush=True)
            wrong += d.stop() != 0
        registry.stop()
    median = statistics.median(took)
    print(f"median {median:.2f} s, at most {o.most:g}")
    return 1 if wrong or median > o.most else 0


if __name__ == "__main__":
    sys.exit(main())
