"""Warm plans under load: a thousand requests of mixed real projects at the same time, against what one of them costs.

    plans.py DRAYD DRAY FIXTURE_REGISTRY [--requests N] [--factor F]

Prints, and fails when a request is not answered 200, or when the median over the rounds of the 99th percentile of the thousand is over
F x N x (CPU of one request) / cores. The CPU of one request is drayd's, measured one after the other on one connection. The load generator runs on
the same machine and costs more than drayd: its CPU is shown, and the bound with its share of the cores taken off. Wants a quiet machine.
"""

import argparse
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile

import rig

PROJECTS = ("express@5.3.0", "ant-design-vue@4.2.6", "fastify@5.12.8", "vue@3.5.45")
TYPE = "content-type: application/x-dray-request"


def h2load(port, body, requests, connections, streams, log=None):
    args = ["h2load", "-n", str(requests), "-c", str(connections), "-m", str(streams), "-d", str(body), "-H", TYPE, "-w", "24", "-W", "28"]
    if log:
        args += [f"--log-file={log}"]
    return subprocess.Popen([*args, f"http://127.0.0.1:{port}/v1/plan"], stdout=subprocess.PIPE, text=True)


def rows(log):
    """(status, microseconds) of each request."""
    return [tuple(map(int, line.split("\t")[1:3])) for line in pathlib.Path(log).read_text().splitlines()]


def children_s():
    u = resource.getrusage(resource.RUSAGE_CHILDREN)
    return u.ru_utime + u.ru_stime


def one_cost(d, bodies, n):
    """Seconds of drayd's CPU that a warm plan takes, one after the other; the mean over the projects, and each."""
    each = []
    for b in bodies:
        h2load(d.port, b, 50, 1, 1).communicate()
        before = d.metric("drayd_cpu_seconds_total")
        h2load(d.port, b, n, 1, 1).communicate()
        each.append((d.metric("drayd_cpu_seconds_total") - before) / n)
    return statistics.mean(each), each


def main():
    p = argparse.ArgumentParser()
    p.add_argument("drayd")
    p.add_argument("dray")
    p.add_argument("registry")
    p.add_argument("--requests", type=int, default=1000)
    p.add_argument("--factor", type=float, default=1.5)
    p.add_argument("--rounds", type=int, default=3)
    o = p.parse_args()
    with tempfile.TemporaryDirectory(prefix="dray-plans-") as t:
        t = pathlib.Path(t)
        registry = rig.Registry(o.registry, recording=True)
        d = rig.Drayd(o.drayd, registry.url, t, "--packument-age", "3600", "--log-level", "warn", "--plans-per-client", "100")
        bodies = []
        for i, name in enumerate(PROJECTS):
            (t / name).mkdir()
            shutil.copy(rig.HERE.parent / "parity/cases" / name / "package.json", t / name)
            (t / name / ".npmrc").write_text(f"registry={registry.url}\n")
            bodies.append(t / f"body{i}")
            bodies[-1].write_bytes(rig.plan_body(o.dray, t / name))
            h2load(d.port, bodies[-1], 1, 1, 1).communicate()  # it is made
        one, each = one_cost(d, bodies, 300)
        print("one plan, ms of CPU:", *(f"{n} {c * 1e3:.3f}" for n, c in zip(PROJECTS, each)), f"mean {one * 1e3:.3f}")
        ok = True
        share = o.requests // len(bodies)
        rss = rig.rss(d.process.pid)
        p99s = []
        for n in range(o.rounds):
            cpu, load = d.metric("drayd_cpu_seconds_total"), children_s()
            run = [h2load(d.port, b, share, share // 10, 10, t / f"log{n}-{i}") for i, b in enumerate(bodies)]
            for r in run:
                r.communicate()
            got = [r for i in range(len(bodies)) for r in rows(t / f"log{n}-{i}")]
            us = sorted(x[1] for x in got)
            p99 = us[int(len(us) * 0.99) - 1] / 1e6
            cpu, load = d.metric("drayd_cpu_seconds_total") - cpu, children_s() - load
            bare = o.factor * len(got) * one / os.cpu_count()
            bound = bare * (cpu + load) / cpu
            bad = sum(1 for s, _ in got if s != 200) + share * len(bodies) - len(got)
            print(f"{len(got)} plans, {bad} without a 200: p50 {us[len(us) // 2] / 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms, bound {bare * 1e3:.1f} "
                  f"ms ({bound * 1e3:.1f} on the cores that the generator leaves); CPU of drayd {cpu * 1e3:.0f} ms, of the generator {load * 1e3:.0f} ms; memory "
                  f"{rss >> 20} -> {rig.rss(d.process.pid) >> 20} MiB; lock waits {d.metric('drayd_lock_waits_total'):.0f}", flush=True)
            ok = ok and not bad
            p99s.append((p99, bare))
        within = statistics.median(p for p, _ in p99s) <= min(b for _, b in p99s)
        print("within the bound" if within else "OVER the bound")
        d.stop()
        registry.stop()
        return 0 if ok and within else 1


if __name__ == "__main__":
    sys.exit(main())
