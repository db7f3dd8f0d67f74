"""Who may, as drayd's operator says: client certificates, credentials of upstreams; both read again at SIGHUP. And what is written about options.

    access_test.py DRAYD DRAY FIXTURE_REGISTRY [unittest's arguments]
"""

import base64
import http.client
import http.server
import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

import rig

DRAYD, DRAY, REGISTRY = sys.argv[1:4]
ROOT = rig.HERE.parents[1]


def openssl(where, *args):
    subprocess.run(["openssl", *args], cwd=where, check=True, capture_output=True)


def authority(where, name):
    openssl(where, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.pem")


def signed(where, name, by):
    openssl(where, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
            "-out", f"{name}.csr")
    (where / f"{name}.ext").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl(where, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-days", "2", "-out", f"{name}.pem",
            "-extfile", f"{name}.ext")


class Certificates(unittest.TestCase):
    def setUp(self):
        self.tmp = tempfile.TemporaryDirectory()
        self.dir = pathlib.Path(self.tmp.name)
        for name in ("ours", "theirs"):
            authority(self.dir, name)
        signed(self.dir, "server", "ours")
        signed(self.dir, "ann", "ours")
        signed(self.dir, "eve", "theirs")
        (self.dir / "clients.pem").write_bytes((self.dir / "ours.pem").read_bytes())
        self.registry = rig.Registry(REGISTRY)
        self.drayd = rig.Drayd(DRAYD, self.registry.url, self.dir, "--tls-cert", str(self.dir / "server.pem"), "--tls-key",
                               str(self.dir / "server.key"), "--tls-client-ca", str(self.dir / "clients.pem"))

    def tearDown(self):
        self.assertEqual(self.drayd.stop(), 0, self.drayd.logged()[-2000:])
        self.registry.stop()
        self.tmp.cleanup()

    def ask(self, who=None, highest=ssl.TLSVersion.TLSv1_3, path="/v1/health", ciphers=None):
        """The status; None: no connection."""
        x = ssl.create_default_context(cafile=str(self.dir / "ours.pem"))
        x.maximum_version = highest
        if ciphers:
            x.set_ciphers(ciphers)
        if who:
            x.load_cert_chain(self.dir / f"{who}.pem", self.dir / f"{who}.key")
        try:
            with urllib.request.urlopen(f"https://127.0.0.1:{self.drayd.port}{path}", context=x, timeout=rig.PATIENCE_S) as r:
                return r.status
        except (urllib.error.URLError, OSError):
            return None

    def test_client_certificates(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            self.assertEqual(self.ask("ann", version), 200)
            self.assertEqual(self.ask("ann", version, "/fx-leaf"), 200)
            self.assertIsNone(self.ask(None, version), "no certificate")
            self.assertIsNone(self.ask("eve", version), "another authority's")
        with self.assertRaises(OSError):
            self.drayd.get("/v1/health")  # clear HTTP

    def test_ciphers(self):
        """Below TLS 1.3 nothing but AEAD with forward secrecy."""
        for ciphers, status in (("ECDHE+AESGCM", 200), ("ECDHE+CHACHA20", 200), ("ECDHE+AES:!AESGCM:!AESCCM", None), ("kRSA", None), ("DHE", None)):
            self.assertEqual(self.ask("ann", ssl.TLSVersion.TLSv1_2, ciphers=ciphers), status, ciphers)
        self.assertIsNone(self.ask("ann", ssl.TLSVersion.TLSv1_1))

    def test_authorities_are_read_again(self):
        (self.dir / "clients.pem").write_bytes((self.dir / "theirs.pem").read_bytes())
        self.assertEqual(self.ask("ann"), 200)
        self.drayd.hup()
        self.drayd.until(lambda: self.ask("eve") == 200)
        self.assertIsNone(self.ask("ann"))

    def test_a_broken_authority_changes_nothing(self):
        (self.dir / "clients.pem").write_text("nothing")
        self.drayd.hup()
        self.drayd.until(lambda: "kept=all" in self.drayd.logged())
        self.assertEqual(self.ask("ann"), 200)
        self.assertIsNone(self.ask("eve"))


class Upstream(http.server.BaseHTTPRequestHandler):
    """A registry of one package that wants what `wanted` says and counts what it was shown."""

    wanted, seen = "", []

    def do_GET(self):
        shown = self.headers.get("authorization", "")
        self.seen.append(shown)
        ok = shown == self.wanted and self.path == "/thing"
        version = {"name": "thing", "version": "1.0.0", "dist": {"tarball": f"http://127.0.0.1:{self.server.server_port}/thing.tgz",
                   "integrity": "sha512-" + "A" * 86 + "=="}}
        body = json.dumps({"name": "thing", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}).encode()
        self.send_response(200 if ok else 401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body) if ok else 0))
        self.end_headers()
        if ok:
            self.wfile.write(body)

    def log_message(self, *args):
        pass


