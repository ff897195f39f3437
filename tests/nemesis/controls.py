"""Positive controls: recorded histories with a lie put in, which the judges must find.

A judge that accepts one of these would accept anything.
"""

import dataclasses

from workloads import judge_files


@dataclasses.dataclass
class Line:
    time: int
    process: str
    event: str
    op: str
    key: str
    value: str
    revision: str
    version: str
    token: str
    node: str
    status: str

    def text(self):
        return " ".join(str(word) for word in dataclasses.astuple(self)) + "\n"


def read(path):
    """(remarks, lines)"""
    remarks, lines = [], []
    with open(path, encoding="ascii") as f:
        for line in f:
            if line.startswith("#"):
                remarks.append(line)
            else:
                when, *words = line.split()
                lines.append(Line(int(when), *words))
    return remarks, lines


def two_writes(lines):
    """The acknowledgements of two writes of one key, the second begun when the first was acknowledged."""
    begun, last = {}, {}
    for at, line in enumerate(lines):
        if line.event == "invoke":
            begun[line.process] = at
        elif line.event == "ok" and line.op in ("put", "cas") and line.status == "200":
            before = last.get(line.key)
            if before is not None and begun[line.process] > before:
                return before, at
            last[line.key] = at
    raise AssertionError("no two writes of one key in the history")


def read_of(write, at_us):
    """A get behind everything else that finds what that write wrote."""
    invoke = Line(at_us, "999999", "invoke", "get", write.key, "-", "-", "-", "-", write.node, "-")
    ok = dataclasses.replace(invoke, event="ok", value=write.value, revision=write.revision, version="1", status="200")
    return [invoke, ok]


def with_stale_read(lines):
    """A read that begins when the second write is acknowledged shows the first."""
    first, second = two_writes(lines)
    return [*lines[: second + 1], *read_of(lines[first], lines[second].time), *lines[second + 1 :]]


def with_doubled_write(lines):
    """The first write takes effect a second time, after the second one: it is seen, overwritten, and seen again."""
    first, second = two_writes(lines)
    again = int(lines[second].revision) + 1
    doubled = dataclasses.replace(lines[first], revision=str(again))
    at_us = lines[second].time
    seen = read_of(lines[second], at_us) + read_of(doubled, at_us)
    return [*lines[: second + 1], *seen, *lines[second + 1 :]]


def accepted(history):
    """The names of the lies about this history that a judge accepts, each with the judge's."""
    remarks, lines = read(history)
    found = []
    for lie in (with_stale_read, with_doubled_write):
        path = f"{history}.{lie.__name__}"
        with open(path, "w", encoding="ascii") as f:
            f.writelines(remarks)
            f.writelines(line.text() for line in lie(lines))
        flaws = judge_files(path)
        found += [f"{judge} accepts a history {lie.__name__}" for judge in ("check-history", "linear")
                  if not any(flaw.startswith(f"{judge}: status 1") for flaw in flaws)]
    return found
