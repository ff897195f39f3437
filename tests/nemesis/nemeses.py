"""What is done to a cluster. Each nemesis acts for a while and leaves the world healed, as far as it can itself:
World.heal() comes after it."""

import dataclasses
import email.utils
import itertools
import os
import re
import signal
import time
from typing import Callable

import requests

from nodes import PATIENCE, is_alive
from under_load import Load, status
from workloads import LEAST_DURING, WORKLOADS, Verdict, clock_us, count, judge_files
from world import Clone, kill_at_once

HOUR = 3600
LOSS_TOLD = 4  # seconds: by then each process has looked whether there is room to say that lines were lost


@dataclasses.dataclass
class Nemesis:
    kind: str  # one of a kind at a time
    act: Callable  # (world, dice, seconds); returns why it came to nothing, if it did
    goes_on: bool  # a majority can work all the time


NEMESES = {}


def nemesis(kind, goes_on):
    def enlist(act):
        NEMESES[act.__name__.replace("_", " ")] = Nemesis(kind, act, goes_on)
        return act

    return enlist


def leader_of(world):
    """Who leads as it seems now; anybody when nobody does."""
    said = [s["leader"]["id"] for n in world.all if n.is_up() and (s := status(n)) and s.get("leader")]
    wanted = max(set(said), key=said.count) if said else world.all[0].id
    return next(n for n in world.all if n.id == wanted)


