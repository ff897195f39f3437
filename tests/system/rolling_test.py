"""A rolling restart: each node is stopped by TERM and started again, under load. A client that turns to another node
where one refuses or is away sees no write fail."""

import pytest

from nodes import wait_until
from under_load import Load, check_history, is_ready, leader_of, status, wait_equal

KINDS = [["--reads", "30"], ["--keys", "20", "--reads", "40", "--cas", "20", "--deletes", "10"]]


def leader_first(left, cluster):
    return leader_of(cluster) if left == cluster else left[0]


def leader_last(left, cluster):
    """One that does not lead, as long as there is one."""
    return left[0] if len(left) == 1 else next(n for n in left if n is not leader_of(cluster))


def restart(node, others):
    """TERM, and a start; returns when it is ready and has applied all that the others had by then."""
    assert node.stop() == 0, node.log()
    node.start()
    wait_until(lambda: is_ready(node), f"{node.id} to be ready")
    had = max(s["applied"] for s in [wait_until(lambda: status(n), f"the status of {n.id}") for n in others])
    wait_until(lambda: (s := status(node)) and s["applied"] >= had, f"{node.id} to catch up")


@pytest.mark.parametrize("choose", [leader_last, leader_first], ids=["leader_last", "leader_first"])
def test_no_write_fails_while_every_node_is_restarted(nodes, choose):
    cluster = nodes.cluster(3)
    leader_of(cluster)
    loads = [Load(nodes, cluster, "--connections", "8", "--tokens", *kind) for kind in KINDS]
    left, order = list(cluster), []
    while left:
        for load in loads:
            load.wait_writes(300)
        node = choose(left, cluster)
        left.remove(node)
        order.append("leader" if node is leader_of(cluster) else "follower")
        restart(node, [n for n in cluster if n is not node])
    for load in loads:
        load.wait_writes(300)
    figures = [load.stop() for load in loads]
    wait_equal(cluster)
    check_history(loads, cluster, least=1000)
    assert [(f["writes"]["failed"], f["writes"]["unknown"], f["wrong"]) for f in figures] == [(0, 0, 0)] * len(loads)
    writes = sum(f["writes"]["ok"] for f in figures)
    gap = max(f["longest_gap_us"] for f in figures) / 1000
    print(f"restarted {', '.join(order)}: {writes} writes, 0 failed; longest gap {gap:g} ms")
