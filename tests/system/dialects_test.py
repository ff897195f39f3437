"""The five dialects on a cluster of three, as their users' commands ask for it: every byte of the body, on the leader and
on a follower, redirects followed and not followed."""

import json
import re

import pytest
import requests

import raw_http
from nodes import wait_until
from under_load import leader_of

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Cluster:
    def __init__(self, nodes, **options):
        self.nodes = nodes.cluster(3, **options)
        self.leader = leader_of(self.nodes)
        self.followers = [n for n in self.nodes if n is not self.leader]
        self.follower = self.followers[0]


def ask(node, method, path, body=None, follow=False, headers=None):
    """As curl does, without -L and with it: (status, body, answer)."""
    made = requests.request(
        method, node.url + path, data=body, headers=headers or FORM, allow_redirects=follow, timeout=30
    )
    return made.status_code, made.content, made


def expect(node, method, path, status, body, body_in=None, kind=None, follow=False):
    got = ask(node, method, path, body_in, follow)
    assert got[:2] == (status, body), (method, path, got[:2])
    assert got[2].headers.get("Content-Type") == kind, got[2].headers
    if not body:
        assert got[2].headers["Content-Length"] == "0"
    return got[2]


def expect_redirect(cluster, method, path, body=None, write=True):
    """From the follower to the leader, whole; never from the leader."""
    answer = expect(cluster.follower, method, path, 307, b"", body)
    assert answer.headers["Location"] == cluster.leader.url + path
    assert answer.headers.get("Holdfast-Applied") == ("no" if write else None)


@pytest.fixture
def cluster(nodes):
    return Cluster(nodes)


def test_set_get_del_of_m2(cluster):
    for node in (cluster.leader, cluster.follower):
        expect(node, "GET", "/set?key=foo&val=bar", 200, b"ok", kind=TEXT)
        expect(node, "POST", "/set", 200, b"ok", body_in="key=foo&val=bar", kind=TEXT)
        for other in cluster.nodes:
            expect(other, "GET", "/get?key=foo", 200, b"bar", kind=TEXT)
        expect(node, "GET", "/del?key=foo", 200, b"ok", kind=TEXT)
        expect(node, "GET", "/del?key=foo", 200, b"ok", kind=TEXT)
        expect(node, "GET", "/get?key=foo", 404, b"Key not found\n", kind=TEXT)
        expect(node, "GET", "/get", 400, b"error key is empty\n", kind=TEXT)
        expect(node, "GET", "/set?key=foo", 400, b"error key or val is empty\n", kind=TEXT)
        assert ask(node, "OPTIONS", "/set?key=a&val=1")[:2] == (200, b"ok")
        assert ask(node, "HEAD", "/set?key=b&val=1")[:2] == (200, b"")
        assert ask(node, "GET", "/get?key=b")[:2] == (200, b"1")


def test_status_of_m2(cluster):
    for node in cluster.nodes:
        status, body, answer = ask(node, "GET", "/raft/status")
        told = json.loads(body)
        assert status == 200 and answer.headers["Content-Type"] == JSON
        assert body.decode() == json.dumps(told, indent=4, sort_keys=True)
        assert len(told) == 18 and all(isinstance(value, str) for value in told.values())
        assert told["state"] == ("Leader" if node is cluster.leader else "Follower")
        assert told["num_peers"] == "2"
        assert re.fullmatch(r"0" if node is cluster.leader else r"[0-9.]+m?s", told["last_contact"])
        members = {f"{{Suffrage:Voter ID:{n.id} Address:{n.peer}}}" for n in cluster.nodes}
        assert set(re.findall(r"{[^}]*}", told["latest_configuration"])) == members
        assert re.fullmatch(r"\[({[^}]*} ){2}{[^}]*}\]", told["latest_configuration"])


