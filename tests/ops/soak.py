"""Everything at once: installs, raw plans, scrapes, attacks; an upstream that fails in all its ways; clients killed at random, SIGHUP and SIGTERM restarts.

    soak.py DRAYD DRAY FIXTURE_REGISTRY [--seconds N] [--clients N] [--restart S] [--seed N]

Fails when: drayd ends with anything but 0, or later than its bounds; a sanitizer says something; a lockfile or a tree is another than a
direct install's; a client ends by a signal, without a word, or not at all; drayd's memory is ever more than its limits allow
(docs/operations.md, Capacity: what it had at its start, PLAN_BYTES for each of its PLANS workers, and what its caches say they have); in a life of a minute or more (--restart) it
grows once every cache has had each of the few projects. Two ways to grow are told apart:
- what is allocated, without what the caches say they have, at two moments at which everybody waits and nothing is under way: by USED_GROWTH, which
  is 70 bytes for each of the 15,000 requests of half a life of 200 s; before that, threads still get their tables. A sanitizer's build does not tell what is allocated; there its leak checker speaks
  at each stop.
- resident memory, the median of the second quarter against that of the last: by RSS_GROWTH and a tenth, since free memory may be kept (server/heap.h).
Blocked loops are counted and shown.
"""

import argparse
import collections
import difflib
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

import h2raw
import rig

PROJECTS = ("express@5.3.0", "fastify@5.12.8", "redux@5.0.1", "d3@7.9.2", "peers-heavy", "vue@3.5.45")
APP = {"fx-app": "1.0.0", "fx-leaf": "^1.0.0", "@fx/scoped": "1.0.0", "fx-files": "1.0.0"}
CLIENT_S = 300  # no client may take longer: the registry's stalls end sooner
USED_GROWTH, RSS_GROWTH = 1 << 20, 16 << 20
PLANS, PLAN_BYTES = 8, 50 << 20
SANITIZED = 3  # a byte that is allocated takes so many under AddressSanitizer, with what lies around it, its shadow and what is held back
JUDGED_S = 60  # a shorter life says nothing
GOOD = 5  # installs that went well, at least
CACHES = ("plan_cache_bytes", "packument_memory_bytes", "plan_body_bytes")
FAULTS = ("503,every=37", "truncate,every=61", "integrity,every=13", "stall,every=97,limit=6", "429,every=53,retry-after=1")


