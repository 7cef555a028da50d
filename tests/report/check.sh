#!/bin/sh
# SPDX-License-Identifier: MIT
# Reports made from snapshots, each read by a tool that nobody here wrote.
# usage: check.sh HOSTMALLOC PROGRAM SCHEMA
set -u
hostmalloc=$1 program=$2 schema=$3
# Debian's own, where there are several: its packages are what tests/setup installs.
python3=/usr/bin/python3
[ -x $python3 ] || python3=python3
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
failed=0

fail() {
    echo "FAILED: $1" >&2
    failed=1
}
# want TEXT FILE: the file has a line with the text
want() {
    grep -qF -e "$1" "$2" || { fail "no \"$1\" in $2:"; cat "$2" >&2; }
}
# code N COMMAND...: the command ends with N
code() {
    expected=$1; shift
    "$@" >"$work/out" 2>"$work/err"
    got=$?
    [ $got -eq "$expected" ] || { fail "$* ended with $got, expected $expected"; cat "$work/out" "$work/err" >&2; }
}

HOSTMALLOC="debug:report=$work/text,snapshot=$work/a.jsonl" "$program" || fail "program"
HOSTMALLOC="debug:report=$work/text,snapshot=$work/b.jsonl" "$program" more || fail "program"
HOSTMALLOC="debug:report=$work/text,snapshot=$work/%p.jsonl" "$program" & wait $!
[ -f "$work/$!.jsonl" ] || fail "%p is not the process number"

# The snapshot itself, by a validator of JSON schemas.
$python3 - "$schema" "$work/a.jsonl" "$work/b.jsonl" <<'PYTHON' || fail "schema"
import json, sys
import jsonschema
schema = json.load(open(sys.argv[1]))
for path in sys.argv[2:]:
    lines = [json.loads(line) for line in open(path)]
    for line in lines:
        jsonschema.validate(line, schema)
    assert lines[0]["type"] == "snapshot" and lines[-1] == {"type": "end", "lines": len(lines) - 1}
    site = [l for l in lines if l["type"] == "site" and l["file"] == "src/db.c"]
    assert len(site) == 1 and site[0]["live_blocks"] == 7 and site[0]["live_bytes"] == 721, site
PYTHON

code 1 "$hostmalloc" report "$work/a.jsonl"
want "src/db.c:42" "$work/out"
want "double free (HM_E_FREED)" "$work/out"
want "SUMMARY: 1 error, 8 blocks and 731 bytes live at 3 sites" "$work/out"

# What cannot be written is told, by a limit of sizes too.
for format in text json folded pprof heaptrack sarif junit; do
    "$hostmalloc" report "$work/a.jsonl" --format $format >/dev/full 2>"$work/err"
    [ $? -eq 1 ] || fail "$format to a full disk: the exit code"
    want "hostmalloc: standard output: No space left on device" "$work/err"
done
"$hostmalloc" diff "$work/a.jsonl" "$work/a.jsonl" >/dev/full 2>"$work/err"
[ $? -eq 1 ] || fail "diff to a full disk: the exit code"
want "hostmalloc: standard output: No space left on device" "$work/err"
(ulimit -f 1 && exec "$hostmalloc" report "$work/b.jsonl" --format sarif >"$work/out" 2>"$work/err")
[ $? -eq 1 ] || fail "a limit of sizes: the exit code"
want "hostmalloc: standard output: File too large" "$work/err"

# Known leaks are not counted; mistakes are.
code 1 "$hostmalloc" report "$work/a.jsonl" --baseline "$work/a.jsonl"
want "SUMMARY: 1 error, 0 blocks and 0 bytes live at 3 sites" "$work/out"
code 1 "$hostmalloc" report "$work/b.jsonl" --baseline "$work/a.jsonl"
grep -q ", 0 blocks" "$work/out" && fail "a new leak is not counted"
code 2 "$hostmalloc" report "$work/a.jsonl" --baseline
code 2 "$hostmalloc" report "$work/a.jsonl" --baseline "$work/text"

code 1 "$hostmalloc" report "$work/a.jsonl" --format json
$python3 -m json.tool "$work/out" >"$work/tree" || fail "json"
want '"file": "src/db.c"' "$work/tree"

code 1 "$hostmalloc" report "$work/a.jsonl" --format folded
want ";src/db.c:42 721" "$work/out"

code 1 "$hostmalloc" report "$work/a.jsonl" --format heaptrack
cp "$work/out" "$work/a.heaptrack"
heaptrack_print "$work/a.heaptrack" >"$work/print" 2>&1 || fail "heaptrack_print"
want "src/db.c:42" "$work/print"
want "total memory leaked: 731B" "$work/print"

code 1 "$hostmalloc" report "$work/a.jsonl" --format pprof
cp "$work/out" "$work/a.pb"
HOME="$work" go tool pprof -top -lines -inuse_space "$work/a.pb" >"$work/top" 2>&1 || fail "pprof"
want "src/db.c:42" "$work/top"
want "731B" "$work/top"
HOME="$work" go tool pprof -top -alloc_objects "$work/a.pb" >"$work/top" 2>&1 || fail "pprof"
want "9 total" "$work/top"

