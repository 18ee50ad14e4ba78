#!/usr/bin/env bash
# Installs the Debian packages that the tests use. What each is for:
#   nginx-light, haproxy   servers that certificates are deployed to
#   bind9, pdns-*          name servers that challenges are published in
#   memcached              a store that challenge files are published in
#   python3-*              the CA plugin written in Python
#   openssl, keytool       second opinions on keys, chains and key stores
#   systemd, man-db        systemd-analyze and man look at the unit files and the manual page
set -eu

declare -A package=(
	[nginx]=nginx-light [haproxy]=haproxy [openssl]=openssl [keytool]=default-jre-headless
	[systemd-analyze]=systemd [man]=man-db
	[named]=bind9 [pdns_server]=pdns-server [memcached]=memcached
)
missing=()
PATH=$PATH:/usr/sbin:/sbin
for tool in "${!package[@]}"; do
	command -v "$tool" >/dev/null || missing+=("${package[$tool]}")
done
for module in grpc:python3-grpcio google.protobuf:python3-protobuf cryptography:python3-cryptography; do
	/usr/bin/python3 -c "import ${module%%:*}" 2>/dev/null || missing+=("${module##*:}")
done
[ -e /usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql ] || missing+=(pdns-backend-sqlite3)
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "These Debian packages are missing; tests that need them are skipped: ${missing[*]}" >&2
	echo "Install them with: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
	exit 0
fi
# The servers are started by the tests, on ports of their own: keep the packages from starting any.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
	trap 'rm -f $policy' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends python3 "${missing[@]}" >/dev/null
