"""What hostile and slow peers do to drayd; arguments as in drayd_case.py."""

import os
import select
import socket
import struct
import subprocess
import time

import drayd_case
import h2raw
import rig
from drayd_case import DRAY, Case


class Stalled(Case):
    """A peer that takes nothing of an answer is cut off, after three seconds here."""

    flags = ("--stall", "3", "--pack-settle-level", "0")

    def pack(self):
        self.assertEqual(self.install().returncode, 0)
        self.drayd.until(lambda: self.drayd.metric("drayd_packs_warm") >= 4)
        f = max((self.dir / "store/packs").glob("??/*"), key=lambda f: f.stat().st_size)
        return f"/v1/packs/{f.parent.name}{f.name}".encode()

    def test_whatever_it_is(self):
        """A packument, a tarball, a plan that is kept."""
        body = rig.plan_body(DRAY, self.app)
        c = h2raw.Conn(self.drayd.port)
        self.assertEqual(c.answer(c.plan(body))[0], 200)
        c.close()
        tarball = b"/fx-leaf/-/fx-leaf-1.0.0.tgz"
        for path in ("/fx-leaf", tarball.decode()):
            subprocess.run(["curl", "-sSf", "-o", self.dir / "got", f"http://127.0.0.1:{self.drayd.port}{path}"], check=True)
        for n, ask in enumerate((lambda c: c.request(b"GET", b"/fx-leaf"), lambda c: c.request(b"GET", tarball), lambda c: c.plan(body)), 1):
            c = h2raw.Conn(self.drayd.port, settings=((4, 0),))
            ask(c)
            while c.read() is not None:
                pass  # it is the server who closes: else this times out
            c.close()
            self.drayd.until(lambda n=n: self.drayd.metric("drayd_abusive_connections_total") == n)
        self.drayd.until(lambda: self.drayd.metric("drayd_streams_open") <= 1)

    def test_packs(self):
        path = self.pack()
        self.assertEqual(self.drayd.metric("drayd_abusive_connections_total"), 0)
        c = h2raw.Conn(self.drayd.port, settings=((4, 0),))
        c.request(b"GET", path)
        while c.read() is not None:
            pass  # it is the server who closes: else this times out
        c.close()
        self.drayd.until(lambda: self.drayd.metric("drayd_abusive_connections_total") == 1)
        for cut in range(1, 20):
            c = h2raw.Conn(self.drayd.port, settings=((4, 0),))
            begun = time.monotonic()
            s = c.request(b"GET", path)
            time.sleep(0.4)
            c.send(h2raw.frame(h2raw.WINDOW, 0, s, struct.pack(">I", 1 << 20)))
            status, body = c.answer(s)
            late = time.monotonic() - begun > 2.5  # this machine held one of both up: that is no test
            c.close()
            if status == 200:
                self.assertEqual(self.drayd.metric("drayd_abusive_connections_total"), cut)
                break
            self.assertTrue(late, "who takes some in time is not cut off")
        self.assertEqual(status, 200)

    def test_a_reset_of_packs_counts(self):
        digest = bytes.fromhex(self.pack().decode().rsplit("/", 1)[1])
        for n, rows in enumerate((1, 1000), 1):  # an answer that is sent at once, and one that is not
            c = h2raw.Conn(self.drayd.port, settings=((4, 0),))
            s = c.request(b"POST", b"/v1/packs", b"DPQ1" + (digest + bytes(8)) * rows, ((b"content-type", b"application/x-dray-packs"),))
            self.drayd.until(lambda c=c: c.read()[0] == h2raw.HEADERS)
            c.send(h2raw.frame(h2raw.RST, 0, s, struct.pack(">I", 8)))
            self.drayd.until(lambda n=n: self.drayd.metric("drayd_resets_total") == n)
            c.close()