def test_hraft_and_raftdb(cluster):
    expect(cluster.leader, "POST", "/key", 200, b"", '{"foo": "bar", "user1": "aly"}')
    for node in cluster.nodes:
        expect(node, "GET", "/key/foo", 200, b'{"foo":"bar"}', kind=TEXT)
        expect(node, "GET", "/key/user1?level=stale", 200, b'{"user1":"aly"}', kind=TEXT)
        absent = expect(node, "GET", "/key/none", 200, b'{"none":""}', kind=TEXT)
        assert absent.headers["Holdfast-Found"] == "false"
        for wrong in ("", "null", "[]", '{"a":1}', '{"a":null}', '{"a":"1","a":"2"}', '{"a":"1"} 2', b'{"a":"\xff"}'):
            expect(node, "POST", "/key", 400, b"", wrong)
        expect(node, "PUT", "/key", 405, b"", "{}")
        expect(node, "GET", "/key/", 400, b"")
    for level in ("default", "consistent", "%20Consistent", "unheard"):
        expect_redirect(cluster, "GET", f"/key/foo?level={level}", write=False)
        for node in (cluster.leader, cluster.follower):
            expect(node, "GET", f"/key/foo?level={level}", 200, b'{"foo":"bar"}', kind=TEXT, follow=True)
    expect_redirect(cluster, "POST", "/key", '{"foo": "baz"}')
    expect(cluster.follower, "POST", "/key", 200, b"", '{"foo": "baz"}', follow=True)
    expect(cluster.followers[1], "GET", "/key/foo", 200, b'{"foo":"baz"}', kind=TEXT)
    expect(cluster.leader, "POST", "/key", 200, b"", "{}")
    expect_redirect(cluster, "DELETE", "/key/foo")
    for _ in range(2):
        expect(cluster.follower, "DELETE", "/key/foo", 200, b"", follow=True)
        expect(cluster.leader, "DELETE", "/key/foo", 200, b"")
    expect(cluster.follower, "GET", "/key/foo", 200, b'{"foo":""}', kind=TEXT)


def test_raft_kv_demo(cluster):
    expect(cluster.leader, "POST", "/key", 200, b"", '{"key":"raft","value":"paxos"}')
    for node in cluster.nodes:
        expect(node, "GET", "/key?key=raft", 200, b"paxos", kind=TEXT)
        expect(node, "GET", "/key/?key=raft", 200, b"paxos", kind=TEXT)
        expect(node, "GET", "/key?key=none", 404, b"")
        expect(node, "GET", "/key", 400, b"")
        for level in ("default", "stale", "consistent"):
            expect(node, "GET", f"/key?key=raft&level={level}", 200, b"paxos", kind=TEXT, follow=True)
    expect_redirect(cluster, "GET", "/key?key=raft&level=default", write=False)
    expect_redirect(cluster, "GET", "/key?key=raft&level=consistent", write=False)
    expect_redirect(cluster, "POST", "/key", '{"key":"raft","value":"paxos"}')
    expect_redirect(cluster, "DELETE", "/key/?key=raft")
    expect_redirect(cluster, "GET", "/remove?id=n9")
    expect_redirect(cluster, "GET", "/join?id=n9&addr=127.0.0.1:1")
    expect(cluster.follower, "DELETE", "/key/?key=raft", 200, b"", follow=True)
    expect(cluster.leader, "DELETE", "/key/?key=raft", 200, b"")
    expect(cluster.follower, "GET", "/key?key=raft", 404, b"")
    answer = expect(cluster.leader, "GET", "/remove?id=n9", 404, b"")
    assert answer.headers["Holdfast-Applied"] == "no"


def test_raft_kv_example(cluster):
    for node in (cluster.leader, cluster.follower):
        key = f"/keys/{node.id}/"
        expect(node, "GET", key, 200, b'{"value":""}', kind=JSON)
        expect(node, "POST", key, 200, b'{"value":"some-value"}', '{"value": "some-value"}', kind=JSON)
        for other in cluster.nodes:
            expect(other, "GET", key, 200, b'{"value":"some-value"}', kind=JSON)
        assert ask(node, "POST", key, '{"value":')[0] == 400
        expect(node, "GET", key, 200, b'{"value":"some-value"}', kind=JSON)
        moved = expect(node, "GET", key[:-1], 301, b"")
        assert moved.headers["Location"] == key
        assert expect(node, "POST", key[:-1], 307, b"", "{}").headers["Location"] == key
        expect(node, "GET", key[:-1], 200, b'{"value":"some-value"}', kind=JSON, follow=True)
        expect(node, "POST", key[:-1], 200, b'{"value":"x"}', '{"value":"x"}', kind=JSON, follow=True)


