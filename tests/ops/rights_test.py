"""What those get who may not have something: not its bytes, by whatever name they ask; not its name; and a token is in no log.

    rights_test.py DRAYD DRAY FIXTURE_REGISTRY [unittest's arguments]
"""

import base64
import fcntl
import http.client
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import unittest

import h2raw
import rig

DRAYD, DRAY, REGISTRY = sys.argv[1:4]


class Case(unittest.TestCase):
    sections = ""
    tokens = ()

    def setUp(self):
        self.tmp = tempfile.TemporaryDirectory()
        self.dir = pathlib.Path(self.tmp.name)
        (self.dir / "store").mkdir()
        (self.dir / "conf").write_text(self.sections)
        self.token = {name: self.add(name) for name in self.tokens}
        self.registry = rig.Registry(REGISTRY)
        self.drayd = rig.Drayd(DRAYD, self.registry.url, self.dir, "--config", str(self.dir / "conf"), "--pack-settle-level", "0")

    def tearDown(self):
        code = self.drayd.stop()
        self.registry.stop()
        log = self.drayd.logged()
        self.tmp.cleanup()
        self.assertEqual(code, 0, log[-3000:])

    def add(self, *what):
        r = subprocess.run([DRAYD, "token", "add", *what, "--store-dir", str(self.dir / "store")], capture_output=True, text=True, check=True)
        return re.search(r"dray_\S+", r.stdout)[0]

    def bearer(self, who):
        return {"authorization": f"Bearer {self.token[who]}"} if who else {}

    def ask(self, method, path, who=None, body=None):
        """(status, headers, bytes)"""
        c = http.client.HTTPConnection("127.0.0.1", self.drayd.port, timeout=rig.PATIENCE_S)
        c.request(method, path, body, self.bearer(who))
        r = c.getresponse()
        got = r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()
        c.close()
        return got

    def metric(self, name, who=None):
        return self.drayd.metric_of(self.bearer(who), f"drayd_{name}")

    def install(self, where, who=None, *flags):
        env = {**os.environ, "HOME": str(self.dir)}
        if who:
            env["DRAY_TOKEN"] = self.token[who]
        args = rig.install_args(DRAY, where, f"http://127.0.0.1:{self.drayd.port}", self.dir / f"client-{who}", *flags)
        return subprocess.run(args, capture_output=True, text=True, env=env, timeout=3 * rig.PATIENCE_S)

    def pack(self, who=None):
        """The path of a pack that is there."""
        self.drayd.until(lambda: self.metric("packs_warm", who) >= 1)
        f = next((self.dir / "store/packs").glob("??/*"))
        return f"/v1/packs/{f.parent.name}{f.name}"