class Soak:
    def __init__(self, o, directory):
        self.o = o
        self.dir = pathlib.Path(directory)
        self.random = random.Random(o.seed)
        self.end = time.monotonic() + o.seconds
        self.lock = threading.Lock()
        self.seen = collections.Counter()
        self.wrong = []
        self.stopping = threading.Event()
        self.turn = 0
        self.lives = 0
        self.rss = []
        self.caches = 0  # bytes, the most that they said
        self.samples = []  # of the life that runs: bytes resident, one a second
        self.quiet_used = []  # likewise: requests so far, and bytes allocated beside the caches, when all was quiet
        self.paused, self.parked = threading.Event(), 0
        self.growth = []
        self.reasons = collections.Counter()
        self.port = self.port_free()

    def port_free(self):
        """One that no client is given while nobody listens there: the kernel takes theirs from higher up."""
        low = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        while True:
            with socket.socket() as s:
                port = self.random.randrange(10000, low if low > 11000 else 60000)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    s.bind(("127.0.0.1", port))
                    return port
                except OSError:
                    pass

    def count(self, what):
        with self.lock:
            self.seen[what] += 1

    def good(self):
        return self.seen["installed"] + self.seen["resolved"]

    def fail(self, what):
        with self.lock:
            self.wrong.append(what)
        print("WRONG:", what, flush=True)

    # ---- what is right ----

    def registry_start(self, *faults):
        args = [self.o.registry, "--recording", str(rig.HERE.parent / "parity/packuments.ndjson.zst"), "--packages",
                str(rig.HERE.parent / "registry/packages"), "--port", str(self.registry_port)]
        for f in faults:
            args += ["--faults", f]
        self.registry = subprocess.Popen(args, stdout=subprocess.PIPE, text=True)
        self.url = self.registry.stdout.readline().strip()

    def registry_stop(self):
        self.registry.send_signal(signal.SIGCONT)
        self.registry.terminate()
        self.registry.wait(20)
        self.registry.stdout.close()

    def prepare(self):
        """Each project's lockfile by a direct install, and the body of its plan request."""
        self.registry_port = self.port_free()
        self.registry_start()
        self.want, self.bodies = {}, []
        for name in (*PROJECTS, "app"):
            d = self.project(name, self.dir / "want" / name)
            args = [self.o.dray, "install", "-C", str(d), "--direct", "--no-frozen-lockfile", "--lockfile-only", "--store-dir",
                    str(self.dir / "want-store"), "--reporter", "silent"]
            subprocess.run(args, check=True, timeout=CLIENT_S)
            self.want[name] = (d / "pnpm-lock.yaml").read_bytes()
            (d / "pnpm-lock.yaml").unlink()
            self.bodies.append(rig.plan_body(self.o.dray, d))
        self.registry_stop()
        self.registry_start(*FAULTS)

    def project(self, name, d):
        if name == "app":
            return rig.project(d, APP, self.url)
        d.mkdir(parents=True)
        shutil.copy(rig.HERE.parent / "parity/cases" / name / "package.json", d)
        (d / ".npmrc").write_text(f"registry={self.url}\n")
        return d

    # ---- the server's lives ----

    def drayd_start(self):
        self.restarting = True
        self.lives += 1
        self.drayd = rig.Drayd(self.o.drayd, self.url, self.dir, "--listen", f"127.0.0.1:{self.port}", "--drain", "5",
                               "--packument-age", "2", "--plans", str(PLANS), "--log-format", "json", ready_s=60)
        self.drayd.port = self.port
        self.born = rig.rss(self.drayd.process.pid)
        self.caches = 0
        self.restarting = False

    def drayd_stop(self):
        self.restarting = True
        self.judge_growth()
        self.judge_limits()
        try:
            self.rss.append(rig.rss(self.drayd.process.pid))
            if self.drayd.metric("drayd_loops_blocked_total"):
                self.count("loop blocked")
        except (OSError, KeyError):
            self.fail("no metrics before a stop")
        self.samples = []
        self.drayd.process.terminate()
        try:
            code = self.drayd.process.wait(60)
        except subprocess.TimeoutExpired:
            self.fail("drayd did not stop")
            self.drayd.process.kill()
            code = self.drayd.process.wait()
        if code != 0:
            self.fail(f"drayd ended with {code}: {self.drayd.logged()[-3000:]}")
        self.count("life")

    def pause(self):
        """Everybody waits, until nothing is under way any more."""
        self.paused.set()
        try:
            self.drayd.until(lambda: self.parked == self.actors, CLIENT_S + 60)
            self.quiet()
        except OSError as e:
            self.fail(f"it does not become quiet: {e!r}")
        self.paused.clear()

    def judge_limits(self):
        """Of the life that ends: what was resident at any time."""
        try:
            sanitized = self.drayd.metric("drayd_heap_used_bytes") == 0
        except (OSError, KeyError):
            return  # said below
        most = self.born + (PLANS * PLAN_BYTES + self.caches) * (SANITIZED if sanitized else 1)
        got = max(self.samples, default=0)
        self.growth.append(f"resident, at most: {got >> 20} of {most >> 20} MiB ({self.born >> 20} at the start, caches {self.caches >> 20})")
        if got > most:
            self.fail("more memory than the limits allow: " + self.growth[-1])

    def judge_growth(self):
        s = self.samples
        quiet, self.quiet_used = self.quiet_used, []
        n = len(s)
        if n >= JUDGED_S:
            before, after = statistics.median(s[n // 4 : n // 2]), statistics.median(s[n * 3 // 4 :])
            self.grown(f"resident, {n} s", before, after, before / 10 + RSS_GROWTH)
        if len(quiet) > 1 and quiet[0][1] > 0:
            self.grown(f"allocated, {quiet[-1][0] - quiet[0][0]:.0f} requests", quiet[0][1], quiet[-1][1], USED_GROWTH)

    def grown(self, what, before, after, most):
        said = f"{what}: {before / 2**20:.2f} -> {after / 2**20:.2f} MiB"
        self.growth.append(said)
        if after > before + most:
            self.fail("memory grew: " + said)

    # ---- actors ----

    def installer(self, rnd):
        with self.lock:
            self.turn += 1
            turn = self.turn
        full = rnd.random() < 0.3
        name = "app" if full else rnd.choice(PROJECTS)
        d = self.project(name, self.dir / "run" / str(turn))
        flags = [] if full else ["--lockfile-only"]
        args = rig.install_args(self.o.dray, d, f"http://127.0.0.1:{self.port}", d / ".store", *flags)
        life = self.lives if not self.restarting else -1
        p = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if rnd.random() < 0.25:
            time.sleep(rnd.random() * 0.5)
            p.kill()
            p.communicate()
            self.count("client killed")
        else:
            try:
                said = p.communicate(timeout=CLIENT_S)[0]
            except subprocess.TimeoutExpired:
                p.kill()
                said = p.communicate()[0]
                self.fail(f"install of {name} got no answer within {CLIENT_S} s: {said}")
            else:
                self.judge(name, d, full, p.returncode, said, life != self.lives)
        shutil.rmtree(d, ignore_errors=True)

    def judge(self, name, d, full, code, said, overlap):
        if code == 0:
            self.count("installed" if full else "resolved")
            if (d / "pnpm-lock.yaml").read_bytes() != self.want[name]:
                got = (d / "pnpm-lock.yaml").read_text().splitlines()
                diff = difflib.unified_diff(self.want[name].decode().splitlines(), got, "expected", "got", n=1, lineterm="")
                self.fail("\n".join([f"another lockfile for {name}", *list(diff)[:40]]))
            if full:
                self.judge_tree(d)
        elif code < 0 or code not in (6, 7, 10) or not said.strip():
            self.fail(f"install of {name} ended with {code}: {said!r}")
        else:
            self.count("refused over a restart" if overlap or self.restarting else f"failed with a reason ({code})")
            with self.lock:
                self.reasons[re.sub(r"[0-9]+|sha512-\S+", "N", said.strip().splitlines()[0])[:160]] += not (overlap or self.restarting)

    def judge_tree(self, d):
        for dep, version in (("fx-app", "1.0.0"), ("@fx/scoped", "1.0.0"), ("fx-files", "1.0.0")):
            source = rig.HERE.parent / "registry/packages" / dep / version
            for f in source.rglob("*"):
                if f.is_file() and "_node_modules" not in f.parts:
                    got = d / "node_modules" / dep / f.relative_to(source)
                    if not got.exists() or got.read_bytes() != f.read_bytes():
                        self.fail(f"{got} is not what the registry has")

    def raw(self, rnd):
        """Plans on one connection, some of them left in the middle."""
        try:
            c = h2raw.Conn(self.port)
            c.sock.settimeout(CLIENT_S)
            streams = [c.plan(rnd.choice(self.bodies)) for _ in range(rnd.randint(1, 12))]
            if rnd.random() < 0.3:
                time.sleep(rnd.random() * 0.05)
                c.close()
                self.count("raw left")
                return
            open_, ended = set(streams), 0
            while open_:
                f = c.read()
                if f is None:
                    break
                kind, flags, of, payload = f
                if kind == h2raw.DATA and payload:
                    add = struct.pack(">I", len(payload))
                    c.send(h2raw.frame(h2raw.WINDOW, 0, 0, add))
                    if not flags & 1:
                        c.send(h2raw.frame(h2raw.WINDOW, 0, of, add))
                if kind == h2raw.HEADERS:
                    self.count(f"raw {h2raw.status_of(payload)}")
                if (kind in (h2raw.HEADERS, h2raw.DATA) and flags & h2raw.END_STREAM) or kind == h2raw.RST:
                    open_.discard(of)
                    ended += 1
            if open_:
                self.count("raw cut by a restart")
            c.close()
        except TimeoutError:
            self.fail(f"a plan got no answer within {CLIENT_S} s")
        except OSError:
            self.count("raw refused")
            time.sleep(0.05)

    def scraper(self, rnd):
        try:
            for path in ("/metrics", "/", "/v1/health", "/v1/ready", "/nothing"):
                status, _, text = self.drayd.get(path, timeout=CLIENT_S)
                if status not in (200, 404, 503):
                    self.fail(f"{path} answered {status}")
                if path == "/metrics":
                    self.caches = max(self.caches, sum(int(float(n)) for c in CACHES for n in re.findall(rf"^drayd_{c} (\S+)$", text, re.M)))
            self.count("scraped")
        except TimeoutError:
            self.fail(f"no answer to a scrape within {CLIENT_S} s")
        except OSError:
            pass
        time.sleep(0.2 * rnd.random())

    def attacker(self, rnd):
        try:
            c = h2raw.Conn(self.port)
            kind = ((b"content-type", b"application/x-dray-request"),)
            body = rnd.choice(self.bodies)
            for s in range(1, 601, 2):
                c.send(h2raw.frame(h2raw.HEADERS, 4, s, h2raw.head(b"POST", b"/v1/plan", kind)),
                       h2raw.frame(h2raw.DATA, 1, s, body), h2raw.frame(h2raw.RST, 0, s, b"\0\0\0\x08"))
            c.close()
        except OSError:
            pass
        self.count("attacked")
        time.sleep(1)

    def upstream(self, rnd):
        """The registry is gone for a while, or silent."""
        time.sleep(2 + 3 * rnd.random())
        self.registry.send_signal(signal.SIGSTOP)
        time.sleep(rnd.random())
        self.registry.send_signal(signal.SIGCONT)
        self.count("upstream silent")

    def loop(self, actor, seed):
        rnd = random.Random(seed)
        while not self.stopping.is_set():
            if self.paused.is_set():
                with self.lock:
                    self.parked += 1
                while self.paused.is_set():
                    time.sleep(0.05)
                with self.lock:
                    self.parked -= 1
            try:
                actor(rnd)
            except Exception as e:  # pylint: disable=broad-except
                self.fail(f"{actor.__name__}: {e!r}")
                time.sleep(0.5)

    def run(self):
        self.prepare()
        self.drayd_start()
        self.end = time.monotonic() + self.o.seconds
        actors = [self.installer] * self.o.clients + [self.raw] * 2 + [self.scraper, self.attacker, self.upstream]
        self.actors = len(actors)
        threads = [threading.Thread(target=self.loop, args=(a, self.random.random())) for a in actors]
        for t in threads:
            t.start()
        born = time.monotonic()
        # A slow machine is given longer, until there is something to judge.
        while time.monotonic() < self.end or (self.good() < GOOD and time.monotonic() < self.end + CLIENT_S):
            time.sleep(1)
            self.drayd.hup()
            self.count("SIGHUP")
            try:
                self.samples.append(rig.rss(self.drayd.process.pid))
            except (OSError, IndexError, ValueError):
                pass  # it is gone: said below
            if self.drayd.process.poll() is not None:
                self.fail(f"drayd is gone with {self.drayd.process.returncode}: {self.drayd.logged()[-3000:]}")
                self.drayd_start()
            age = time.monotonic() - born
            half = self.o.restart / 2
            if half >= JUDGED_S and not self.quiet_used and age > half and self.end - time.monotonic() > half / 2:
                self.pause()
            if age > self.o.restart:
                if self.quiet_used:
                    self.pause()
                self.drayd_stop()
                self.drayd_start()
                born = time.monotonic()
        self.stopping.set()
        for t in threads:
            t.join(CLIENT_S + 60)
            if t.is_alive():
                self.fail("an actor did not end")
        self.quiet()
        self.drayd_stop()
        self.registry_stop()
        return self.report()

    def quiet(self):
        """Nobody asks any more: nothing is left over. What is allocated now is noted."""
        for name, most in (("plans_active", 0), ("plans_running", 0), ("plan_body_bytes", 0), ("streams_open", 1)):  # one asks
            try:
                self.drayd.until(lambda n=name, v=most: self.drayd.metric("drayd_" + n) <= v, 60)
            except TimeoutError:
                self.fail(f"{name} is {self.drayd.metric('drayd_' + name)} when all is quiet")
        value = dict(re.findall(r"^drayd_(\w+) (\S+)$", self.drayd.get("/metrics", timeout=30)[2], re.M))
        self.quiet_used.append(
            (float(value["requests_total"]), float(value["heap_used_bytes"]) - sum(float(value[c]) for c in CACHES)))

    def report(self):
        log = self.drayd.logged()
        for bad in ("AddressSanitizer", "runtime error:", "LeakSanitizer", "ThreadSanitizer", "past its bound"):
            if bad in log:
                at = log.index(bad)
                self.fail(log[max(0, at - 500) : at + 3000])
        print(dict(sorted(self.seen.items())), "rss MiB:", [r >> 20 for r in self.rss], flush=True)
        print(*self.growth, sep="\n", flush=True)
        for reason, n in self.reasons.most_common(12):
            print(f"{n:6} x {reason}")
        good = self.good()
        bad = sum(n for k, n in self.seen.items() if k.startswith("failed"))
        if good < GOOD or good < bad:
            self.fail(f"{good} good installs, {bad} failed ones")
        return 1 if self.wrong else 0


def main():
    p = argparse.ArgumentParser()
    p.add_argument("drayd")
    p.add_argument("dray")
    p.add_argument("registry")
    p.add_argument("--seconds", type=float, default=30)
    p.add_argument("--clients", type=int, default=3)
    p.add_argument("--restart", type=float, help="seconds of each of drayd's lives; a third of all, 200 at most")
    p.add_argument("--seed", type=int, default=int(time.time()))
    o = p.parse_args()
    o.restart = o.restart or min(200, o.seconds / 3)
    # What AddressSanitizer holds back from reuse counts as resident: little, so that it is full before the first quarter ends.
    os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=16"
    print("seed", o.seed, flush=True)
    with tempfile.TemporaryDirectory(prefix="dray-soak-") as directory:
        return Soak(o, directory).run()


if __name__ == "__main__":
    sys.exit(main())
