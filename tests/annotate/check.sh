#!/bin/sh
# SPDX-License-Identifier: MIT
# What valgrind and AddressSanitizer see of blocks of the debug host.
# usage: check.sh memcheck|asan PROGRAM [SPEC]
set -u
tool=$1 program=$2 spec=${3:-debug:leaks=no}
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
failed=0

# try CASE EXPECTED: the tool says so; nothing is expected to be said where EXPECTED is empty
try() {
    if [ "$tool" = memcheck ]; then
        valgrind -q --error-exitcode=9 "$program" "$1" "$spec" >"$work/out" 2>&1
    else
        ASAN_OPTIONS=detect_leaks=0 "$program" "$1" "$spec" >"$work/out" 2>&1
    fi
    code=$?
    if [ -z "$2" ]; then
        [ $code -eq 0 ] && [ ! -s "$work/out" ] && return
    else
        [ $code -ne 0 ] && grep -q -e "$2" "$work/out" && return
    fi
    echo "FAILED: $1 under $tool ended with $code, expected \"$2\":" >&2
    cat "$work/out" >&2
    failed=1
}

try clean ""
if [ "$tool" = memcheck ]; then
    try read_past "Invalid read of size 1"
    try read_before "Invalid read of size 1"
    try read_freed "Invalid read of size 1"
    try unwritten "depends on uninitialised value"
else
    try read_past "use-after-poison"
    try read_before "use-after-poison"
    try read_freed "use-after-poison"
fi
exit $failed
