#!/usr/bin/env bash
# Runs every fuzz target of the module for a time each ("20s"), one after the other. With a second word it runs only
# the targets whose name holds it.
set -eu
time=${1:?usage: fuzz.sh TIME [PART OF A NAME]}
part=${2:-}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
count=0
while IFS=: read -r file target; do
	case $target in *"$part"*) ;; *) continue ;; esac
	echo "== ./$(dirname "$file") $target"
	if ! go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10x "./$(dirname "$file")" >"$log" 2>&1; then
		# When time is up in the middle of an input, go test may call that a failure (golang/go#75804). A finding
		# names its input.
		if grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input' "$log"; then
			echo "time was up in the middle of an input"
		else
			cat "$log"
			exit 1
		fi
	fi
	grep '^fuzz: elapsed' "$log" | tail -n 1
	count=$((count + 1))
done < <(git ls-files '*_test.go' | grep -v '^examples/' | xargs grep -Ho '^func Fuzz[A-Za-z0-9_]*' | sed 's/:func /:/' | sort)
echo "$count fuzz targets ran for $time each without a finding"
