"""A disk that is full: answers stay right, what need not be kept is not, and counted; nothing half-written is there; with room again, all is as before.

    unshare -rm disk_test.py DRAYD DRAY FIXTURE_REGISTRY [unittest's arguments]        mounts a small file system for the store
"""

import base64
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

import rig

DRAYD, DRAY, REGISTRY = sys.argv[1:4]
APP = {"fx-app": "1.0.0", "fx-leaf": "1.0.0", "@fx/scoped": "1.0.0", "fx-files": "1.0.0"}


class Full(unittest.TestCase):
    def setUp(self):
        self.tmp = tempfile.TemporaryDirectory()
        self.dir = pathlib.Path(self.tmp.name)
        self.store = self.dir / "store"
        self.store.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(self.store)], check=True)
        self.registry = rig.Registry(REGISTRY)
        self.drayd = None

    def tearDown(self):
        code = self.drayd.stop() if self.drayd else 0
        self.registry.stop()
        log = self.drayd.logged() if self.drayd else ""
        subprocess.run(["umount", "-l", str(self.store)], check=True)
        self.tmp.cleanup()
        self.assertEqual(code, 0, log[-3000:])

    def start(self):
        self.drayd = rig.Drayd(DRAYD, self.registry.url, self.dir, "--pack-settle-level", "0")

    def fill(self):
        with open(self.store / "ballast", "ab", buffering=0) as f:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while f.write(b"x" * size) == size:
                        pass
                except OSError:
                    pass

    def make_room(self):
        (self.store / "ballast").unlink()

    def install(self, name, dependencies, *flags):
        """The project's folder. Its lockfile and what it has of the dependencies are a direct install's."""
        app = rig.project(self.dir / name, dependencies, self.registry.url)
        args = rig.install_args(DRAY, app, f"http://127.0.0.1:{self.drayd.port}", self.dir / "client", *flags)
        r = subprocess.run(args, capture_output=True, text=True, timeout=3 * rig.PATIENCE_S)
        self.assertEqual(r.returncode, 0, r.stderr)
        want = rig.project(self.dir / f"{name}-direct", dependencies, self.registry.url, name="app")
        direct = [DRAY, "install", "-C", str(want), "--direct", "--no-frozen-lockfile", "--lockfile-only", "--reporter", "silent",
                  "--store-dir", str(self.dir / "client-direct")]
        subprocess.run(direct, check=True, timeout=3 * rig.PATIENCE_S)
        self.assertEqual((app / "pnpm-lock.yaml").read_bytes(), (want / "pnpm-lock.yaml").read_bytes())
        for dep in () if "--lockfile-only" in flags else dependencies:
            source = rig.HERE.parent / "registry/packages" / dep / "1.0.0"
            for f in source.rglob("*"):
                if f.is_file() and "_node_modules" not in f.parts:
                    self.assertEqual((app / "node_modules" / dep / f.relative_to(source)).read_bytes(), f.read_bytes())

    def tarball(self, name):
        """It has the digest that its packument states."""
        status, _, text = self.drayd.get(f"/{name}")
        self.assertEqual(status, 200)
        dist = json.loads(text)["versions"]["1.0.0"]["dist"]
        r = subprocess.run(["curl", "-sSf", dist["tarball"]], capture_output=True, timeout=rig.PATIENCE_S)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual("sha512-" + base64.b64encode(hashlib.sha512(r.stdout).digest()).decode(), dist["integrity"])

    def whole(self):
        """The packs that are there are; nothing is left of what could not be written. How many packs."""
        packs = list((self.store / "packs").glob("??/*"))
        for f in packs:
            self.assertEqual(hashlib.sha256(f.read_bytes()).hexdigest(), f.parent.name + f.name)
        self.assertEqual(list((self.store / "packs").glob("tmp-*")), [])
        self.assertEqual(list((self.store / "registry/tmp").iterdir()), [])
        for f in (self.store / "registry").glob("??/*"):
            self.assertGreater(f.stat().st_size, 0)
        return len(packs)

    def counted(self, name, most=None):
        n = self.drayd.metric(f"drayd_{name}")
        return n > 0 if most is None else n <= most

    def test_it_becomes_full(self):
        begun = time.monotonic()
        self.start()
        self.fill()
        self.install("one", APP)
        self.drayd.until(lambda: self.counted("cache_writes_dropped_total"))
        self.drayd.until(lambda: self.counted("packs_pending", 0))
        for n in (1, 2):
            self.tarball("fx-leaf")
            self.drayd.until(lambda n=n: self.drayd.metric("drayd_registry_tarballs_unkept_total") == n)
        self.drayd.until(lambda: self.drayd.metric("drayd_registry_packuments_unkept_total") == 1)
        self.assertEqual(self.drayd.metric("drayd_registry_tarballs_failed_total"), 0)
        self.assertEqual(self.whole(), 0)
        self.assertEqual(self.drayd.get("/v1/ready")[0], 200)
        said, most = self.drayd.logged().count("lost: write to"), 8 + (time.monotonic() - begun) / 10
        self.assertLessEqual(said, most, "a line now and then, not one a write")
        self.make_room()
        self.install("two", {"fx-bin": "1.0.0"})
        self.drayd.until(lambda: self.counted("packs_warm"))
        self.tarball("fx-leaf")
        self.drayd.until(lambda: self.counted("registry_cache_files"))
        self.assertGreater(self.whole(), 0)
        entries = self.drayd.metric("drayd_index_entries")
        self.assertGreater(entries, 0)

    def test_it_is_full_at_a_start(self):
        self.start()
        self.install("one", {"fx-leaf": "1.0.0"})
        self.drayd.until(lambda: self.counted("packs_warm"))
        self.assertEqual(self.drayd.stop(), 0)
        self.fill()
        self.start()
        self.assertEqual(self.drayd.metric("drayd_packs_warm"), 1)
        self.install("two", APP)
        self.tarball("fx-files")
        for what in ("tarballs", "packuments"):
            self.drayd.until(lambda what=what: self.counted(f"registry_{what}_unkept_total"))
        self.assertEqual(self.whole(), 1)

    def test_what_is_settled_meanwhile(self):
        """Who waits for it is told that there is no room, and loses nothing."""
        self.start()
        self.install("one", APP)
        self.drayd.until(lambda: self.counted("packs_warm") and self.counted("packs_pending", 0))
        self.assertEqual(self.drayd.stop(), 0)
        packs = self.whole()
        args = [DRAYD, "--wait-settled", "--registry", self.registry.url, "--store-dir", str(self.store), "--pack-settle-level", "19"]
        settle = lambda: subprocess.run(args, capture_output=True, text=True, timeout=rig.PATIENCE_S)
        self.fill()
        r = settle()
        self.assertEqual(r.returncode, 5, r.stderr)
        self.assertRegex(r.stderr, r"what was made is kept, the rest cannot be made now: write .*No space left on device\n.*make room")
        self.assertEqual(self.whole(), packs)
        self.make_room()
        r = settle()
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertRegex(r.stdout, r"(?m)^settled: \d+ packs, ")

    def test_it_was_always_full(self):
        self.fill()
        args = [DRAYD, "--listen", "127.0.0.1:0", "--registry", self.registry.url, "--store-dir", str(self.store)]
        r = subprocess.run(args, capture_output=True, text=True, timeout=rig.PATIENCE_S)
        self.assertEqual(r.returncode, 5, r.stderr)
        self.assertRegex(r.stderr, r"No space left on device\n.*make room")

    def test_tokens(self):
        """Those that were there stay, and who makes another one is told."""
        token = lambda *what: subprocess.run([DRAYD, "token", *what, "--store-dir", str(self.store)], capture_output=True, text=True,
                                             timeout=rig.PATIENCE_S)
        self.assertEqual(token("add", "first").returncode, 0)
        was = (self.store / "tokens").read_bytes()
        self.fill()
        r = token("add", "second")
        self.assertEqual(r.returncode, 5, r.stderr)
        self.assertRegex(r.stderr, r"No space left on device\n.*make room")
        self.assertNotIn("dray_", r.stdout)
        self.assertEqual((self.store / "tokens").read_bytes(), was)


if __name__ == "__main__":
    probe = tempfile.mkdtemp()
    if subprocess.run(["mount", "-t", "tmpfs", "none", probe], capture_output=True).returncode:
        os.rmdir(probe)
        sys.exit(77)  # this kernel does not let us
    subprocess.run(["umount", probe], check=True)
    os.rmdir(probe)
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=2)