def test_what_is_refused_before_it_is_read_says_whether_it_is_a_write(cluster):
    for method, path, applied in (
        ("POST", "/set", "no"), ("GET", "/set", "no"), ("POST", "/get", None), ("POST", "/key", "no"), ("GET", "/join", "no")
    ):
        head = f"{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n\r\n"
        status, headers, _ = raw_http.ask(cluster.follower, head.encode())
        assert (status, headers.get("holdfast-applied")) == (413, applied), (method, path)


def test_one_state_under_all_of_them(cluster):
    assert ask(cluster.follower, "GET", "/set?key=a&val=1")[1] == b"ok"
    expect(cluster.follower, "GET", "/key/a", 200, b'{"a":"1"}', kind=TEXT)
    expect(cluster.follower, "GET", "/key?key=a", 200, b"1", kind=TEXT)
    expect(cluster.leader, "GET", "/keys/a/", 200, b'{"value":"1"}', kind=JSON)
    assert ask(cluster.leader, "GET", "/v1/kv/a")[1] == b"1"


@pytest.mark.parametrize("place", ["forward", "redirect"])
def test_on_follower(nodes, place):
    cluster = Cluster(nodes, http_on_follower=place)
    expect(cluster.leader, "GET", "/set?key=a&val=1", 200, b"ok", kind=TEXT)
    if place == "forward":
        expect(cluster.follower, "POST", "/key", 200, b"", '{"a":"2"}')
        expect(cluster.follower, "GET", "/key/a?level=consistent", 200, b'{"a":"2"}', kind=TEXT)
        expect(cluster.follower, "GET", "/key/a?level=default", 200, b'{"a":"2"}', kind=TEXT)
    else:
        expect_redirect(cluster, "GET", "/set?key=a&val=2")
        expect_redirect(cluster, "GET", "/keys/a/", write=False)
        expect(cluster.follower, "GET", "/keys/a/", 200, b'{"value":"1"}', kind=JSON, follow=True)
        assert ask(cluster.follower, "GET", "/key/a?level=stale")[0] == 200
        assert ask(cluster.follower, "PUT", "/v1/kv/a", "3")[0] == 200


def test_dialects_that_are_not_named_are_not_spoken(nodes):
    node = nodes.node(http_dialects="m2, hraft").start()
    assert ask(node, "GET", "/set?key=a&val=1")[1] == b"ok"
    expect(node, "GET", "/key/a", 200, b'{"a":"1"}', kind=TEXT)
    status, body, answer = ask(node, "POST", "/keys/a/", '{"value":"2"}')
    assert status == 404 and "raft-kv-example" in json.loads(body)["error"] and answer.headers["Holdfast-Applied"] == "no"
    expect(node, "POST", "/key", 200, b"", '{"key":"a","value":"2"}')  # without raft-kv-demo a map of two
    assert ask(node, "GET", "/get?key=value")[1] == b"2" and ask(node, "GET", "/get?key=a")[1] == b"1"
    status, body, _ = ask(node, "GET", "/key?key=a")
    assert status == 404 and b"raft-kv-demo" in body


def test_without_a_leader(cluster):
    """Nobody is sent anywhere, least of all to oneself; what is said of this node is said."""
    for node in (cluster.leader, cluster.followers[1]):
        node.kill_all()
    wait_until(lambda: ask(cluster.follower, "POST", "/key", '{"a":"1"}')[0] == 503, "the follower to miss its leader")
    answer = expect(cluster.follower, "POST", "/key", 503, b"node is not the leader\n", '{"a":"1"}', kind=TEXT)
    assert answer.headers["Holdfast-Applied"] == "no"
    expect(cluster.follower, "GET", "/key/a?level=default", 503, b"node is not the leader\n", kind=TEXT)
    expect(cluster.follower, "GET", "/key/a?level=stale", 200, b'{"a":""}', kind=TEXT)
    assert ask(cluster.follower, "GET", "/raft/status")[0] == 200


