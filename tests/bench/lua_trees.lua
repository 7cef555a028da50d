-- SPDX-License-Identifier: MIT
-- Binary trees: millions of small tables with short lives. The argument is the depth.

local function bottom_up(depth)
    if depth == 0 then return {} end
    return { bottom_up(depth - 1), bottom_up(depth - 1) }
end

local function check(tree)
    return tree[1] and 1 + check(tree[1]) + check(tree[2]) or 1
end

local least, most = 4, tonumber(arg[1]) or 14

print(('stretch tree of depth %d, check %d'):format(most + 1, check(bottom_up(most + 1))))
local long_lived = bottom_up(most)
for depth = least, most, 2 do
    local count, sum = 2 ^ (most - depth + least), 0
    for _ = 1, count do sum = sum + check(bottom_up(depth)) end
    print(('%d trees of depth %d, check %d'):format(count, depth, sum))
end
print(('long lived tree of depth %d, check %d'):format(most, check(long_lived)))