code 1 "$hostmalloc" report "$work/a.jsonl" --format junit
xmllint --noout "$work/out" || fail "junit is not XML"
[ "$(xmllint --xpath 'count(//failure)' "$work/out")" = 3 ] || fail "junit failures"
want 'a&lt;b&gt;&amp;&quot;c&quot;.c' "$work/out"

code 1 "$hostmalloc" report "$work/a.jsonl" --format sarif
$python3 - "$work/out" <<'PYTHON' || fail "sarif"
import json, sys
run = json.load(open(sys.argv[1]))["runs"][0]
places = [r["locations"][0]["physicalLocation"] for r in run["results"]]
assert {"uri": "src/db.c"} in [p["artifactLocation"] for p in places]
assert len(run["results"]) == 3
PYTHON

code 0 "$hostmalloc" diff "$work/a.jsonl" "$work/a.jsonl"
code 1 "$hostmalloc" diff "$work/a.jsonl" "$work/b.jsonl"
want "src/new.c:1  new" "$work/out"
want "SUMMARY: +64 bytes live, 1 site changed, 1 of them new" "$work/out"
code 0 "$hostmalloc" diff "$work/b.jsonl" "$work/a.jsonl"

# What is no leak is marked.
echo "leak:src/db.c" >"$work/ignored"
HOSTMALLOC="debug:report=$work/text,ignore=$work/ignored,snapshot=$work/i.jsonl" "$program" ignore || fail "program"
code 1 "$hostmalloc" report "$work/i.jsonl"
want "src/known.c:5, 2 ignored" "$work/out"
want "src/db.c:42, suppressed" "$work/out"
$python3 - "$schema" "$work/i.jsonl" <<'PYTHON' || fail "schema of ignored blocks"
import json, sys
import jsonschema
schema = json.load(open(sys.argv[1]))
for line in open(sys.argv[2]):
    jsonschema.validate(json.loads(line), schema)
PYTHON

# Stacks: their frames are in every format that has some, by their names where symbols are read.
HOSTMALLOC="debug:report=$work/text,frames=16,snapshot=$work/s.jsonl" "$program" || fail "program"
want " of src/db.c:42 came by" "$work/text"
code 1 "$hostmalloc" report "$work/s.jsonl"
want "7 blocks and 721 bytes live of src/db.c:42 came by" "$work/out"
grep -q "  #[01] \(main\|/.*report_program+0x\)" "$work/out" || fail "no frame in text"
code 1 "$hostmalloc" report "$work/s.jsonl" --format folded
grep -q ";\(main\|report_program+0x[0-9a-f]*\);.*src/db.c:42 721" "$work/out" || { fail "folded"; cat "$work/out"; }
code 1 "$hostmalloc" report "$work/s.jsonl" --format json
$python3 - "$schema" "$work/out" <<'PYTHON' || fail "schema of stacks"
import json, sys
import jsonschema
schema = json.load(open(sys.argv[1]))
lines = json.load(open(sys.argv[2]))["lines"]
for line in lines:
    jsonschema.validate(line, schema)
assert sum(l["live_bytes"] for l in lines if l["type"] == "stack") == 731
PYTHON
code 1 "$hostmalloc" report "$work/s.jsonl" --format heaptrack
cp "$work/out" "$work/s.heaptrack"
heaptrack_print "$work/s.heaptrack" >"$work/print" 2>&1 || fail "heaptrack_print"
want "total memory leaked: 731B" "$work/print"
want "src/db.c:42" "$work/print"
code 1 "$hostmalloc" report "$work/s.jsonl" --format pprof
cp "$work/out" "$work/s.pb"
HOME="$work" go tool pprof -top -cum -lines -inuse_space "$work/s.pb" >"$work/top" 2>&1 || fail "pprof"
want "731B" "$work/top"
want "src/db.c:42" "$work/top"
grep -q "\(main\|report_program+0x\)" "$work/top" || { fail "no frame in pprof"; cat "$work/top"; }
HOSTMALLOC="debug:report=$work/text,sample=1,snapshot=$work/s.jsonl" "$program" || fail "program"
code 1 "$hostmalloc" report "$work/s.jsonl"
want "about 7 blocks and 721 bytes live of src/db.c:42 came by" "$work/out"
want "figures of stacks are estimates, from a sample of one in 1 bytes" "$work/out"

