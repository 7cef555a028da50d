#!/bin/sh
# SPDX-License-Identifier: MIT
# heaptrack sees blocks that do not come from the process's malloc, and those that do once.
# usage: check_heaptrack.sh PROGRAM
set -u
program=$1
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
failed=0

# leaked SPEC: megabytes in all that heaptrack says are leaked
leaked() {
    rm -f "$work"/h.*
    heaptrack -o "$work/h" "$program" leak "$1" >"$work/out" 2>&1 || { cat "$work/out" >&2; return; }
    heaptrack_print "$work"/h.* 2>/dev/null | sed -n 's/^total memory leaked: \([0-9]*\)\.[0-9]*M$/\1/p'
}

for spec in debug:leaks=no debug:leaks=no+arena; do
    megabytes=$(leaked "$spec")
    [ "$megabytes" = 3 ] || { echo "FAILED: \"$megabytes\" MB leaked under $spec, expected 3" >&2; failed=1; }
done
exit $failed
