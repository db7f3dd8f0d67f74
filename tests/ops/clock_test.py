"""A drayd whose wall clock is put back, or ahead: what it has is not fresh for longer, who may not is refused, who may is let in. And one whose loop is blocked.

    clock_test.py CLOCK_DRAYD DRAY FIXTURE_REGISTRY [unittest's arguments]        CLOCK_DRAYD: with clock_wrap.c
"""

import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import rig

DRAYD, DRAY, REGISTRY = sys.argv[1:4]
HOUR, DAY = 3600, 86400


class Clock(unittest.TestCase):
    def setUp(self):
        self.tmp = tempfile.TemporaryDirectory()
        self.dir = pathlib.Path(self.tmp.name)
        os.environ["DRAY_TEST_CLOCK"] = str(self.dir / "clock")
        self.ahead(0)
        (self.dir / "store").mkdir()
        self.registry = rig.Registry(REGISTRY)
        self.drayd = None

    def tearDown(self):
        code = self.drayd.stop() if self.drayd else 0
        self.registry.stop()
        log = self.drayd.logged() if self.drayd else ""
        self.tmp.cleanup()
        self.assertEqual(code, 0, log[-3000:])

    def ahead(self, seconds):
        with open(self.dir / "clock", "r+b" if (self.dir / "clock").exists() else "wb") as f:
            f.write(struct.pack("=q", seconds))

    def start(self, *flags):
        self.drayd = rig.Drayd(DRAYD, self.registry.url, self.dir, *flags)

    def plan(self):
        app = rig.project(self.dir / "app", {"fx-leaf": "^1.0.0"}, self.registry.url)
        args = rig.install_args(DRAY, app, f"http://127.0.0.1:{self.drayd.port}", self.dir / "client", "--lockfile-only", "--force")
        r = subprocess.run(args, capture_output=True, text=True, timeout=3 * rig.PATIENCE_S)
        self.assertEqual(r.returncode, 0, r.stderr)
        (app / "pnpm-lock.yaml").unlink()

    def asked(self):
        """How often the registry was, for packuments."""
        return sum(self.drayd.metric(f"drayd_{n}") for n in (
            "packuments_fetched_total", "packuments_revalidated_total", "registry_packuments_fetched_total",
            "registry_packuments_revalidated_total"))

    def test_what_is_kept_is_no_longer_fresh(self):
        self.start("--packument-age", "1")
        self.plan()
        self.assertEqual(self.drayd.get("/fx-leaf")[0], 200)
        for step in (-DAY, DAY):
            self.ahead(step)
            before = self.asked()
            time.sleep(2.1)  # past the age, twice: then it is asked for before it is answered
            self.plan()
            self.assertEqual(self.asked(), before + 1, "a plan asks again")
            self.assertEqual(self.drayd.get("/fx-leaf")[1]["dray-cache"], "fresh")
            self.assertEqual(self.asked(), before + 2, "so does a packument for npm")

    def test_what_an_earlier_run_kept(self):
        self.start()
        self.plan()
        self.assertEqual(self.drayd.metric("drayd_packuments_fetched_total"), 1)
        self.drayd.until(lambda: self.drayd.metric("drayd_index_entries") >= 1)
        for ahead, asks in ((60, 0), (-DAY, 1)):  # one minute later it is fresh; of a day to come nobody knows its age
            self.assertEqual(self.drayd.stop(), 0)
            self.ahead(ahead)
            self.start()
            self.plan()
            self.assertEqual(self.asked(), asks)
            self.assertEqual(self.drayd.metric("drayd_packuments_cached_total"), 1 - asks)

    def token(self, *what):
        r = subprocess.run([DRAYD, "token", *what, "--store-dir", str(self.dir / "store")], capture_output=True, text=True, check=True)
        made = re.search(r"dray_\S+", r.stdout)
        return {"authorization": f"Bearer {made[0]}"} if made else None

    def status(self, who):
        return self.drayd.get("/-/whoami", who)[0]

    def test_tokens(self):
        day, ever = self.token("add", "day", "expires=1"), self.token("add", "ever")
        self.start()
        self.assertEqual([self.status(w) for w in (day, ever)], [200, 200])
        self.ahead(2 * DAY)
        self.assertEqual([self.status(w) for w in (day, ever)], [401, 200])
        self.ahead(-2 * DAY)  # the wall clock decides: it was wrong before, or is now
        self.assertEqual([self.status(w) for w in (day, ever)], [200, 200])
        self.token("revoke", "ever")
        self.drayd.until(lambda: self.status(ever) == 401)
        late = self.token("add", "late")
        self.assertEqual(self.status(late), 200)

    def test_an_address_is_not_locked_out_for_longer(self):
        self.token("add", "x")
        self.start()
        wrong = {"authorization": "Bearer dray_wrong"}
        self.drayd.until(lambda: self.status(wrong) == 429)
        self.ahead(-HOUR)
        self.assertEqual(self.status(wrong), 401)

    def test_a_blocked_loop_is_told(self):
        """By the watchdog, with what it is at, while it is blocked."""
        self.start()
        self.assertEqual(self.drayd.get("/v1/health")[0], 200)
        block = self.dir / "clock.block"
        block.touch()
        try:
            got = []
            asker = threading.Thread(target=lambda: got.append(self.drayd.get("/v1/health", {"x-request-id": "stuck-one"})[0]))
            asker.start()
            told = r'watchdog .*blocked_ms=\d+ in="/v1/health id=stuck-one"'
            self.drayd.until(lambda: re.search(told, self.drayd.logged()))
            self.assertEqual(got, [])
        finally:
            block.unlink()
        asker.join()
        self.assertEqual(got, [200])
        # Once. What is told of beside it, after a second and a half, the machine did if its threads waited for a CPU for about as long.
        blocked, waited = self.drayd.metric("drayd_loops_blocked_total"), rig.waited_for_cpu(self.drayd.process.pid)
        self.assertGreaterEqual(blocked, 1)
        self.assertLessEqual(0.75 * (blocked - 1), waited)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=2)
