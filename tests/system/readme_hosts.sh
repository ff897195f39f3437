# What the scripts readme-*.sh stand on: they show that the commands of five READMEs do here what they did there. A
# script runs in a network and a process namespace of its own (readme_test.py), so that any port is free and nothing is
# left over, with PLACE for its files and HOLDFASTD for the program.
#
#	host node1 127.0.0.1:8080	what follows is typed on this host: a HOME and working directory of its own
#	holdfastd -id node1 ~/node1	as on a terminal; goes on when HTTP at the host's address is served
#	curl localhost:8080/key/a	as on a terminal; the answer is kept for
#	gives 200 '{"a":"1"}'		the status and every byte of the body, else the script fails
#
# shellcheck shell=bash
set -eu

declare -A http=() pid=()
here=
patience=6000 # hundredths of a second; nothing is asserted about how long it took

fail() {
	echo "${BASH_SOURCE[-1]}: $*" >&2
	for log in "$PLACE"/*.log; do
		echo "--- $log"
		tail -n 25 "$log"
	done >&2
	exit 1
}

# until_true WHAT COMMAND...
until_true() {
	local what=$1 i
	shift
	for ((i = 0; i < patience; i += 10)); do
		if "$@"; then return; fi
		sleep 0.1
	done
	fail "waited in vain for $what"
}

asked() { command curl -s --max-time 30 -o /dev/null -f "$@"; }

# --- hosts ---

host() {
	here=$1
	http[$here]=$2
	export HOME=$PLACE/$here
	mkdir -p "$HOME"
	cd "$HOME"
}

holdfastd() {
	"$HOLDFASTD" "$@" >>"$PLACE/$here.log" 2>&1 &
	pid[$here]=$!
	until_true "$here to be there" alive_and_served "$here"
}

alive_and_served() {
	kill -0 "${pid[$1]}" || fail "$1 ended"
	asked "http://${http[$1]}/livez"
}

# TERM, and it ends as asked.
stop() {
	local status=0
	kill "${pid[$1]}"
	wait "${pid[$1]}" || status=$?
	[ "$status" -eq 0 ] || fail "$1 ended with status $status"
	unset "pid[$1]"
}

# KILL to all its processes at once, and they are gone.
crash() {
	local all
	all="${pid[$1]} $(cat "/proc/${pid[$1]}/task/${pid[$1]}/children")"
	# shellcheck disable=SC2086
	kill -9 $all
	wait "${pid[$1]}" || true
	for p in $all; do until_true "the end of $1" gone "$p"; done
	unset "pid[$1]"
}

gone() { [ ! -e "/proc/$1" ]; }

# --- the cluster, as any of them sees it ---

ready() { for h; do until_true "$h to be ready" asked "http://${http[$h]}/readyz"; done; }

# alone HOST: it knows of no leader, and there will be none.
alone() { until_true "$1 to miss its leader" unready "$1"; }

unready() { ! asked "http://${http[$1]}/readyz"; }

# voters HOST N: it knows of N, and of nobody who still learns.
voters() { until_true "$2 voters" knows_voters "$1" "$2"; }

knows_voters() {
	local told
	told=$(command curl -s --max-time 30 "http://${http[$1]}/v1/members") || return 1
	[ "$(grep -o '"voter"' <<<"$told" | wc -l)" -eq "$2" ] && ! grep -q '"learner"' <<<"$told"
}

# leads HOST...: one of them does, and its name is $leader; all of them know.
leads() {
	until_true "a leader among $*" one_leads "$@"
	ready "$@"
}

# Of these hosts the one that leads is killed, and one of the rest leads: they are $dead and ${rest[@]}.
leader_dies() {
	leads "$@"
	dead=$leader
	crash "$dead"
	rest=()
	for h in "$@"; do [ "$h" = "$dead" ] || rest+=("$h"); done
	leads "${rest[@]}"
}

# lead HOST ID: it does, where the commands take that for granted and a busy machine made it another one.
lead() {
	until_true "$1 to lead" leads_or_is_made_to "$1" "$2"
	ready "$1"
}

leads_or_is_made_to() {
	asked "http://${http[$1]}/leader" && return
	asked -X POST "http://${http[$1]}/v1/leader" -d "{\"id\":\"$2\"}" || true
	return 1
}

one_leads() {
	for leader; do
		if asked "http://${http[$leader]}/leader"; then return; fi
	done
	return 1
}

# --- what they say ---

curl() {
	: >"$PLACE/body"
	told=$(command curl -s --max-time 60 -o "$PLACE/body" -w '%{http_code} %header{location}' "$@") || fail "curl $*: $?"
	asked_for="curl $*"
}

# gives STATUS BODY [LOCATION]
gives() {
	[ "$told" = "$1 ${3-}" ] || fail "$asked_for: $told, not $1 ${3-}: $(cat "$PLACE/body")"
	printf %s "$2" | cmp - "$PLACE/body" || fail "$asked_for: $(cat "$PLACE/body"), not $2"
}

the_end() {
	for h in "${!pid[@]}"; do stop "$h"; done
	echo "all as documented"
}
