"""HTTP/2 by hand: frames as an attacker or a careless client sends them, and just enough reading to know the answer."""

import select
import socket
import struct
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value):
    """A header field, never indexed, without Huffman (RFC 7541, 6.2.3); both parts shorter than 127 bytes."""
    return b"\x10" + bytes([len(name)]) + name + bytes([len(value)]) + value


def head(method, path, extra=()):
    fields = [(b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", b"localhost"), *extra]
    return b"".join(literal(n, v) for n, v in fields)


def status_of(block):
    """The status that starts a header block: an index of the static table, or a literal of digits."""
    while block and block[0] & 0xE0 == 0x20:  # a table size update
        block = block[1:]
    if block[0] & 0x80:
        return {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}.get(block[0] & 0x7F)
    huffman, size = block[1] & 0x80, block[1] & 0x7F
    text = block[2 : 2 + size]
    if not huffman:
        return int(text)
    bits = "".join(f"{b:08b}" for b in text)
    code = {"00000": "0", "00001": "1", "00010": "2"}
    code.update({f"{0b011001 + i:06b}": str(3 + i) for i in range(7)})
    out, at = "", 0
    while len(out) < 3:
        n = 5 if bits[at : at + 5] in code else 6
        out += code[bits[at : at + n]]
        at += n
    return int(out)


class Conn:
    def __init__(self, port, settings=(), window=None, rcvbuf=None):
        self.sock = socket.socket()
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(120)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.connect(("127.0.0.1", port))
        self.left = b""
        self.next = 1
        self.window = self.initial = 65535  # of its peer, for what we send
        payload = b"".join(struct.pack(">HI", k, v) for k, v in settings)
        self.sock.sendall(PREFACE + frame(SETTINGS, 0, 0, payload))
        if window:
            self.sock.sendall(frame(WINDOW, 0, 0, struct.pack(">I", window)))

    def send(self, *frames):
        self.sock.sendall(b"".join(frames))

    def request(self, method, path, body=b"", extra=()):
        """Sends a request and returns its stream."""
        stream, self.next = self.next, self.next + 2
        out = [frame(HEADERS, END_HEADERS | (0 if body else END_STREAM), stream, head(method, path, extra))]
        for at in range(0, len(body), 16384):
            out.append(frame(DATA, END_STREAM if at + 16384 >= len(body) else 0, stream, body[at : at + 16384]))
        self.send(*out)
        return stream

    def plan(self, body):
        return self.request(b"POST", b"/v1/plan", body, ((b"content-type", b"application/x-dray-request"),))

    def read(self):
        """The next frame: (kind, flags, stream, payload). None when the peer has closed."""
        while len(self.left) < 9 or len(self.left) < 9 + int.from_bytes(self.left[:3], "big"):
            try:
                got = self.sock.recv(65536)
            except ConnectionResetError:
                return None
            if not got:
                return None
            self.left += got
        n = int.from_bytes(self.left[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", self.left[3:9])
        payload, self.left = self.left[9 : 9 + n], self.left[9 + n :]
        if kind == SETTINGS and not flags & ACK:
            try:
                self.send(frame(SETTINGS, ACK, 0))
            except OSError:
                pass  # the peer has closed; what it sent before can still be read
        return kind, flags, stream & 0x7FFFFFFF, payload

    def answer(self, stream):
        """(status, body) of STREAM; the status is None when it was reset or the connection closed."""
        status, body = None, b""
        while True:
            f = self.read()
            if f is None:
                return None, body
            kind, flags, of, payload = f
            if of != stream:
                continue
            if kind == RST:
                return None, body
            if kind == HEADERS and status is None:
                status = status_of(payload)
            if kind == DATA:
                body += payload
                if payload:
                    add = struct.pack(">I", len(payload))
                    try:
                        self.send(frame(WINDOW, 0, 0, add), frame(WINDOW, 0, stream, add))
                    except OSError:
                        pass  # it closes behind its last answer; what it sent before can still be read
            if flags & END_STREAM and kind in (HEADERS, DATA):
                return status, body

    def close(self):
        self.sock.close()


def post(c, byte, size):
    """(status, RST_STREAM's code) of a plan request of SIZE bytes, sent as the windows allow; None when the peer has closed."""
    stream, c.next = c.next, c.next + 2
    kind = ((b"content-type", b"application/x-dray-request"),)
    c.send(frame(HEADERS, END_HEADERS, stream, head(b"POST", b"/v1/plan", kind)))
    left, window = size, c.initial
    while True:
        n = min(16384, left, window, c.window)
        if n > 0:
            left, window, c.window = left - n, window - n, c.window - n
            c.send(frame(DATA, 0 if left else END_STREAM, stream, byte * n))
            if not select.select([c.sock], [], [], 0)[0] and len(c.left) < 9:
                continue
        got = c.read()
        if got is None:
            return None
        kind, flags, of, payload = got
        if kind == SETTINGS:
            for at in range(0, len(payload), 6):
                name, value = struct.unpack_from(">HI", payload, at)
                if name == 4:  # INITIAL_WINDOW_SIZE
                    window += value - c.initial
                    c.initial = value
        elif kind == WINDOW and of == 0:
            c.window += int.from_bytes(payload, "big")
        elif kind == WINDOW and of == stream:
            window += int.from_bytes(payload, "big")
        elif kind == HEADERS and of == stream:
            return status_of(payload), None
        elif kind == RST and of == stream:
            return None, int.from_bytes(payload, "big")


def record(listener):
    """Accepts one connection as a server that never answers: the body of the first POST on it."""
    sock, _ = listener.accept()
    sock.settimeout(120)
    sock.sendall(frame(SETTINGS, 0, 0) + frame(WINDOW, 0, 0, struct.pack(">I", 1 << 28)))
    buf, body, of = b"", b"", None
    while len(buf) < len(PREFACE):
        buf += sock.recv(65536)
    buf = buf[len(PREFACE) :]
    end = time.monotonic() + 120
    while time.monotonic() < end:
        while len(buf) < 9 or len(buf) < 9 + int.from_bytes(buf[:3], "big"):
            got = sock.recv(65536)
            if not got:
                raise EOFError("the client left before its request was whole")
            buf += got
        n = int.from_bytes(buf[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", buf[3:9])
        payload, buf = buf[9 : 9 + n], buf[9 + n :]
        if kind == SETTINGS and not flags & ACK:
            sock.sendall(frame(SETTINGS, ACK, 0))
        if kind == HEADERS:
            of = stream
            sock.sendall(frame(WINDOW, 0, stream, struct.pack(">I", 1 << 26)))
        if kind == DATA and stream == of:
            body += payload
        if kind in (DATA, HEADERS) and stream == of and flags & END_STREAM and body:
            sock.close()
            return body
    raise TimeoutError("no request came")
