#!/bin/bash
# The commands of raftdb's README; raft-cluster-host-0N is 127.0.0.1N.
. "${0%/*}/readme_hosts.sh"

### Step 2: Bring up a cluster
host 1 127.0.0.11:8091
holdfastd -id node01  -haddr 127.0.0.11:8091 -raddr 127.0.0.11:8089 ~/.raftdb
host 2 127.0.0.12:8091
holdfastd -id node02 -haddr 127.0.0.12:8091 -raddr 127.0.0.12:8089 -join 127.0.0.11:8091 ~/.raftdb
host 3 127.0.0.13:8091
holdfastd -id node03 -haddr 127.0.0.13:8091 -raddr 127.0.0.13:8089 -join 127.0.0.11:8091 ~/.raftdb
ready 1 2 3
voters 1 3
curl -XPOST 127.0.0.11:8091/join -d '{"id":"node02","raftAddr":"127.0.0.12:8089","httpAddr":"127.0.0.12:8091"}' -L
gives 200 ''

## Reading and writing keys
curl -X POST 127.0.0.11:8091/key -d '{"foo": "bar"}' -L
gives 200 ''
curl -X GET 127.0.0.11:8091/key/foo -L
gives 200 '{"foo":"bar"}'
curl -X DELETE 127.0.0.11:8091/key/foo -L
gives 200 ''
curl -X GET 127.0.0.11:8091/key/foo?level=stale
gives 200 '{"foo":""}'
curl -X POST 127.0.0.11:8091/key -d '{"foo": "bar"}' -L
gives 200 ''

### Three read consistency level
levels() {
	curl -X GET 127.0.0.11:8091/key/foo?level=stale
	gives 200 '{"foo":"bar"}'
	curl -X GET 127.0.0.11:8091/key/foo?level=default  -L
	gives 200 '{"foo":"bar"}'
	curl -X GET 127.0.0.11:8091/key/foo?level=consistent  -L
	gives 200 '{"foo":"bar"}'
}
levels

# Elsewhere than on the leader: sent to it, and not followed where no -L is given.
elsewhere() {
	leads "$@"
	for h; do
		[ "$h" != "$leader" ] || continue
		curl -X POST "${http[$h]}/key" -d '{"foo": "bar"}'
		gives 307 '' "http://${http[$leader]}/key"
		curl -X GET "${http[$h]}/key/foo?level=default"
		gives 307 '' "http://${http[$leader]}/key/foo?level=default"
		curl -X GET "${http[$h]}/key/foo?level=consistent"
		gives 307 '' "http://${http[$leader]}/key/foo?level=consistent"
		curl -X POST "${http[$h]}/key" -d '{"foo": "bar"}' -L
		gives 200 ''
		curl -X GET "${http[$h]}/key/foo"
		gives 200 '{"foo":"bar"}'
		curl -X GET "${http[$h]}/key/foo?level=consistent" -L
		gives 200 '{"foo":"bar"}'
		curl -X DELETE "${http[$h]}/key/none" -L
		gives 200 ''
	done
}
elsewhere 1 2 3

# Every one that joined is started again without -join.
stop 2
host 2 127.0.0.12:8091
holdfastd -id node02 -haddr 127.0.0.12:8091 -raddr 127.0.0.12:8089 ~/.raftdb
ready 2
stop 3
host 3 127.0.0.13:8091
holdfastd -id node03 -haddr 127.0.0.13:8091 -raddr 127.0.0.13:8089 ~/.raftdb
ready 3
elsewhere 1 2 3

# The leader dies: what the READMEs ask of the first is asked of the rest.
crash "$leader"
dead=$leader
rest=()
for h in 1 2 3; do [ "$h" = "$dead" ] || rest+=("$h"); done
elsewhere "${rest[@]}"

# It comes back, and is asked as ever.
host "$dead" "127.0.0.1$dead:8091"
holdfastd -id "node0$dead" -haddr "127.0.0.1$dead:8091" -raddr "127.0.0.1$dead:8089" ~/.raftdb
leads 1 2 3
curl -X POST 127.0.0.11:8091/key -d '{"foo": "bar"}' -L
[ "${told%% *}" = 200 ] || fail "$asked_for: $told"
elsewhere 1 2 3
the_end