# A live file is read like a snapshot: after the end, and of a process that was killed.
HOSTMALLOC="debug:report=$work/text,live=$work/a.live" "$program" || fail "program"
code 1 "$hostmalloc" report "$work/a.live"
want "debug:live, ended" "$work/out"
want "src/db.c:42" "$work/out"
want "double free (HM_E_FREED)" "$work/out"
want "SUMMARY: 1 error, 8 blocks and 731 bytes live at 3 sites" "$work/out"
HOSTMALLOC="debug:report=$work/text,live=$work/killed.live" "$program" kill
code 1 "$hostmalloc" report "$work/killed.live"
want "debug:live, running or killed" "$work/out"
want "SUMMARY: 1 error, 8 blocks and 731 bytes live at 3 sites" "$work/out"
code 1 "$hostmalloc" report - <"$work/killed.live"
code 1 "$hostmalloc" report "$work/killed.live" --format json
$python3 - "$schema" "$work/out" <<'PYTHON' || fail "schema of a live file"
import json, sys
import jsonschema
schema = json.load(open(sys.argv[1]))
for line in json.load(open(sys.argv[2]))["lines"]:
    jsonschema.validate(line, schema)
    assert line.get("peak_bytes", 0) >= line.get("live_bytes", 0), line
PYTHON
code 0 "$hostmalloc" diff "$work/a.live" "$work/killed.live"
head -c 5000 "$work/a.live" >"$work/cut.live"
code 2 "$hostmalloc" report "$work/cut.live"
want "cut.live: a live file that was cut" "$work/err"

# Names may be anything; each format stays what it is.
HOSTMALLOC="debug:report=$work/text,snapshot=$work/h.jsonl" "$program" hostile || fail "program"
HOSTMALLOC="debug:report=$work/text,live=$work/h.live" "$program" hostile || fail "program"
$python3 - "$schema" "$work/h.jsonl" <<'PYTHON' || fail "hostile names"
import json, sys
import jsonschema
schema = json.load(open(sys.argv[1]))
for line in open(sys.argv[2], "rb").read().split(b"\n")[:-1]:
    jsonschema.validate(json.loads(line.decode("utf-8")), schema)
PYTHON
for file in h.jsonl h.live; do
    for format in text json sarif; do
        code 1 "$hostmalloc" report "$work/$file" --format $format
        iconv -f UTF-8 -t UTF-8 "$work/out" >/dev/null || fail "$format of $file is not UTF-8"
        [ $format = text ] || $python3 -m json.tool "$work/out" >"$work/tree" || fail "$format of $file"
    done
    code 1 "$hostmalloc" report "$work/$file" --format junit
    xmllint --noout "$work/out" || fail "junit of $file is not XML"
    code 1 "$hostmalloc" report "$work/$file" --format folded
    grep -qv '^[^ ]*;[^ ]* [0-9]*$' "$work/out" && { fail "folded of $file"; cat "$work/out"; }
    code 1 "$hostmalloc" report "$work/$file" --format heaptrack
    grep -v '^[vXIsitac+-] ' "$work/out" && fail "heaptrack of $file"
    code 1 "$hostmalloc" report "$work/$file" --format pprof
    cp "$work/out" "$work/h.pb"
    HOME="$work" go tool pprof -top "$work/h.pb" >"$work/top" 2>&1 || fail "pprof of $file"
done

# A file that was cut shows what it has, and says so; one that is none is refused with the place.
head -c -40 "$work/a.jsonl" >"$work/cut.jsonl"
code 1 "$hostmalloc" report "$work/cut.jsonl"
want "the file ends early" "$work/out"
# What is missing may be what leaks: such a file is never clean.
head -n 1 "$work/a.jsonl" >"$work/begun.jsonl"
for format in text junit; do
    code 1 "$hostmalloc" report "$work/begun.jsonl" --format $format
    cat "$work/out" "$work/err" >"$work/said"
    want "the file ends early" "$work/said"
done
want '<failure type="cut"' "$work/out"
code 1 "$hostmalloc" diff "$work/a.jsonl" "$work/begun.jsonl"
want "begun.jsonl: the file ends early" "$work/err"
code 1 "$hostmalloc" report - <"$work/a.jsonl"
code 2 "$hostmalloc" report /no/such/file
want "hostmalloc: /no/such/file: No such file or directory" "$work/err"
code 2 "$hostmalloc" report
code 2 "$hostmalloc" report "$work/a.jsonl" --format nonsense
want "text, json, folded, pprof, heaptrack, sarif or junit, found: nonsense" "$work/err"
code 2 "$hostmalloc" diff "$work/a.jsonl"
want "two snapshots are compared, found: one" "$work/err"
code 2 "$hostmalloc" diff "$work/a.jsonl" --nonsense
want "hostmalloc: diff: unknown option: --nonsense" "$work/err"
: >"$work/empty"
code 2 "$hostmalloc" report "$work/empty"
want "empty, expected a snapshot" "$work/err"
echo '{"type":"snapshot","schema":99}' >"$work/newer"
code 2 "$hostmalloc" report "$work/newer"
want "schema 99, this command reads 1" "$work/err"
printf '{"type":"snapshot","schema":1}\n{"type":"site","id":}\n' >"$work/broken"
code 2 "$hostmalloc" report "$work/broken"
want "$work/broken:2: not understood at column" "$work/err"

[ $failed -eq 0 ] && echo "reports: all read by others"
exit $failed
