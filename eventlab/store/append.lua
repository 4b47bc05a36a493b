-- Append events to one aggregate, all or nothing.
-- The script checks everything before it writes, because Redis does not roll back a script.
-- KEYS: 1 category stream, 2 aggregate log, 3 ids, 4 the number of slices,
--       5 the record of the idempotency key, if any
-- ARGV: 1 expected version, 2 token as JSON, 3 the prefix {"id":…,"version":
--       4 texts per event (2 or 3), 5 time in ms or '', 6 position of the newest event or '',
--       7 token of the newest event as JSON, 8 number of slices;
--       with an idempotency key: 9 its record, 10 its lifetime in seconds;
--       then, for each event: type, data (and meta or '') as JSON
-- Replies with the first position, or with {'conflict', 1, version, element}, {'repeat', record},
-- {'replaced', 1}, {'missing', 1}, {'foreign', 1} or {'slices', 1}, in the same form as commit.lua.
-- This is a separate script, because the loops of commit.lua would make an append 10 percent slower.
local stream, log, ids, slices, record = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local expected, token, prefix, width = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])

-- The number 1 is never recorded. A store with one slice is checked below, at the first event.
if ARGV[8] ~= '1' and redis.call('GET', slices) ~= ARGV[8] then return {'slices', 1} end
if record then
  local first = redis.call('GET', record)
  if first then return {'repeat', first} end
end
local version = redis.call('LLEN', log)
-- The id, which is part of the key of the log, is needed only for the first event.
local name = version == 0 and string.sub(log, string.find(log, '}:', 1, true) + 2)
-- A log, its id and the stream exist together or not at all, unless Redis evicts keys.
if version == 0 then
  if redis.call('SISMEMBER', ids, name) == 1 then return {'missing', 1} end
  if redis.call('SCARD', ids) == 0 then
    if redis.call('XLEN', stream) > 0 then return {'foreign', 1} end
    if ARGV[8] == '1' and redis.call('EXISTS', slices) == 1 then return {'slices', 1} end
  end
elseif redis.call('EXISTS', stream, ids) < 2 then
  -- If there are no ids, the adoption of the stream is not finished.
  return {redis.call('EXISTS', stream) == 1 and 'foreign' or 'missing', 1}
end
if version ~= expected then
  return {'conflict', 1, version, redis.call('LINDEX', log, expected) or ''}
end
if version > 0 and ARGV[6] ~= '' then
  local newest, ends = redis.call('LINDEX', log, -1), ',' .. ARGV[7] .. ']'
  local begins = '["' .. ARGV[6] .. '",'
  if string.sub(newest, 1, #begins) ~= begins
    or (string.sub(newest, -#ends) ~= ends
      and not string.find(newest, ',' .. ARGV[7] .. ',{', 1, true)) then
    return {'replaced', 1}
  end
end
-- Redis checks a permission only when a command needs it, and the first write cannot be undone.
if not (redis.acl_check_cmd('RPUSH', log, '')
  and (version > 0 or redis.acl_check_cmd('SADD', ids, name))
  and (not record or redis.acl_check_cmd('SET', record, '', 'EX', 1))) then
  return redis.error_reply('NOPERM an append needs permission to run XADD, RPUSH, SADD and SET')
end

local id = '*'
if ARGV[5] ~= '' then
  local ms = ARGV[5]
  if redis.call('EXISTS', stream) == 1 then
    local info = redis.call('XINFO', 'STREAM', stream)
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then
        local last = string.match(info[i + 1], '^%d+')
        -- A clock may stop or run backward, but positions must not.
        if tonumber(last) > tonumber(ms) then ms = last end
      end
    end
  end
  id = ms .. '-*'
end

local first
local elements = {}
for at = record and 11 or 9, #ARGV, width do
  local type, data, meta = ARGV[at], ARGV[at + 1], ''
  if width == 3 then meta = ARGV[at + 2] end
  version = version + 1
  -- The payload's fields are added as text. No JSON is parsed, so no number changes.
  local event = prefix .. version .. ',"type":' .. type
  if data == '{}' then event = event .. '}' else event = event .. ',' .. string.sub(data, 2) end
  local position
  if meta == '' then
    position = redis.call('XADD', stream, id, 'event', event)
  else
    position = redis.call('XADD', stream, id, 'event', event, 'meta', meta)
    meta = ',' .. meta
  end
  if not first then first = position end
  if id == '*' and at + width <= #ARGV then
    -- All events get the same millisecond: the client derives their positions from the first one.
    id = string.match(first, '^%d+') .. '-*'
  end
  local element = '["' .. position .. '",' .. type .. ',' .. data .. ',' .. token .. meta .. ']'
  elements[#elements + 1] = element
  if #elements == 1000 then  -- unpack fails above 7,999
    redis.call('RPUSH', log, unpack(elements))
    elements = {}
  end
end
if #elements > 0 then redis.call('RPUSH', log, unpack(elements)) end
if expected == 0 then redis.call('SADD', ids, name) end
if record then redis.call('SET', record, ARGV[9], 'EX', ARGV[10]) end
return first
