#!/usr/bin/env bash
# Runs every fuzz target of the module for a time each ("20s"), one after the other.
set -eu
time=${1:?usage: fuzz.sh TIME}
count=0
while IFS=: read -r file target; do
	echo "== ./$(dirname "$file") $target"
	go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10x "./$(dirname "$file")"
	count=$((count + 1))
done < <(git ls-files '*_test.go' | grep -v '^examples/' | xargs grep -Ho '^func Fuzz[A-Za-z0-9_]*' | sed 's/:func /:/' | sort)
echo "$count fuzz targets ran for $time each without a finding"
