"""HTTP as it stands on the wire: requests byte by byte as a test wants them."""

import socket

from nodes import PATIENCE


def head(*lines):
    return "".join(line + "\r\n" for line in lines).encode("latin-1") + b"\r\n"


def connect(node, receive_bytes=None):
    host, port = node.http.rsplit(":", 1)
    s = socket.socket()
    if receive_bytes:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    s.settimeout(PATIENCE)
    s.connect((host, int(port)))
    return s


class BrokenOff(Exception):
    """An answer that ended before it was whole; what came of its body is in args[0]."""


def read_chunks(stream):
    body = b""
    while True:
        size = stream.readline().rstrip(b"\r\n")
        if not size:
            raise BrokenOff(body)
        chunk = stream.read(int(size, 16) + 2)
        if len(chunk) < int(size, 16) + 2:
            raise BrokenOff(body + chunk)
        assert chunk.endswith(b"\r\n")
        body += chunk[:-2]
        if size == b"0":
            return body


def read_head(stream):
    """(status, headers); None at the end of the stream."""
    line = stream.readline()
    if not line:
        return None
    headers = {}
    while (header := stream.readline().rstrip(b"\r\n")):
        name, value = header.split(b": ", 1)
        headers[name.decode().lower()] = value.decode()
    return int(line.split()[1]), headers


def read_answer(stream):
    """(status, headers, body); None at the end of the stream."""
    head_there = read_head(stream)
    if head_there is None:
        return None
    status, headers = head_there
    if headers.get("transfer-encoding") == "chunked":
        return status, headers, read_chunks(stream)
    return status, headers, stream.read(int(headers.get("content-length", 0)))


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode()


def put(path, value):
    return f"PUT {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(value)}\r\n\r\n".encode() + value


def ask(node, request):
    """One request on a connection of its own."""
    with connect(node) as s, s.makefile("rb") as stream:
        s.sendall(request)
        return read_answer(stream)
