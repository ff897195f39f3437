"""What a disk may hold when the power fails: read from a record of preload/record.c.

A file has what was synced, and what was written since; a directory likewise has names that are durable and names that
are not. A sync covers what stood in the record when it began, once it is done. Everything else is up to the disk:
Disk.build() makes one of the directories that may be left.
"""

import collections
import copy
import fnmatch
import mmap
import os
import struct

CREATE, MKDIR, SYMLINK, RENAME, UNLINK, WRITE, RESIZE, SYNC = range(1, 9)
KINDS = ["", "create", "mkdir", "symlink", "rename", "unlink", "write", "resize", "sync"]
HEADER_BYTES = 4096
RECORD = struct.Struct("=IHHQQQII")
PAGE = 4096
SECTOR = 512

Record = collections.namedtuple("Record", "at kind node time_ns inode offset path more")


class Recording:
    """The records up to now, each with its place (`at`) in the order."""

    def __init__(self, path):
        with open(path, "rb") as f:
            header = f.read(HEADER_BYTES)
            self.end = int.from_bytes(header[:8], "little") or HEADER_BYTES
            self.bytes = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) if self.end > HEADER_BYTES else b""

    def __iter__(self):
        at = HEADER_BYTES
        while at < self.end:
            size, kind, node, time_ns, inode, offset, path_bytes, more_bytes = RECORD.unpack_from(self.bytes, at)
            path_at = at + RECORD.size
            path = self.bytes[path_at : path_at + path_bytes].decode()
            more_at = path_at + path_bytes
            yield Record(at, kind, node, time_ns, inode, offset, path, self.bytes[more_at : more_at + more_bytes])
            at += size


def tell(record):
    """A line for people."""
    words = [f"{record.time_ns / 1e9:.6f}", f"n{record.node}", KINDS[record.kind], record.path or f"inode {record.inode}"]
    if record.kind in (WRITE, RESIZE):
        words.append(f"offset={record.offset}")
    if record.kind == WRITE:
        words.append(f"bytes={len(record.more)}")
    elif record.more:
        words.append(record.more.decode())
    return " ".join(words)


