"""A leader whose disk hangs does not keep the others waiting (DESIGN 2)."""

import os
import time

import requests

from nodes import BUILD, wait_until
from under_load import leader_of, status, wait_equal

SHIM = os.path.join(BUILD, "tests/system/preload/sick_disk.so")


def test_a_leader_whose_sync_hangs_hands_over_and_says_why(nodes):
    sick = os.path.join(nodes.directory, "sick")
    made = [nodes.node(f"n{i + 1}") for i in range(3)]
    members = ", ".join(f"{n.id}={n.peer}" for n in made)
    for n in made:
        n.options["members"] = members
        n.launch(LD_PRELOAD=SHIM, SICK_DISK=f"{sick}-{n.id}")
    for n in made:
        n.wait_workers()
    leader = leader_of(made)
    others = [n for n in made if n is not leader]
    assert requests.put(leader.url + "/v1/kv/before", data=b"1", timeout=30).ok

    with open(f"{sick}-{leader.id}", "w") as f:
        f.write("hang")
        f.flush()
        begun = time.monotonic()
    # Any write makes the leader sync; the first waits for whoever leads next.
    wait_until(
        lambda: requests.put(others[0].url + "/v1/kv/during", data=b"2", timeout=30).ok, "a write through another node"
    )
    print(f"the next write was acknowledged after {time.monotonic() - begun:.2f} s")
    assert leader_of(others) is not leader
    leader.wait_log(r"the disk hangs: a sync has not come back for \d+ ms; this node does not lead until it does")
    assert status(leader)["role"] != "leader"

    os.unlink(f"{sick}-{leader.id}")
    leader.wait_log("the disk works again")
    wait_equal(made)
    for key, value in ((b"before", b"1"), (b"during", b"2")):
        for n in made:
            assert requests.get(f"{n.url}/v1/kv/{key.decode()}", timeout=30).content == value