class Credentials(unittest.TestCase):
    def test_of_any_characters(self):
        """A `#` in one begins no comment; behind a space it does."""
        with tempfile.TemporaryDirectory() as t:
            t = pathlib.Path(t)
            up = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
            threading.Thread(target=up.serve_forever, daemon=True).start()
            Upstream.wanted, Upstream.seen = "Bearer a#b", []
            (t / "conf").write_text("# first\n[upstream default] # of them\ntoken = a#b\t# and this is none\n")
            d = rig.Drayd(DRAYD, f"http://127.0.0.1:{up.server_port}/", t, "--config", str(t / "conf"))
            self.assertEqual(d.get("/thing")[0], 200)
            self.assertEqual(d.stop(), 0)
            up.shutdown()

    def test_read_again(self):
        with tempfile.TemporaryDirectory() as t:
            t = pathlib.Path(t)
            up = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
            threading.Thread(target=up.serve_forever, daemon=True).start()
            Upstream.wanted, Upstream.seen = "Bearer first", []
            (t / "secret").write_text("first\n")
            conf = t / "conf"
            conf.write_text(f"[upstream default]\ntoken-file = {t}/secret\nprivate-addresses = true\n")
            d = rig.Drayd(DRAYD, f"http://127.0.0.1:{up.server_port}/", t, "--config", str(conf), "--packument-age", "0")
            self.assertEqual(d.get("/thing")[0], 200)
            Upstream.wanted = "Bearer second"
            self.assertEqual(d.get("/thing")[0], 502, "the upstream refuses this server")
            (t / "secret").write_text("second\n")
            d.hup()
            d.until(lambda: "result=ok" in d.logged())
            self.assertEqual(d.get("/thing")[0], 200)
            self.assertNotIn("needs=restart", d.logged())
            conf.write_text(f"[upstream default]\nprivate-addresses = true\n")
            d.hup()
            d.until(lambda: "needs=restart" in d.logged())
            self.assertEqual(d.get("/thing")[0], 200, "as before")
            for secret in ("first", "second"):
                self.assertNotIn(secret, d.logged())
            self.assertEqual(set(Upstream.seen), {"Bearer first", "Bearer second"})
            self.assertEqual(d.stop(), 0)
            up.shutdown()


class Upstreams(unittest.TestCase):
    def test_that_share_an_origin(self):
        """Each of them is down when that does not answer."""
        with tempfile.TemporaryDirectory() as t, socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))  # nobody listens there
            url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
            conf = pathlib.Path(t) / "conf"
            conf.write_text(f"[upstream acme]\nurl = {url}npm\nscope = @acme\nprivate-addresses = true\n")
            d = rig.Drayd(DRAYD, url, t, "--config", str(conf))
            states = lambda: {u["name"]: u["state"] for u in json.loads(d.get("/v1/info")[2])["upstreams"]}
            self.assertEqual(states(), {"acme": "up", "default": "up"})
            for name in ("one", "two", "three"):
                self.assertIn(d.get(f"/{name}")[0], (502, 503, 504))
            d.until(lambda: states() == {"acme": "down", "default": "down"})
            self.assertEqual(d.stop(), 0)


