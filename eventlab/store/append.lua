-- Append events to one aggregate, all or none.
-- It checks everything, then writes: Lua does not roll back.
-- KEYS: 1 category stream, 2 aggregate log, 3 ids, 4 the record of the idempotency key, if any
-- ARGV: 1 expected version, 2 token, as JSON, 3 {"id":…,"version":  4 texts per event: 2 or 3,
--       5 time in ms or ''; with an idempotency key 6 its record, 7 its lifetime in seconds;
--       then for each event type, data (and meta, or '') as JSON
-- Replies with the first position, or with {'conflict', version, element}, {'repeat', record}
-- or {'foreign'}.
local stream, log, ids, record = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local expected, token, prefix, width = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])

if record then
  local first = redis.call('GET', record)
  if first then return {'repeat', first} end
end
if redis.call('SCARD', ids) == 0 and redis.call('XLEN', stream) > 0 then return {'foreign'} end
local version = redis.call('LLEN', log)
if version ~= expected then
  return {'conflict', version, redis.call('LINDEX', log, expected) or ''}
end

local id = '*'
if ARGV[5] ~= '' then
  local ms = ARGV[5]
  if redis.call('EXISTS', stream) == 1 then
    local info = redis.call('XINFO', 'STREAM', stream)
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then
        local last = string.match(info[i + 1], '^%d+')
        -- A clock may stop or go back, positions may not.
        if tonumber(last) > tonumber(ms) then ms = last end
      end
    end
  end
  id = ms .. '-*'
end

local first
local elements = {}
for at = record and 8 or 6, #ARGV, width do
  local type, data, meta = ARGV[at], ARGV[at + 1], ''
  if width == 3 then meta = ARGV[at + 2] end
  version = version + 1
  -- The payload's fields join the others as text: no JSON is parsed, so no number changes.
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
    -- One append, one millisecond: the client derives the other positions from the first.
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
-- The id follows {stream}: in the key of the log.
if expected == 0 then redis.call('SADD', ids, string.sub(log, #stream + 4)) end
if record then redis.call('SET', record, ARGV[6], 'EX', ARGV[7]) end
return first
