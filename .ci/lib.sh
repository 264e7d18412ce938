# Shared by the scripts of this directory; sourced, never run.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# The workspace is what is built and tested, whatever the caller's environment says.
unset GOWORK
# Elastic's agent would otherwise ask the cloud's metadata service where it runs.
export ELASTIC_APM_CLOUD_PROVIDER=none

fail() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

heading() {
	printf '\n== %s\n' "$*"
}

# use_go fails where Go is missing and keeps Go from stamping version control
# data into binaries: in a checkout owned by somebody else (a container's
# mount) asking git for it is an error that has nothing to do with the code.
use_go() {
	command -v go >/dev/null || fail "Go is not installed: see https://go.dev/doc/install (version: go.work)"
	GOFLAGS="$(cd / && go env GOFLAGS) -buildvcs=false"
	export GOFLAGS
}

# modules prints the directory of each module of go.work, and fails when a
# module of the checkout is not listed there: nothing would ever test it.
# It skips what Go skips: hidden directories, _directories and testdata.
modules() {
	local listed found
	listed=$(cd "$root" && go work edit -json | sed -n 's/^[[:space:]]*"DiskPath": "\(.*\)",\{0,1\}$/\1/p')
	[ -n "$listed" ] || fail "go.work lists no module"
	found=$(cd "$root" && find . -mindepth 1 \
		\( -name '.?*' -o -name '_*' -o -name testdata -o -name node_modules \) -prune \
		-o -name go.mod -print | sed 's|/go\.mod$||')
	if [ "$(sort <<<"$listed")" != "$(sort <<<"$found")" ]; then
		fail "go.work and the go.mod files differ:"$'\n'"$(diff <(sort <<<"$listed") <(sort <<<"$found"))"
	fi
	sort <<<"$listed"
}
