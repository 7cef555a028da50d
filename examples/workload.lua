-- SPDX-License-Identifier: MIT
-- A script that does what scripts do: a JSON round trip, string building, tables of many shapes. It checks its own
-- results and prints the same few lines wherever its memory comes from. An argument scales it; 1 is a second or less.

local scale = tonumber(arg and arg[1]) or 1

local function random(seed) -- its own generator, so that every Lua draws the same numbers
    return function(limit)
        seed = seed * 16807 % 2147483647
        return math.floor(seed / 8) % limit
    end
end

local function checksum(text)
    local a, b = 1, 0
    for i = 1, #text do
        a = (a + text:byte(i)) % 65521
        b = (b + a) % 65521
    end
    return b * 65536 + a
end

-- JSON ------------------------------------------------------------------------------------------------------------

local escapes = { ['"'] = '\\"', ['\\'] = '\\\\', ['\n'] = '\\n', ['\t'] = '\\t' }

local function encode(value, out)
    local kind = type(value)
    if kind == 'table' and #value > 0 then
        out[#out + 1] = '['
        for i, item in ipairs(value) do
            if i > 1 then out[#out + 1] = ',' end
            encode(item, out)
        end
        out[#out + 1] = ']'
    elseif kind == 'table' then
        local keys = {}
        for key in pairs(value) do keys[#keys + 1] = key end
        table.sort(keys)
        out[#out + 1] = '{'
        for i, key in ipairs(keys) do
            if i > 1 then out[#out + 1] = ',' end
            out[#out + 1] = '"' .. key .. '":'
            encode(value[key], out)
        end
        out[#out + 1] = '}'
    elseif kind == 'string' then
        out[#out + 1] = '"' .. value:gsub('["\\\n\t]', escapes) .. '"'
    else
        out[#out + 1] = tostring(value)
    end
end

local unescapes = { n = '\n', t = '\t' }

local decode

local function decode_string(text, at)
    local close = text:find('["\\]', at + 1)
    while text:sub(close, close) == '\\' do close = text:find('["\\]', close + 2) end
    local raw = text:sub(at + 1, close - 1)
    return raw:gsub('\\(.)', function(c) return unescapes[c] or c end), close + 1
end

local function decode_list(text, at, close, item)
    local first = true
    while text:sub(at, at) ~= close do
        if not first then
            assert(text:sub(at, at) == ',')
            at = at + 1
        end
        at, first = item(at), false
    end
    return at + 1
end

function decode(text, at)
    local c = text:sub(at, at)
    if c == '"' then
        local value, after = decode_string(text, at)
        return value, after
    elseif c == '[' then
        local list = {}
        return list, decode_list(text, at + 1, ']', function(from)
            local value, after = decode(text, from)
            list[#list + 1] = value
            return after
        end)
    elseif c == '{' then
        local object = {}
        return object, decode_list(text, at + 1, '}', function(from)
            local key, after_key = decode_string(text, from)
            local value, after = decode(text, after_key + 1)
            object[key] = value
            return after
        end)
    end
    local word = text:match('^[%w%.%-]+', at)
    if word == 'true' then return true, at + 4 end
    if word == 'false' then return false, at + 5 end
    return assert(tonumber(word), 'not JSON'), at + #word
end

local function json()
    local draw = random(7)
    local people = {}
    for i = 1, 3000 * scale do
        local tags = {}
        for t = 1, 1 + draw(5) do tags[t] = 'tag' .. draw(100) end
        people[i] = {
            id = i, name = 'name "' .. draw(100000) .. '"\t\\', tags = tags, active = draw(2) == 0,
            score = draw(1000) / 8, place = { x = draw(360) - 180, y = draw(180) - 90 },
        }
    end
    local once, twice = {}, {}
    encode(people, once)
    local text = table.concat(once)
    local back, after = decode(text, 1)
    assert(after == #text + 1)
    encode(back, twice)
    assert(table.concat(twice) == text, 'the round trip changed the text')
    assert(#back == #people and back[17].name == people[17].name)
    print(('json: %d objects, %d bytes, checksum %08x'):format(#back, #text, checksum(text)))
end

-- strings ---------------------------------------------------------------------------------------------------------

local function strings()
    local draw = random(11)
    local words = {}
    for i = 1, 60000 * scale do
        words[i] = string.char(97 + draw(26), 97 + draw(26)) .. draw(1000)
    end
    local text = table.concat(words, ' ')
    local counts, distinct = {}, 0
    for word in text:gmatch('%S+') do
        if not counts[word] then distinct = distinct + 1 end
        counts[word] = (counts[word] or 0) + 1
    end
    local upper = text:upper():gsub('A(%w+)', '<%1>')
    local grown = ''
    for i = 1, 1500 * scale do grown = grown .. words[i] end
    assert(#text:reverse():reverse() == #text)
    print(('strings: %d words, %d distinct, checksums %08x %08x'):format(
        #words, distinct, checksum(upper), checksum(grown)))
end

-- tables ----------------------------------------------------------------------------------------------------------

local function tree(depth)
    if depth == 0 then return {} end
    return { left = tree(depth - 1), right = tree(depth - 1) }
end

local function nodes(at)
    return at.left and 1 + nodes(at.left) + nodes(at.right) or 1
end

local function tables()
    local draw = random(13)
    local total = 0
    for depth = 4, 13 do
        for _ = 1, scale do total = total + nodes(tree(depth)) end
    end
    local rows = {}
    for i = 1, 40000 * scale do rows[i] = { key = draw(32768), index = i } end
    table.sort(rows, function(a, b)
        if a.key ~= b.key then return a.key < b.key end
        return a.index < b.index
    end)
    for i = 2, #rows do assert(rows[i - 1].key <= rows[i].key) end
    local closures, sum = {}, 0
    for i = 1, 20000 * scale do closures[i] = function() sum = sum + i end end
    for i = #closures, 1, -1 do closures[i]() end
    local queue = {}
    for i = 1, 30000 * scale do queue[#queue + 1] = { i } end
    while #queue > 1 do queue[#queue] = nil end
    local squares = coroutine.wrap(function() for i = 1, 1000 do coroutine.yield(i * i) end end)
    for _ = 1, 1000 do sum = sum + squares() end
    print(('tables: %d tree nodes, median key %d, sum %d'):format(total, rows[math.floor(#rows / 2)].key, sum))
end

json()
strings()
tables()

-- $ lua_host workload.lua
-- json: 3000 objects, 377991 bytes, checksum 00f02c98
-- strings: 60000 words, 57337 distinct, checksums 14ea7c1c 30487d60
-- tables: 32726 tree nodes, median key 16337, sum 533843500
