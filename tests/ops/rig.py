"""A drayd before a fixture registry, for the tests of this folder."""

import ctypes
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

import h2raw

# What must come comes within this, on any machine; what is held to be quick is so by its CPU or its order.
PATIENCE_S = 120

HERE = pathlib.Path(__file__).resolve().parent


def with_us():
    """In a child: it ends when its test does, however that ends, and keeps nobody waiting who reads our output."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def runs_as(program, user):
    """Whether this user may have PROGRAM run as USER, and that one may."""
    try:
        return os.geteuid() == 0 and subprocess.run([program, "--help"], user=user, capture_output=True).returncode == 0
    except PermissionError:
        return False  # it lies where that one may not go


class Registry:
    def __init__(self, program, *faults, recording=False, port=0):
        what = (
            ["--recording", str(HERE.parent / "parity/packuments.ndjson.zst")]
            if recording
            else ["--packages", str(HERE.parent / "registry/packages")]
        )
        args = [program, *what, "--port", str(port)]
        for f in faults:
            args += ["--faults", f]
        self.process = subprocess.Popen(args, stdout=subprocess.PIPE, text=True, preexec_fn=with_us)
        self.url = self.process.stdout.readline().strip()
        self.port = int(re.search(r":(\d+)/?$", self.url).group(1))

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        self.process.stdout.close()


class Drayd:
    def __init__(self, program, registry_url, directory, *flags, log=None, ready_s=PATIENCE_S, user=None):
        self.dir = pathlib.Path(directory)
        ready = self.dir / "ready"
        ready.unlink(missing_ok=True)
        self.log = log or open(self.dir / "log", "ab")
        self.args = [program, "--listen", "127.0.0.1:0", "--ready-file", str(ready), "--registry", registry_url]
        self.args += ["--store-dir", str(self.dir / "store"), *flags]
        self.process = subprocess.Popen(self.args, stderr=self.log, stdout=self.log, user=user, preexec_fn=with_us)
        if not log:
            self.log.close()
        end = time.monotonic() + ready_s
        while not ready.exists():
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError("drayd did not start: " + (self.dir / "log").read_text()[-2000:])
            time.sleep(0.005)
        self.port = int(ready.read_text().split(":")[-1])

    def get(self, path, headers=None, timeout=PATIENCE_S):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        c.request("GET", path, headers=headers or {})
        r = c.getresponse()
        body = r.read().decode()
        c.close()
        return r.status, {k.lower(): v for k, v in r.getheaders()}, body

    def metric(self, name):
        """The sum of a metric's values over its labels."""
        return self.metric_of({}, name)

    def metric_of(self, headers, name):
        found = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", self.get("/metrics", headers)[2], re.M)
        if not found:
            raise KeyError(name)
        return sum(map(float, found))

    def logged(self):
        return (self.dir / "log").read_text()

    def until(self, what, seconds=PATIENCE_S):
        end = time.monotonic() + seconds
        while not what():
            if time.monotonic() > end:
                raise TimeoutError(self.logged()[-2000:])
            time.sleep(0.02)

    def hup(self):
        self.process.send_signal(signal.SIGHUP)

    def stop(self, seconds=PATIENCE_S):
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(seconds)


def project(directory, dependencies, registry_url, name="app"):
    d = pathlib.Path(directory)
    d.mkdir(parents=True, exist_ok=True)
    (d / "package.json").write_text(json.dumps({"name": name, "version": "1.0.0", "dependencies": dependencies}))
    (d / ".npmrc").write_text(f"registry={registry_url}\n")
    return d


def install_args(dray, where, server, store, *flags):
    return [dray, "install", "-C", str(where), "--server", server, "--server-fallback", "error", "--no-frozen-lockfile",
            "--store-dir", str(store), "--reporter", "silent", *flags]


def plan_body(dray, where):
    """The body that the client sends for the project at WHERE."""
    got = []
    with socket.socket() as listener, tempfile.TemporaryDirectory() as store:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        listener.settimeout(PATIENCE_S)
        t = threading.Thread(target=lambda: got.append(h2raw.record(listener)))
        t.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        p = subprocess.Popen(install_args(dray, where, url, store, "--lockfile-only"), stderr=subprocess.DEVNULL)
        t.join(2 * PATIENCE_S)
        p.kill()
        p.wait()
    return got[0]


def waited_for_cpu(pid):
    """Seconds that the threads of PID could have run and were not let; 0 where the kernel does not say."""
    try:
        return sum(int(p.read_text().split()[1]) for p in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9
    except (OSError, IndexError):
        return 0


def rss(pid):
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
