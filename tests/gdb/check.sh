#!/bin/sh
# SPDX-License-Identifier: MIT
# The gdb commands on a stopped process and on its core.
# usage: check.sh GDB SCRIPT PROGRAM
set -u
gdb=$1 script=$2 program=$3
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
failed=0

want() {
    grep -qE -e "$1" "$work/$2" || { echo "FAILED: no \"$1\" in the output on a $2:" >&2; cat "$work/$2" >&2; failed=1; }
}

"$gdb" -nx -q -batch -iex "set auto-load no" -iex "set debuginfod enabled off" -ex "source $script" -ex "break hm_debug_break" -ex run \
    -ex "hostmalloc sites" -ex "hostmalloc blocks db.c:42" -ex 'hostmalloc block (char *)block + 5' \
    -ex "hostmalloc block 16" -ex "hostmalloc blocks nowhere.c:1" -ex "generate-core-file $work/core.1" "$program" >"$work/process" 2>&1 </dev/null
"$gdb" -nx -q -batch -iex "set auto-load no" -iex "set debuginfod enabled off" -ex "source $script" -ex "hostmalloc sites" \
    -ex "hostmalloc blocks db.c:42" -ex 'hostmalloc block (char *)block + 5' -ex "hostmalloc block 16" \
    -ex "hostmalloc blocks nowhere.c:1" "$program" "$work/core.1" >"$work/core" 2>&1 </dev/null

for from in process core; do
    want '^ +7 +721  src/db\.c:42$' $from
    want '^ +1 +48  src/guarded\.c:1$' $from
    want '^ +1 +3  src/ignored\.c:1$' $from
    want '^ +9 +772  total of 3 sites$' $from
    want '^0x[0-9a-f]+  106 bytes, live, #7 of src/db\.c:42, thread 1, malloc "rows"$' $from
    [ "$(grep -c ' of src/db\.c:42, thread' "$work/$from")" = 8 ] || { echo "FAILED: blocks on a $from" >&2; failed=1; }
    want '^0x10 is in no block of the debug host$' $from
    want '^no live block of nowhere\.c:1$' $from
done
# A program without the debug host is told so.
"$gdb" -nx -q -batch -iex "set debuginfod enabled off" -ex "source $script" -ex "hostmalloc sites" /bin/sh >"$work/other" 2>&1 </dev/null
want 'is there a debug host' other
exit $failed
