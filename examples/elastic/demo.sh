#!/usr/bin/env bash
# Loads the documents of a simulated hour, for looking at the dashboards without
# waiting for one: demo.sh DIRECTORY, as written there by the test of
# exporters/wire/hour. Elasticsearch, Kibana and APM Server of compose.yaml must
# have been started; it waits until they answer, and for Kibanas before 8.15 it
# installs APM's index templates first. To load twice makes everything double.
#
# What APM Server sums up for each minute, such as the calls by destination, it
# sums up for the minute in which events come, not in which they happened. So this
# waits for those documents, some three minutes, deletes them, and loads those of
# the simulated hour in their place. Documents for 10 and 60 minutes, which the
# dashboards do not read, stay.
set -euo pipefail

dir=${1:?usage: demo.sh DIRECTORY}
es=${ES_URL:-http://127.0.0.1:9200}
kibana=${KIBANA_URL:-http://127.0.0.1:5601}
apm=${APM_URL:-http://127.0.0.1:8200}
: "${ELASTIC_PASSWORD:?of the user elastic: it is in .env}" "${APM_SECRET_TOKEN:?it is in .env}"

fail() {
	printf 'demo.sh: %s\n' "$*" >&2
	exit 1
}

shopt -s nullglob
intake=("$dir"/intake-*.ndjson)
[ ${#intake[@]} -gt 0 ] || fail "there is no intake-*.ndjson in $dir"
streams=(metrics-apm.transaction.1m-default metrics-apm.service_destination.1m-default logs-chat-default)
for stream in "${streams[@]}"; do
	[ -f "$dir/bulk-$stream.ndjson" ] || fail "there is no bulk-$stream.ndjson in $dir"
done
environments=$(jq --exit-status --compact-output .environments "$dir/hour.json") || fail "there is no hour.json in $dir"

# The secrets are not on the command line.
elastic() {
	curl --silent --show-error --fail-with-body --max-time 300 \
		--config <(printf 'user = "elastic:%s"\n' "$ELASTIC_PASSWORD") --header 'kbn-xsrf: true' "$@"
}
agent() {
	curl --silent --show-error --fail-with-body --max-time 300 \
		--config <(printf 'header = "Authorization: Bearer %s"\n' "$APM_SECRET_TOKEN") "$@"
}

# await WHAT COMMAND... runs the command until it succeeds.
await() {
	local what=$1 answer try
	shift
	for try in {1..120}; do
		if answer=$("$@" 2>&1); then
			return 0
		fi
		sleep "${PAUSE:-3}"
	done
	fail "$what does not answer after $try attempts: $answer"
}

await Elasticsearch elastic "$es/"
await Kibana elastic "$kibana/api/status"

# https://www.elastic.co/docs/api/doc/kibana/group/endpoint-elastic-package-manager-epm
templates=$(elastic "$es/_index_template/traces-apm*")
if ! grep -q '"name":"traces-apm' <<<"$templates"; then
	elastic --output /dev/null --request POST "$kibana/api/fleet/setup"
	version=$(elastic "$kibana/api/fleet/epm/packages/apm" | jq --exit-status --raw-output '.item.version // .response.version')
	echo "installing APM's templates $version"
	elastic --output /dev/null --header 'Content-Type: application/json' --data '{"force": true}' \
		"$kibana/api/fleet/epm/packages/apm/$version"
fi

# https://www.elastic.co/docs/solutions/observability/apm/elastic-apm-events-intake-api
await "APM Server" agent --output /dev/null "$apm/"
# The minute before this one: APM Server may be a little late to begin the next.
begun=$(jq --null-input --raw-output '(now / 60 | floor) * 60 - 60 | todate')
# There are thousands: by one curl, on one connection.
requests() {
	local file between=
	for file in "${intake[@]}"; do
		printf '%surl = "%s/intake/v2/events"\ndata-binary = "@%s"\n' "$between" "$apm" "$file"
		printf 'header = "Authorization: Bearer %s"\nheader = "Content-Type: application/x-ndjson"\n' "$APM_SECRET_TOKEN"
		printf 'output = /dev/null\nsilent\nshow-error\nfail\nretry = 5\nmax-time = 300\n'
		between=$'next\n'
	done
}
curl --fail-early --config <(requests) || fail "APM Server does not take the agent's requests"
echo "${#intake[@]} requests of an agent are loaded; waiting for what APM Server sums up"

# Its own sums are complete when for two minutes there were no more.
sums='metrics-apm.transaction.*,metrics-apm.service_*'
own="{\"query\": {\"bool\": {\"filter\": [
	{\"range\": {\"@timestamp\": {\"gte\": \"$begun\"}}}, {\"terms\": {\"service.environment\": $environments}}
]}}}"
# ask METHOD PATH FIELD of Elasticsearch about its own sums.
ask() {
	elastic --request "$1" --header 'Content-Type: application/json' --data "$own" "$es/$sums/$2" |
		jq --exit-status --raw-output "$3"
}
count=0 unchanged=0
for try in {1..120}; do
	elastic --output /dev/null --request POST "$es/$sums/_refresh"
	now=$(ask POST _count .count)
	unchanged=$((now > 0 && now == count ? unchanged + 1 : 0))
	count=$now
	[ $unchanged -lt 24 ] || break
	sleep "${PAUSE:-5}"
done
[ $unchanged -ge 24 ] || fail "after $try looks APM Server still sums up: $count documents"
# https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-delete-by-query
deleted=$(ask POST '_delete_by_query?refresh=true' 'if .failures == [] then .deleted else error("not all") end') ||
	fail "Elasticsearch does not delete what APM Server has summed up"
echo "$deleted documents of APM Server are of the time of loading, and deleted"

# Without APM's pipelines: the documents are what comes out of them.
# https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk
for stream in "${streams[@]}"; do
	parameters=
	case $stream in metrics-*) parameters='?pipeline=_none' ;; esac
	elastic --header 'Content-Type: application/x-ndjson' --data-binary "@$dir/bulk-$stream.ndjson" "$es/$stream/_bulk$parameters" |
		jq --exit-status '.errors == false' >/dev/null || fail "Elasticsearch does not take all of bulk-$stream.ndjson"
	echo "$(($(wc -l <"$dir/bulk-$stream.ndjson") / 2)) documents of $stream are loaded"
done
