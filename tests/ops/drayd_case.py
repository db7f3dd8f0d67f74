"""A case with a drayd before a fixture registry, and a project that asks it; for tests that are told on the command line what to run:

    X_test.py DRAYD DRAY FIXTURE_REGISTRY [unittest's arguments]
"""

import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

import h2raw
import rig

DRAYD, DRAY, REGISTRY = sys.argv[1:4]
APP = {"fx-app": "1.0.0", "fx-leaf": "^1.0.0", "@fx/scoped": "1.0.0"}


class Case(unittest.TestCase):
    flags = ()
    faults = ()

    def setUp(self):
        self.tmp = tempfile.TemporaryDirectory()
        self.dir = pathlib.Path(self.tmp.name)
        self.registry = rig.Registry(REGISTRY, *self.faults)
        self.drayd = rig.Drayd(DRAYD, self.registry.url, self.dir, *self.flags)
        self.app = rig.project(self.dir / "app", APP, self.registry.url)

    def tearDown(self):
        code = self.drayd.stop()
        self.registry.stop()
        log = self.drayd.logged()
        self.tmp.cleanup()
        self.assertEqual(code, 0, log[-3000:])  # whatever was done to it, it leaves in order

    def install(self, *flags):
        url = f"http://127.0.0.1:{self.drayd.port}"
        args = rig.install_args(DRAY, self.app, url, self.dir / "client", *flags)
        return subprocess.run(args, capture_output=True, text=True, timeout=3 * rig.PATIENCE_S)

    def well(self):
        """It answers a plan, fully and soon."""
        c = h2raw.Conn(self.drayd.port)
        status, body = c.answer(c.plan(rig.plan_body(DRAY, self.app)))
        c.close()
        self.assertEqual(status, 200)
        self.assertGreater(len(body), 100)


def main():
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=2)