class Open(Case):
    def test_packs_may_be_kept_by_caches(self):
        app = rig.project(self.dir / "app", {"fx-leaf": "1.0.0"}, self.registry.url)
        self.assertEqual(self.install(app).returncode, 0)
        status, headers, _ = self.ask("GET", self.pack())
        self.assertEqual((status, headers["cache-control"]), (200, "public, max-age=31536000, immutable"))

    def test_ranges_of_packs(self):
        app = rig.project(self.dir / "app", {"fx-files": "1.0.0"}, self.registry.url)
        self.assertEqual(self.install(app).returncode, 0)
        path = self.pack()
        whole = self.ask("GET", path)[2]
        n = len(whole)
        for asked, part in (("bytes=0-9", (0, 10)), (f"bytes={n - 5}-", (n - 5, n)), ("bytes=-7", (n - 7, n)), (f"bytes=10-{n + 100}", (10, n)),
                (f"bytes=-{n + 5}", (0, n)), (f"bytes={n}-", None), ("bytes=-0", None), ("bytes=5-2", ()), ("bytes=0-1,4-5", ()), ("lines=0-1", ())):
            c = http.client.HTTPConnection("127.0.0.1", self.drayd.port, timeout=rig.PATIENCE_S)
            c.request("GET", path, headers={"range": asked})
            r = c.getresponse()
            got = r.read()
            c.close()
            if part:
                self.assertEqual((r.status, r.headers["content-range"]), (206, f"bytes {part[0]}-{part[1] - 1}/{n}"), asked)
                self.assertEqual(got, whole[slice(*part)], asked)
            elif part is None:
                self.assertEqual((r.status, r.headers["content-range"]), (416, f"bytes */{n}"), asked)
                self.assertEqual((r.headers["cache-control"], r.headers["etag"]), (None, None), "a cache would keep it in the pack's place")
            else:
                self.assertEqual((r.status, got), (200, whole), asked)

    def test_head(self):
        """An answer to HEAD has no body: one that had would be taken for the next answer on the connection."""
        dist = json.loads(self.ask("GET", "/fx-files")[2])["versions"]["1.0.0"]["dist"]
        size = len(self.ask("GET", dist["tarball"].split(str(self.drayd.port))[1])[2])
        s = socket.create_connection(("127.0.0.1", self.drayd.port), rig.PATIENCE_S)
        for name, known in (("fx-leaf", None), ("fx-files", size)):  # one that has to be fetched, one that is there
            if known:
                self.drayd.until(lambda: self.metric("registry_cache_files") >= 2)
            s.sendall(f"HEAD /{name}/-/{name}-1.0.0.tgz HTTP/1.1\r\nHost: 127.0.0.1:{self.drayd.port}\r\n\r\n".encode())
            s.sendall(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
            got = b""
            while b'"version"' not in got:
                more = s.recv(65536)
                self.assertTrue(more, got)
                got += more
            head, _, rest = got.partition(b"\r\n\r\n")
            self.assertTrue(head.startswith(b"HTTP/1.1 200 "), head)
            self.assertIn(b"\r\netag: ", head.lower())
            if known:
                self.assertIn(b"\r\ncontent-length: %d\r\n" % known, head.lower() + b"\r\n")
            self.assertTrue(rest.startswith(b"HTTP/1.1 200 OK\r\n") or rest.startswith(b"HTTP/1.1 200 \r\n"), rest[:200])
        s.close()


class Restricted(Case):
    sections = "[access secret]\npackages = @fx/*\nallow = ci\n"
    tokens = ("ci", "dev")

    def test_page(self):
        """Who may not see every package is not told which ones there are, nor what others work on."""
        self.assertEqual(self.ask("GET", "/@fx%2fscoped", "ci")[0], 200)
        for who, names in (("ci", True), ("dev", False)):
            status, _, page = self.ask("GET", "/", who)
            self.assertEqual(status, 200)
            self.assertEqual(b"@fx/scoped" in page, names, who)
            self.assertEqual(b"Not shown" in page, not names, who)
        self.assertEqual(self.ask("GET", "/")[0], 401)

    def test_packs_are_not_kept_by_caches(self):
        app = rig.project(self.dir / "app", {"fx-leaf": "1.0.0"}, self.registry.url)
        self.assertEqual(self.install(app, "ci").returncode, 0)
        path = self.pack("ci")
        self.assertEqual(self.ask("GET", path, "ci")[1]["cache-control"], "private, max-age=31536000, immutable")
        self.assertEqual(self.ask("GET", path)[0], 401)

    def find(self, who, key):
        c = h2raw.Conn(self.drayd.port)
        s = c.request(b"POST", b"/v1/packs/find", b"DPF1" + key, ((b"authorization", self.bearer(who)["authorization"].encode()),))
        status, body = c.answer(s)
        c.close()
        self.assertEqual(status, 200)
        return int.from_bytes(body[32:40], "little")

    def test_by_another_name(self):
        """A lockfile that says of a tarball which its sender may not have that it is another package, and where it lies."""
        dist = json.loads(self.ask("GET", "/@fx%2fscoped", "ci")[2])["versions"]["1.0.0"]["dist"]
        key = base64.b64decode(dist["integrity"].split("-")[1])[:24]
        app = rig.project(self.dir / "app", {"evil": "1.0.0", "fx-leaf": "1.0.0"}, self.registry.url)
        (app / "pnpm-lock.yaml").write_text(f"""lockfileVersion: '9.0'

settings:
  autoInstallPeers: true
  excludeLinksFromLockfile: false

importers:

  .:
    dependencies:
      evil:
        specifier: 1.0.0
        version: 1.0.0

packages:

  evil@1.0.0:
    resolution: {{integrity: {dist["integrity"]}, tarball: {self.registry.url}@fx/scoped/-/scoped-1.0.0.tgz}}

snapshots:

  evil@1.0.0: {{}}
""")
        r = self.install(app, "dev", "--lockfile-only", "--trust-lockfile")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn("evil@1.0.0", (app / "pnpm-lock.yaml").read_text())
        self.drayd.until(lambda: self.metric("packs_built_total", "ci") + self.metric("packs_failed_total", "ci") >= 2)
        self.assertEqual(self.find("dev", key), 0, "the tarball is no package of that name")
        # Who may have it does, as before, and nobody else.
        own = rig.project(self.dir / "own", {"@fx/scoped": "1.0.0"}, self.registry.url)
        self.assertEqual(self.install(own, "ci", "--lockfile-only").returncode, 0)
        self.drayd.until(lambda: self.find("ci", key) > 0)
        self.assertEqual(self.find("dev", key), 0)

    def test_a_token_is_not_logged(self):
        status, _, _ = self.ask("DELETE", f"/-/user/token/{self.token['dev']}", "ci")
        self.assertEqual(status, 403, "not one's own")
        self.assertEqual(self.ask("DELETE", f"/-/user/token/{self.token['dev']}", "dev")[0], 200)
        self.assertEqual(self.ask("GET", "/-/whoami", "dev")[0], 401, "at once")
        self.drayd.until(lambda: self.drayd.logged().count('path="/-/user/token/"') == 2)
        self.assertNotIn(self.token["dev"][5:], self.drayd.logged())

    def test_a_login_when_the_server_stops(self):
        """The worker that makes its token waits for the file's lock, its client leaves, and all that served it ends before it goes on."""
        with open(self.dir / "store/tokens.lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            body = json.dumps({"name": "ci", "password": self.token["ci"]}).encode()
            c = h2raw.Conn(self.drayd.port)  # HTTP/1.1 does not look whether the client is there until it has an answer
            c.request(b"PUT", b"/-/user/org.couchdb.user:ci", body)
            fd = f"/proc/{self.drayd.process.pid}/fd"
            self.drayd.until(lambda: sum(os.path.realpath(f"{fd}/{n}").endswith("tokens.lock") for n in os.listdir(fd)) == 1)
            c.close()
            self.drayd.until(lambda: self.metric("connections_open", "ci") <= 1)
            self.drayd.process.terminate()
            self.drayd.until(lambda: " stopped " in self.drayd.logged())
            self.assertIsNone(self.drayd.process.poll(), "it waits for the worker")
        self.assertEqual(self.drayd.process.wait(rig.PATIENCE_S), 0, self.drayd.logged()[-2000:])
        listed = subprocess.run([DRAYD, "token", "list", "--store-dir", str(self.dir / "store")], capture_output=True, text=True, check=True).stdout
        self.assertIn("login:ci:", listed)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=2)
