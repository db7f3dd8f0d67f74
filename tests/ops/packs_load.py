"""Packs against what plain libh2o serves for the same file: h2load on both, in turns.

    packs_load.py DRAYD DRAY FIXTURE_REGISTRY PLAIN_H2O [--bytes N] [--rounds N] [--least R]

A package of random bytes is packed by drayd; its pack is then asked for by GET /v1/packs/<digest>, and the same file of plain libh2o, which has
as many loops. Fails when for a size the median of drayd's requests a second, or what it does with a second of CPU, is below R of libh2o's.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import rig

SIZES = (8 << 10, 100 << 10, 2 << 20)


def registry_of(t):
    """The fixture packages, and one of random bytes for each size."""
    shutil.copytree(rig.HERE.parent / "registry/packages", t)
    for n in SIZES:
        d = t / f"load-{n}" / "1.0.0"
        d.mkdir(parents=True)
        (d / "package.json").write_text(json.dumps({"name": f"load-{n}", "version": "1.0.0"}))
        (d / "bytes").write_bytes(os.urandom(n))
    return t


def cpu_s(pid):
    f = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")


def h2load(url, pid, n):
    """(requests a second, requests a second of the server's CPU)."""
    before, begun = cpu_s(pid), time.monotonic()
    out = subprocess.run(["h2load", "-n", str(n), "-c", "4", "-m", "8", "-w", "24", "-W", "28", url], capture_output=True, text=True).stdout
    seconds = time.monotonic() - begun
    cpu = cpu_s(pid) - before
    good, bad = int(re.search(r"(\d+) succeeded", out)[1]), int(re.search(r"(\d+) failed", out)[1])
    other = sum(map(int, re.search(r"status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", out).groups()))
    if bad or other or not good:
        raise SystemExit(out)
    return good / seconds, good / cpu


def main():
    p = argparse.ArgumentParser()
    p.add_argument("drayd")
    p.add_argument("dray")
    p.add_argument("registry")
    p.add_argument("plain")
    p.add_argument("--bytes", type=int, default=1 << 30, help="moved in a turn, at most; no turn has over 40,000 requests")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--least", type=float, default=0.8)
    o = p.parse_args()
    loops = 2
    with tempfile.TemporaryDirectory(prefix="dray-packs-") as t:
        t = pathlib.Path(t)
        packages = registry_of(t / "packages")
        registry = subprocess.Popen([o.registry, "--packages", str(packages), "--port", "0"], stdout=subprocess.PIPE, text=True)
        url = registry.stdout.readline().strip()
        d = rig.Drayd(o.drayd, url, t, "--threads", str(loops), "--log-level", "warn", "--pack-settle-level", "0")
        app = rig.project(t / "app", {f"load-{n}": "1.0.0" for n in SIZES}, url)
        subprocess.run(rig.install_args(o.dray, app, f"http://127.0.0.1:{d.port}", t / "client"), check=True)
        files = {}

        def packed():
            for f in (t / "store/packs").glob("??/*"):
                for n in SIZES:
                    if n * 0.99 < f.stat().st_size < n * 1.1 + 2000:
                        files[n] = f
            return len(files) == len(SIZES)

        d.until(packed, 30)
        plain = subprocess.Popen([o.plain, str(t / "store/packs"), str(loops)], stdout=subprocess.PIPE, text=True)
        port = int(plain.stdout.readline())
        ok = True
        for n, f in sorted(files.items()):
            got = {"drayd": [], "libh2o": []}
            for i in range(o.rounds):
                turn = [("drayd", f"http://127.0.0.1:{d.port}/v1/packs/{f.parent.name}{f.name}", d.process.pid),
                        ("libh2o", f"http://127.0.0.1:{port}/{f.parent.name}/{f.name}", plain.pid)]
                for name, at, pid in turn if i % 2 else reversed(turn):
                    got[name].append(h2load(at, pid, min(40000, o.bytes // n)))
            rate = [statistics.median(x[k] for x in got["drayd"]) / statistics.median(x[k] for x in got["libh2o"]) for k in (0, 1)]
            print(f"{f.stat().st_size} bytes: drayd {statistics.median(x[0] for x in got['drayd']):.0f}/s, libh2o "
                  f"{statistics.median(x[0] for x in got['libh2o']):.0f}/s: {rate[0]:.2f}; by the servers' CPU {rate[1]:.2f}", flush=True)
            ok = ok and min(rate) >= o.least
        plain.kill()
        plain.wait()
        d.stop()
        registry.terminate()
        registry.wait(20)
        return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