def test_when_the_leader_dies(cluster):
    """The others answer as ever, and send clients to the next one."""
    assert ask(cluster.leader, "GET", "/set?key=a&val=1")[1] == b"ok"
    cluster.leader.kill_all()
    left = cluster.followers
    # Passed on, not sent away: until it is missed, the dead one is still the leader.
    wait_until(lambda: ask(left[0], "GET", "/set?key=b&val=2")[0] == 200, "a new leader")
    cluster.leader = leader_of(left)
    cluster.follower = next(n for n in left if n is not cluster.leader)
    expect_redirect(cluster, "POST", "/key", '{"b":"2"}')
    expect_redirect(cluster, "GET", "/key/a?level=default", write=False)
    for node in left:
        expect(node, "GET", "/get?key=a", 200, b"1", kind=TEXT)
        expect(node, "GET", "/key/b", 200, b'{"b":"2"}', kind=TEXT)
        expect(node, "GET", f"/set?key={node.id}&val=3", 200, b"ok", kind=TEXT)
        expect(node, "POST", "/keys/c/", 200, b'{"value":"4"}', '{"value":"4"}', kind=JSON)
        expect(node, "GET", "/key?key=c&level=consistent", 200, b"4", kind=TEXT, follow=True)


JOINS = {
    "m2": lambda n: ("POST", "/raft/join", f"nodeid={n.id}&addr={n.peer}", b"ok"),
    "m2 query": lambda n: ("GET", f"/raft/join?nodeid={n.id}&addr={n.peer}", None, b"ok"),
    "hraft": lambda n: ("POST", "/join", json.dumps({"id": n.id, "addr": n.peer}), b""),
    "raftdb": lambda n: ("POST", "/join", json.dumps({"id": n.id, "raftAddr": n.peer, "httpAddr": n.http}), b""),
    "raft-kv-demo": lambda n: ("GET", f"/join?id={n.id}&addr={n.peer}", None, b""),
    "raft-kv-example": lambda n: ("POST", "/cluster/join/", json.dumps({"address": n.peer}), b"{}"),
}


def check_removed(node):
    """It sends nobody away: it asks those that it knew."""
    node.wait_log("removed")
    wait_until(lambda: b'"state": "Shutdown"' in ask(node, "GET", "/raft/status")[1], f"{node.id} to say that it is out")
    assert ask(node, "POST", "/key", json.dumps({node.id: "still"}))[:2] == (200, b"")
    assert ask(node, "GET", f"/key/{node.id}?level=default")[:2] == (200, json.dumps({node.id: "still"}).replace(" ", "").encode())


def test_members_come_and_go(nodes):
    """Each dialect's join and leave: six nodes more, one after the other, and two fewer; asked of a follower too."""
    first = nodes.node("n1").start()
    assert ask(first, "GET", "/set?key=a&val=1")[1] == b"ok"
    here = [first]
    for i, (name, join) in enumerate(JOINS.items()):
        joiner = nodes.node(f"n{i + 2}").start()
        method, path, body, said = join(joiner)
        for asked in (here[-1], here[0]):  # the second time it is a member already
            got = ask(asked, method, path, body, follow=True)
            assert got[:2] == (200, said), (name, got[:2])
        here.append(joiner)
        wait_until(lambda: ask(joiner, "GET", "/get?key=a")[1] == b"1", f"{joiner.id} to serve")
        if len(here) == 4:  # enough to go by; as many voters again, and the machine is busy
            for gone, path, said in ((here[2], "/raft/leave?nodeid={}", b"removed successfully"), (here[3], "/remove?id={}", b"")):
                got = ask(here[1], "GET", path.format(gone.id), follow=True)
                assert got[:2] == (200, said), (gone.id, got[:2])
                check_removed(gone)
                gone.stop()
            here = here[:2]
    got = ask(first, "GET", "/raft/leave?nodeid=n99")
    assert got[:2] == (404, b"error:remove node n99: the cluster has no member of this id")
    status, body, _ = ask(first, "GET", "/raft/join?nodeid=n98&addr=127.0.0.1:1", follow=True)
    assert (status, body) == (503, b"error:add voter: the node to be added does not answer at its peer address")
