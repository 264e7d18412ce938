#!/usr/bin/env bash
# Makes the roles and users of compose.yaml in Elasticsearch, at ES_URL, as the
# user elastic. It may run any number of times.
set -euo pipefail

# call METHOD PATH BODY waits for Elasticsearch, which may not be ready for users
# when it starts to answer. The password is not on the command line.
call() {
	local try status
	for try in {1..60}; do
		status=$(curl --silent --output /dev/null --write-out '%{http_code}' --max-time 30 \
			--config <(printf 'user = "elastic:%s"\n' "$ELASTIC_PASSWORD") \
			--request "$1" --header 'Content-Type: application/json' --data "$3" "$ES_URL$2") || true
		case $status in
		200) return 0 ;;
		4??) break ;; # it will not be better the next time
		esac
		sleep "${PAUSE:-2}"
	done
	echo "$1 $2: status $status after $try attempts" >&2
	return 1
}

# https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-security-change-password
call POST /_security/user/kibana_system/_password "{\"password\": \"$KIBANA_SYSTEM_PASSWORD\"}"

# The writer role and the one for central configuration:
# https://www.elastic.co/docs/solutions/observability/apm/create-assign-feature-roles-to-apm-server-users
call PUT /_security/role/apm_writer '{
	"cluster": ["monitor"],
	"indices": [
		{"names": ["traces-apm*", "logs-apm*", "metrics-apm*"], "privileges": ["auto_configure", "create_doc"]},
		{"names": [".apm-agent-configuration"], "privileges": ["read"], "allow_restricted_indices": true}
	]
}'
call PUT /_security/user/apm_writer "{\"password\": \"$APM_WRITER_PASSWORD\", \"roles\": [\"apm_writer\"]}"

# https://www.elastic.co/docs/reference/beats/filebeat/privileges-to-publish-events
call PUT /_security/role/filebeat_writer '{
	"cluster": ["monitor"],
	"indices": [{"names": ["logs-chat-*"], "privileges": ["auto_configure", "create_doc"]}]
}'
call PUT /_security/user/filebeat_writer "{\"password\": \"$FILEBEAT_WRITER_PASSWORD\", \"roles\": [\"filebeat_writer\"]}"

# https://www.elastic.co/docs/reference/elasticsearch/roles: all of Kibana, no data.
call PUT /_security/user/dashboards "{\"password\": \"$DASHBOARDS_PASSWORD\", \"roles\": [\"kibana_admin\"]}"
echo "the users are there"
