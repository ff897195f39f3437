"""A follower that was away for so many writes that only an image brings it back, under load, while sender and receiver die."""

import random
import time

from machine import KEYS, Cluster, fill, show_machine
from nodes import wait_until
from under_load import Load, leader_of, status, wait_equal

HOUR = 3600


def wait_image(cluster, patience=HOUR):
    """Somebody sends one."""
    wait_until(lambda: any("sends an image" in n.log() for n in cluster.all), "an image", patience)


def catch_up(cluster, follower, kills):
    """Seconds from its start until it has applied what was committed then; `kills` times somebody dies meanwhile."""
    begun = time.monotonic()
    follower.launch()
    for kill in range(kills):
        follower.wait_workers()
        wait_image(cluster)
        time.sleep(random.uniform(0.2, 1.5))
        victim = follower if kill % 2 == 0 else leader_of([n for n in cluster.all if n is not follower])
        print(f"  killed in the middle: {victim.id}, {'the receiver' if victim is follower else 'the sender'}", flush=True)
        victim.kill_all()
        victim.start()
    follower.wait_workers()
    wait_until(lambda: (s := status(follower)) and s["caught_up"], "the follower to catch up", HOUR)
    return time.monotonic() - begun


def bench_behind(writes):
    with Cluster() as cluster:
        show_machine(cluster.nodes.directory)
        leader = leader_of(cluster.all)
        fill(leader, 0, KEYS)
        follower = next(n for n in cluster.all if n is not leader)
        others = [n for n in cluster.all if n is not follower]
        for kills in (0, 4):
            last = status(follower)["last"]
            follower.kill_all()
            away = f"--connections 64 --count {writes} --keys {KEYS}".split()
            load = Load(cluster.nodes, [leader_of(others)], *away, history=False)
            load.process.wait()
            load.finish()
            leader = leader_of(others)
            print(f"\n{follower.id} ends at {last}, the log of {leader.id} begins at {status(leader)['first']}", flush=True)
            load = Load(cluster.nodes, others, *f"--connections 16 --rate 2000 --tokens --keys {KEYS}".split(), history=False)
            took = catch_up(cluster, follower, kills)
            figures = load.stop()
            equal = wait_equal(cluster.all)
            print(
                f"{writes} writes behind, {kills} kills: caught up after {took:.1f} s under {figures['writes']['per_second']:.0f} "
                f"puts/s; {figures['writes']['failed']} failed, {figures['writes']['unknown']} unknown; "
                f"states equal at {equal[0]['applied']}: {equal[0]['hash']}",
                flush=True,
            )
