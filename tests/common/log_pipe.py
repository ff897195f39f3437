"""Somebody who reads what a node writes to stderr, and can stop doing so.

    node.log_pipe = LogPipe(node.log_path)  # before it is launched
    node.log_pipe.stall()                   # from now on there is no room for a single byte
    node.log_pipe.resume()                  # what there was comes to node.log()
"""

import os
import select
import threading

FILLER = b"(as much as a pipe takes)\n"
STEP = 0.02  # seconds: how soon it sees that it is told something


class LogPipe:
    def __init__(self, path):
        self.path = path
        self.source, self.to = os.pipe()
        self.reads, self.idle, self.ends = threading.Event(), threading.Event(), False
        self.reads.set()
        self.thread = threading.Thread(target=self.copy, daemon=True)
        self.thread.start()

    def copy(self):
        with open(self.path, "ab", buffering=0) as log:
            while not self.ends:
                if not self.reads.is_set():
                    self.idle.set()
                    self.reads.wait(STEP)
                elif select.select([self.source], [], [], STEP)[0]:
                    log.write(os.read(self.source, 65536))

    def fill(self):
        """By a descriptor of its own, so that the node does not find its own one non-blocking."""
        fd = os.open(f"/proc/self/fd/{self.to}", os.O_WRONLY | os.O_NONBLOCK)
        try:
            for piece in (FILLER, b"\n"):
                while True:
                    try:
                        os.write(fd, piece)
                    except BlockingIOError:
                        break
        finally:
            os.close(fd)

    def stall(self):
        self.idle.clear()
        self.reads.clear()
        self.idle.wait()
        self.fill()

    def resume(self):
        self.reads.set()

    def close(self):
        self.ends = True
        self.reads.set()
        self.thread.join()
        os.close(self.source)
        os.close(self.to)
