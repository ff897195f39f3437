"""What holdfastd does with the data directory of a node that does not run: --restore and --recover-alone."""

import os
import pty
import shutil
import subprocess

from nodes import PATIENCE, ROOT

AHEAD = 1 << 30
RECORD = os.path.join(ROOT, "build/tests/power/preload/record.so")


def offline(node, *more, text=None, typed=None, **environment):
    """Its status and all that it says; standard input is `text`, or a terminal at which `typed` is typed."""
    ours, theirs = pty.openpty() if typed is not None else (None, None)
    try:
        if typed is not None:
            os.write(ours, typed.encode())
        done = subprocess.run(
            [*node.command(), *more],
            **({"input": text or b""} if typed is None else {"stdin": theirs}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **node.nodes.environment(), **environment},
            timeout=2 * PATIENCE,
            check=False,
        )
    finally:
        for fd in (ours, theirs):
            if fd is not None:
                os.close(fd)
    return done.returncode, done.stdout.decode()


class Steps:
    """The same work on the same directory, killed in another call that changes the disk each time."""

    def __init__(self, node, *more, **options):
        self.node = node
        self.more = more
        self.options = options
        self.whole = node.data + ".whole"
        self.record = os.path.join(node.nodes.directory, "record")
        shutil.rmtree(os.path.join(node.data, "run"), ignore_errors=True)
        shutil.copytree(node.data, self.whole, symlinks=True)

    def begin_again(self):
        shutil.rmtree(self.node.data)
        shutil.copytree(self.whole, self.node.data, symlinks=True)

    def attempt(self, *more, at=1 << 40):
        """Its status, what it says, and how many calls changed the disk, of which `at` is the last."""
        with open(self.record, "wb"):
            pass
        where = {"LD_PRELOAD": RECORD, "POWER_RECORD": self.record, "POWER_DATA": self.node.data, "POWER_NODE": "1"}
        code, said = offline(self.node, *self.more, *more, POWER_KILL=str(at), **where, **self.options)
        with open(self.record, "rb") as f:
            return code, said, int.from_bytes(f.read(16)[8:], "little")

    def is_unfinished(self):
        return os.path.exists(os.path.join(self.node.data, "unfinished"))
