"""What must be true of nodes that start from what a power failure has left: they start, they say no damage, and all
that was acknowledged before the cut is there and nothing that was begun after it."""

import glob
import os
import shutil
import subprocess

import requests

from nodes import wait_until
from under_load import CHECK_HISTORY, status, wait_equal

TOKENS_TRIED = 3  # of each history, the last that were acknowledged


def truncate(path, to, time_us):
    """The part of a history (tests/load/history.h) that belongs before the cut: what was begun and, where the answer
    had come, what was answered."""
    with open(path, encoding="ascii") as f, open(to, "w", encoding="ascii") as out:
        for line in f:
            if line.startswith("#"):
                out.write(line)
                continue
            time, _, event = line.split(" ", 3)[:3]
            if int(time) < time_us or (event == "invoke" and int(time) == time_us):
                out.write(line)


def check_history(path, node):
    judged = subprocess.run([CHECK_HISTORY, "--least", "0", f"--node={node.http}", path], capture_output=True, text=True, timeout=120)
    return [] if judged.returncode == 0 else [f"{node.id}: {judged.stdout}{judged.stderr}".strip()]


def check_tokens(path, node):
    """A write that was acknowledged is not done a second time."""
    settings, done = {}, []
    with open(path, encoding="ascii") as f:
        for line in f:
            if line.startswith("#"):
                settings.update(w.split("=", 1) for w in line[1:].split() if "=" in w)
                continue
            _, _, event, op, key, value, revision, _, token = line.split()[:9]
            if event == "invoke":
                written = value
            elif event == "ok" and op == "put" and token != "-":
                done.append((key, value if value != "-" else written, int(revision), token))
    for key, value, revision, token in done[-TOKENS_TRIED:]:
        body = value.ljust(int(settings["value-size"]), ".")
        answer = requests.put(f"{node.url}/v1/kv/{key}", data=body, headers={"Idempotency-Key": token}, timeout=30)
        if answer.status_code not in (200, 201) or answer.json()["revision"] != revision or "Holdfast-Replayed" not in answer.headers:
            yield f"{node.id}: {key} with token {token} had revision {revision}, now: {answer.status_code} {answer.text}"


def check_batches(batches, time_us, node):
    """batches: (number, sent, acknowledged) with times in microseconds, or None. Each writes its number to three keys
    and moves a fourth."""
    sent = [n for n, begun, _ in batches if begun <= time_us]
    known = [n for n, _, ended in batches if ended is not None and ended < time_us]
    keys = requests.get(f"{node.url}/v1/kv?prefix=batch/", timeout=30).json()["keys"]
    found = {k["key"]: int(k["value"]) for k in keys}
    numbers = set(found.values())
    if not known and not numbers:
        return
    n = max(numbers, default=0)
    wanted = {"batch/a": n, "batch/b": n, "batch/c": n, f"batch/at/{n}": n}
    if found != wanted:
        yield f"{node.id}: half a batch: {found}"
    if n not in sent or n < max(known, default=0):
        yield f"{node.id}: batch {n} is there, up to {max(known, default=0)} were acknowledged, up to {max(sent, default=0)} sent"


def launch(nodes):
    for n in nodes:
        n.launch()
    for n in nodes:
        n.wait_workers()


def write(node):
    """Every node takes part in a write, one that has lost all it had and nothing it had said too."""

    def try_it():
        answer = requests.put(f"{node.url}/v1/kv/after/{node.id}", data=b"1", timeout=30)
        return answer.status_code in (200, 201)

    wait_until(try_it, f"a write through {node.id}")


def check_replay(node, before):
    """The state is a function of the log: without the state, a log that was never cut leads to the same one."""
    if node.stop() != 0:
        return [f"{node.id} does not stop as asked"]
    for path in glob.glob(os.path.join(node.data, "state*")):
        if os.path.islink(path):
            os.unlink(path)
        else:
            shutil.rmtree(path)
    launch([node])
    after = wait_until(lambda: (s := status(node)) and s["applied"] >= before["applied"] and s, "the log to be replayed")
    if after["hash"] != before["hash"]:
        return [f"{node.id}: state {before['hash']} at {before['applied']}, replayed {after['hash']} at {after['applied']}"]
    return []


def d14_nothing_acknowledged_is_lost(nodes, histories, batches, time_us):
    """Starts the nodes on what is left; the complaints, none when all is well."""
    found = []
    try:
        launch(nodes)
        for node in nodes:
            write(node)
        seen = wait_equal(nodes)
        for node in nodes:
            for history in histories:
                found += check_history(history, node)
            found += check_batches(batches, time_us, node)
        for history in histories:
            found += check_tokens(history, nodes[-1])
        if len(nodes) == 1 and seen[0]["first"] == 1:
            found += check_replay(nodes[0], seen[0])
    except (AssertionError, requests.RequestException, subprocess.TimeoutExpired) as e:
        found.append(str(e))
    return found
