#!/usr/bin/env bash
# Says of each container of compose.yaml how it is, and fails if one ran out of
# memory, was started anew, or has ended with an error.
set -euo pipefail
cd "$(dirname "$0")"

ids=$(docker compose ps --all --quiet)
[ -n "$ids" ] || {
	echo "there are no containers" >&2
	exit 1
}
status=0
# shellcheck disable=SC2086 # a list of words
states=$(docker inspect --format '{{.Name}} {{.State.Status}} {{.State.OOMKilled}} {{.RestartCount}} {{.State.ExitCode}}' $ids)
while read -r name state killed restarts code; do
	echo "${name#/}: $state, out of memory: $killed, started anew $restarts times, exit code $code"
	if [ "$killed" != false ] || [ "$restarts" != 0 ] || { [ "$state" = exited ] && [ "$code" != 0 ]; }; then
		status=1
	fi
done <<<"$states"
exit $status
