"""drayd as its operator sees it: metrics, page, logs, signals, limits; arguments as in drayd_case.py."""

import fcntl
import gzip
import hashlib
import http.client
import json
import os
import pathlib
import re
import select
import signal
import socket
import struct
import subprocess
import threading
import time

import drayd_case
import h2raw
import rig
from drayd_case import APP, DRAY, DRAYD, Case


class Operations(Case):
    def test_metrics(self):
        self.assertEqual(self.install("--lockfile-only").returncode, 0)
        # What is counted when an answer has ended is so a moment after its client has it, and the index is written behind.
        self.drayd.until(lambda: 'drayd_responses_total{route="/v1/plan",status="200"} 1' in self.drayd.get("/metrics")[2])
        for name, at_least in (("drayd_plans_done_total", 1), ("drayd_packuments_fetched_total", 3),
                ("drayd_plan_seconds_count", 1), ("drayd_plan_wait_seconds_count", 1),
                ("drayd_plan_first_frame_seconds_count", 1), ("drayd_upstream_answers_total", 3),
                ("drayd_upstream_seconds_count", 3), ("drayd_resident_bytes", 1e6), ("drayd_index_entries", 3)):
            self.drayd.until(lambda n=name, m=at_least: self.drayd.metric(n) >= m)
        for name, settled in (("drayd_plan_body_bytes", 0), ("drayd_plans_active", 0), ("drayd_streams_open", 1)):  # one asks
            self.drayd.until(lambda n=name, m=settled: self.drayd.metric(n) == m)
        text = self.drayd.get("/metrics")[2]
        helps = re.findall(r"^# HELP (\S+) ", text, re.M)
        types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
        self.assertEqual(len(helps), len(set(helps)), "a metric is declared twice")
        self.assertEqual(set(helps), set(types))
        emitted = set()
        for line in text.splitlines():
            if line.startswith("#"):
                continue
            self.assertRegex(line, r'^[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? -?[0-9.e+Inf-]+$')
            name = re.match(r"[a-z_]+", line)[0]
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            emitted.add(base if types.get(base) == "histogram" else name)
        self.assertEqual(emitted, set(types), "declared is not what is emitted")
        # The source's table, so that a metric which nothing prints is found.
        source = (rig.HERE.parents[1] / "server/metrics.h").read_text()
        declared = re.findall(r'^\tX\(\w+, (?:"(?:counter|gauge)",\s+)?"(\w+)"', source, re.M)
        self.assertGreater(len(declared), 25)
        self.assertLessEqual({"drayd_" + d for d in declared}, emitted)

    def test_page(self):
        self.assertEqual(self.install("--lockfile-only").returncode, 0)
        status, headers, page = self.drayd.get("/")
        self.assertEqual(status, 200)
        self.assertTrue(headers["content-type"].startswith("text/html"))
        self.assertIn("default-src 'none'", headers["content-security-policy"])
        for part in ("ready", "uptime", "hits", "saved", "now", "running", "upstreams", "cached", "traffic", "slowest"):
            self.assertEqual(page.count(f"id={part}"), 1, part)
        self.assertNotIn("<script", page)
        self.assertIn(">ready<", page)
        self.assertIn(self.registry.url.rstrip("/"), page)
        self.assertIn("<td>fx-app<td", page, "among the slowest packages")
        self.assertIn("prefers-color-scheme:dark", page)
        self.assertIn("name=viewport", page)

    def verify_made(self, files):
        """verify-store over a registry/ with FILES: its status, what it calls damaged, and the rest it says."""
        store = self.dir / "made"
        for name, content in files.items():
            (store / name).parent.mkdir(parents=True, exist_ok=True)
            (store / name).write_bytes(content)
        r = subprocess.run([DRAYD, "verify-store", "--store-dir", str(store)], capture_output=True, text=True, timeout=rig.PATIENCE_S)
        return r.returncode, set(re.findall(r"^damaged: (\S+)$", r.stdout, re.M)), r.stdout + r.stderr

    def test_whole_tarballs_of_any_form(self):
        """A tarball is what its name says: gzip of several members or padded, tar in clear, whatever the digest it was promised with."""
        members = gzip.compress(os.urandom(100000)) + gzip.compress(b"x")
        files = {}
        for alg, content in (("sha512", members), ("sha384", gzip.compress(b"y") + bytes(1000)), ("sha256", b"in clear" * 1000), ("sha1", members[:50])):
            etag = f'"{hashlib.new(alg, content).hexdigest()}"'
            name = hashlib.sha256(f"tarball {len(etag)}:{etag}0:0:".encode()).hexdigest()
            files[f"registry/{name[:2]}/{name[2:]}"] = content
        packument = f"registry/00/{'0' * 62}"
        files[packument] = b'"etag"\n' + gzip.compress(b"{}") + gzip.compress(b" ")
        code, bad, said = self.verify_made(files)
        self.assertEqual((code, bad), (0, set()), said)
        code, bad, said = self.verify_made({packument: b'"etag"\n' + gzip.compress(b"{}")[:-1] + b"x"})
        self.assertEqual((code, bad), (6, {packument}), said)

    def test_what_cannot_be_read(self):
        """It is named and left alone, the rest is looked at; status 6 is for damage only."""
        store = self.dir / "made"
        folder, link, bad = store / "packs/11", f"packs/22/{'2' * 62}", f"packs/33/{'3' * 62}"
        (store / link).parent.mkdir(parents=True)
        os.mkfifo(store / link)
        folder.write_text("no folder")
        code, damaged, said = self.verify_made({})
        self.assertEqual((code, damaged), (5, set()), said)
        self.assertRegex(said, rf"(?s)not read: packs/11: Not a directory\nnot read: {link}: .*1 files, .* 0 damaged, 2 not read\n.*2 files or folders could not be read")
        code, damaged, said = self.verify_made({bad: b"x"})
        self.assertEqual((code, damaged), (6, {bad}), said)
        self.assertIn(f"not read: {link}", said)

    def test_a_check_can_be_stopped(self):
        """It ends by a signal as any program, and what it has removed by then it has named: here it waits for its reader."""
        packs = self.dir / "made/packs"
        for i in range(200):
            f = packs / f"{i:02x}" / ("0" * 62)
            f.parent.mkdir(parents=True)
            f.write_bytes(b"x")
        r, w = os.pipe()
        fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 4096)
        p = subprocess.Popen([DRAYD, "verify-store", "--store-dir", str(packs.parent)], stdout=w)
        os.close(w)
        gone = lambda: {f"packs/{i:02x}/{'0' * 62}" for i in range(200) if not (packs / f"{i:02x}" / ("0" * 62)).exists()}
        self.drayd.until(lambda: len(gone()) > 20)
        p.terminate()
        self.assertEqual(p.wait(timeout=rig.PATIENCE_S), -signal.SIGTERM)
        with open(r) as said:
            named = set(re.findall(r"^damaged: (\S+)$", said.read(), re.M))
        self.assertLess(len(gone()), 200)
        self.assertLessEqual(gone(), named)

    def test_request_ids(self):
        _, own, _ = self.drayd.get("/v1/health")
        _, next_, _ = self.drayd.get("/v1/health")
        self.assertRegex(own["x-request-id"], r"^[0-9a-f]{16}$")
        self.assertNotEqual(own["x-request-id"], next_["x-request-id"])
        self.assertEqual(self.drayd.get("/v1/health", {"x-request-id": "ci-42.a_B"})[1]["x-request-id"], "ci-42.a_B")
        for bad in ("a b", 'x"y', "x" * 65, "evil=1"):
            self.assertRegex(self.drayd.get("/v1/health", {"x-request-id": bad})[1]["x-request-id"], r"^[0-9a-f]{16}$")

    def test_access_log(self):
        self.drayd.get("/nothing/here?token=secret", {"x-request-id": "look"})
        self.drayd.until(lambda: "id=look" in self.drayd.logged())
        line = next(l for l in self.drayd.logged().splitlines() if "id=look" in l)
        self.assertIn('method=GET path="/nothing/here" status=404', line)
        self.assertNotIn("secret", line)

    def test_reload(self):
        conf = self.dir / "conf"
        conf.write_text("log-level = error\nplans = 4\n")
        self.assertEqual(self.drayd.stop(), 0)
        self.drayd = rig.Drayd(DRAYD, self.registry.url, self.dir, "--config", str(conf))
        before = len(self.drayd.logged())
        conf.write_text("log-level = info\nplans = 5\n")
        self.drayd.hup()
        self.drayd.until(lambda: "result=ok" in self.drayd.logged()[before:])
        self.drayd.get("/after")
        self.drayd.until(lambda: 'path="/after"' in self.drayd.logged()[before:])
        self.assertIn('option="plans" needs=restart', self.drayd.logged()[before:])
        self.assertNotIn('option="log-level" needs', self.drayd.logged()[before:])
        conf.write_text("no-such-option = 1\n")
        self.drayd.hup()
        self.drayd.until(lambda: "no option no-such-option" in self.drayd.logged()[before:])
        self.assertEqual(self.drayd.metric("drayd_reloads_total"), 1)  # counted before it is logged, both
        self.assertEqual(self.drayd.metric("drayd_reloads_failed_total"), 1)

    def test_stuck_log(self):
        self.assertEqual(self.drayd.stop(), 0)
        r, w = os.pipe()
        fcntl.fcntl(w, 1031, 4096)  # F_SETPIPE_SZ
        with os.fdopen(w, "wb") as log:
            self.drayd = rig.Drayd(DRAYD, self.registry.url, self.dir, "--log-format", "json", log=log)
        for i in range(100):
            self.assertEqual(self.drayd.get(f"/fill/the/pipe/{i}")[0], 404)
        self.drayd.until(lambda: self.drayd.metric("drayd_log_lines_dropped_total") > 10)
        for line in os.read(r, 65536).decode().splitlines():
            self.assertIn(json.loads(line)["event"], ("listen", "access"))
        os.close(r)

    def test_journal(self):
        """Each line has its priority where systemd says that it is read by the journal, and nowhere else."""
        self.assertEqual(self.drayd.stop(), 0)
        ours, journals = socket.socketpair()
        st = os.fstat(journals.fileno())
        try:
            os.environ["JOURNAL_STREAM"] = f"{st.st_dev}:{st.st_ino}"
            for fmt, line in (("json", r'<6>\{"time":.*"event":"listen".*\}'), ("text", r"<6>20\S+ info listen .*")):
                self.drayd = rig.Drayd(DRAYD, self.registry.url, self.dir, "--log-format", fmt, log=journals)
                self.drayd.hup()
                self.drayd.until(lambda: self.drayd.metric("drayd_reloads_total") == 1)
                self.assertEqual(self.drayd.stop(), 0)
                self.assertRegex(ours.recv(65536).decode(), f"^{line}\n(<[3467]>[^<]*\n)*$")
            args = [DRAYD, "--plans", "x"]
            subprocess.run(args, stderr=journals, timeout=rig.PATIENCE_S)
            self.assertRegex(ours.recv(65536).decode(), "^<3>drayd: --plans: .*\n$")
            said = subprocess.run(args, stderr=subprocess.PIPE, timeout=rig.PATIENCE_S).stderr  # another stream
            self.assertTrue(said.startswith(b"drayd: "), said)
        finally:
            del os.environ["JOURNAL_STREAM"]
            ours.close()
            journals.close()

    def test_term(self):
        c = h2raw.Conn(self.drayd.port)
        c.answer(c.request(b"GET", b"/v1/health"))
        self.drayd.process.terminate()
        kinds = set()
        while (f := c.read()) is not None:
            kinds.add(f[0])
        self.assertIn(h2raw.GOAWAY, kinds)
        c.close()
        self.assertEqual(self.drayd.process.wait(rig.PATIENCE_S), 0)
        for stage in ("stage=drain", "stage=workers", "stage=store", "stopped"):
            self.assertIn(stage, self.drayd.logged())

    def test_a_drain_waits_for_it(self):
        """What is whole and not taken yet counts as under way: it is not cut off when the server stops."""
        body = rig.plan_body(DRAY, self.app)
        c = h2raw.Conn(self.drayd.port)
        self.assertEqual(c.answer(c.plan(body))[0], 200)
        c.close()
        c = h2raw.Conn(self.drayd.port, settings=((4, 0),))
        s = c.plan(body)
        self.drayd.until(lambda: self.drayd.metric("drayd_plans_cached_total") == 1)
        self.drayd.process.terminate()
        self.drayd.until(lambda: "event=drain" in self.drayd.logged() or " drain " in self.drayd.logged())
        time.sleep(1.5)  # idle connections are closed after half a second
        c.send(h2raw.frame(h2raw.WINDOW, 0, s, struct.pack(">I", 1 << 20)))
        status, got = c.answer(s)
        self.assertEqual(status, 200)
        self.assertGreater(len(got), 100)
        c.close()

    def test_ready(self):
        self.assertEqual(self.drayd.get("/v1/ready")[0], 200)
        self.assertEqual(self.drayd.get("/v1/health")[0], 200)