@unittest.skipUnless(rig.runs_as(DRAYD, 65534), "needs root, and a program that others may run")
class Tokens(unittest.TestCase):
    def test_of_a_server_that_is_another_user(self):
        """What root adds, a server without privileges reads at its start and while it runs, and it can change it."""
        nobody = 65534
        with tempfile.TemporaryDirectory() as t:
            store = pathlib.Path(t) / "store"
            store.mkdir()
            os.chmod(t, 0o777)
            os.chown(store, nobody, nobody)

            def add(name):
                r = subprocess.run([DRAYD, "token", "add", name, "--store-dir", str(store)], capture_output=True, text=True, check=True)
                owners = {f.name: (f.stat().st_uid, f.stat().st_gid, f.stat().st_mode & 0o777) for f in store.glob("tokens*")}
                self.assertEqual(owners, dict.fromkeys(("tokens", "tokens.lock"), (nobody, nobody, 0o600)))
                return {"authorization": "Bearer " + re.search(r"dray_\S+", r.stdout)[0]}

            first, registry = add("first"), rig.Registry(REGISTRY)
            d = rig.Drayd(DRAYD, registry.url, t, user=nobody)
            self.assertEqual(d.get("/fx-leaf")[0], 401)
            self.assertRegex(d.get("/fx-leaf")[1]["www-authenticate"], "^Bearer ")
            self.assertRegex(d.get("/")[1]["www-authenticate"], "^Basic ")  # else no browser shows the page
            as_basic = "Basic " + base64.b64encode(b"x:" + first["authorization"].split()[1].encode()).decode()
            self.assertEqual(d.get("/", {"authorization": as_basic})[0], 200)
            self.assertEqual(d.get("/fx-leaf", first)[0], 200)
            second = add("second")
            d.until(lambda: d.get("/fx-leaf", second)[0] == 200)
            body = json.dumps({"name": "second", "password": second["authorization"].split()[1]})
            c = http.client.HTTPConnection("127.0.0.1", d.port, timeout=rig.PATIENCE_S)
            c.request("PUT", "/-/user/org.couchdb.user:second", body, {"content-type": "application/json"})
            self.assertEqual(c.getresponse().status, 201)
            c.close()
            self.assertEqual(d.stop(), 0)
            registry.stop()

    def test_of_a_file_for_a_group(self):
        """What its operator lets a group read, the group reads after a change by root."""
        nobody = 65534
        with tempfile.TemporaryDirectory() as t:
            tokens = pathlib.Path(t) / "tokens"
            tokens.touch()
            os.chown(tokens, 0, nobody)
            os.chmod(tokens, 0o640)
            subprocess.run([DRAYD, "token", "add", "ci", "--store-dir", t], capture_output=True, check=True)
            s = tokens.stat()
            self.assertEqual((s.st_uid, s.st_gid, s.st_mode & 0o7777), (0, nobody, 0o640))


class TokenCommand(unittest.TestCase):
    def test_words(self):
        """A token may be called as a command is; `--help` is nobody's name."""
        with tempfile.TemporaryDirectory() as t:
            token = lambda *what: subprocess.run([DRAYD, "token", *what, "--store-dir", t], capture_output=True, text=True, check=False)
            r = token("add", "verify-store")
            self.assertEqual((r.returncode, r.stdout[:5]), (0, "dray_"), r.stderr)
            for word in ("--help", "-h"):
                r = token("add", word)
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertIn("usage: drayd", r.stdout)
            self.assertEqual([line.split()[0] for line in token("list").stdout.splitlines()], ["verify-store"])
            r = token("add", "x", "packages=@a/*", "packages=b")
            self.assertEqual((r.returncode, r.stdout), (2, ""))
            self.assertIn("packages= is there twice", r.stderr)
            self.assertEqual(token("revoke", "verify-store").returncode, 0)
            self.assertEqual(token("list").stdout, "")


