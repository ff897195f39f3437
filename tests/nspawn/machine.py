"""A machine with systemd as its first process, in a container: systemd-nspawn over a Debian made by debootstrap.

    make_root()                     # TREE, with what `make install` installs
    with Machine() as m:            # booted
        m.run("systemctl start holdfast")

The root lies in build/nspawn and is made once; what a machine writes goes into memory and is gone with it. It has a
network of its own, with nothing in it but 127.0.0.1. What is run in it and what came of it is told in
build/nspawn/transcript. Where this machine cannot do it, Unable says why.
"""

import contextlib
import glob
import os
import shutil
import signal
import subprocess

from nodes import BUILD, ROOT, children_of, wait_until

PLACE = os.path.join(BUILD, "nspawn")
TREE = os.path.join(PLACE, "root")
# Beside what the programs link: systemd itself, and what the tests use in the machine.
PACKAGES = ["systemd", "curl", "procps"]
HIERARCHIES = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"]
BOOT_SECONDS = 90
TURN_OFF = signal.SIGTERM  # systemd-nspawn passes it on as an orderly end


class Unable(Exception):
    pass


def output_of(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def release():
    """Of this Debian, whose libraries the programs were linked with."""
    with open("/etc/os-release", encoding="utf-8") as f:
        facts = dict(line.strip().split("=", 1) for line in f if "=" in line)
    if facts.get("ID") != "debian" or "VERSION_CODENAME" not in facts:
        raise Unable("this is no Debian")
    return facts["VERSION_CODENAME"]


def libraries():
    """The packages of the libraries that our programs load."""
    linked = output_of("ldd", os.path.join(BUILD, "holdfastd"), os.path.join(BUILD, "holdfast-worker"))
    paths = {os.path.realpath(line.split()[2]) for line in linked.split("\n") if "=> /" in line}
    # Some packages still say /lib for what lies in /usr/lib.
    return package_of("/".join(path.split("/")[-2:]) for path in paths)


def package_of(names):
    """The packages that these files, named by the end of their paths, belong to."""
    listed = output_of("dpkg-query", "-S", *(f"*/{name}" for name in sorted(names)))
    return sorted({line.split(":")[0] for line in listed.split("\n") if line})


def make_tree():
    wanted = [release(), *PACKAGES, *libraries()]
    told = os.path.join(PLACE, "made-of")
    if os.path.exists(told) and open(told, encoding="utf-8").read().split() == wanted:
        return
    shutil.rmtree(PLACE, ignore_errors=True)
    os.makedirs(PLACE)
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(wanted[1:])}", wanted[0], TREE]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise Unable(f"debootstrap failed: {made.stdout.strip().splitlines()[-1:]}")
    with open(told, "w", encoding="utf-8") as f:
        f.write(" ".join(wanted))


def install():
    """As a package would; what an earlier one configured is not kept."""
    shutil.rmtree(os.path.join(TREE, "etc", "holdfast"), ignore_errors=True)
    # Perhaps this runs under another make, whose children should not become its own.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    subprocess.run(["make", "-s", "-C", ROOT, "install", f"DESTDIR={TREE}"], env=environment, check=True)


def make_root():
    if os.geteuid() != 0:
        raise Unable("it takes root")
    for program in ("debootstrap", "systemd-nspawn", "nsenter"):
        if shutil.which(program) is None:
            raise Unable(f"there is no {program}")
    make_tree()
    install()


class Cgroups:
    """Control groups of the machine's own, for a host without a systemd that would make them."""

    def __init__(self, name):
        self.paths = [os.path.join(h, name) for h in HIERARCHIES if os.path.exists(os.path.join(h, "cgroup.procs"))]
        for path in self.paths:
            os.mkdir(path)

    def enter(self):
        for path in self.paths:
            with open(os.path.join(path, "cgroup.procs"), "w", encoding="ascii") as f:
                f.write("0")

    def members(self):
        found = []
        for path in self.paths:
            for procs in glob.glob(os.path.join(path, "**", "cgroup.procs"), recursive=True):
                with open(procs, encoding="ascii") as f:
                    found += [int(pid) for pid in f.read().split()]
        return found

    def remove(self):
        for pid in self.members():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.members(), "the end of what ran in the machine")
        for path in self.paths:
            for directory, _, _ in os.walk(path, topdown=False):
                os.rmdir(directory)


class Machine:
    def __init__(self):
        self.name = f"holdfast-{os.getpid()}"
        self.console = os.path.join(PLACE, "console")
        self.cgroups = None
        self.process = None

    def __enter__(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(PLACE, "transcript"))
        command = ["systemd-nspawn", "-q", "-D", TREE, "-M", self.name, "--volatile=overlay", "--private-network"]
        command += ["--register=no", "--console=pipe", "--resolv-conf=off", "--boot"]
        if not os.path.isdir("/run/systemd/system"):
            self.cgroups = Cgroups(self.name)
            command.insert(1, "--keep-unit")
        try:
            with open(self.console, "wb") as console:
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=console,
                    preexec_fn=self.cgroups.enter if self.cgroups else None,
                )
            wait_until(self.is_up, "the machine to boot", BOOT_SECONDS)
        except BaseException as e:
            self.__exit__()
            if isinstance(e, AssertionError):
                with open(self.console, errors="replace", encoding="utf-8") as console:
                    raise Unable(f"systemd-nspawn boots nothing here: {console.read()[-500:]}") from None
            raise
        return self

    def __exit__(self, *_):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(TURN_OFF)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.cgroups is not None:
            self.cgroups.remove()
        # It removes this by itself only where /run is in memory.
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(f"/run/systemd/nspawn/propagate/{self.name}")

    def leader(self):
        """Its first process, as seen from here."""
        found = [pid for pid, command in children_of(self.process.pid).items() if "systemd-nspawn" not in command]
        return found[0] if found else None

    def is_up(self):
        assert self.process.poll() is None, "systemd-nspawn has ended"
        if self.leader() is None or not os.path.exists(f"/proc/{self.leader()}/root/run/systemd/private"):
            return False
        return self.run("systemctl is-system-running").stdout.strip() == "running"

    def run(self, command, stdin=""):
        """By a shell in the machine. Its status and what it printed."""
        inside = ["nsenter", "--all", "--target", str(self.leader()), "/bin/sh", "-c", command]
        done = subprocess.run(inside, input=stdin, capture_output=True, text=True, timeout=60, cwd="/", check=False)
        with open(os.path.join(PLACE, "transcript"), "a", encoding="utf-8") as f:
            f.write(f"# {command}\n{stdin}{done.stdout}{done.stderr}" + (f"({done.returncode})\n" if done.returncode else ""))
        return done

    def must(self, command, stdin=""):
        """The same of what must succeed: what it printed."""
        done = self.run(command, stdin)
        assert done.returncode == 0, (command, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def write(self, path, text):
        """A file in the machine."""
        self.must(f"mkdir -p $(dirname {path}); cat >{path}", text)
