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


def read_answer(stream):
    """(status, headers, body); None at the end of the stream."""
    line = stream.readline()
    if not line:
        return None
    headers = {}
    while (header := stream.readline().rstrip(b"\r\n")):
        name, value = header.split(b": ", 1)
        headers[name.decode().lower()] = value.decode()
    return int(line.split()[1]), headers, stream.read(int(headers.get("content-length", 0)))


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode()


def put(path, value):
    return f"PUT {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(value)}\r\n\r\n".encode() + value


def ask(node, request):
    """One request on a connection of its own."""
    with connect(node) as s, s.makefile("rb") as stream:
        s.sendall(request)
        return read_answer(stream)
