"""Containers as Docker makes them of a Dockerfile and a compose file, by the kernel alone: no image can be had here.

    with Composed(TREE, directory) as c:
        c.containers["node_1"].start()          # docker start
        c.curl("-sS http://127.0.0.1:4001/livez")

Each is a process with namespaces of its own for mounts, pids and network, in a root that is the given tree with the RUN
lines of the Dockerfile's last stage over it (those that install packages excepted: they are in the tree), as the user, with
the environment and the command line that the two files say. Its volume is a directory. The machine that they run on is a
network namespace too, so that 4001 to 4003 of it are nobody else's.
"""

import json
import os
import re
import shlex
import signal
import subprocess

import yaml

from nodes import ROOT, children_of, wait_until

DOCKER = os.path.join(ROOT, "docker")
PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What Docker does before the first process of a container; a volume that is empty takes over owner and mode from the image.
MAKE_ROOT = """
tree=$1 place=$2 volume=$3 target=$4 prepare=$5 user=$6
shift 6
mount -t tmpfs tmpfs "$place"
mkdir "$place/above" "$place/work" "$place/root"
mount -t overlay -o "lowerdir=$tree,upperdir=$place/above,workdir=$place/work" overlay "$place/root"
cd "$place/root"
mount -t proc proc proc
mount --rbind /dev dev
chroot . /bin/sh -ec "$prepare"
if [ -z "$(ls -A "$volume")" ]; then
	chown --reference=".$target" "$volume"
	chmod --reference=".$target" "$volume"
fi
mount --bind "$volume" ".$target"
exec chroot --userspec="$user" . "$@"
"""


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


class Dockerfile:
    """The last stage of one: what it says as [(instruction, arguments)]."""

    def __init__(self):
        with open(os.path.join(DOCKER, "Dockerfile"), encoding="utf-8") as f:
            lines = [line for line in f if not line.startswith("#")]
        text = re.sub(r"\\\n\s*", "", "".join(lines))
        whole = [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]
        last = max(i for i, (word, _) in enumerate(whole) if word == "FROM")
        self.lines = [(word, arguments.strip()) for word, arguments in whole[last + 1 :]]

    def all(self, instruction):
        return [arguments for word, arguments in self.lines if word == instruction]

    def one(self, instruction):
        (found,) = self.all(instruction)
        return found

    def packages(self):
        (line,) = [line for line in self.all("RUN") if "apt-get install" in line]
        command = re.search(r"apt-get install (.*?)(&&|$)", line)[1]
        return {word for word in command.split() if not word.startswith("-")}

    def prepare(self):
        return "\n".join(line for line in self.all("RUN") if "apt-get" not in line)

    def environment(self):
        return dict(pair.split("=", 1) for line in self.all("ENV") for pair in shlex.split(line))


class Container:
    def __init__(self, composed, name, service):
        self.composed = composed
        self.name = name
        self.service = service
        self.place = os.path.join(composed.directory, name)
        self.namespace = f"{composed.mark}-{name}"
        (network,) = service["networks"].values()
        self.address = network["ipv4_address"]
        self.volume = os.path.join(composed.directory, service["volumes"][0].split(":")[0] + ".volume")
        self.log_path = self.place + ".log"
        self.process = None
        for directory in (self.place, self.volume):
            os.mkdir(directory)
        with open(self.log_path, "w", encoding="utf-8"):
            pass

    def environment(self):
        given = {name: str(value) for name, value in self.service["environment"].items()}
        return {"PATH": PATHS, **self.composed.dockerfile.environment(), **given}

    def start(self):
        file = self.composed.dockerfile
        target = self.service["volumes"][0].split(":")[1]
        assert target == file.one("VOLUME") and self.process is None
        command = ["ip", "netns", "exec", self.namespace, "unshare", "--mount", "--pid", "--fork", "--kill-child"]
        command += ["sh", "-ec", MAKE_ROOT, "sh", self.composed.tree, self.place, self.volume, target, file.prepare()]
        command += [file.one("USER"), *json.loads(file.one("ENTRYPOINT")), *self.service.get("command", [])]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment()
            )

    def pid(self):
        """Of its first process, as seen from here."""
        found = list(children_of(self.process.pid))
        return found[0] if found else None

    def children(self):
        return list(children_of(self.pid()))

    def is_healthy(self):
        """What its health check says."""
        assert self.process.poll() is None, self.log()
        if self.pid() is None:
            return False
        check = re.search(r"\bCMD (.*)", self.composed.dockerfile.one("HEALTHCHECK"))[1]
        inside = ["nsenter", "--target", str(self.pid()), "--mount", "--net", "--pid", "--root", "--wd", "/bin/sh", "-c", check]
        done = subprocess.run(inside, env=self.environment(), capture_output=True, timeout=60, check=False)
        return done.returncode == 0

    def stop(self):
        """docker stop: the status that it ended with, which must be there before it would be killed."""
        grace = re.fullmatch(r"(\d+)s", self.service["stop_grace_period"])[1]
        os.kill(self.pid(), signal.Signals[self.composed.dockerfile.one("STOPSIGNAL")])
        status = self.process.wait(int(grace))
        self.process = None
        return status

    def end(self):
        if self.process is not None:
            # All in its namespace go with its first process. (Of --kill-child nothing is left where that changed its user.)
            first = self.pid()
            if first is not None:
                os.kill(first, signal.SIGKILL)
            self.process.kill()
            self.process.wait()

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()


