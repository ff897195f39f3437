#!/bin/bash
# The commands of m2's README.
. "${0%/*}/readme_hosts.sh"

# What the README shows of a leader alone, whatever its indexes and its term.
gives_status() {
	sed -Ei '/"(.*_index|.*_term|term)":/s/"[0-9]+"/"N"/' "$PLACE/body"
	gives 200 '{
    "applied_index": "N",
    "commit_index": "N",
    "fsm_pending": "0",
    "last_contact": "0",
    "last_log_index": "N",
    "last_log_term": "N",
    "last_snapshot_index": "N",
    "last_snapshot_term": "N",
    "latest_configuration": "[{Suffrage:Voter ID:1 Address:127.0.0.1:18001}]",
    "latest_configuration_index": "N",
    "num_peers": "0",
    "protocol_version": "3",
    "protocol_version_max": "3",
    "protocol_version_min": "0",
    "snapshot_version_max": "1",
    "snapshot_version_min": "0",
    "state": "Leader",
    "term": "N"
}'
}

# Create Cluster: the second is a cluster of one until it is joined.
host 1 127.0.0.1:8001
holdfastd --node_id 1 --port 8001 --raft_port 18001
host 2 127.0.0.1:8002
holdfastd --node_id 2 --port 8002 --raft_port 18002
ready 1 2
curl -d 'nodeid=2&addr=127.0.0.1:18002' http://localhost:8001/raft/join
gives 200 'ok'
voters 1 2

# Key/Value Api
curl "http://localhost:8001/set?key=foo&val=bar"
gives 200 'ok'
curl -d "key=foo&val=bar" http://localhost:8001/set
gives 200 'ok'
curl "http://localhost:8002/get?key=foo"
gives 200 'bar'
curl "http://localhost:8001/del?key=foo"
gives 200 'ok'
curl "http://localhost:8002/get?key=foo"
gives 404 $'Key not found\n'

# Raft Api
curl "http://localhost:8001/raft/join?nodeid=2&addr=127.0.0.1:18002"
gives 200 'ok'
curl -d "nodeid=2&addr=127.0.0.1:18002" http://localhost:8001/raft/join
gives 200 'ok'
curl "http://localhost:8001/raft/leave?nodeid=2&addr=127.0.0.1:18002"
gives 200 'removed successfully'
voters 1 1
lead 1 1
curl "http://localhost:8001/raft/status"
gives_status

# A removed one passes requests on. It is taken in again on an empty directory.
curl "http://localhost:8001/set?key=foo&val=bar"
gives 200 'ok'
curl "http://localhost:8002/get?key=foo"
gives 200 'bar'
stop 2
rm -r "$PLACE/2/holdfast-2"
host 2 127.0.0.1:8002
holdfastd --node_id 2 --port 8002 --raft_port 18002
curl -d 'nodeid=2&addr=127.0.0.1:18002' http://localhost:8001/raft/join
gives 200 'ok'
voters 1 2

# Of two the leader dies: the other shows its status and says that there is no leader. It is started again.
lead 1 1
crash 1
alone 2
curl "http://localhost:8002/raft/status"
[ "$told" = "200 " ] || fail "$asked_for: $told"
curl "http://localhost:8002/set?key=foo&val=bar"
gives 503 $'node is not the leader\n'
curl "http://localhost:8002/get?key=foo"
gives 503 $'node is not the leader\n'
host 1 127.0.0.1:8001
holdfastd --node_id 1 --port 8001 --raft_port 18001
ready 1 2
curl "http://localhost:8002/get?key=foo"
gives 200 'bar'

# A third is joined by a node that need not lead.
host 3 127.0.0.1:8003
holdfastd --node_id 3 --port 8003 --raft_port 18003
curl "http://localhost:8002/raft/join?nodeid=3&addr=127.0.0.1:18003"
gives 200 'ok'
voters 1 3
curl "http://localhost:8003/get?key=foo"
gives 200 'bar'

# Each is started again with its old command line, which was never told to join.
stop 2
host 2 127.0.0.1:8002
holdfastd --node_id 2 --port 8002 --raft_port 18002
ready 2
stop 3
host 3 127.0.0.1:8003
holdfastd --node_id 3 --port 8003 --raft_port 18003
ready 3
curl "http://localhost:8002/get?key=foo"
gives 200 'bar'
curl "http://localhost:8003/get?key=foo"
gives 200 'bar'

# The leader dies: any of the rest takes any request.
leader_dies 1 2 3
for h in "${rest[@]}"; do
	curl "http://localhost:800$h/get?key=foo"
	gives 200 'bar'
	curl "http://localhost:800$h/set?key=foo&val=bar"
	gives 200 'ok'
	curl "http://localhost:800$h/del?key=none"
	gives 200 'ok'
done

# The one that died comes back with its old command line.
host "$dead" "127.0.0.1:800$dead"
holdfastd --node_id "$dead" --port "800$dead" --raft_port "1800$dead"
ready "$dead"
curl "http://localhost:800$dead/get?key=foo"
gives 200 'bar'
the_end
