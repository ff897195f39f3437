#!/bin/bash
# The commands of raft-kv-example's README. Its containers are three addresses here, with the variables of its
# docker-compose.yml; they share the ports of one machine, so that the peers' are 500N.
. "${0%/*}/readme_hosts.sh"

container() {
	host "$1" "127.0.0.1:400$1"
	case $1 in
	1)
		BIND=127.0.0.11:5001 PORT=4001 DATA_DIR=~/data BOOTSTRAP=True holdfastd
		;;
	2)
		BIND=127.0.0.12:5002 PORT=4002 DATA_DIR=~/data JOIN=127.0.0.11:4001 holdfastd
		;;
	3)
		BIND=127.0.0.13:5003 PORT=4003 DATA_DIR=~/data JOIN=127.0.0.11:4001 holdfastd
		;;
	esac
}

for h in 1 2 3; do container $h; done
ready 1 2 3
voters 1 3

## Quick start
curl 'http://127.0.0.1:4001/keys/some-key/'
gives 200 '{"value":""}'
curl 'http://127.0.0.1:4001/keys/some-key/' -H 'Content-Type: application/json' -d '{"value": "some-value"}'
gives 200 '{"value":"some-value"}'
curl 'http://127.0.0.1:4001/keys/some-key/'
gives 200 '{"value":"some-value"}'
curl 'http://127.0.0.1:4002/keys/some-key/'
gives 200 '{"value":"some-value"}'
curl 'http://127.0.0.1:4003/keys/some-key/' -H 'Content-Type: application/json' -d '{"value": "other"}'
gives 200 '{"value":"other"}'
curl 'http://127.0.0.1:4001/keys/some-key/'
gives 200 '{"value":"other"}'
curl 'http://127.0.0.1:4002/cluster/join/' -d '{"address":"127.0.0.13:5003"}'
gives 200 '{}'

# Those that joined are started again, without JOIN.
stop 2
host 2 127.0.0.1:4002
BIND=127.0.0.12:5002 PORT=4002 DATA_DIR=~/data holdfastd
ready 2
stop 3
host 3 127.0.0.1:4003
BIND=127.0.0.13:5003 PORT=4003 DATA_DIR=~/data holdfastd
ready 3
curl 'http://127.0.0.1:4003/keys/some-key/'
gives 200 '{"value":"other"}'

## Example of the election: the leader ends, another one is elected, the old one is started again and follows
leader_dies 1 2 3
for h in "${rest[@]}"; do
	curl "http://127.0.0.1:400$h/keys/some-key/"
	gives 200 '{"value":"other"}'
	curl "http://127.0.0.1:400$h/keys/key-$h/" -H 'Content-Type: application/json' -d '{"value": "some-value"}'
	gives 200 '{"value":"some-value"}'
done
container "$dead"
ready "$dead"
voters "$dead" 3
for h in "${rest[@]}"; do
	curl "http://127.0.0.1:400$dead/keys/key-$h/"
	gives 200 '{"value":"some-value"}'
done
the_end