class Packs(Case):
    """Each is made once and stays as it is: what is made of it when nothing else is to be done may wait for ever beside others that are at work."""

    flags = ("--pack-settle-level", "0")

    def made(self):
        self.drayd.until(lambda: self.drayd.metric("drayd_packs_warm") >= 1 and self.drayd.metric("drayd_packs_pending") == 0)

    def test_damaged_store(self):
        """Damage on disk is found, named and removed beside a drayd that runs; what is asked for then is whole."""
        def verify():
            r = subprocess.run([DRAYD, "verify-store", "--store-dir", str(self.dir / "store")], capture_output=True, text=True, timeout=rig.PATIENCE_S)
            return r.returncode, set(re.findall(r"^damaged: (\S+)$", r.stdout, re.M)), r.stdout

        self.assertEqual(self.install().returncode, 0)
        self.made()
        good = self.drayd.get("/fx-files")[2]
        tarball = f"/fx-files/-/{json.loads(good)['versions']['1.0.0']['dist']['tarball'].split('/')[-1]}"
        c = h2raw.Conn(self.drayd.port)
        want = c.answer(c.request(b"GET", tarball.encode()))[1]
        self.drayd.until(lambda: self.drayd.metric("drayd_registry_cache_files") == 2)
        store = self.dir / "store"
        code, bad, said = verify()
        self.assertEqual((code, bad), (0, set()), said)
        self.assertRegex(said, r"store: \d+ files, .* 0 damaged, 0 not read")
        hurt = [next((store / "packs").glob("??/*")), *(store / "registry").glob("??/*")]
        for f in hurt:
            b = bytearray(f.read_bytes())
            b[len(b) // 2] ^= 1
            f.write_bytes(b)
        code, bad, said = verify()
        self.assertEqual((code, bad), (6, {str(f.relative_to(store)) for f in hurt}), said)
        self.assertEqual([f for f in hurt if f.exists()], [])
        self.assertEqual(c.answer(c.request(b"GET", tarball.encode()))[1], want)
        self.drayd.until(lambda: self.drayd.metric("drayd_registry_cache_files") >= 1)
        c.close()
        # A byte that gzip does not look at, one at the very beginning, and what stands behind a whole file.
        self.drayd.until(lambda: any(f.read_bytes() == want for f in (store / "registry").glob("??/*")))
        kept = next(f for f in (store / "registry").glob("??/*") if f.read_bytes() == want)
        for damaged in (b"\0" + want[1:], want[:4] + b"\x55" + want[5:], want + b"\0", b""):
            kept.write_bytes(damaged)
            code, bad, said = verify()
            self.assertEqual((code, bad), (6, {str(kept.relative_to(store))}), said)
            self.assertFalse(kept.exists())
        self.assertEqual(verify()[0], 0)

    def test_request_ids_of_packs(self):
        """What a cache may keep for others has no id of ours; the log has, and what is refused."""
        self.assertEqual(self.install().returncode, 0)
        self.made()
        f = next((self.dir / "store/packs").glob("??/*"))
        path = f"/v1/packs/{f.parent.name}{f.name}"
        known = {"if-none-match": f'"{f.parent.name}{f.name}"'}
        status, headers, _ = self.drayd.get(path, known)
        self.assertEqual(status, 304)
        self.assertNotIn("x-request-id", headers)
        self.assertEqual(headers["etag"], known["if-none-match"])
        self.drayd.until(lambda: re.search(rf"id=[0-9a-f]{{16}} [^\n]*{path}", self.drayd.logged()))
        self.assertEqual(self.drayd.get(path, {**known, "x-request-id": "mine"})[1]["x-request-id"], "mine")
        self.assertRegex(self.drayd.get("/v1/packs/nothing")[1]["x-request-id"], r"^[0-9a-f]{16}$")


class Connections(Case):
    flags = ("--connections-per-address", "4")

    def test_per_address(self):
        held = [socket.create_connection(("127.0.0.1", self.drayd.port)) for _ in range(12)]
        closed = set()
        self.drayd.until(lambda: closed.update(select.select(held, [], [], 0)[0]) or len(closed) >= 8)
        time.sleep(0.2)
        closed.update(select.select(held, [], [], 0)[0])
        self.assertEqual(len(closed), 8)
        for s in held:
            s.close()
        self.drayd.until(lambda: self._refused() >= 8)

    def _refused(self):
        """0 while what was closed still counts, and this connection is one too many itself."""
        try:
            return self.drayd.metric("drayd_connections_refused_total")
        except OSError:
            return 0


class Loops(Case):
    flags = ("--threads", "4", "--connections-per-address", "0")

    def watched(self):
        """What each epoll of drayd's looks at."""
        n = {}
        for f in pathlib.Path(f"/proc/{self.drayd.process.pid}/fdinfo").iterdir():
            try:
                n[f.name] = f.read_text().count("tfd:")
            except FileNotFoundError:
                pass
        return n

    def test_connections_are_spread(self):
        """Whichever loop was the first to wake, each has its share."""
        before = self.watched()
        held = [h2raw.Conn(self.drayd.port) for _ in range(200)]
        for c in held:  # each is with its loop
            self.assertEqual(c.answer(c.request(b"GET", b"/v1/health"))[0], 200)
        more = sorted((n - before.get(f, 0) for f, n in self.watched().items()), reverse=True)[:4]
        self.assertGreaterEqual(sum(more), 200)
        self.assertGreaterEqual(min(more), 40, more)
        for c in held:
            c.close()
        self.drayd.until(lambda: self.drayd.metric("drayd_connections_open") == 1)  # who asks


class Idle(Case):
    flags = ("--idle", "1")

    def test_it_is_closed(self):
        for path in (None, b"/v1/health"):
            c = h2raw.Conn(self.drayd.port)
            if path:
                try:
                    self.assertIn(c.answer(c.request(b"GET", path))[0], (200, None))  # None: we were slower than that
                except OSError:
                    pass
            while c.read() is not None:
                pass  # it is the server who closes: else this times out
            c.close()
        self.drayd.until(lambda: self.drayd.metric("drayd_connections_open") == 1)  # who asks
        self.assertEqual(self.drayd.metric("drayd_abusive_connections_total"), 0)


class Full(Case):
    """As many requests, and bytes of them, as there may be, before a registry that stalls."""

    flags = ("--max-requests", "6", "--plans", "1", "--max-body", "8", "--max-bodies", "8", "--drain", "1")
    faults = ("stall",)

    def ended(self):
        """Nothing is under way any more, but who asks."""
        def no():
            status, _, text = self.drayd.get("/metrics")
            return status == 200 and "\ndrayd_streams_open 1\n" in text and "\ndrayd_plan_body_bytes 0\n" in text
        self.drayd.until(no)

    def test_requests(self):
        c = h2raw.Conn(self.drayd.port)
        for i in range(6):
            c.request(b"GET", b"/fx-leaf?%d" % i)
        self.drayd.until(lambda: self.drayd.get("/v1/health")[0] == 503)
        status, headers, text = self.drayd.get("/v1/health")
        self.assertEqual((status, headers["retry-after"]), (503, "1"))
        self.assertIn("max-requests", text)
        with socket.create_connection(("127.0.0.1", self.drayd.port), rig.PATIENCE_S) as s:  # nothing is read behind a head that is none
            s.sendall(b"GET /v1/health HTTP/1.1\r\nHost: x\nA: b\r\n\r\n" + b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
            s.shutdown(socket.SHUT_WR)
            got = b"".join(iter(lambda: s.recv(65536), b""))
        self.assertTrue(got.startswith(b"HTTP/1.1 400 "), got)
        self.assertEqual(got.count(b"HTTP/1.1 "), 1, got)
        c.close()
        self.ended()
        self.assertGreaterEqual(self.drayd.metric("drayd_rejected_total"), 2)

    def test_bodies(self):
        """Of plan requests that wait for a worker."""
        c = h2raw.Conn(self.drayd.port)
        c.plan(rig.plan_body(DRAY, self.app))
        self.drayd.until(lambda: self.drayd.metric("drayd_plans_running") == 1)
        first, second = (h2raw.Conn(self.drayd.port) for _ in range(2))
        waits = threading.Thread(target=lambda: h2raw.post(first, b"x", 5 << 20))
        waits.start()
        self.drayd.until(lambda: self.drayd.metric("drayd_plan_body_bytes") >= 5 << 20)
        self.assertEqual(h2raw.post(second, b"y", 5 << 20), (503, None))
        self.assertEqual(self.drayd.metric("drayd_plans_refused_total"), 1)
        first.sock.shutdown(socket.SHUT_RDWR)
        waits.join()
        for x in (first, second, c):
            x.close()
        self.ended()


class Busy(Case):
    """A server of one worker, before a registry that stalls."""

    flags = ("--plans", "1", "--plan-queue", "2", "--plans-per-client", "100", "--drain", "1")
    faults = ("stall",)

    def test_a_reset_counts_once(self):
        body = rig.plan_body(DRAY, rig.project(self.dir / "p", APP, self.registry.url, "p"))
        for n, path in ((1, b"/v1/plan"), (2, b"/v1/plan?x")):
            c = h2raw.Conn(self.drayd.port)
            s = c.request(b"POST", path, body, ((b"content-type", b"application/x-dray-request"),))
            self.drayd.until(lambda: self.drayd.metric("drayd_plans_active") == 1)
            c.send(h2raw.frame(h2raw.RST, 0, s, struct.pack(">I", 8)))
            self.drayd.until(lambda: self.drayd.metric("drayd_plans_active") == 0)
            s = c.request(b"GET", b"/v1/health")
            self.assertEqual(c.answer(s)[0], 200, "by now the reset has been logged")
            self.assertEqual(self.drayd.metric("drayd_resets_total"), n)
            c.close()

    def test_drain_bound(self):
        """What never ends is cut off, over HTTP/1.1 as well, of which libh2o knows no end."""
        s = socket.create_connection(("127.0.0.1", self.drayd.port))
        s.sendall(b"GET /fx-leaf HTTP/1.1\r\nHost: x\r\n\r\n")
        self.drayd.until(lambda: self.drayd.metric("drayd_registry_packuments_pending") == 1)
        self.drayd.process.terminate()
        self.assertEqual(self.drayd.process.wait(rig.PATIENCE_S), 0)
        self.assertIn("cut_off=1", self.drayd.logged())
        s.close()

    def test_queue_bound(self):
        bodies = [rig.plan_body(DRAY, rig.project(self.dir / f"p{i}", APP, self.registry.url, f"p{i}")) for i in range(6)]
        c = h2raw.Conn(self.drayd.port)
        for b in bodies:
            c.plan(b)
        refused = []
        while len(refused) < 3:
            kind, _, stream, payload = c.read()
            if kind == h2raw.HEADERS:
                refused.append((stream, h2raw.status_of(payload)))
        self.assertEqual({s for _, s in refused}, {503})
        self.assertEqual(self.drayd.get("/v1/ready")[0], 200, "the rest is served")
        self.drayd.until(lambda: self.drayd.metric("drayd_rejected_total") == 3)
        self.drayd.until(lambda: ">p0<td" in self.drayd.get("/")[2])  # the running plan is on the page
        c.close()
        self.drayd.until(lambda: self.drayd.metric("drayd_plans_active") == 0)
        self.drayd.until(lambda: self.drayd.metric("drayd_plans_cancelled_total") == 3)
        self.drayd.until(lambda: self.drayd.metric("drayd_plan_body_bytes") == 0)


class Hanging(Case):
    """Two upstreams, of which one takes requests and never answers."""

    def setUp(self):
        super().setUp()
        self.silent = socket.create_server(("127.0.0.1", 0), backlog=256)
        (self.dir / "conf").write_text(f"[upstream silent]\nurl = http://127.0.0.1:{self.silent.getsockname()[1]}/\nscope = @silent\nprivate-addresses = true\n")
        self.assertEqual(self.drayd.stop(), 0)
        self.drayd = rig.Drayd(DRAYD, self.registry.url, self.dir, "--config", str(self.dir / "conf"))

    def tearDown(self):
        self.silent.close()
        super().tearDown()

    def test_what_is_here_is_served(self):
        """Packuments in memory, tarballs on disk, and what the other upstream has, while more requests than there are threads wait for that one."""
        def tarball(seconds):
            return subprocess.run(["curl", "-sSf", "--max-time", str(seconds), f"http://127.0.0.1:{self.drayd.port}/fx-leaf/-/fx-leaf-1.0.0.tgz"],
                                  capture_output=True, check=True).stdout

        self.assertEqual(self.drayd.get("/fx-leaf")[0], 200)
        want = tarball(rig.PATIENCE_S)
        self.drayd.until(lambda: self.drayd.metric("drayd_registry_cache_files") == 2)
        held = []
        for i in range(100):
            s = socket.create_connection(("127.0.0.1", self.drayd.port))
            s.sendall(f"GET /@silent%2fp{i} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            held.append(s)
        self.drayd.until(lambda: self.drayd.metric("drayd_streams_open") >= 100)
        self.assertEqual(tarball(30), want)  # it is silent for 60
        self.assertEqual(self.drayd.get("/fx-leaf", timeout=30)[0], 200)
        for path in ("/fx-app", "/@fx%2fscoped/-/scoped-1.0.0.tgz"):
            subprocess.run(["curl", "-sSf", "--max-time", "30", "-o", self.dir / "got", f"http://127.0.0.1:{self.drayd.port}{path}"], check=True)
        self.drayd.until(lambda: self.drayd.metric("drayd_registry_packuments_pending") == 100)
        # Who leaves leaves the line (over HTTP/1.1 nobody notices).
        c = h2raw.Conn(self.drayd.port)
        for i in range(5):
            c.request(b"GET", b"/@silent%%2fq%d" % i)
        self.drayd.until(lambda: self.drayd.metric("drayd_registry_packuments_pending") == 105)
        c.close()
        self.drayd.until(lambda: self.drayd.metric("drayd_registry_packuments_pending") == 100)
        for s in held:
            s.close()


class Hosts(Case):
    """Without public-url clients are told of tarballs by the name that they use; however many names there are."""

    flags = ("--packument-age", "3600")  # on a slow machine, too, each is asked for once

    def ask(self, method, i, **headers):
        c = http.client.HTTPConnection("127.0.0.1", self.drayd.port, timeout=rig.PATIENCE_S)
        c.request(method, "/fx-leaf", headers={"Host": f"h{i}.test:1", **headers})
        r = c.getresponse()
        body = r.read()
        c.close()
        return r.status, r.headers, gzip.decompress(body) if r.headers["content-encoding"] == "gzip" else body

    def test_many(self):
        for again in (0, 1):
            for i in range(12):
                for packed in ({}, {"Accept-Encoding": "gzip"}):
                    status, headers, body = self.ask("GET", i, **packed)
                    self.assertEqual(status, 200)
                    tarballs = [v["dist"]["tarball"] for v in json.loads(body)["versions"].values()]
                    self.assertEqual(set(t.split("/fx-leaf/-/")[0] for t in tarballs), {f"http://h{i}.test:1"})
                status, head, body = self.ask("HEAD", i)
                self.assertEqual((status, body), (200, b""))
                self.assertEqual(head["content-length"], self.ask("GET", i)[1]["content-length"])
                self.assertEqual(self.ask("GET", i, **{"If-None-Match": headers["etag"]})[0], 304)
        asked = sum(self.drayd.metric(f"drayd_registry_packuments_{n}_total") for n in ("fetched", "revalidated"))
        self.assertEqual(asked, 8)
        self.assertEqual(self.drayd.metric("drayd_registry_packuments_rewritten_total"), 2 * 4 * 5)
        self.assertEqual(self.drayd.logged().count("set public-url"), 1)
        tarball = subprocess.run(["curl", "-sSf", "-H", "Host: h11.test:1", f"http://127.0.0.1:{self.drayd.port}/fx-leaf/-/fx-leaf-1.0.0.tgz"],
                                 capture_output=True, check=True).stdout
        self.assertEqual(tarball[:2], b"\x1f\x8b")
        s = socket.create_connection(("127.0.0.1", self.drayd.port), rig.PATIENCE_S)
        s.sendall(b"GET /fx-leaf HTTP/1.1\r\n\r\n")
        self.assertIn(b"HTTP/1.1 400 ", s.recv(65536))
        s.close()


if __name__ == "__main__":
    drayd_case.main()
