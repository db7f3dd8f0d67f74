"""A plan that is kept against one of a project in which one dependency changed: the figures of docs/decisions/plan-cache.md, as its table.

    changed.py DRAYD DRAY FIXTURE_REGISTRY [--hits N] [--changes N]

For each project a drayd of its own: the first request, N hits one after the other, then N requests that lack another dependency each (medians). CPU is
drayd's, from before the request until its answer was there; "last frame" is h2load's time from the request until its answer's end, on
loopback. Wants a quiet machine and a release build.
"""

import argparse
import json
import pathlib
import statistics
import sys
import tempfile

import plans
import rig


def bodies(dray, registry, name, t, changes):
    """The request of the project, and of it without one of its dependencies, spread over them."""
    p = json.loads((rig.HERE.parent / "parity/cases" / name / "package.json").read_text())
    own = [(kind, d) for kind in ("dependencies", "devDependencies") for d in p.get(kind, {})]
    gone = own[:: max(1, len(own) // changes)][:changes]
    out = []
    for i, (kind, lacks) in enumerate([("dependencies", None), *gone]):
        d = t / f"{name}-{i}"
        d.mkdir(parents=True)
        (d / "package.json").write_text(json.dumps({**p, kind: {k: v for k, v in p[kind].items() if k != lacks}}))
        (d / ".npmrc").write_text(f"registry={registry.url}\n")
        out.append(t / f"{name}-{i}.body")
        out[-1].write_bytes(rig.plan_body(dray, d))
    return out[0], out[1:]


def ask(d, body, log, n=1):
    """(seconds of drayd's CPU, median of the seconds until the end of the answer) of each of N requests."""
    idle = d.metric("drayd_cpu_seconds_total")
    before = d.metric("drayd_cpu_seconds_total")
    log.unlink(missing_ok=True)
    plans.h2load(d.port, body, n, 1, 1, log).communicate()
    cpu = d.metric("drayd_cpu_seconds_total") - before - (before - idle)
    got = plans.rows(log)
    if [s for s, _ in got] != [200] * n:
        raise SystemExit(f"{body.name}: {got[:3]}")
    return max(cpu, 0) / n, statistics.median(us for _, us in got) / 1e6


def main():
    p = argparse.ArgumentParser()
    p.add_argument("drayd")
    p.add_argument("dray")
    p.add_argument("registry")
    p.add_argument("--hits", type=int, default=300)
    p.add_argument("--changes", type=int, default=5)
    o = p.parse_args()
    print("| project | first, cold: CPU | kept: CPU | kept: last frame after | changed: CPU | changed: last frame after | changed ÷ kept: CPU | last frame |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="dray-changed-") as t:
        t = pathlib.Path(t)
        registry = rig.Registry(o.registry, recording=True)
        for name in plans.PROJECTS:
            whole, lacking = bodies(o.dray, registry, name, t, o.changes)
            home = t / f"{name}-drayd"
            home.mkdir()
            d = rig.Drayd(o.drayd, registry.url, home, "--packument-age", "3600", "--log-level", "warn")
            cold, _ = ask(d, whole, t / "log")
            kept, kept_wall = ask(d, whole, t / "log", o.hits)
            if d.metric("drayd_plans_cached_total") != o.hits:
                raise SystemExit(f"{name}: its plan was not kept")
            new = [ask(d, b, t / "log") for b in lacking]
            if d.metric("drayd_plans_cached_total") != o.hits:
                raise SystemExit(f"{name}: a changed project's plan was there already")
            cpu, wall = (statistics.median(x) for x in zip(*new))
            print(f"| {name} | {cold * 1e3:.1f} ms | {kept * 1e3:.3f} ms | {kept_wall * 1e3:.2f} ms | {cpu * 1e3:.1f} ms | {wall * 1e3:.1f} ms "
                  f"| {cpu / kept:.0f} | {wall / kept_wall:.0f} |", flush=True)
            d.stop()
        registry.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