class Action(unittest.TestCase):
    """action.yml as a runner does it: its inputs by its own mapping into the environment of its one step, and what that leaves for those which follow."""

    def step(self, home, more=(), **inputs):
        """The step's answer, and the environment and outputs it leaves."""
        more = dict(more)
        text = (ROOT / "action.yml").read_text()
        declared = re.findall(r"^  ([a-z]+):\n    description:", text.split("outputs:")[0], re.M)
        self.assertEqual(declared, ["server", "token", "registry", "fallback", "wait"])
        defaults = dict(re.findall(r"^  ([a-z]+):\n(?:    (?!default).*\n)*    default: (.*)$", text, re.M))
        env = {"PATH": os.environ["PATH"], "HOME": str(home), "GITHUB_ACTION_PATH": str(ROOT)}
        for name, of in re.findall(r"^        ([A-Z]+): \$\{\{ inputs\.([a-z]+) \}\}$", text, re.M):
            env[name] = inputs.pop(of, defaults.get(of, "").strip('"'))
        self.assertFalse(inputs)
        for name in ("GITHUB_ENV", "GITHUB_OUTPUT"):
            (home / name).write_text("")
            env[name] = str(home / name)
        r = subprocess.run(["sh", "-c", re.search(r"^      run: (.*)$", text, re.M)[1]], env={**env, **more}, capture_output=True, text=True, check=False)
        left = [dict(line.split("=", 1) for line in (home / n).read_text().splitlines()) for n in ("GITHUB_ENV", "GITHUB_OUTPUT")]
        return r, *left

    def test_points_at_a_server(self):
        with tempfile.TemporaryDirectory() as t:
            t = pathlib.Path(t)
            registry = rig.Registry(REGISTRY)
            add = subprocess.run([DRAYD, "token", "add", "ci", "--store-dir", str(t)], capture_output=True, text=True, check=True)
            token = re.search(r"dray_\S+", add.stdout)[0]
            d = rig.Drayd(DRAYD, registry.url, t, "--token-file", str(t / "tokens"))
            url = f"http://127.0.0.1:{d.port}"
            r, env, out = self.step(t, server=url, registry="true")
            self.assertEqual((r.returncode, env, out), (0, {"DRAY_SERVER": url, "npm_config_registry": url + "/"}, {"ready": "true"}), r.stderr)
            r, env, out = self.step(t, server=url + "/", token=token)
            self.assertEqual((r.returncode, env, out), (0, {"DRAY_SERVER": url, "DRAY_CI_TOKEN": token}, {"ready": "true"}), r.stderr)
            self.assertIn(f"::add-mask::{token}", r.stdout)
            self.assertNotIn(token, (t / ".npmrc").read_text())
            (t / ".npmrc").write_text("//other.test/:_authToken=x")  # what an earlier step left, without a line's end
            for _ in range(2):  # once, where the home folder stays
                self.step(t, server=url, token=token)
            line = f"//127.0.0.1:{d.port}/:_authToken=${{DRAY_CI_TOKEN}}"
            self.assertEqual((t / ".npmrc").read_text().split(), ["//other.test/:_authToken=x", line])
            self.step(t, {"NPM_CONFIG_USERCONFIG": str(t / "userconfig")}, server=url, token=token)
            self.assertEqual((t / "userconfig").read_text().split(), [line])
            app = rig.project(t / "app", {"fx-leaf": "^1.0.0"}, registry.url)
            args = [DRAY, "install", "-C", str(app), "--server-fallback", "error", "--no-frozen-lockfile", "--store-dir", str(t / "client")]
            base = {"PATH": os.environ["PATH"], "HOME": str(t), **{k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}}
            later = subprocess.run(args, env={**base, **env}, capture_output=True, text=True, check=False)
            self.assertEqual(later.returncode, 0, later.stderr)
            self.assertEqual(d.metric_of({"authorization": f"Bearer {token}"}, "drayd_plans_total"), 1)
            rig.project(app, {"fx-bin": "1.0.0"}, registry.url)
            without = subprocess.run(args, env={**base, **env, "DRAY_CI_TOKEN": "x"}, capture_output=True, text=True, check=False)
            self.assertEqual(without.returncode, 8, without.stderr)
            r, strict, out = self.step(t, server=url, token=token, fallback="error")
            self.assertEqual(strict, {**env, "pnpm_config_dray_server_fallback": "error"})
            self.assertEqual(d.stop(), 0)
            args = [a for a in args if a not in ("--server-fallback", "error")]
            away = subprocess.run(args, env={**base, **strict}, capture_output=True, text=True, check=False)
            self.assertEqual(away.returncode, 7, away.stderr)
            registry.stop()
            r, env, out = self.step(t, server=url, wait="0")
            self.assertEqual((r.returncode, env, out), (0, {}, {"ready": "false"}))
            self.assertIn("::warning::", r.stdout)
            r, env, out = self.step(t, server=url, wait="0", fallback="error")
            self.assertEqual((r.returncode, env, out), (1, {}, {"ready": "false"}))
            for wrong in ({"server": "host"}, {"server": url + "\nPATH=/x"}, {"fallback": "x"}, {"wait": "1s"}, {"token": "a\nb"}):
                r, env, out = self.step(t, **{"server": url, **wrong})
                self.assertEqual((r.returncode, env, out), (2, {}, {}), wrong)


