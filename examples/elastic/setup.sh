#!/usr/bin/env bash
# Makes the secrets of compose.yaml, at random, in .env beside this script.
set -euo pipefail
cd "$(dirname "$0")"

if [ -e .env ]; then
	echo ".env is there already, and the data of the containers may know its passwords." >&2
	echo "To start anew: docker compose down --volumes && rm .env" >&2
	exit 1
fi

# secret prints 24 random bytes in hexadecimal digits, which go through YAML, a
# shell and URLs unchanged. It fails where it has fewer.
secret() {
	local value
	value=$(od -An -v -tx1 -N 24 /dev/urandom | tr -d ' \n')
	if ! [[ $value =~ ^[0-9a-f]{48}$ ]]; then
		echo "/dev/urandom gives no 24 bytes" >&2
		return 1
	fi
	printf '%s\n' "$value"
}

# The containers read these as users of their own.
chmod a+r apm-server.yml filebeat.yml kibana.yml users.sh

umask 077 # .env is for you alone
made=$(mktemp .env.XXXXXX) # which becomes .env when it is complete
trap 'rm -f "$made"' EXIT
{
	echo "# Made by setup.sh. Nothing here belongs into a repository."
	echo "STACK_VERSION=9.5.5"
} >"$made"
for name in ELASTIC_PASSWORD KIBANA_SYSTEM_PASSWORD APM_WRITER_PASSWORD FILEBEAT_WRITER_PASSWORD \
	DASHBOARDS_PASSWORD APM_SECRET_TOKEN CHAT_JWT_SECRET \
	KIBANA_SESSIONS_KEY KIBANA_OBJECTS_KEY KIBANA_REPORTS_KEY; do
	value=$(secret)
	echo "$name=$value" >>"$made"
done
mv -n "$made" .env
[ ! -e "$made" ] || exit 1 # somebody else was faster
echo "The secrets are in $PWD/.env. Kibana's user is elastic, with ELASTIC_PASSWORD."
