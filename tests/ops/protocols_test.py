"""Protocols N and N-1: each of client and server against a build of the other that is one ahead.

    protocols_test.py DRAYD DRAY NEXT_DRAYD NEXT_DRAY FIXTURE_REGISTRY [unittest's arguments]
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import rig

DRAYD, DRAY, NEXT_DRAYD, NEXT_DRAY, REGISTRY = sys.argv[1:6]
APP = {"fx-app": "1.0.0", "fx-leaf": "^1.0.0", "@fx/scoped": "1.0.0"}


class Protocols(unittest.TestCase):
    def pair(self, drayd, dray, low, high, mine):
        with tempfile.TemporaryDirectory() as t:
            t = pathlib.Path(t)
            registry = rig.Registry(REGISTRY)
            d = rig.Drayd(drayd, registry.url, t)
            try:
                url = f"http://127.0.0.1:{d.port}"
                app = rig.project(t / "app", APP, registry.url)
                info = json.loads(d.get("/v1/info")[2])
                self.assertEqual((info["protocol_min"], info["protocol"]), (low, high))
                for n in range(2):  # a walk, then the plan that is kept of it
                    r = subprocess.run(rig.install_args(dray, app, url, t / f"client{n}"), capture_output=True, text=True, timeout=3 * rig.PATIENCE_S)
                    self.assertEqual(r.returncode, 0, r.stderr)
                    self.assertTrue((app / "node_modules/fx-leaf/package.json").is_file())
                    (app / "node_modules").rename(t / f"tree{n}")
                    (app / "pnpm-lock.yaml").unlink()
                self.assertEqual(d.metric("drayd_plans_cached_total"), 1)
                r = subprocess.run([dray, "doctor", "-C", str(app), "--server", url], capture_output=True, text=True, timeout=3 * rig.PATIENCE_S)
                self.assertIn(f"protocol: the server speaks {low} to {high}, this dray {mine}", r.stdout + r.stderr)
                self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
            finally:
                self.assertEqual(d.stop(), 0)
                registry.stop()

    def test_older_client(self):
        self.pair(NEXT_DRAYD, DRAY, 1, 2, "1 to 1")

    def test_older_server(self):
        self.pair(DRAYD, NEXT_DRAY, 1, 1, "1 to 2")

    def test_both_ahead(self):
        self.pair(NEXT_DRAYD, NEXT_DRAY, 1, 2, "1 to 2")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[6:]])
