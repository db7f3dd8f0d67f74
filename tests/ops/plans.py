"""Warm plans under load: a thousand requests of mixed real projects at the same time, against what one of them costs.

    plans.py DRAYD DRAY FIXTURE_REGISTRY PLANS_LOAD [--requests N] [--factor F] [--rounds N]

Prints, and fails when a request is not answered 200 with the bytes of its plan, or when the median over the rounds of the 99th percentile of the
thousand is over F x N x (CPU of one request) / cores. The CPU of one request is drayd's for one of the thousand that comes alone: the same connections and
the same mix, and no request before the one before it is answered. What one costs that is asked for again and again on the same connection (hot: nothing
of the kernel's and of drayd's has left the caches) is less, and is shown with its bound, too. Two shapes: a
connection for each request, as a thousand clients are, and a hundred connections of ten. A request's time begins with its own sending and ends with the last
byte of its connection's answers; from the first one's is shown, too. The load generator runs on the same cores: its CPU is shown, and is not taken off.
Wants a quiet machine.
"""

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

import rig

PROJECTS = ("express@5.3.0", "ant-design-vue@4.2.6", "fastify@5.12.8", "vue@3.5.45")


def load(o, d, connections, streams, rounds, *bodies):
    """(microseconds of each request from its sending, from the first's, drayd's CPU, the generator's), in ms, sorted."""
    args = [o.load, str(d.process.pid), str(d.port), str(connections), str(streams), str(rounds), *map(str, bodies)]
    lines = [x.split() for x in subprocess.run(args, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()]
    own, first = (sorted(int(x[i]) / 1e3 for x in lines[:-1]) for i in (0, 1))
    return own, first, int(lines[-1][1]) / 1e3, int(lines[-1][2]) / 1e3


def p99(ms):
    return ms[int(len(ms) * 0.99) - 1]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("drayd")
    p.add_argument("dray")
    p.add_argument("registry")
    p.add_argument("load")
    p.add_argument("--requests", type=int, default=1000)
    p.add_argument("--factor", type=float, default=1.5)
    p.add_argument("--rounds", type=int, default=5)
    o = p.parse_args()
    with tempfile.TemporaryDirectory(prefix="dray-plans-") as t:
        t = pathlib.Path(t)
        registry = rig.Registry(o.registry, recording=True)
        d = rig.Drayd(o.drayd, registry.url, t, "--packument-age", "3600", "--log-level", "warn", "--plans-per-client", "100",
                      "--connections-per-address", "0")
        bodies = []
        for i, name in enumerate(PROJECTS):
            (t / name).mkdir()
            shutil.copy(rig.HERE.parent / "parity/cases" / name / "package.json", t / name)
            (t / name / ".npmrc").write_text(f"registry={registry.url}\n")
            bodies.append(t / f"body{i}")
            bodies[-1].write_bytes(rig.plan_body(o.dray, t / name))
            load(o, d, 1, 1, 1, bodies[-1])  # it is made
        registry.process.send_signal(19)  # SIGSTOP: nobody asks it any more, and it takes nothing
        each = [statistics.median(load(o, d, 1, 1, 300, b)[2] / 300 for _ in range(3)) for b in bodies]
        hot, one = statistics.mean(each), statistics.median(load(o, d, o.requests, 1, "alone", *bodies)[2] / o.requests for _ in range(o.rounds))
        print("one plan, ms of CPU:", *(f"{n} {c:.3f}" for n, c in zip(PROJECTS, each)), f"mean {hot:.3f}; of the thousand, alone: {one:.3f}")
        bound, bound_hot = (o.factor * o.requests * c / os.cpu_count() for c in (one, hot))
        rss = rig.rss(d.process.pid)
        ok = True
        for connections in (o.requests, o.requests // 10):
            got = []
            for _ in range(o.rounds):
                own, first, cpu, used = load(o, d, connections, o.requests // connections, 1, *bodies)
                assert len(own) == o.requests
                got.append(p99(own))
                print(f"{len(own)} plans on {connections} connections: p50 {own[len(own) // 2]:.1f} ms, p99 {got[-1]:.1f} ms (from the first request "
                      f"{p99(first):.1f}, all {first[-1]:.1f}), CPU of drayd {cpu:.0f} ms, of the generator {used:.0f} ms; memory "
                      f"{rss >> 20} -> {rig.rss(d.process.pid) >> 20} MiB; lock waits {d.metric('drayd_lock_waits_total'):.0f}", flush=True)
            p = statistics.median(got)
            within = p <= bound
            print(f"{connections} connections: p99 {p:.1f} of {bound:.1f} ms:", "within the bound" if within else "OVER the bound", f"({bound_hot:.1f} by a hot one)")
            ok = ok and within
        d.stop()
        registry.process.send_signal(18)
        registry.stop()
        return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
