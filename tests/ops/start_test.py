"""What keeps drayd from starting or from a new configuration, and that it says so: to its manager, and to who reads its words.

    start_test.py DRAYD [unittest's arguments]
"""

import http.client
import os
import pathlib
import re
import select
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

import rig

DRAYD = sys.argv[1]


def certificate(where, name, ends="20990101000000Z"):
    """A self-signed one, which began in 2020 and ENDS then; `openssl req -x509` knows no past."""
    (where / "ca").write_text("")
    (where / "serial").write_text("01\n")
    (where / "ca.conf").write_text(
        f"[ca]\ndefault_ca=a\n[a]\ndatabase={where}/ca\nserial={where}/serial\nnew_certs_dir={where}\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
    run = lambda *a: subprocess.run(["openssl", *a], cwd=where, check=True, capture_output=True)
    run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", "csr")
    run("ca", "-batch", "-selfsign", "-config", "ca.conf", "-keyfile", f"{name}.key", "-in", "csr", "-notext", "-out", f"{name}.pem",
        "-startdate", "20200101000000Z", "-enddate", ends)


class Case(unittest.TestCase):
    def setUp(self):
        self.tmp = tempfile.TemporaryDirectory()
        self.dir = pathlib.Path(self.tmp.name)
        self.dir.chmod(0o755)
        self.conf = self.dir / "drayd.conf"

    def tearDown(self):
        self.tmp.cleanup()

    def refused(self, status, words, *args, user=None):
        """It ends with STATUS and says WORDS (a regex) in at most two lines beside its log, so nothing that a sanitizer would say."""
        r = subprocess.run([DRAYD, *args], capture_output=True, text=True, timeout=rig.PATIENCE_S, user=user)
        said = "".join(l for l in r.stderr.splitlines(True) if not re.match(r"20\d\d-", l))
        self.assertEqual(r.returncode, status, r.stderr)
        self.assertRegex(said, words)
        self.assertLessEqual(said.count("\n"), 2, said)
        return said

    def start(self, *lines, store="store", user=None, command=()):
        self.conf.write_text("\n".join(("registry = none", f"store-dir = {self.dir / store}", *lines)) + "\n")
        return *command, "--config", str(self.conf)


class Refusals(Case):
    def test_addresses(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            at = f"127.0.0.1:{taken.getsockname()[1]}"
            self.refused(5, rf"drayd: {self.conf}:3: listen {at}: Address already in use .*ss -ltnp", *self.start(f"listen = {at}"))
        self.refused(5, "192.0.2.1:0: .* no such address", *self.start("listen = 192.0.2.1:0", "insecure = true"))
        for command in ((), ("check-config",)):
            self.refused(2, f"{self.conf}:3: listen 0.0.0.0:0 without TLS and without tokens: set tls-cert", *self.start("listen = 0.0.0.0:0", command=command))
            # as the resolver says it, which may have no name server to ask
            self.refused(2, f"{self.conf}:3: listen no.invalid:0: .*(not known|name resolution)", *self.start("listen = no.invalid:0", command=command))

    def test_configuration(self):
        upstream = "[upstream x]\nurl = https://x.test/\nscope = @x\n"
        for line, at, words in (("nonsense = 1", 4, "no option nonsense; `drayd --help` lists them"), ("lisen = x", 4, "no option lisen; is it listen?"),
                ("config = x", 4, "config stands on the command line only"),
                ("plans = many", 4, "plans = many: expected a number from 1 to 1024"), ("pack-cache = 20G", 4, "expected a number of MiB, without a unit, from"),
                ("drain = 5s", 4, "expected a number of seconds, without a unit, from"), ("insecure = yes", 4, "expected true or false"),
                ("log-level = loud", 4, "expected error, warn, info or debug"), ("drain", 4, 'expected "name = value"'), ("drain = 1\ndrain = 2", 5, "drain is there twice, here and in line 4"),
                ("tls-cert =", 4, "tls-cert = : expected FILE; leave the line out"), ("[upstrem x]", 4, 'no section "upstrem"; there are upstream and access'),
                ("[upstream x", 4, r'expected "\[upstream NAME\]"'), (upstream + "drain = 3", 7, "drain is an option of drayd's own: it stands before the first section"),
                (upstream + "scop = @y", 7, "upstream x: no option scop in an upstream; there are url, scope"), (upstream + "token-env = NOPE", 7, "the variable NOPE is not set"),
                (upstream + "basic = x", 7, 'basic: expected "user:password"'), (upstream + "token = x\ntoken = y", 8, "upstream x has two credentials"),
                ("[access x]\npackages =", 5, "packages = : expected a package's name"), ("public-url = x", 4, "expected a http or https URL")):
            args = self.start("listen = 127.0.0.1:0", line)
            for command in ((), ("check-config",)):
                self.refused(4 if "NOPE" in line else 2, rf"^drayd: {self.conf}:{at}: .*{words}", *command, *args)
        for line, words in (("listen = 127.0.0.1:1\nlisten = 127.0.0.1:1", "listen = 127.0.0.1:1 is there twice"), (upstream.replace("@", ""), 'upstream x: "x" is no scope; expected "@name"'),
                (upstream.replace("https", "ftp"), 'upstream x: "ftp://x.test/": a URL does not start with http'), (upstream + upstream.replace(" x]", " y]"), "scope @x has two upstreams, x and y"),
                (upstream.replace("https", "http") + "token = x", "upstream x: its credential would travel in clear to x.test; use https"), ("[access x]\nallow = y", "access x needs packages: a line")):
            self.refused(2, rf"^drayd: {self.conf}: {words}", "check-config", *self.start(line))
        for line, words in (("[upstream x]\nscope = @x", ": upstream x needs a url"), ("tls-cert = x", ":3: tls-cert and tls-key belong together: tls-key is missing"),
                ("drain = 1\nlisten = here", ":4: listen = here: expected ADDR:PORT")):
            self.refused(2, rf"^drayd: {self.conf}{words}", *self.start(line))
        for command in ((), ("check-config",)):
            self.refused(2, rf"^drayd: {self.conf}: more than 32 listen addresses", *command, *self.start(*["listen = 127.0.0.1:0"] * 33))
        for flags, words in ((("--tls-key", "x"), "--tls-key: .*tls-cert is missing"), (("--listen=here",), "--listen: .*expected ADDR:PORT"),
                (("--plans", "0"), "--plans: plans = 0: expected a number from 1 to 1024"), (("--public-url", "x"), "--public-url: "), (("--nonsense",), "no option --nonsense"), (("--plns", "1"), "no option --plns; is it --plans?"),
                (("--plans",), "--plans needs a value")):  # not the file's fault
            self.refused(2, rf"^drayd: {words}", *self.start("drain = 1"), *flags)
        self.refused(4, "drayd.conf-none: no such file", "--config", f"{self.conf}-none")

    def test_a_credential_in_clear(self):
        """The default registry may be private, and is asked with its credential over clear HTTP only when it is said to be, or its URL shows it."""
        for url, more, status in (("http://x.test/", "", 2), ("http://x.test/", "private-addresses = true\n", 0), ("http://127.0.0.1:1/", "", 0),
                ("https://x.test/", "", 0), ("http://x.test/", "private-addresses = false\n", 2)):
            self.conf.write_text(f"registry = {url}\nstore-dir = {self.dir}\n[upstream default]\ntoken = x\n{more}")
            if status:
                self.refused(2, f"^drayd: {self.conf}: upstream default: its credential would travel in clear to x.test; .* private-addresses = true in .upstream default.", "check-config", "--config", str(self.conf))
            else:
                subprocess.run([DRAYD, "check-config", "--config", str(self.conf)], check=True, capture_output=True, timeout=rig.PATIENCE_S)

    def test_no_tokens(self):
        args = self.start(f"token-file = {self.dir}/none")
        for command in ((), ("check-config",)):
            self.refused(5, rf"^drayd: {self.conf}:3: token file {self.dir}/none \(`drayd token add NAME` makes one\): No such file", *command, *args)

    def test_no_registry(self):
        self.conf.write_text(f"registry =\nstore-dir = {self.dir}\n")
        self.refused(2, f"{self.conf}:1: no registry: set `registry = URL`", "--config", str(self.conf))
        made = subprocess.run([DRAYD, "token", "add", "ci", "--config", str(self.conf)], capture_output=True, text=True, timeout=rig.PATIENCE_S)
        self.assertRegex(made.stdout, "^dray_")

    def test_stores(self):
        (self.dir / "file").write_text("")
        self.refused(5, f"{self.dir}/file", *self.start("listen = 127.0.0.1:0", store="file"))
        self.refused(5, f"{self.dir}/file", *self.start("listen = 127.0.0.1:0", store="file/below"))
        (self.dir / "old").mkdir()
        (self.dir / "old/format").write_text("another\n")
        self.refused(9, 'store .*/old has the format "another".*use another --store-dir', *self.start("listen = 127.0.0.1:0", store="old"))

    @unittest.skipUnless(rig.runs_as(DRAYD, "nobody"), "takes root, and a program that others may run: another user's files")
    def test_another_users(self):
        args = self.start("listen = 127.0.0.1:0")
        (self.dir / "store").mkdir(mode=0o700)
        self.refused(5, rf"{self.dir}/store.*Permission denied\n.*runs as user nobody.*own all of store-dir .{self.dir}/store", *args, user="nobody")
        self.refused(5, rf"{self.dir}/store.*Permission denied\n.*run as user nobody: run it as root or as who owns", "token", "add", "ci", *args, user="nobody")
        self.conf.chmod(0o600)
        self.refused(5, "drayd.conf: Permission denied\n.*runs as user nobody", *args, user="nobody")

    def test_certificates(self):
        for name, ends in (("one", "20990101000000Z"), ("two", "20990101000000Z"), ("old", "20210101000000Z")):
            certificate(self.dir, name, ends)
        (self.dir / "text").write_text("no PEM\n")
        # What is not there may come, with a mount or a renewal: systemd tries again. What is wrong stays wrong.
        row = (("one.pem", "two.key", 2, "conf:5: tls-key .*two.key is not the key of tls-cert .*one.pem"), ("none.pem", "one.key", 5, "conf:4: tls-cert .*none.pem: No such file"),
            ("text", "one.key", 2, "conf:4: tls-cert .*text: has no certificate in PEM"), ("one.pem", "text", 2, "conf:5: tls-key .*text: has no private key in PEM"))
        for cert, key, status, words in row:
            args = self.start("listen = 127.0.0.1:0", f"tls-cert = {self.dir / cert}", f"tls-key = {self.dir / key}")
            self.refused(status, words, *args)
            self.refused(status, words, "check-config", *args)
        args = self.start("listen = 127.0.0.1:0", f"tls-cert = {self.dir}/old.pem", f"tls-key = {self.dir}/old.key")
        self.refused(2, r"old.pem ended on 2021-01-01", "check-config", *args)


class Manager(Case):
    """As systemd's Type=notify."""

    def setUp(self):
        super().setUp()
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(self.dir / "notify"))
        self.manager.settimeout(rig.PATIENCE_S)
        os.environ["NOTIFY_SOCKET"] = str(self.dir / "notify")

    def tearDown(self):
        del os.environ["NOTIFY_SOCKET"]
        self.manager.close()
        super().tearDown()

    def told(self):
        return dict(l.split("=", 1) for l in self.manager.recv(4096).decode().splitlines())

    def test_is_told(self):
        args = self.start("drain = 100")
        drayd = rig.Drayd(DRAYD, "none", self.dir, *args)
        self.assertEqual(self.told(), {"READY": "1", "STATUS": "Serving"})
        self.conf.write_text("nonsense = 1\n")
        drayd.hup()
        self.assertRegex(self.told()["STATUS"], "SIGHUP was refused.*drayd.conf:1: no option nonsense")
        self.start("drain = 100")
        drayd.hup()
        self.assertEqual(self.told(), {"STATUS": "Serving; SIGHUP taken over"})
        self.assertEqual(drayd.stop(), 0)
        got = [self.told() for _ in range(3)]
        self.assertEqual([(g["STOPPING"], g["STATUS"]) for g in got], [("1", f"Stopping: {s}") for s in ("drain", "workers", "store")])
        self.assertGreater(int(got[0]["EXTEND_TIMEOUT_USEC"]), 110e6)  # the drain of that configuration, and its bound

    def test_is_not_told_of_a_failure(self):
        self.refused(2, "without", *self.start("listen = 0.0.0.0:0"))
        self.manager.setblocking(False)
        try:
            while got := self.told():
                self.assertNotIn("READY", got)
        except BlockingIOError:
            pass


class Descriptors(Case):
    def test_as_many_as_there_are(self):
        """A shell's limit is not drayd's: connections past it are served."""
        wrapper = self.dir / "limited"
        wrapper.write_text(f'#!/bin/sh\nulimit -Hn 2000\nulimit -Sn 100\nexec {os.path.abspath(DRAYD)} "$@"\n')
        wrapper.chmod(0o755)
        drayd = rig.Drayd(str(wrapper), "none", self.dir, "--idle", "600")
        held = [socket.create_connection(("127.0.0.1", drayd.port), rig.PATIENCE_S) for _ in range(300)]
        for s in held:
            s.sendall(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
        for s in held:
            self.assertTrue(s.recv(100).startswith(b"HTTP/1.1 200 "))
            s.close()
        self.assertEqual(drayd.stop(), 0)

    def test_no_more_than_there_are(self):
        """Where they end, connections are refused and not left waiting; those that are open are served."""
        wrapper = self.dir / "limited"
        wrapper.write_text(f'#!/bin/sh\nulimit -n 600\nexec {os.path.abspath(DRAYD)} "$@"\n')
        wrapper.chmod(0o755)
        drayd = rig.Drayd(str(wrapper), "none", self.dir, "--idle", "600")
        drayd.until(lambda: "connections=450 max-connections=10000" in drayd.logged())
        held = [socket.create_connection(("127.0.0.1", drayd.port), rig.PATIENCE_S) for _ in range(600)]
        closed = []
        drayd.until(lambda: closed.extend(s for s in select.select(held, [], [], 0)[0] if s not in closed) or len(closed) >= 150)
        for s in held:
            if s not in closed:
                s.sendall(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
                self.assertTrue(s.recv(100).startswith(b"HTTP/1.1 200 "))
            s.close()
        self.assertEqual(len(closed), 150)
        self.assertEqual(drayd.stop(), 0)


    def test_none_are_left(self):
        """Before that limit is reached: new connections wait without costing anything, and are served once others end."""
        wrapper = self.dir / "limited"
        wrapper.write_text(f'#!/bin/sh\nulimit -n 100\nexec {os.path.abspath(DRAYD)} "$@"\n')
        wrapper.chmod(0o755)
        drayd = rig.Drayd(str(wrapper), "none", self.dir, "--idle", "600")

        def pauses():
            first.request("GET", "/metrics")
            return int(re.search(rb"^drayd_accept_pauses_total (\d+)$", first.getresponse().read(), re.M)[1])

        def cpu_s():
            return sum(map(int, pathlib.Path(f"/proc/{drayd.process.pid}/stat").read_text().rsplit(")")[-1].split()[11:13])) / os.sysconf("SC_CLK_TCK")

        first = http.client.HTTPConnection("127.0.0.1", drayd.port, timeout=rig.PATIENCE_S)
        self.assertEqual(pauses(), 0)
        held = [socket.create_connection(("127.0.0.1", drayd.port), rig.PATIENCE_S) for _ in range(74)]
        for s in held:
            s.sendall(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
        answered = set()
        drayd.until(lambda: answered.update(select.select(held, [], [], 0)[0]) or "accept error=" in drayd.logged())
        drayd.until(lambda: pauses() > 5)
        before, begun = cpu_s(), time.monotonic()
        time.sleep(2)
        self.assertLess(cpu_s() - before, (time.monotonic() - begun) / 4)
        answered.update(select.select(held, [], [], 0)[0])
        self.assertLess(len(answered), len(held))
        for s in answered:
            self.assertTrue(s.recv(100).startswith(b"HTTP/1.1 200 "))
            s.close()
        for s in held:
            if s not in answered:
                self.assertTrue(s.recv(100).startswith(b"HTTP/1.1 200 "))
                s.close()
        self.assertLess(drayd.logged().count("accept error="), pauses())
        first.close()
        self.assertEqual(drayd.stop(), 0)


class Renewal(Case):
    """Certificates on SIGHUP."""

    def served(self, drayd):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
        with c.wrap_socket(socket.create_connection(("127.0.0.1", drayd.port), rig.PATIENCE_S)) as s:
            der = s.getpeercert(True)
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            text = b""
            while more := s.recv(65536):
                text += more
        ends = re.search(rb"^drayd_tls_certificate_expires_seconds (\d+)$", text, re.M)[1]
        return ssl.DER_cert_to_PEM_cert(der), int(ends)

    def test_renewal(self):
        for name, ends in (("one", "20990101000000Z"), ("two", "20980101000000Z"), ("old", "20210101000000Z")):
            certificate(self.dir, name, ends)
        pem = {n: (self.dir / f"{n}.pem").read_text() for n in ("one", "two", "old")}
        cert, key = self.dir / "cert.pem", self.dir / "key.pem"

        def put(c, k):
            cert.write_text(pem[c])
            key.write_bytes((self.dir / f"{k}.key").read_bytes())

        put("one", "one")
        drayd = rig.Drayd(DRAYD, "none", self.dir, *self.start(f"tls-cert = {cert}", f"tls-key = {key}"))

        def hup(words):
            before = len(drayd.logged())
            drayd.hup()
            drayd.until(lambda: re.search(words, drayd.logged()[before:]))

        self.assertEqual(self.served(drayd), (pem["one"], 4070908800))
        put("two", "one")
        hup("reload error=\".*tls-key .*key.pem is not the key of tls-cert .*kept=all")
        self.assertEqual(self.served(drayd)[0], pem["one"])
        cert.write_text(pem["two"][:200])
        hup("reload error=\".*tls-cert .*kept=all")
        self.assertEqual(self.served(drayd)[0], pem["one"])
        put("two", "two")
        hup("reload result=ok")
        self.assertEqual(self.served(drayd)[0], pem["two"])
        put("old", "old")
        hup("tls error=\"tls-cert .* ended on 2021-01-01.*(.|\n)*result=ok")
        self.assertEqual(self.served(drayd), (pem["old"], 1609459200))
        self.assertEqual(drayd.stop(), 0)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
