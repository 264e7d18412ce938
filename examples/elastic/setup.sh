#!/usr/bin/env bash
# Makes the secrets of compose.yaml, at random, in .env beside this script.
set -euo pipefail
cd "$(dirname "$0")"

if [ -e .env ]; then
	echo ".env is there already, and the data of the containers may know its passwords." >&2
	echo "To start anew: docker compose down --volumes && rm .env" >&2
	exit 1
fi

# Letters and digits alone: they go through YAML, a shell and URLs unchanged.
secret() {
	od -An -v -tx1 -N 24 /dev/urandom | tr -d ' \n'
}

umask 077 # for you alone
set -o noclobber
{
	echo "# Made by setup.sh. Nothing here belongs into a repository."
	echo "STACK_VERSION=9.5.5"
	for name in ELASTIC_PASSWORD KIBANA_SYSTEM_PASSWORD APM_WRITER_PASSWORD FILEBEAT_WRITER_PASSWORD \
		DASHBOARDS_PASSWORD APM_SECRET_TOKEN CHAT_JWT_SECRET \
		KIBANA_SESSIONS_KEY KIBANA_OBJECTS_KEY KIBANA_REPORTS_KEY; do
		echo "$name=$(secret)"
	done
} >.env
echo "The secrets are in $PWD/.env. Kibana's user is elastic, with ELASTIC_PASSWORD."
