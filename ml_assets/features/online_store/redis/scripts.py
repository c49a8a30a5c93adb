"""What must not be torn apart in Redis, as Lua scripts.

`:s:` in a key is followed by the entity; the key without entity is the view's own entry.
"""

# Instants are below 2**53 and so exact as Lua's numbers.
REGISTER = """
local found = redis.call('HGET', KEYS[1], ARGV[1])
local old = 0
if found then
    local id, digest = string.match(found, '^(%d+) (.*)$')
    if digest == ARGV[2] then return {tonumber(id), 0} end
    if ARGV[5] == '0' then
        old = tonumber(id)
        redis.call('DEL', ARGV[4] .. id .. ':s:')
    end
end
local id = redis.call('INCR', KEYS[2])
redis.call('HSET', KEYS[1], ARGV[1], id .. ' ' .. ARGV[2])
redis.call('SET', ARGV[4] .. id .. ':s:', ARGV[3])
redis.call('INCR', KEYS[3])
return {id, old}
"""

APPEND = """
local own = redis.call('GET', KEYS[1])
if not own then return {-1, {}} end
local header, width, fold_rows = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local bound = struct.unpack('<i8', own) - tonumber(ARGV[4])
local added, grown = 0, {}
for k = 2, #KEYS, 2 do
    local rows, new = ARGV[4 + k / 2], {}
    for place = 1, #rows, width do
        local row = string.sub(rows, place, place + width - 1)
        local at = struct.unpack('<i8', row)
        if at >= bound and redis.call('ZADD', KEYS[k + 1], 'NX', string.format('%.0f', at),
                                      string.sub(row, 9, 16)) == 1 then
            new[#new + 1] = row
        end
    end
    if #new > 0 then
        added = added + #new
        local text = table.concat(new)
        if redis.call('EXISTS', KEYS[k]) == 0 then text = header .. text end
        local size = redis.call('APPEND', KEYS[k], text)
        local start = redis.call('GETRANGE', KEYS[k], 0, #header - 1)
        local _, folded, _, kept = struct.unpack('<i8I4I4I4', start)
        if (size - #header - folded) / width >= math.max(fold_rows, 2 * kept) then
            grown[#grown + 1] = k / 2
        end
    end
end
return {added, grown}
"""

# Events that came after the blob was read are behind what was read of it.
FOLD = """
if redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[3] .. redis.call('GETRANGE', KEYS[1], ARGV[2], -1))
return 1
"""

# See `versions.merged`. A negative `now` is the instant at which each row was created.
PUT = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local now = tonumber(ARGV[1])
for k = 2, #KEYS do
    local new, old = ARGV[k], redis.call('GET', KEYS[k]) or ''
    local at, created = struct.unpack('<i8i8', new)
    if tonumber(ARGV[1]) < 0 then now = created end
    local kept, past, place, merged = {}, 0, 1, false
    local function keep(instant, version)
        if instant <= now then past = past + 1 end
        if past <= 2 then kept[#kept + 1] = version end
    end
    while place <= #old do
        local at1, created1, size = struct.unpack('<i8i8I4', old, place)
        local version = string.sub(old, place, place + 19 + size)
        place = place + 20 + size
        if not merged and at > at1 then
            keep(at, new)
            merged = true
        elseif at == at1 then
            if created >= created1 then version = new end
            merged = true
        end
        keep(at1, version)
    end
    if not merged then keep(at, new) end
    redis.call('SET', KEYS[k], table.concat(kept))
end
return 1
"""

RAISE_FLOOR = """
local own = redis.call('GET', KEYS[1])
if own and struct.unpack('<i8', own) < struct.unpack('<i8', ARGV[1]) then
    redis.call('SET', KEYS[1], ARGV[1] .. string.sub(own, 9))
    redis.call('INCR', KEYS[2])
end
"""

SET_NOTE = """
local own = redis.call('GET', KEYS[1])
if not own then return 0 end
redis.call('SET', KEYS[1], string.sub(own, 1, 8) .. ARGV[1])
redis.call('INCR', KEYS[2])
return 1
"""

# Whoever applied less must not say so after whoever applied more.
ADVANCE = """
for _, key in ipairs(KEYS) do
    local there = redis.call('GET', key)
    if not there or struct.unpack('<i8', there) < struct.unpack('<i8', ARGV[1]) then
        redis.call('SET', key, ARGV[1])
    end
end
"""

DROP_UNCHANGED = """
if redis.call('STRLEN', KEYS[1]) ~= tonumber(ARGV[2]) then return 0 end
if redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) ~= ARGV[1] then return 0 end
return redis.call('UNLINK', KEYS[1], KEYS[2]) > 0 and 1 or 0
"""
