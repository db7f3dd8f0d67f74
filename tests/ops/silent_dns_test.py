"""A name server that says nothing: a client whose drayd has a name is done with it within its budget for connecting, and installs directly.

    unshare -rmn silent_dns_test.py DRAY FIXTURE_REGISTRY        in name spaces of its own: it changes /etc/resolv.conf there
"""

import fcntl
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile

import rig


def prepare(directory):
    """False: this kernel does not let us."""
    conf = directory / "resolv.conf"
    conf.write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
    with socket.socket() as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sh22x", b"lo", 0x41))  # SIOCSIFFLAGS: up, running
    return subprocess.run(["mount", "--bind", str(conf), "/etc/resolv.conf"]).returncode == 0


def questions(server):
    """How many have come."""
    n = 0
    server.setblocking(False)
    while True:
        try:
            server.recv(512)
        except BlockingIOError:
            return n
        n += 1


def main():
    dray, program = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as t, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        t = pathlib.Path(t)
        if not prepare(t):
            return 77
        silent.bind(("127.0.0.1", 53))
        registry = rig.Registry(program)
        app = rig.project(t / "app", {"fx-leaf": "^1.0.0"}, registry.url)
        args = [dray, "install", "-C", str(app), "--server", "http://drayd.plans.test:4874", "--store-dir", str(t / "store")]
        try:
            r = subprocess.run(args, capture_output=True, text=True, timeout=120)  # the resolver itself would take 150 s
            asked = questions(silent)
        finally:
            registry.stop()
        print(r.stderr)
        assert r.returncode == 0, r.returncode
        assert "no name server told the address of drayd.plans.test in time" in r.stderr
        # Two questions (A and AAAA) for the plan's connection, and two for the first of the packs': who waits for eight in turn asks 18.
        assert 1 <= asked <= 6, asked
        assert (app / "node_modules/fx-leaf/package.json").is_file()
        return 0


if __name__ == "__main__":
    sys.exit(main())
