# SPDX-License-Identifier: MIT
# Read by the scripts beside it. Every one is called as: SCRIPT WORK_FOLDER SOURCE BUILD LIBDIR CMAKE CC CXX
# shellcheck shell=bash disable=SC2034 # each script uses some of these
set -euo pipefail

work=$1 source=$2 build=$3 libdir=$4 cmake=$5 cc=$6 cxx=$7
here=$source/tests/install
prefix=$work/prefix
# What is tested must not be found by a path that only this machine's tests have.
unset HOSTMALLOC HOSTMALLOC_PLUGIN_PATH LD_LIBRARY_PATH PKG_CONFIG_PATH CMAKE_PREFIX_PATH DESTDIR

die() {
    echo "$*" >&2
    exit 1
}

# A log without the lines that say how far a build got.
log() {
    grep -vE '^\[ *[0-9]+%\]|^-- (Detecting|Check for working|Performing Test)' "$1" || true
}

# Modules of this build; a build without mimalloc has none, and the strangers then do without.
shopt -s nullglob
modules=("$build/lib/hostmalloc"/*.so)
shopt -u nullglob
specs=(default debug)
if [ -e "$build/lib/hostmalloc/hm_host_mimalloc.so" ]; then
    specs+=(mimalloc debug+mimalloc)
fi

# says PROGRAM PLUGIN_FOLDER: the program runs under every host, with the modules of that folder and no other.
says() {
    local program=$1 plugins=$2 output spec from
    output=$("$program" "${specs[@]}") || die "$program ${specs[*]}: failed: $output"
    for spec in "${specs[@]}"; do
        grep -qxF "$spec: ok" <<<"$output" || die "$program: no \"$spec: ok\" in: $output"
    done
    if [[ ${specs[*]} == *mimalloc* ]]; then
        from=$(sed -n 's/^mimalloc is in //p' <<<"$output")
        [ "$(readlink -f "$from")" = "$(readlink -f "$plugins/hm_host_mimalloc.so")" ] ||
            die "$program: expected mimalloc from $plugins, got: $output"
    fi
}

# The Lua stranger prints the length of what it built: 1000 * 1001 / 2.
says_lua() { # PROGRAM
    local spec output
    for spec in "${specs[@]}"; do
        output=$("$1" "$spec") || die "$1 $spec: failed: $output"
        [ "$output" = 500500 ] || die "$1 $spec: expected 500500, got: $output"
    done
}

tree() { # FOLDER: the files below it, sorted
    (cd "$1" && find . ! -type d | sort)
}
