#!/bin/bash
# The commands of raft-kv-demo's README; cluster-hostN is 127.0.0.N.
. "${0%/*}/readme_hosts.sh"

#### Initiate raft node
host 1 127.0.0.1:8079
holdfastd -id node1 -raddr 127.0.0.1:8080 -haddr 127.0.0.1:8079 -bootstrap
host 2 127.0.0.2:8079
holdfastd -id node2 -raddr 127.0.0.2:8080 -haddr 127.0.0.2:8079 -join localhost:8079
ready 1 2
voters 1 2
lead 1 node1

#### Try KV options by curl
curl -XGET "http://127.0.0.1:8079/key?key=raft&level=default"
gives 404 ''
curl -XGET "http://127.0.0.2:8079/key?key=raft&level=stale"
gives 404 ''
curl -XGET "http://127.0.0.2:8079/key?key=raft&level=consistent"
gives 307 '' 'http://127.0.0.1:8079/key?key=raft&level=consistent'

curl -X POST http://127.0.0.1:8079/key -d '{"key":"raft","value":"paxos"}'
gives 200 ''
curl -XGET "http://127.0.0.1:8079/key?key=raft&level=default"
gives 200 'paxos'
curl -XGET "http://127.0.0.2:8079/key?key=raft"
gives 200 'paxos'
curl -XGET "http://127.0.0.2:8079/key?key=raft&level=stale"
gives 200 'paxos'
curl -XGET "http://127.0.0.2:8079/key?key=raft&level=consistent"
gives 307 '' 'http://127.0.0.1:8079/key?key=raft&level=consistent'
curl -L -XGET "http://127.0.0.2:8079/key?key=raft&level=consistent"
gives 200 'paxos'

curl -XDELETE "http://127.0.0.1:8079/key/?key=raft"
gives 200 ''
curl -XDELETE "http://127.0.0.2:8079/key/?key=raft"
gives 307 '' 'http://127.0.0.1:8079/key/?key=raft'
curl -L -XDELETE "http://127.0.0.2:8079/key/?key=raft"
gives 200 ''
curl -X POST http://127.0.0.2:8079/key -d '{"key":"raft","value":"paxos"}'
gives 307 '' 'http://127.0.0.1:8079/key'
curl -L -X POST http://127.0.0.2:8079/key -d '{"key":"raft","value":"paxos"}'
gives 200 ''

## Change member of cluster
curl -XGET "http://127.0.0.1:8079/join?id=node2&addr=127.0.0.2:8080"
gives 200 ''
curl -XGET "http://127.0.0.1:8079/remove?id=node2"
gives 200 ''
voters 1 1

# On an empty directory it is taken in again.
stop 2
rm -r "$PLACE/2/holdfast-node2"
host 2 127.0.0.2:8079
holdfastd -id node2 -raddr 127.0.0.2:8080 -haddr 127.0.0.2:8079
curl -XGET "http://127.0.0.1:8079/join?id=node2&addr=127.0.0.2:8080"
gives 200 ''
voters 1 2

# Of two the leader dies: the other gives what it has, and says that there is no leader. It is started again.
lead 1 node1
crash 1
alone 2
curl -XGET "http://127.0.0.2:8079/key?key=raft&level=stale"
gives 200 'paxos'
curl -XGET "http://127.0.0.2:8079/key?key=raft&level=default"
gives 503 $'node is not the leader\n'
curl -X POST http://127.0.0.2:8079/key -d '{"key":"raft","value":"paxos"}'
gives 503 $'node is not the leader\n'
host 1 127.0.0.1:8079
holdfastd -id node1 -raddr 127.0.0.1:8080 -haddr 127.0.0.1:8079 -bootstrap
ready 1 2
curl -L -XGET "http://127.0.0.2:8079/key?key=raft&level=default"
gives 200 'paxos'

# A third joins by a node that need not lead.
host 3 127.0.0.3:8079
holdfastd -id node3 -raddr 127.0.0.3:8080 -haddr 127.0.0.3:8079 -join 127.0.0.2:8079
ready 2 3
voters 1 3

# Once initiated by -join, they need it no more.
stop 2
host 2 127.0.0.2:8079
holdfastd -id node2 -raddr 127.0.0.2:8080 -haddr 127.0.0.2:8079
ready 2
stop 3
host 3 127.0.0.3:8079
holdfastd -id node3 -raddr 127.0.0.3:8080 -haddr 127.0.0.3:8079
ready 3
curl -XGET "http://127.0.0.3:8079/key?key=raft&level=stale"
gives 200 'paxos'

# The leader dies: one of the rest leads, and the other sends there.
leader_dies 1 2 3
for h in "${rest[@]}"; do
	curl -XGET "http://127.0.0.$h:8079/key?key=raft&level=stale"
	gives 200 'paxos'
	curl -XGET "http://127.0.0.$h:8079/key?key=raft"
	gives 200 'paxos'
	[ "$h" != "$leader" ] || continue
	curl -XGET "http://127.0.0.$h:8079/key?key=raft&level=default"
	gives 307 '' "http://127.0.0.$leader:8079/key?key=raft&level=default"
	curl -L -XGET "http://127.0.0.$h:8079/key?key=raft&level=default"
	gives 200 'paxos'
	curl -X POST "http://127.0.0.$h:8079/key" -d '{"key":"raft","value":"paxos"}'
	gives 307 '' "http://127.0.0.$leader:8079/key"
	curl -L -X POST "http://127.0.0.$h:8079/key" -d '{"key":"raft","value":"paxos"}'
	gives 200 ''
done

# The first was started with -bootstrap, which means nothing on its directory any more.
host "$dead" "127.0.0.$dead:8079"
holdfastd -id "node$dead" -raddr "127.0.0.$dead:8080" -haddr "127.0.0.$dead:8079" -bootstrap
ready "$dead"
voters "$dead" 3
curl -XGET "http://127.0.0.$dead:8079/key?key=raft"
gives 200 'paxos'
the_end
