"""Backup files (worker/kv/image.h), read by other code than that which writes them.

    b = read_backup(data)       Damaged where frames, order or checksums are not right
    b.index, b.cluster, b.keys  {key: Record}, the state as of that index
    check_backup(b, history)    against what clients of holdfast-load were told
"""

import collections
import struct

FORMAT = 1
FORMAT_LEVEL = 2  # of a state above feature level 0: its head says the level
HEAD, RECORD, END = 1, 2, 3
KEYS = 1  # the table of keys (worker/kv/table.h)
SETTINGS = 3

Record = collections.namedtuple("Record", "create modify version content_type value")


class Damaged(Exception):
    pass


def demand(holds, what):
    if not holds:
        raise Damaged(what)


def crc_table():
    """CRC-32C, reflected."""
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    return table


TABLE = crc_table()


def crc32c(crc, data):
    table = TABLE
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def raw(self, size):
        demand(size <= self.left(), "a field is longer than what is there")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, form):
        return struct.unpack("<" + form, self.raw(struct.calcsize("<" + form)))[0]

    def bytes(self):
        return self.raw(self.number("I"))

    def varied(self):
        """A number in 7 bits a byte, the least first."""
        value, shift = 0, 0
        while True:
            byte = self.number("B")
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value


def read_record(data):
    """A record of the table of keys (worker/kv/record.h)."""
    r = Reader(data)
    demand(r.number("B") == 1, "the format of a record")
    create, modify, version, lease, flags = (r.varied() for _ in range(5))
    demand(lease == flags == 0, "a record with a lease or flags")
    content_type = b""
    while (tag := r.number("B")) != 0:
        value = r.raw(r.varied())
        if tag == 1:
            content_type = value
    return Record(create, modify, version, content_type, r.raw(r.left()))


class Backup:
    def __init__(self):
        self.cluster = self.term = self.index = self.time_ms = self.tokens = self.hash = self.level = None
        self.tables = collections.defaultdict(dict)  # number -> {key: bytes of the record}
        self.keys = {}
        self.records = self.bytes = 0
        self.last = (0, b"")  # table and key
        self.ended = False

    def take_head(self, r):
        demand(self.index is None, "a second head")
        form = r.number("B")
        demand(form in (FORMAT, FORMAT_LEVEL), "another format")
        self.cluster, self.term, self.index, self.time_ms, self.tokens = (r.number("Q") for _ in range(5))
        low, high = r.number("Q"), r.number("Q")
        self.hash = f"{high:016x}{low:016x}"
        self.level = r.number("H") if form == FORMAT_LEVEL else 0
        demand((form == FORMAT_LEVEL) == (self.level > 0), "a format that is not that of its level")

    def take_record(self, r):
        table, key, record = r.number("B"), r.bytes(), r.bytes()
        demand((table, key) > self.last, f"{key} of table {table} is out of order")
        self.last = table, key
        self.records += 1
        self.bytes += len(key) + len(record)
        self.tables[table][key] = record
        if table == KEYS:
            self.keys[key] = read_record(record)

    def take_end(self, r):
        demand(r.number("Q") == self.records and r.number("Q") == self.bytes, "the sums at the end")
        kept = self.tables[SETTINGS].get(b"level", bytes([1, 0]))
        demand(kept == bytes([1, self.level]), "a feature level that is not the state's")
        self.ended = True

    def take(self, payload):
        r = Reader(payload)
        mark = r.number("B")
        demand((mark == HEAD) == (self.index is None) and not self.ended, f"a frame {mark} out of order")
        if mark == HEAD:
            self.take_head(r)
        elif mark == RECORD:
            while r.left():
                self.take_record(r)
        elif mark == END:
            self.take_end(r)
        demand(mark in (HEAD, RECORD, END) and r.left() == 0, f"a frame {mark} that is not as it should be")


def read_backup(data, sums=True):
    """Python takes a second or so for the checksums of 8 MiB."""
    backup, frames, crc = Backup(), Reader(data), 0
    while frames.left():
        size, checksum = frames.number("I"), frames.number("I")
        payload = frames.raw(size)
        crc = crc32c(crc, payload) if sums else checksum
        demand(crc == checksum, "a checksum")
        backup.take(payload)
    demand(backup.ended, "it has no end")
    return backup


def written(history):
    """{key: [(revision, value or None, op)]} of what was acknowledged, and the values of which nobody knows what became."""
    known, unknown = collections.defaultdict(list), collections.defaultdict(set)
    begun = {}  # by process
    with open(history, encoding="ascii") as f:
        for line in f:
            if line.startswith("#"):
                continue
            _, process, event, op, key, value, revision = line.split()[:7]
            if op == "get" or event in ("again", "final"):
                continue
            if event == "invoke":
                begun[process] = value
                continue
            value = begun.pop(process)
            if event == "ok":
                known[key].append((int(revision), None if op == "delete" else value))
            elif event == "info":
                unknown[key].add(value)
    assert not begun, "the load has not ended"
    return known, unknown


def check_backup(backup, history):
    """Every key that the history has: the backup shows what was acknowledged last as of its index, and nothing later. The
    number of keys that it was sure of."""
    known, unknown = written(history)
    sure = 0
    for key in known.keys() | unknown.keys():
        there = backup.keys.get(key.encode())
        value = there and there.value.decode().rstrip(".")
        before = [w for w in known[key] if w[0] <= backup.index]
        last = max(before, default=(0, None), key=lambda w: w[0])
        if there:
            assert there.modify <= backup.index, f"{key}: written at {there.modify}, behind the backup's {backup.index}"
            assert there.modify >= last[0], f"{key}: as of {there.modify}, and {last[0]} was acknowledged"
        if (there.modify if there else 0) > last[0]:
            assert value in unknown[key], f"{key}: {value} at {there.modify} is not what was written last"
            continue
        if value != last[1]:
            # A delete whose outcome nobody knows may have come behind it.
            assert value is None and "-" in unknown[key], f"{key}: {value}, not {last[1]} of {last[0]}"
            continue
        sure += 1
    return sure