class Slow(Case):
    flags = ("--stall", "10")

    def test_a_slow_reader_is_served(self):
        """An answer of which a little is taken each half second, for longer than nothing may be taken."""
        gzip = ((b"accept-encoding", b"gzip"),)
        self.assertEqual(self.drayd.get("/fx-leaf")[0], 200)
        c = h2raw.Conn(self.drayd.port)
        size = len(c.answer(c.request(b"GET", b"/fx-leaf", extra=gzip))[1])
        c.close()
        c = h2raw.Conn(self.drayd.port, settings=((4, 0),))
        s = c.request(b"GET", b"/fx-leaf", extra=gzip)
        got, ended, begun = 0, False, time.monotonic()
        while not ended:
            c.send(h2raw.frame(h2raw.WINDOW, 0, s, struct.pack(">I", max(1, size // 24))))
            time.sleep(0.5)
            while not ended and (len(c.left) >= 9 or select.select([c.sock], [], [], 0)[0]):
                kind, flags, of, payload = c.read()
                self.assertNotEqual(kind, h2raw.GOAWAY)
                got += len(payload) if (kind, of) == (h2raw.DATA, s) else 0
                ended = of == s and kind == h2raw.DATA and flags & h2raw.END_STREAM
        c.close()
        self.assertEqual(got, size)
        self.assertGreater(time.monotonic() - begun, 12)
        self.assertEqual(self.drayd.metric("drayd_abusive_connections_total"), 0)


class Streamed(Case):
    """Tarballs that come half way from upstream, and no further."""

    flags = ("--stall", "3")
    faults = ("stall,match=.tgz",)

    def test_who_takes_nothing_is_cut_off(self):
        c = h2raw.Conn(self.drayd.port, settings=((4, 0),))
        c.request(b"GET", b"/fx-leaf/-/fx-leaf-1.0.0.tgz")
        while c.read() is not None:
            pass  # it is the server who closes: else this times out
        c.close()
        self.drayd.until(lambda: self.drayd.metric("drayd_abusive_connections_total") == 1)

    def test_a_reset_of_tarballs_counts(self):
        c = h2raw.Conn(self.drayd.port)
        for n in range(1, 251):
            try:
                s = c.request(b"GET", b"/fx-leaf/-/fx-leaf-1.0.0.tgz")
                f = c.read()
                while f and not (f[0] == h2raw.DATA and f[2] == s and f[3]):
                    f = c.read()
                if f is None:
                    break
                c.send(h2raw.frame(h2raw.RST, 0, s, struct.pack(">I", 8)))
            except OSError:
                break
        c.close()
        self.assertIn(n, (200, 201), "it is the server who closes")
        self.assertIn(self.drayd.metric("drayd_resets_total"), (200, 201))
        self.assertEqual(self.drayd.metric("drayd_abusive_connections_total"), 1)


class Bodies(Case):
    """A body over max-body is answered; one over twice that is refused as it arrives, and the connection goes on."""

    flags = ("--max-body", "1")
    MIB = 1 << 20

    def test_over_http2(self):
        c = h2raw.Conn(self.drayd.port)
        self.assertEqual(h2raw.post(c, b"x", self.MIB), (400, None))
        self.assertEqual(h2raw.post(c, b"x", self.MIB + 1), (413, None))
        self.assertEqual(h2raw.post(c, b"x", 2 * self.MIB), (413, None))
        for _ in range(5):
            self.assertEqual(h2raw.post(c, b"x", 8 * self.MIB), (None, 7))  # REFUSED_STREAM
        self.assertEqual(c.answer(c.request(b"GET", b"/v1/health"))[0], 200)
        c.close()
        self.well()

    def test_over_http1(self):
        for head, end in ((b"Content-Length: 67108864", False), (b"Transfer-Encoding: chunked", True)):
            s = socket.create_connection(("127.0.0.1", self.drayd.port), rig.PATIENCE_S)
            s.sendall(b"POST /v1/packs/find HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
            got = b""
            try:  # as a client that looks for an early answer while it sends
                while not select.select([s], [], [], 0)[0]:
                    s.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n" if end else b"x" * 65536)
            except OSError:
                pass  # the connection is closed: what was answered is still there
            try:
                while more := s.recv(65536):
                    got += more
            except ConnectionResetError:
                pass
            s.close()
            self.assertTrue(got.startswith(b"HTTP/1.1 413 "), got)
            self.assertIn(b"connection: close", got.lower())
        self.well()

    def test_a_client_is_told(self):
        for mib, status, words in ((1, 6, r"answered 413: body of \d+ bytes, this server takes 1 MiB \(max-body\)"), (3, 7, "refused the request")):
            names = {os.urandom(100).hex(): "1.0.0" for _ in range(mib * 11000)}  # hex: half of it when compressed
            rig.project(self.app, names, self.registry.url)
            r = self.install("--lockfile-only")
            self.assertEqual(r.returncode, status)
            self.assertRegex(r.stderr, words)


class Framing(Case):
    """Heads of HTTP/1.1 that a proxy in front may read otherwise: refused, and what follows them is no request."""

    NEXT = b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n"

    def ask(self, request):
        """All that is answered to REQUEST, and to a request right behind it."""
        s = socket.create_connection(("127.0.0.1", self.drayd.port), rig.PATIENCE_S)
        s.sendall(request + self.NEXT)
        s.shutdown(socket.SHUT_WR)
        got = b""
        try:
            while more := s.recv(65536):
                got += more
        except ConnectionResetError:
            pass
        s.close()
        return got

    def test_refused(self):
        line, put = b"GET /fx-leaf HTTP/1.1\r\n", b"PUT /-/user/x HTTP/1.1\r\nHost: x\r\n"
        for request in (
                put + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                put + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
                put + b"Content-Length: 0\r\nContent-Length: 42\r\n\r\n",
                put + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                put + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
                put + b"Content-Length: +0\r\n\r\n",
                put + b"Content-Length: 0, 0\r\n\r\n",
                put + b"Content-Length : 0\r\n\r\n",
                b"PUT /-/user/x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                line + b"Host: x\r\nHost: y\r\n\r\n",
                line + b"Host: x\r\nA: b\r\n c\r\n\r\n",
                line + b"Host: x\r\n\tContent-Length: 42\r\n\r\n",
                line + b"Host: x\nA: b\r\n\r\n",
                b"GET /fx-leaf HTTP/1.1\nHost: x\r\n\r\n",
                line + b"Host: x\r\n\n",
                line + b"Host: x\r\nA: b\rc\r\n\r\n",
                line + b"Host: x\r\nA: b\0c\r\n\r\n"):
            got = self.ask(request)
            self.assertTrue(got.startswith(b"HTTP/1.1 400 "), (request, got))
            self.assertEqual(got.lower().count(b"\r\nconnection: "), 1, (request, got))
            self.assertIn(b"\r\nconnection: close\r\n", got.lower())
        self.well()

    def test_behind_chunks_nothing_is_read(self):
        put = b"PUT /-/user/x HTTP/1.1\r\nHost: x\r\n"
        got = self.ask(put + b"Transfer-Encoding: chunked\r\n\r\n2;a\nb\r\n{}\n0\r\n\r\n")
        self.assertEqual(got.lower().count(b"\r\nconnection: "), 1, got)
        self.assertIn(b"\r\nconnection: close\r\n", got.lower())
        got = self.ask(put + b"Content-Length: 2\r\n\r\n{}")  # as it should be: both are answered
        self.assertEqual(got.lower().count(b"\r\nconnection: "), 2, got)
        self.assertIn(b'"status":"ok"', got)


class Abuse(Case):
    flags = ("--plans-per-client", "100")

    def tearDown(self):
        self.well()
        # What is told of after a second and a half, the machine did if its threads waited for a CPU for about as long.
        blocked, waited = self.drayd.metric("drayd_loops_blocked_total"), rig.waited_for_cpu(self.drayd.process.pid)
        self.assertLessEqual(0.75 * blocked, waited)
        super().tearDown()

    def swallow(self, c, out, chunk=65536):
        """Sends OUT, however the peer takes it."""
        try:
            for at in range(0, len(out), chunk):
                c.sock.sendall(out[at : at + chunk])
        except OSError:
            return False
        return True

    def test_rapid_reset(self):
        body = rig.plan_body(DRAY, self.app)
        c = h2raw.Conn(self.drayd.port)
        kind = ((b"content-type", b"application/x-dray-request"),)
        out = b""
        for i in range(5000):
            s = 2 * i + 1
            out += h2raw.frame(h2raw.HEADERS, h2raw.END_HEADERS, s, h2raw.head(b"POST", b"/v1/plan", kind))
            out += h2raw.frame(h2raw.DATA, h2raw.END_STREAM, s, body)
            out += h2raw.frame(h2raw.RST, 0, s, struct.pack(">I", 8))
        self.swallow(c, out)
        self.assertEqual(self.drayd.get("/v1/health")[0], 200)
        while c.read() is not None:
            pass  # it is the server who closes: else this times out
        c.close()
        self.drayd.until(lambda: self.drayd.metric("drayd_plans_active") == 0)

    def test_rapid_reset_of_other_requests(self):
        """Whatever is asked for: a packument that is kept, one that has to be fetched, a plan that is refused."""
        self.assertEqual(self.drayd.get("/fx-leaf")[0], 200)
        for method, path in ((b"GET", b"/fx-leaf"), (b"GET", b"/fx-app"), (b"POST", b"/v1/plan")):
            before, resets = self.drayd.metric("drayd_abusive_connections_total"), self.drayd.metric("drayd_resets_total")
            c = h2raw.Conn(self.drayd.port)
            out = b"".join(h2raw.frame(h2raw.HEADERS, h2raw.END_HEADERS | h2raw.END_STREAM, 2 * i + 1, h2raw.head(method, path)) +
                           h2raw.frame(h2raw.RST, 0, 2 * i + 1, struct.pack(">I", 8)) for i in range(5000))
            self.swallow(c, out)
            while c.read() is not None:
                pass  # it is the server who closes: else this times out
            c.close()
            self.drayd.until(lambda b=before: self.drayd.metric("drayd_abusive_connections_total") == b + 1)
            self.assertGreaterEqual(self.drayd.metric("drayd_resets_total"), resets + 200)

    def test_many_that_are_not_reset(self):
        """Answers without a body, and without all of one, are no resets."""
        etag = self.drayd.get("/fx-leaf", {"host": "localhost"})[1]["etag"].encode()  # as h2raw says
        c = h2raw.Conn(self.drayd.port)
        for i in range(300):
            method, extra = ((b"HEAD", ()), (b"GET", ((b"if-none-match", etag),)), (b"GET", ()))[i % 3]
            status, _ = c.answer(c.request(method, b"/fx-leaf", extra=extra))
            self.assertEqual(status, 304 if extra else 200)
        c.close()
        self.assertEqual(self.drayd.metric("drayd_abusive_connections_total"), 0)

    def test_continuation_flood(self):
        before = rig.rss(self.drayd.process.pid)
        c = h2raw.Conn(self.drayd.port)
        c.send(h2raw.frame(h2raw.HEADERS, 0, 1, h2raw.head(b"GET", b"/v1/health")))
        more = h2raw.frame(h2raw.CONTINUATION, 0, 1, h2raw.literal(b"x-flood", b"x" * 100) * 100)
        for _ in range(20000):
            if not self.swallow(c, more):
                break
        else:
            self.fail("220 MB of headers were taken")
        c.close()
        self.assertLess(rig.rss(self.drayd.process.pid) - before, 64 << 20)  # sanitizers keep some tens of MiB of what was freed

    def test_zero_window(self):
        body = rig.plan_body(DRAY, self.app)
        held = []
        for _ in range(20):
            c = h2raw.Conn(self.drayd.port, settings=((4, 0),))
            for _ in range(40):
                c.plan(body)
            held.append(c)
        self.well()
        self.assertLess(rig.rss(self.drayd.process.pid), 400 << 20)
        for c in held:
            c.close()
        self.drayd.until(lambda: self.drayd.metric("drayd_plans_active") == 0)

    def test_slow_reader(self):
        body = rig.plan_body(DRAY, self.app)
        c = h2raw.Conn(self.drayd.port, rcvbuf=2048)
        s = c.plan(body)
        for _ in range(50):
            c.left += c.sock.recv(1)
            time.sleep(0.01)
        self.well()
        self.assertEqual(c.answer(s)[0], 200, "slowness alone is no reason to be cut off")
        c.close()

    def test_floods_of_control_frames(self):
        before = rig.rss(self.drayd.process.pid)
        for out in (h2raw.frame(h2raw.PING, 0, 0, b"12345678") * 100000, h2raw.frame(h2raw.SETTINGS, 0, 0, b"") * 100000):
            c = h2raw.Conn(self.drayd.port)
            c.sock.settimeout(2)
            self.swallow(c, out)  # and its answers are never read
            self.assertEqual(self.drayd.get("/v1/health")[0], 200)
            c.close()
        self.assertLess(rig.rss(self.drayd.process.pid) - before, 64 << 20)

    def test_half_requests(self):
        held = [socket.create_connection(("127.0.0.1", self.drayd.port)) for _ in range(300)]
        for i, s in enumerate(held):
            s.sendall((b"GET /", b"PRI * HT", b"POST /v1/plan HTTP/1.1\r\nContent-Length: 9999999\r\n\r\nx")[i % 3])
        self.well()
        for s in held:
            s.close()

    def test_garbage(self):
        for junk in (b"\x16\x03\x01" + b"\xff" * 500, b"\0" * 4096, h2raw.PREFACE + b"\xff" * 4096,
                h2raw.PREFACE + h2raw.frame(h2raw.HEADERS, 4, 0, b"\x82") + h2raw.frame(h2raw.DATA, 0, 99, b"x"),
                h2raw.PREFACE + h2raw.frame(h2raw.SETTINGS, 0, 0, b"\0\4\xff\xff\xff\xff"),
                h2raw.PREFACE + h2raw.frame(h2raw.WINDOW, 0, 0, b"\0\0\0\0")):
            s = socket.create_connection(("127.0.0.1", self.drayd.port))
            s.settimeout(2)
            try:
                s.sendall(junk)
                s.recv(65536)
            except OSError:
                pass
            s.close()

    def test_a_method_makes_no_fields_of_a_log_line(self):
        c = h2raw.Conn(self.drayd.port)
        self.assertNotEqual(c.answer(c.request(b"X status=200", b"/fx-leaf"))[0], 200)
        c.close()
        self.drayd.until(lambda: 'method=X?status=200 path="/fx-leaf"' in self.drayd.logged())

    def test_bodies_that_are_no_plans(self):
        c = h2raw.Conn(self.drayd.port)
        good = rig.plan_body(DRAY, self.app)
        for body in (b"x", b"\0" * 1000, good[:-1], good + b"x" * 7, good[:20] + b"\xff" * 50, b"\x28\xb5\x2f\xfd" + b"\0" * 90):
            self.assertIn(c.answer(c.plan(body))[0], (400, 413), body[:30])
        c.close()


if __name__ == "__main__":
    drayd_case.main()
