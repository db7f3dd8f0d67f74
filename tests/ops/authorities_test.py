"""A client that is told its authorities by a file reads that once, however many connections it opens: to parse all of a system's takes 40 ms.

    authorities_test.py DRAY FIXTURE_REGISTRY [unittest's arguments]
"""

import ctypes
import http.server
import os
import pathlib
import socketserver
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.request

import rig

DRAY, REGISTRY = sys.argv[1:3]
APP = {"fx-app": "1.0.0", "fx-leaf": "^1.0.0", "@fx/scoped": "1.0.0", "fx-files": "1.0.0", "fx-bin": "1.0.0"}
IN_OPEN, IN_CLOSE_NOWRITE = 0x20, 0x10


class Front(http.server.BaseHTTPRequestHandler):
    """TLS before a registry; a connection for each request."""

    def do_GET(self):
        with urllib.request.urlopen(self.server.behind + self.path.lstrip("/"), timeout=rig.PATIENCE_S) as r:
            body = r.read().replace(self.server.behind.encode(), self.server.url.encode())
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads, connections = True, 0

    def get_request(self):
        self.connections += 1
        return super().get_request()


class Opened:
    """How often a file is opened from now on."""

    def __init__(self, path):
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if libc.inotify_add_watch(self.fd, str(path).encode(), IN_OPEN | IN_CLOSE_NOWRITE) < 0:
            raise OSError(ctypes.get_errno(), "inotify")

    def times(self):
        n, events = 0, os.read(self.fd, 1 << 20)
        for at in range(0, len(events), 16):  # a file's have no names
            n += struct.unpack_from("=iI", events, at)[1] & IN_OPEN != 0
        os.close(self.fd)
        return n


class Authorities(unittest.TestCase):
    def test_read_once(self):
        with tempfile.TemporaryDirectory() as t:
            t = pathlib.Path(t)
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=x",
                            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "ca.pem"], cwd=t, check=True, capture_output=True)
            registry = rig.Registry(REGISTRY)
            front = Server(("127.0.0.1", 0), Front)
            front.behind, front.url = registry.url, f"https://127.0.0.1:{front.server_address[1]}/"
            x = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            x.load_cert_chain(t / "ca.pem", t / "key.pem")
            front.socket = x.wrap_socket(front.socket, server_side=True)
            threading.Thread(target=front.serve_forever, daemon=True).start()
            app = rig.project(t / "app", APP, front.url)
            with open(app / ".npmrc", "a", encoding="ascii") as f:
                f.write(f"cafile={t}/ca.pem\n")
            opened = Opened(t / "ca.pem")
            r = subprocess.run([DRAY, "install", "-C", str(app), "--direct", "--no-frozen-lockfile", "--store-dir", str(t / "store")], capture_output=True,
                               text=True, timeout=3 * rig.PATIENCE_S, check=False)
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertGreaterEqual(front.connections, 10)
            self.assertEqual(opened.times(), 1)
            front.shutdown()
            registry.stop()


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
