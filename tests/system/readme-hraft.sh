#!/bin/bash
# The commands of hraft's README.
. "${0%/*}/readme_hosts.sh"

## Running hraft
host first 127.0.0.1:8080
holdfastd -id node0 ~/node0
curl -XPOST localhost:8080/key -d '{"foo": "bar"}'
gives 200 ''
curl -XGET localhost:8080/key/foo
gives 200 '{"foo":"bar"}'
curl -XPOST localhost:8080/key -d '{"user1": "aly"}'
gives 200 ''
curl -XGET localhost:8080/key/user1
gives 200 '{"user1":"aly"}'
stop first

### Bring up a cluster
host terminal1 127.0.0.1:8080
holdfastd -id node1 -haddr 127.0.0.1:8080 -raddr 127.0.0.1:9000 ~/node1
curl -XPOST localhost:8080/key -d '{"user1": "aly"}'
gives 200 ''

host terminal2 127.0.0.1:8081
holdfastd -id node2 -haddr 127.0.0.1:8081 -raddr 127.0.0.1:9001 -join 127.0.0.1:8080 ~/node2
ready terminal2
voters terminal1 2
curl -XPOST localhost:8080/join -d '{"id":"node2","addr":"127.0.0.1:9001"}'
gives 200 ''

# The id of the second again: it is not added while the second lives, says so, and passes on what it is asked.
host terminal3 127.0.0.1:8082
holdfastd -id node2 -haddr 127.0.0.1:8082 -raddr 127.0.0.1:9002 -join 127.0.0.1:8080 ~/node3
until_true "the third to be refused" grep -q 'the id node2 is in use by the member at 127.0.0.1:9001' "$PLACE/terminal3.log"
voters terminal1 2
lead terminal1 node1

curl -XGET localhost:8080/key/user1
gives 200 '{"user1":"aly"}'
curl -XGET localhost:8081/key/user1
gives 200 '{"user1":"aly"}'
curl -XGET localhost:8082/key/user1
gives 200 '{"user1":"aly"}'

curl -XPOST localhost:8080/key -d '{"user2": "bloom"}'
gives 200 ''
curl -XGET localhost:8080/key/user2
gives 200 '{"user2":"bloom"}'
curl -XGET localhost:8081/key/user2
gives 200 '{"user2":"bloom"}'
curl -XGET localhost:8082/key/user2
gives 200 '{"user2":"bloom"}'

curl -XPOST localhost:8080/key -d '{"user1": "aly", "user2": "bloom"}'
gives 200 ''

# Of two the leader dies: the others say that there is none, until it is started again.
lead terminal1 node1
crash terminal1
alone terminal2
for port in 8081 8082; do
	curl -XPOST localhost:$port/key -d '{"user2": "bloom"}'
	gives 503 $'node is not the leader\n'
	curl -XGET localhost:$port/key/user2
	gives 503 $'node is not the leader\n'
done
host terminal1 127.0.0.1:8080
holdfastd -id node1 -haddr 127.0.0.1:8080 -raddr 127.0.0.1:9000 ~/node1
ready terminal1 terminal2
curl -XGET localhost:8082/key/user2
gives 200 '{"user2":"bloom"}'
stop terminal3

# A third voter, with an id of its own; then every one that joined is started again without -join.
host terminal4 127.0.0.1:8083
holdfastd -id node3 -haddr 127.0.0.1:8083 -raddr 127.0.0.1:9003 -join 127.0.0.1:8080 ~/node4
ready terminal4
voters terminal1 3
stop terminal2
host terminal2 127.0.0.1:8081
holdfastd -id node2 -haddr 127.0.0.1:8081 -raddr 127.0.0.1:9001 ~/node2
ready terminal2
stop terminal4
host terminal4 127.0.0.1:8083
holdfastd -id node3 -haddr 127.0.0.1:8083 -raddr 127.0.0.1:9003 ~/node4
ready terminal4
curl -XGET localhost:8081/key/user1
gives 200 '{"user1":"aly"}'
curl -XGET localhost:8083/key/user2
gives 200 '{"user2":"bloom"}'

# The leader dies: the rest answer, and who does not lead names who does.
leader_dies terminal1 terminal2 terminal4
for h in "${rest[@]}"; do
	curl -XGET "${http[$h]}/key/user2"
	gives 200 '{"user2":"bloom"}'
	curl -XPOST "${http[$h]}/key" -d '{"user3": "carl"}'
	if [ "$h" = "$leader" ]; then gives 200 ''; else gives 307 '' "http://${http[$leader]}/key"; fi
done
for h in "${rest[@]}"; do
	curl -XGET "${http[$h]}/key/user3"
	gives 200 '{"user3":"carl"}'
done
the_end
