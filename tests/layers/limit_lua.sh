#!/bin/sh
# SPDX-License-Identifier: MIT
# A Lua script that eats all it gets, under many limits: Lua raises its own error every time, and goes on.
# usage: limit_lua.sh LUA_HOST
set -u
lua_host=$1
script=$(mktemp) && trap 'rm -f "$script"' EXIT
cat >"$script" <<'LUA'
local ok, why = pcall(function()
    local t = {}
    for i = 1, 1e8 do t[i] = tostring(i) .. "x" end
end)
collectgarbage()
local words = {}
for i = 1, 50 do words[i] = tostring(i) end
print(ok, why, #table.concat(words))
LUA
failed=0 runs=0
for host in default debug mimalloc; do
    for kilobytes in 96 100 111 128 160 200 256 333 512 777 1000 1500 2048 4096; do
        for lines in hard=${kilobytes}K soft=${kilobytes}K,hard=$((kilobytes + 16))K,reserve=4K; do
            said=$("$lua_host" --quiet --host "limit:$lines+$host" "$script" 2>&1)
            code=$?
            runs=$((runs + 1))
            if [ "$said" != "false	not enough memory	91" ] || [ $code -ne 0 ]; then
                echo "limit:$lines+$host ended with $code: $said" >&2
                failed=$((failed + 1))
            fi
        done
    done
done
echo "$runs limits, $failed not survived"
[ $failed -eq 0 ]