def minority(world, dice):
    return dice.sample(world.all, (len(world.all) - 1) // 2)


def majority(world, dice):
    return dice.sample(world.all, len(world.all) // 2 + 1)


def both_ways(pairs):
    return {cut for a, b in pairs for cut in ((a, b), (b, a))}


def between(some, others):
    return both_ways(itertools.product(some, others))


# --- processes ---


def kill_and_start(victims, seconds):
    kill_at_once(victims)
    time.sleep(seconds)
    for node in victims:
        node.launch()


@nemesis("process", goes_on=True)
def kill_the_leader(world, _dice, seconds):
    kill_and_start([leader_of(world)], seconds)


@nemesis("process", goes_on=True)
def kill_a_minority(world, dice, seconds):
    kill_and_start(minority(world, dice), seconds)


@nemesis("process", goes_on=False)
def kill_a_majority(world, dice, seconds):
    kill_and_start(majority(world, dice), seconds / 2)
    time.sleep(seconds / 2)


@nemesis("process", goes_on=False)
def kill_all(world, _dice, seconds):
    kill_and_start(world.all, seconds / 4)
    time.sleep(seconds * 3 / 4)


@nemesis("process", goes_on=False)
def kill_again_and_again(world, dice, seconds):
    """Whoever is next, before the last one has caught up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        kill_and_start([dice.choice(world.all)], dice.uniform(0, 0.3))


def pause(victims, seconds):
    for node in victims:
        node.freeze()
    time.sleep(seconds)
    for node in victims:
        node.thaw()


@nemesis("process", goes_on=True)
def pause_the_leader(world, _dice, seconds):
    pause([leader_of(world)], seconds)


@nemesis("process", goes_on=True)
def pause_a_follower(world, dice, seconds):
    leader = leader_of(world)
    pause([dice.choice([n for n in world.all if n is not leader])], seconds)


@nemesis("process", goes_on=False)
def pause_leaders_in_turn(world, dice, seconds):
    """Short pauses of whoever leads: each wakes up as the leader that it was."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pause([leader_of(world)], dice.uniform(0.5, 1.5))


# --- logs that are cut, and images ---


def images_begun(world):
    count = 0
    for node in world.all:
        with open(node.log_path, encoding="utf-8", errors="replace") as f:
            count += f.read().count("an image of the state comes")
    return count


def wait_cut(node, last, end):
    """Until the log of this one begins behind what another had when it was left behind."""
    while time.monotonic() < end and not ((s := status(node)) and s["first"] > last + 1):
        time.sleep(0.05)


@nemesis("process", goes_on=False)
def image_is_broken_off(world, dice, seconds):
    """A follower that is away until the log does not reach back to it; then sender and receiver die, in the middle."""
    before, end = images_begun(world), time.monotonic() + seconds
    leader = leader_of(world)
    follower = dice.choice([n for n in world.all if n is not leader])
    last = (status(follower) or {"last": 0})["last"]
    kill_at_once([follower])
    wait_cut(leader, last, end)
    follower.launch()
    for who in [lambda: follower, lambda: leader_of(world), lambda: follower, lambda: follower]:
        time.sleep(dice.uniform(0.1, 0.6))
        kill_and_start([who()], 0)
    return None if images_begun(world) > before else "nobody needed an image"


@nemesis("backup", goes_on=True)
def backups(world, dice, seconds):
    """One after the other, of any node. What ends without being cut off is whole."""
    whole, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with requests.get(f"{dice.choice(world.all).url}/v1/backup", stream=True, timeout=5) as answer:
                whole += answer.status_code == 200 and sum(map(len, answer.iter_content(1 << 16))) > 0
        except requests.RequestException:
            time.sleep(0.05)
    return None if whole > 0 else "no backup came to its end"


# --- members: a process and a disk at once ---


@nemesis("process", goes_on=True)
def disk_of_a_follower_is_lost(world, dice, seconds):
    """Its node comes back on an empty one, and takes the place of its former self."""
    leader = leader_of(world)
    world.lose_disk(dice.choice([n for n in world.all if n is not leader]))
    time.sleep(seconds)


@nemesis("process", goes_on=True)
def member_goes_and_comes(world, dice, seconds):
    """Removed, whoever it is; when it has served for a while without being a member it comes back on an empty disk."""
    node = dice.choice(world.all)
    try:
        requests.delete(f"{dice.choice(world.all).url}/v1/members/{node.id}", timeout=5)
    except requests.RequestException:
        pass  # it may have been begun all the same
    time.sleep(seconds)
    world.lose_disk(node)


def incarnations(world):
    """{id: incarnation} of the members, as somebody says who is there; None when nobody answers."""
    for node in world.all:
        try:
            answer = requests.get(node.url + "/v1/members", timeout=2)
            return {m["id"]: m["incarnation"] for m in answer.json()["members"]}
        except (requests.RequestException, ValueError):
            continue
    return None


def ask_clone(world, clone, end):
    """Clients that know no other node. Why it came to nothing; what they were told is judged."""
    load = Load(world, [clone], "--connections", "3", "--value-size", "64", *WORKLOADS["register"])
    time.sleep(max(1.0, end - time.monotonic()))
    load.process.terminate()
    load.process.communicate(timeout=120)
    verdict = Verdict()
    count(load.history, 0, clock_us(), verdict)
    flaws = judge_files(load.history)
    assert not flaws, f"through the clone: {flaws}"
    return None if verdict.operations >= LEAST_DURING else f"{verdict.operations} operations through the clone"


@nemesis("process", goes_on=True)
def clone_of_a_member(world, dice, seconds):
    """A second node with the id of a live one: it is not added, passes on what it is asked, and evicts nobody."""
    end = time.monotonic() + seconds
    before, clone = incarnations(world), Clone(world, dice.choice(world.all))
    try:
        clone.launch()
        clone.wait_log(f"the id {clone.member.id} is in use by the member at {clone.member.peer}")
        nothing = ask_clone(world, clone, end)
        after = incarnations(world)
        if not before or not after:
            return "nobody says who the members are"
        assert before == after, f"the members were {before} and are {after}"
        return nothing
    finally:
        clone.vanish()


# --- addresses ---


def move(world, victims, dice):
    """Each comes back at another peer address, and its list says where all are now. Who stays is not told."""
    kill_at_once(victims)
    for node in victims:
        node.peer = f"{node.address}:{dice.randint(9001, 9999)}"
    for node in victims:
        node.options["members"] = ", ".join(f"{n.id}={n.peer}" for n in world.all)
        node.launch()


def peers_known(world):
    """{id: peer address} of the members, as somebody says who is there; None when nobody answers."""
    for node in world.all:
        try:
            answer = requests.get(node.url + "/v1/members", timeout=2)
            return {m["id"]: m["peer"] for m in answer.json()["members"]}
        except (requests.RequestException, ValueError):
            continue
    return None


@nemesis("process", goes_on=False)
def addresses_change(world, dice, seconds):
    """A few move, then all at once: they find each other, and the cluster knows where each one is."""
    move(world, minority(world, dice), dice)
    time.sleep(seconds / 2)
    move(world, world.all, dice)
    time.sleep(seconds / 2)
    end = time.monotonic() + PATIENCE
    while (known := peers_known(world)) != {n.id: n.peer for n in world.all} and time.monotonic() < end:
        time.sleep(0.2)
    assert known == {n.id: n.peer for n in world.all}, f"the cluster knows {known}"


# --- network ---


def hold_partition(world, cut, seconds, refused=False):
    before = world.stopped
    world.partition(cut, refused)
    time.sleep(seconds)
    world.partition([])
    return None if world.stopped > before else "no packet met the partition"


@nemesis("network", goes_on=True)
def isolate_the_leader(world, _dice, seconds):
    leader = leader_of(world)
    return hold_partition(world, between([leader], [n for n in world.all if n is not leader]), seconds)


@nemesis("network", goes_on=False)
def reset_leaders_in_turn(world, dice, seconds):
    """Cut off so that the others know at once, and elect another while it still believes that it leads."""
    end = time.monotonic() + seconds
    nothing = None
    while time.monotonic() < end:
        leader = leader_of(world)
        others = [n for n in world.all if n is not leader]
        nothing = hold_partition(world, between([leader], others), dice.uniform(0.4, 0.8), refused=True)
        time.sleep(dice.uniform(0.2, 0.5))
    return nothing


@nemesis("network", goes_on=True)
def majority_and_minority(world, dice, seconds):
    few = minority(world, dice)
    return hold_partition(world, between(few, [n for n in world.all if n not in few]), seconds)


@nemesis("network", goes_on=False)
def halves_in_turn(world, dice, seconds):
    """From one split to another with nothing in between: whoever lagged in the minority may stand now; of four nodes
    two and two are no majority."""
    end = time.monotonic() + seconds
    nothing = None
    while time.monotonic() < end:
        some = dice.sample(world.all, dice.randint(1, len(world.all) // 2))
        cut = between(some, [n for n in world.all if n not in some])
        nothing = hold_partition(world, cut, dice.uniform(0.3, 1.2), dice.random() < 0.5)
    return nothing


@nemesis("network", goes_on=True)
def ring(world, dice, seconds):
    """Everybody hears a majority, and no two the same one: the neighbours at the table. Of three all are neighbours."""
    if len(world.all) == 3:
        return bridge(world, dice, seconds)
    order = dice.sample(world.all, len(world.all))
    apart = [(a, b) for i, a in enumerate(order) for j, b in enumerate(order) if 1 < j - i < len(order) - 1]
    return hold_partition(world, both_ways(apart), seconds)


@nemesis("network", goes_on=True)
def bridge(world, dice, seconds):
    """Two halves that only one node hears."""
    order = dice.sample(world.all, len(world.all))
    half = len(order) // 2
    return hold_partition(world, between(order[:half], order[half + 1 :]), seconds)


@nemesis("network", goes_on=True)
def mute_leader(world, _dice, seconds):
    """It hears, and is not heard."""
    leader = leader_of(world)
    return hold_partition(world, {(leader, n) for n in world.all if n is not leader}, seconds)


@nemesis("network", goes_on=True)
def deaf_leader(world, _dice, seconds):
    """It is heard, and does not hear."""
    leader = leader_of(world)
    return hold_partition(world, {(n, leader) for n in world.all if n is not leader}, seconds)


@nemesis("network", goes_on=False)
def one_way_links(world, dice, seconds):
    """Some links carry one direction only."""
    pairs = list(itertools.combinations(world.all, 2))
    cut = [dice.choice([(a, b), (b, a)]) for a, b in dice.sample(pairs, len(pairs) // 2)]
    return hold_partition(world, cut, seconds)


@nemesis("network", goes_on=False)
def flapping(world, dice, seconds):
    """The leader is cut off, comes back, is cut off ..."""
    before, end = world.stopped, time.monotonic() + seconds
    while time.monotonic() < end:
        isolate_the_leader(world, dice, dice.uniform(0.2, 1.2))
        time.sleep(dice.uniform(0.05, 0.8))
    return None if world.stopped > before else "no packet met the partition"


@nemesis("network", goes_on=False)
def loss(world, dice, seconds):
    before = world.stopped
    world.lose(dice.randint(5, 30))
    time.sleep(seconds)
    world.lose(0)
    return None if world.stopped > before else "no packet was lost"


@nemesis("network", goes_on=False)
def delay(world, dice, seconds):
    """And packets overtake one another."""
    before, least = world.stopped, dice.choice([10, 50, 100, 300])
    world.delay(least, least)
    time.sleep(seconds)
    world.delay_no_more()
    return None if world.stopped > before else "no packet was delayed"


# --- disks ---


@nemesis("disk", goes_on=True)
def disk_of_the_leader_hangs(world, _dice, seconds):
    leader = leader_of(world)
    leader.fall_ill("hang")
    time.sleep(seconds)
    leader.recover()
    return None if "the disk hangs" in leader.log() else f"the disk of {leader.id} did not hang"


@nemesis("disk", goes_on=True)
def slow_disks(world, _dice, seconds):
    for node in world.all:
        node.fall_ill("slow 50")
    time.sleep(seconds)
    for node in world.all:
        node.recover()


@nemesis("disk", goes_on=True)
def sync_fails(world, dice, seconds):
    """Once, on the leader or a follower: the process ends, and its successor carries on."""
    victim = leader_of(world) if dice.random() < 0.5 else dice.choice(world.all)
    before = victim.workers().get("consensus")
    victim.fall_ill("fail")
    time.sleep(seconds)
    if os.path.exists(victim.sickness):
        return f"{victim.id} had nothing to sync"
    assert before is None or not is_alive(before), f"{victim.id} outlived a sync that failed"
    return None


@nemesis("disk", goes_on=True)
def disk_is_broken(world, dice, seconds):
    """Every sync of one node fails, also those of its next lives."""
    victim = leader_of(world) if dice.random() < 0.5 else dice.choice(world.all)
    before = victim.workers().get("consensus")
    victim.fall_ill("broken")
    time.sleep(seconds)
    victim.recover()
    return f"{victim.id} had nothing to sync" if before is not None and is_alive(before) else None


def keep_full(victims, seconds):
    """No process ends for that, whatever of the reserve is taken, too."""
    end = time.monotonic() + seconds
    lives = {n.id: (n.process, n.workers().get("consensus")) for n in victims}
    while time.monotonic() < end:
        for node in victims:
            node.fill_up()
        time.sleep(0.1)
    said = [s["full"] for n in victims if n.is_up() and (s := status(n))]
    for node in victims:
        process, worker = lives[node.id]
        killed = node.process is not process or not node.is_up()
        assert killed or worker is None or is_alive(worker), f"{node.id} ended for want of space"
        node.recover()
    return None if all(said) else "nobody was full"


@nemesis("disk", goes_on=True)
def disk_of_the_leader_is_full(world, _dice, seconds):
    return keep_full([leader_of(world)], seconds)


@nemesis("disk", goes_on=True)
def disks_of_a_minority_are_full(world, dice, seconds):
    return keep_full(minority(world, dice), seconds)


@nemesis("disk", goes_on=False)
def disks_of_a_majority_are_full(world, dice, seconds):
    return keep_full(majority(world, dice), seconds)


# --- clocks ---


def told_time(node):
    """By the Date of an answer, in seconds since 1970."""
    try:
        said = requests.get(node.url + "/livez", timeout=2).headers["Date"]
    except requests.RequestException:
        return None
    return email.utils.parsedate_to_datetime(said).timestamp()


@nemesis("clock", goes_on=True)
def clocks_jump(world, dice, seconds):
    for node in world.all:
        node.set_clock(dice.choice([-HOUR, HOUR]))
    time.sleep(seconds)
    told = [t for n in world.all if (t := told_time(n))]
    for node in world.all:
        node.set_clock(0)
    return None if all(abs(t - time.time()) > HOUR / 2 for t in told) else "the clocks did not jump"


@nemesis("clock", goes_on=True)
def strobe(world, dice, seconds):
    """The clock of every node goes to and fro."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for node in world.all:
            node.set_clock(dice.choice([-HOUR, -1, 0, 1, HOUR]))
        time.sleep(0.05)
    for node in world.all:
        node.set_clock(0)


# --- the log ---


def lines_lost(world):
    """As the nodes' own logs tell."""
    return [sum(map(int, re.findall(r"lines of this log were lost: .* lost=(\d+)", n.log()))) for n in world.all]


def make_lines(world, dice):
    """Something to log: for each supervisor that its configuration was read again, for consensus workers that another
    one leads."""
    for node in world.all:
        if node.is_up() and node.workers():  # before that, HUP would end it
            node.process.send_signal(signal.SIGHUP)
    try:
        requests.post(f"{dice.choice(world.all).url}/v1/leader", json={"id": dice.choice(world.all).id}, timeout=2)
    except requests.RequestException:
        pass  # all that matters is that somebody tried


@nemesis("log", goes_on=True)
def stalled_log(world, dice, seconds):
    """Nobody reads what the nodes log, and there is no room for a byte of it."""
    end = time.monotonic() + seconds
    for node in world.all:
        node.log_pipe.stall()
    while time.monotonic() < end:
        make_lines(world, dice)
        time.sleep(dice.uniform(0.2, 1))
    for node in world.all:
        node.log_pipe.resume()
    time.sleep(LOSS_TOLD)
    return None if all(lines_lost(world)) else "a node lost no line of its log"


def draw(dice):
    """The names of one to three, of different kinds."""
    kinds = dice.sample(["process", "network", "disk", "clock", "backup", "log"], dice.choice([1, 1, 1, 2, 2, 3]))
    if "process" in kinds and "log" in kinds:  # that a node is up again is seen by a line of its log
        kinds.remove("log")
    return [dice.choice([name for name, n in NEMESES.items() if n.kind == kind]) for kind in kinds]


def go_on(names):
    """Whether a majority can work all the time under all of them: two that each leave one may leave none."""
    return len(names) == 1 and NEMESES[names[0]].goes_on
