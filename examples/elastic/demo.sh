#!/usr/bin/env bash
# Loads the documents of a simulated hour, for looking at the dashboards without
# waiting for one: demo.sh DIRECTORY, as written there by the test of
# exporters/wire/hour. Elasticsearch, Kibana and APM Server of compose.yaml must
# have been started; it waits until they answer, and for Kibanas before 8.15 it
# installs APM's index templates first.
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
[ -f "$dir/logs.ndjson" ] || fail "there is no logs.ndjson in $dir"

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

# https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk
elastic --header 'Content-Type: application/x-ndjson' --data-binary "@$dir/logs.ndjson" "$es/logs-chat-default/_bulk" |
	jq --exit-status '.errors == false' >/dev/null || fail "Elasticsearch does not take all log lines"
echo "${#intake[@]} requests of an agent and $(($(wc -l <"$dir/logs.ndjson") / 2)) log lines are loaded"