class Words(unittest.TestCase):
    """What there is to configure is in the sample, and in what is written about it."""

    def options(self):
        text = subprocess.run([DRAYD, "--help"], capture_output=True, text=True, check=True).stdout
        return set(re.findall(r"^  --([a-z-]+) ", text, re.M)) - {"help", "config"}

    def test_sample_has_every_option(self):
        sample = (ROOT / "deploy/drayd.conf").read_text()
        stands = re.findall(r"^(?:# )?([a-z-]+) = ", sample, re.M)
        source = (ROOT / "server/config_section.c").read_text()
        sections = set(re.findall(r'str_eq\(name, STR\("([a-z-]+)"\)\)', source))
        sections |= set(re.findall(r'"([a-z-]+)"', re.search(r"names\[\] = \{([^}]*)\}", source)[1]))
        self.assertGreater(len(self.options()), 25)
        self.assertGreater(len(sections), 10)
        self.assertEqual(self.options() | sections - {"default"}, set(stands))

    def test_sample_is_a_configuration(self):
        """As it is, and with everything in it that is commented out."""
        with tempfile.TemporaryDirectory() as t:
            t = pathlib.Path(t)
            authority(t, "x")
            (t / "secret").write_text("a:b")
            (t / "tokens").write_text("")
            sample = (ROOT / "deploy/drayd.conf").read_text()
            whole = re.sub(r"^# (?=[a-z-]+ = |\[)", "", sample, flags=re.M)
            whole = re.sub(r"^(tls-cert|tls-client-ca) = .*", rf"\1 = {t}/x.pem", whole, flags=re.M)
            whole = re.sub(r"^tls-key = .*", f"tls-key = {t}/x.key", whole, flags=re.M)
            whole = re.sub(r"^token-file = /var.*", f"token-file = {t}/tokens", whole, flags=re.M)
            # One credential an upstream: the others are there to be seen.
            whole = re.sub(r"^(token|token-env|basic|basic-env|basic-file) = .*\n", "", whole, flags=re.M)
            whole = re.sub(r"^token-file = (?=.*registry).*", f"token-file = {t}/secret", whole, flags=re.M)
            for text in (sample, whole):
                (t / "conf").write_text(text)
                r = subprocess.run([DRAYD, "check-config", "--config", str(t / "conf"), "--registry", "https://registry.test/"],
                                   capture_output=True, text=True, check=False)
                self.assertEqual(r.returncode, 0, r.stderr)

    def test_every_option_is_described(self):
        text = (ROOT / "docs/operations.md").read_text()
        missing = [o for o in sorted(self.options()) if not re.search(rf"`{o}(?:`| = )|^ *{o} = |--{o}\b", text, re.M)]
        self.assertEqual(missing, [])

    def test_alerts_name_real_metrics(self):
        with tempfile.TemporaryDirectory() as t:
            registry = rig.Registry(REGISTRY)
            d = rig.Drayd(DRAYD, registry.url, t)
            names = set(re.findall(r"^# TYPE (\S+) ", d.get("/metrics")[2], re.M))
            self.assertEqual(d.stop(), 0)
            registry.stop()
        for file in ("deploy/alerts.yaml", "docs/operations.md"):
            used = set(re.findall(r"\bdrayd_[a-z_]+[a-z]\b", (ROOT / file).read_text()))
            self.assertGreater(len(used), 5)
            bare = {re.sub(r"_(bucket|sum|count)$", "", u) for u in used}
            self.assertLessEqual({u for u in bare if not u.endswith("_test")}, names, file)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=2)