class Composed:
    def __init__(self, tree, directory):
        with open(os.path.join(DOCKER, "docker-compose.yml"), encoding="utf-8") as f:
            self.file = yaml.safe_load(f)
        self.dockerfile = Dockerfile()
        self.tree = tree
        self.directory = directory
        self.mark = f"hf{os.getpid()}"
        self.containers = {name: Container(self, name, service) for name, service in self.file["services"].items()}

    def __enter__(self):
        try:
            self.connect()
        except BaseException:
            self.__exit__()
            raise
        return self

    def connect(self):
        (network,) = self.file["networks"].values()
        gateway, length = re.sub(r"0/", "1/", network["ipam"]["config"][0]["subnet"]).split("/")
        run("ip", "netns", "add", self.mark)
        run("ip", "-n", self.mark, "link", "set", "lo", "up")
        run("ip", "-n", self.mark, "link", "add", "docker0", "type", "bridge")
        run("ip", "-n", self.mark, "address", "add", f"{gateway}/{length}", "dev", "docker0")
        run("ip", "-n", self.mark, "link", "set", "docker0", "up")
        for number, c in enumerate(self.containers.values()):
            run("ip", "netns", "add", c.namespace)
            ends = ["link", "add", f"veth{number}", "type", "veth", "peer", "name", "eth0", "netns", c.namespace]
            run("ip", "-n", self.mark, *ends)
            run("ip", "-n", self.mark, "link", "set", f"veth{number}", "master", "docker0", "up")
            run("ip", "-n", c.namespace, "address", "add", f"{c.address}/{length}", "dev", "eth0")
            run("ip", "-n", c.namespace, "link", "set", "eth0", "up")
            run("ip", "-n", c.namespace, "link", "set", "lo", "up")
            run("ip", "-n", c.namespace, "route", "add", "default", "via", gateway)
            self.publish(c)
        self.at_host("echo 1 >/proc/sys/net/ipv4/conf/docker0/route_localnet")
        self.at_host("iptables -t nat -A POSTROUTING -s 127.0.0.0/8 -o docker0 -j MASQUERADE")

    def publish(self, container):
        for port in container.service["ports"]:
            outside, inside = port.split(":")
            rule = f"-d 127.0.0.1 -p tcp --dport {outside} -j DNAT --to-destination {container.address}:{inside}"
            self.at_host(f"iptables -t nat -A OUTPUT {rule}")

    def at_host(self, command):
        """By a shell of the machine that the containers run on."""
        return run("ip", "netns", "exec", self.mark, "sh", "-ec", command)

    def __exit__(self, *_):
        for c in self.containers.values():
            c.end()
        there = {line.split()[0] for line in run("ip", "netns", "list").splitlines()}
        for name in {self.mark, *(c.namespace for c in self.containers.values())} & there:
            run("ip", "netns", "delete", name)


def wait_healthy(containers):
    for c in containers:
        wait_until(c.is_healthy, f"{c.name} to be healthy")
