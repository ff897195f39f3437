"""A backup (GET /v1/backup) whose client takes no more than it is told to, and a state to take one of."""

import json
import socket

import requests

from nodes import PATIENCE
from raw_http import connect, get, read_chunks, read_head

RECEIVE_BYTES = 16 * 1024  # so that little lies in sockets
WINDOW_BYTES = 1024 * 1024  # of a stream under way (FLIGHT_WINDOW_BYTES)
VALUE = "v" * 1000


def fill(node, mebibytes):
    """So many keys of about a KiB, a thousand to a request."""
    for part in range(mebibytes):
        steps = [{"put": {"key": f"fill/{part:03}/{i:04}", "value": VALUE}} for i in range(1000)]
        answer = requests.post(node.url + "/v1/batch", data=json.dumps(steps), timeout=PATIENCE)
        assert answer.status_code == 200, answer.text


def is_filled(backup, mebibytes):
    found = [record for key, record in backup.keys.items() if key.startswith(b"fill/")]
    return len(found) == 1000 * mebibytes and all(record.value == VALUE.encode() for record in found)


class SlowReader:
    """A backup whose client takes what it is told to take."""

    def __init__(self, node, version="1.1"):
        self.socket = connect(node, RECEIVE_BYTES)
        self.socket.sendall(get("/v1/backup").replace(b"HTTP/1.1", f"HTTP/{version}".encode()))
        self.stream = self.socket.makefile("rb")
        self.status, self.headers = read_head(self.stream)
        assert self.status == 200

    def rest(self):
        """The body from here on, as fast as it comes."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW_BYTES)
        return read_chunks(self.stream)

    def close(self):
        self.stream.close()
        self.socket.close()