class Content:
    """The bytes of a file; what was never written is zeros and takes no room."""

    def __init__(self, other=None):
        self.size = other.size if other else 0
        self.pages = dict(other.pages) if other else {}

    def write(self, offset, data, grow=True):
        view, at = memoryview(data), offset
        while len(view):
            number, begin = divmod(at, PAGE)
            piece = view[: PAGE - begin]
            if len(piece) == PAGE:
                self.pages[number] = bytes(piece)
            else:
                page = bytearray(self.pages.get(number, bytes(PAGE)))
                page[begin : begin + len(piece)] = piece
                self.pages[number] = bytes(page)
            at += len(piece)
            view = view[len(piece) :]
        if grow:
            self.size = max(self.size, at)

    def resize(self, size):
        last, begin = divmod(size, PAGE)
        if size < self.size:
            self.pages = {n: p for n, p in self.pages.items() if n <= last}
            if last in self.pages:
                self.pages[last] = self.pages[last][:begin] + bytes(PAGE - begin)
        self.size = size

    def read(self, offset, size):
        found = bytearray()
        while size > 0:
            number, begin = divmod(offset, PAGE)
            piece = self.pages.get(number, bytes(PAGE))[begin : begin + size]
            found += piece
            offset += len(piece)
            size -= len(piece)
        return bytes(found)

    def apply(self, record):
        if record.kind == WRITE:
            self.write(record.offset, record.more)
        else:
            self.resize(record.offset)

    def load(self, path):
        with open(path, "rb") as f:
            for number in range((os.path.getsize(path) + PAGE - 1) // PAGE):
                page = f.read(PAGE)
                if page.strip(b"\0"):
                    self.pages[number] = page.ljust(PAGE, b"\0")
        self.size = os.path.getsize(path)

    def store(self, path):
        with open(path, "wb") as f:
            f.truncate(self.size)
            for number, page in self.pages.items():
                if number * PAGE < self.size:
                    f.seek(number * PAGE)
                    f.write(page[: self.size - number * PAGE])

    def is_that_of(self, path):
        if os.path.getsize(path) != self.size:
            return False
        with open(path, "rb") as f:
            for begin in range(0, self.size, PAGE * 256):
                size = min(self.size - begin, PAGE * 256)
                if f.read(size) != self.read(begin, size):
                    return False
        return True


class File:
    def __init__(self, atom):
        self.atom = atom  # bytes that are written as a whole, or not
        self.durable = Content()
        self.pending = []

    def sync(self, until):
        covered = [r for r in self.pending if r.at < until]
        self.pending = [r for r in self.pending if r.at >= until]
        for r in covered:
            self.durable.apply(r)

    def whole(self, count=None):
        """As the processes see it; or with the first so many pending calls only."""
        content = Content(self.durable)
        for r in self.pending[:count]:
            content.apply(r)
        return content

    def chance(self, dice):
        """What the disk may have: of each atom the content after any of its writes."""
        if any(r.kind == RESIZE for r in self.pending):
            return self.whole(dice.randint(0, len(self.pending)))
        content = Content(self.durable)
        sizes = [content.size]
        pieces = collections.defaultdict(list)
        for r in self.pending:
            sizes.append(max(sizes[-1], r.offset + len(r.more)))
            at = 0
            while at < len(r.more):
                begin = r.offset + at
                size = min(self.atom - begin % self.atom, len(r.more) - at)
                pieces[begin // self.atom].append((begin, r.more[at : at + size]))
                at += size
        share = dice.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        for writes in pieces.values():
            done = len(writes) if dice.random() < share else dice.choice((0, dice.randint(0, len(writes))))
            for begin, data in writes[:done]:
                content.write(begin, data, grow=False)
        content.resize(dice.choice((sizes[0], dice.choice(sizes), sizes[-1])))
        return content


class Link:
    def __init__(self, target):
        self.target = target


class Directory:
    def __init__(self):
        self.durable = {}
        self.names = {}  # as the processes see it
        self.pending = []  # (at, {name: what it is then, or None})

    def change(self, at, changes):
        self.pending.append((at, changes))
        self.carry_out(self.names, changes)

    @staticmethod
    def carry_out(names, changes):
        for name, what in changes.items():
            if what is None:
                names.pop(name, None)
            else:
                names[name] = what

    def sync(self, until):
        for _, changes in [p for p in self.pending if p[0] < until]:
            self.carry_out(self.durable, changes)
        self.pending = [p for p in self.pending if p[0] >= until]

    def chance(self, dice):
        """Any number of the first changes, or any of them; a rename is there as a whole or not at all."""
        names = dict(self.durable)
        ordered, first = dice.random() < 0.5, dice.randint(0, len(self.pending))
        for i, (_, changes) in enumerate(self.pending):
            if i < first if ordered else dice.random() < 0.5:
                self.carry_out(names, changes)
        return names


def atom_of(name):
    """Berkeley DB overwrites pages of 4096 bytes in place and relies on a device that writes one whole (DESIGN 4)."""
    return PAGE if name.endswith(".db") or name.startswith("__db.") else SECTOR


class Disk:
    """The data directory of one node, from what it holds at first through every record."""

    def __init__(self, path):
        self.lies = ()  # patterns: syncs of such files do nothing
        self.inodes = {}
        self.paths = {}  # by inode, for people and for lies
        self.root = self.scan(path, "")

    def scan(self, top, path):
        here = Directory()
        self.inodes[os.stat(os.path.join(top, path)).st_ino] = here
        for name in os.listdir(os.path.join(top, path)):
            inside = os.path.join(path, name)
            whole = os.path.join(top, inside)
            inode = os.lstat(whole).st_ino
            self.paths[inode] = inside
            if os.path.islink(whole):
                here.durable[name] = Link(os.readlink(whole))
            elif os.path.isdir(whole):
                here.durable[name] = self.scan(top, inside)
            else:
                here.durable[name] = self.inodes[inode] = File(atom_of(name))
                here.durable[name].durable.load(whole)
        here.names = dict(here.durable)
        return here

    def copy(self, lies=()):
        """The same as it is now, to go another way from here."""
        other = copy.deepcopy(self)
        other.lies = lies
        return other

    def split(self, path):
        *folders, name = path.split("/")
        at = self.root
        for folder in folders:
            at = at.names[folder]
        return at, name

    def take(self, r):
        """The next record happens."""
        if r.kind in (WRITE, RESIZE):
            self.inodes[r.inode].pending.append(r)
        elif r.kind == SYNC:
            if not any(fnmatch.fnmatch(self.paths.get(r.inode, ""), lie) for lie in self.lies):
                self.inodes[r.inode].sync(r.offset)
        else:
            self.take_name(r)

    def take_name(self, r):
        folder, name = self.split(r.path)
        if r.kind == RENAME:
            other, new = self.split(r.more.decode())
            assert other is folder, f"a rename from one directory to another: {tell(r)}"
            what = folder.names[name]
            folder.change(r.at, {name: None, new: what})
            for inode, known in self.inodes.items():
                if known is what:
                    self.paths[inode] = r.more.decode()
            return
        made = {CREATE: lambda: File(atom_of(name)), MKDIR: Directory, SYMLINK: lambda: Link(r.more.decode()), UNLINK: lambda: None}
        what = made[r.kind]()
        folder.change(r.at, {name: what})
        if r.inode:
            self.inodes[r.inode] = what
            self.paths[r.inode] = r.path

    def build(self, path, mode, dice):
        """Makes the directory that is left. mode: `synced` nothing that was not synced, `all` everything, `chance`
        whatever the dice say."""
        choose = {
            "synced": lambda x: x.durable,
            "all": lambda x: x.whole() if isinstance(x, File) else x.names,
            "chance": lambda x: x.chance(dice),
        }[mode]
        self.store(self.root, path, choose)

    def store(self, folder, path, choose):
        os.mkdir(path)
        for name, what in choose(folder).items():
            inside = os.path.join(path, name)
            if isinstance(what, Directory):
                self.store(what, inside, choose)
            elif isinstance(what, Link):
                os.symlink(what.target, inside)
            else:
                choose(what).store(inside)

    def differences(self, path):
        """In what the real directory, with no process at work, differs from what the records say: nothing, unless the
        recorder missed something."""
        return list(self.compare(self.root, path))

    def compare(self, folder, path):
        there = set(os.listdir(path))
        for name in there ^ folder.names.keys():
            yield f"{path}/{name} is {'not ' if name in there else ''}recorded"
        for name in there & folder.names.keys():
            what, inside = folder.names[name], os.path.join(path, name)
            if isinstance(what, Directory):
                yield from self.compare(what, inside)
            elif isinstance(what, Link):
                if not os.path.islink(inside) or os.readlink(inside) != what.target:
                    yield f"{inside} is another link"
            elif not what.whole().is_that_of(inside):
                yield f"{inside} has other content"
