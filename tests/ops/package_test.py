"""The Debian package's scripts on folders that earlier packages and operators have left. Wants a mount namespace of its own (unshare -rm).

    package_test.py
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "deploy/debian"
STATE, PRIVATE = pathlib.Path("/var/lib/drayd"), pathlib.Path("/var/lib/private/drayd")


def mount(what, *flags):
    subprocess.run(["mount", "-t", "tmpfs", *flags, "none", str(what)], check=True)


class Package(unittest.TestCase):
    def setUp(self):
        mount("/var/lib")
        mount("/run")
        pathlib.Path("/run/systemd/system").mkdir(parents=True)
        self.t = tempfile.TemporaryDirectory()
        self.called = pathlib.Path(self.t.name) / "called"
        for name in ("adduser", "chown", "deb-systemd-helper", "deb-systemd-invoke", "install", "systemctl"):
            stub = pathlib.Path(self.t.name) / name
            # The user is not this machine's, so whose a folder would be is what `install` and `chown` were told.
            also = 'for last; do :; done; mkdir "$last"' if name == "install" else ""
            stub.write_text(f'#!/bin/sh\necho "{name} $*" >>{self.called}\n{also}\n')
            stub.chmod(0o755)

    def tearDown(self):
        subprocess.run(["umount", "-R", "/var/lib", "/run"], check=True)
        self.t.cleanup()

    def run_script(self, name, what):
        """(status, what it called)."""
        self.called.write_text("")
        r = subprocess.run(["/bin/sh", SCRIPTS / name, what], env={"PATH": f"{self.t.name}:{os.environ['PATH']}"}, capture_output=True)
        return r.returncode, self.called.read_text().splitlines()

    def test_new(self):
        code, called = self.run_script("postinst", "configure")
        self.assertEqual(code, 0)
        self.assertIn("install -d -o drayd -g drayd -m 0750 /var/lib/drayd", called)
        (STATE / "tokens").write_text("x")
        code, called = self.run_script("postinst", "configure")
        self.assertEqual((code, [c for c in called if c.startswith(("install", "chown"))]), (0, []))
        self.assertIn("deb-systemd-invoke try-restart drayd.service", called)

    def test_after_a_dynamic_user(self):
        for link in ("private/drayd", "/var/lib/private/drayd"):
            PRIVATE.mkdir(parents=True)
            (PRIVATE / "tokens").write_text("x")
            STATE.symlink_to(link)
            code, called = self.run_script("postinst", "configure")
            self.assertEqual(code, 0)
            self.assertFalse(STATE.is_symlink() or PRIVATE.exists())
            self.assertEqual((STATE / "tokens").read_text(), "x")
            own = [c for c in called if c.startswith(("install", "chown", "deb-systemd-invoke"))]
            self.assertEqual(own, ["deb-systemd-invoke stop drayd.service", "chown -Rh drayd:drayd /var/lib/drayd", "deb-systemd-invoke start drayd.service"])
            (STATE / "tokens").unlink()
            STATE.rmdir()

    def test_what_cannot_be_moved_stays(self):
        PRIVATE.mkdir(parents=True)
        STATE.symlink_to("private/drayd")
        mount(PRIVATE)
        self.assertNotEqual(self.run_script("postinst", "configure")[0], 0)
        self.assertEqual(os.readlink(STATE), "private/drayd")

    def test_operators_link(self):
        pathlib.Path("/var/lib/elsewhere").mkdir()
        STATE.symlink_to("elsewhere")
        code, called = self.run_script("postinst", "configure")
        self.assertEqual((code, [c for c in called if c.startswith(("install", "chown"))]), (0, []))
        self.assertEqual(os.readlink(STATE), "elsewhere")

    def test_purge_of_a_mount_point(self):
        for what in (STATE, PRIVATE):
            what.mkdir(parents=True)
            (what / "index").write_text("x")
        mount(STATE)
        (STATE / "index").write_text("x")
        code, called = self.run_script("postrm", "purge")
        self.assertEqual((code, list(STATE.iterdir()), PRIVATE.exists()), (0, [], False))
        self.assertIn("deb-systemd-helper purge drayd.service", called)

    def test_removal_disables(self):
        disable = "systemctl --no-reload disable drayd.service"
        code, called = self.run_script("prerm", "remove")
        self.assertEqual((code, called), (0, ["deb-systemd-invoke stop drayd.service", disable]))
        self.assertEqual(self.run_script("prerm", "upgrade"), (0, []))
        pathlib.Path("/run/systemd/system").rmdir()
        self.assertEqual(self.run_script("prerm", "remove"), (0, [disable]))


if __name__ == "__main__":
    if subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True).returncode != 0:
        sys.exit(77)
    unittest.main()
