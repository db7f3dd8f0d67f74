"""What it costs to be asked for many packs at once: drayd's CPU for a POST /v1/packs/find of thousands of keys, all of which it has.

    found.py DRAYD FIXTURE_REGISTRY [--keys N] [--objects N] [--requests N] [--most MS]

The keys are drawn from a store of --objects packs (restart.py's). Fails when an answer is not that of a pack each, or when the mean over the
requests is over MS: reading the request and sending the answer included.
"""

import argparse
import hashlib
import pathlib
import random
import sys
import tempfile

import h2raw
import restart
import rig


def cpu_ms(pid):
    return sum(int(p.read_text().split()[0]) for p in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e6


def main():
    p = argparse.ArgumentParser()
    p.add_argument("drayd")
    p.add_argument("registry")
    p.add_argument("--keys", type=int, default=3600)
    p.add_argument("--objects", type=int, default=20000)
    p.add_argument("--requests", type=int, default=100)
    p.add_argument("--most", type=float, default=1.0)
    o = p.parse_args()
    with tempfile.TemporaryDirectory(prefix="dray-found-") as t:
        t = pathlib.Path(t)
        restart.store_make(t / "store", o.objects)
        registry = rig.Registry(o.registry)
        d = rig.Drayd(o.drayd, registry.url, t, "--log-level", "warn", "--pack-settle-level", "0")
        keys = [bytes.fromhex(hashlib.sha256(b"key %d" % i).hexdigest()[:48]) for i in range(o.objects)]
        bodies = [b"DPF1" + b"".join(random.choices(keys, k=o.keys)) for _ in range(o.requests)]
        c = h2raw.Conn(d.port)
        before = cpu_ms(d.process.pid)
        for b in bodies:
            status, answer = c.answer(c.request(b"POST", b"/v1/packs/find", b, ((b"content-type", b"application/x-dray-find"),)))
            assert status == 200 and len(answer) == 40 * o.keys
            assert all(int.from_bytes(answer[at : at + 8], "little") == 4000 for at in range(32, len(answer), 40))
        ms = (cpu_ms(d.process.pid) - before) / o.requests
        c.close()
        d.stop()
        registry.stop()
    print(f"{o.keys} keys of {o.objects} packs: {ms:.2f} ms of CPU a request, at most {o.most:g}")
    return 0 if ms <= o.most else 1


if __name__ == "__main__":
    sys.exit(main())
