-- SPDX-License-Identifier: MIT
-- Strings and tables: keys made, looked up, sorted, joined, taken apart again. The argument is how many keys.

local count = tonumber(arg[1]) or 60000
local seed = 42
local function draw(limit)
    seed = seed * 16807 % 2147483647
    return math.floor(seed / 8) % limit
end

local by_key, keys = {}, {}
for i = 1, count do
    local key = ('key:%d:%s'):format(draw(1000000), ('x'):rep(draw(24)))
    if not by_key[key] then keys[#keys + 1] = key end
    by_key[key] = { id = i, name = 'name ' .. i, parts = { i, i + 1, i + 2 } }
end
table.sort(keys)

local lines = {}
for i, key in ipairs(keys) do
    local row = by_key[key]
    lines[i] = key .. '=' .. row.name .. ';' .. table.concat(row.parts, ',')
end
local text = table.concat(lines, '\n')

local rows, bytes = 0, 0
for line in text:gmatch('[^\n]+') do
    local key, name, parts = line:match('^(.-)=(.-);(.*)$')
    local upper = (name:upper():gsub('%d', function(digit) return '<' .. digit .. '>' end))
    local list = {}
    for part in parts:gmatch('%d+') do list[#list + 1] = tonumber(part) end
    assert(by_key[key].parts[3] == list[3])
    rows, bytes = rows + 1, bytes + #upper
    by_key[key].name = upper
end

local grown = {}
for i = 1, #keys, 2 do
    local row = by_key[keys[i]]
    by_key[keys[i]] = nil
    grown[#grown + 1] = row.name:reverse() .. keys[i]:sub(5)
end
print(('%d rows, %d bytes of names, %d joined'):format(rows, bytes, #table.concat(grown)))
