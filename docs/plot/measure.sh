#!/usr/bin/env bash
# Measures how cost grows (docs/performance.md) and writes growth.json; then `go run .` draws it. Takes about 25 minutes
# and 20 GB of disk; nothing else should run on the machine.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
go build -o "$work/outhook" ./cmd/outhook

# bench SERIES LABEL MODE FLAG...: one run, as one object of the list.
bench() {
	local series=$1 label=$2 mode=$3
	shift 3
	echo "$series=$label $mode" >&2
	"$work/outhook" bench "$mode" --pairs "${PAIRS:-3}" --json "$@" 2>/dev/null |
		node -e 'const [series, label, mode] = process.argv.slice(1);
			const {runs, ...report} = JSON.parse(require("fs").readFileSync(0, "utf8"));
			console.log(JSON.stringify({series, label, mode, report}))' "$series" "$label" "$mode" >>"$work/runs"
}

# The first again at the end: what differs between these two is the machine's drift.
for label in 0.1M 10M "0.1M again"; do
	stored=100000
	[ "$label" = 10M ] && stored=10000000
	PAIRS=1 bench stored "$label" rest --duration 20s --preload "$stored"
	PAIRS=1 bench stored "$label" drain --events 60000 --preload "$stored"
done
for endpoints in 1 10 100; do
	bench endpoints "$endpoints" rest --duration 5s --conns $((endpoints == 100 ? 4 : 64)) --endpoints "$endpoints"
	bench endpoints "$endpoints" drain --events $((30000 / endpoints)) --endpoints "$endpoints"
done
for bytes in 1024 16384; do
	bench payload "$bytes" rest --duration 5s --payload-bytes "$bytes"
	bench payload "$bytes" drain --events 20000 --payload-bytes "$bytes"
done
for workers in 1 3; do
	bench workers "$workers" rest --duration 5s --workers "$workers"
	bench workers "$workers" drain --events 30000 --workers "$workers"
done
paste -sd, "$work/runs" | sed 's/^/[/; s/$/]/' | node -e 'process.stdout.write(JSON.stringify(JSON.parse(require("fs").readFileSync(0)), null, 1) + "\n")' >"$here/growth.json"
