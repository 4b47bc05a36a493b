-- Append events to one aggregate, all or none: check everything, then write. Lua does not roll back.
-- KEYS: 1 category stream, 2 own log, 3 ids, 4 the once key, if any
-- ARGV: 1 expected version, 2 token, as JSON, 3 {"id":…,"version":  4 texts per event: 2 or 3, 5 time in ms or '';
--       with a once key 6 its value, 7 its seconds; then for each event type, data (and meta, or '') as JSON
-- Answers the first position, or {'conflict', version, element}, {'once', value}, {'foreign'}.
local stream, log, ids, once = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local expected, token, prefix, width = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])

if once then
  local value = redis.call('GET', once)
  if value then return {'once', value} end
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
        if tonumber(last) > tonumber(ms) then ms = last end  -- a clock may stand or go back, positions may not
      end
    end
  end
  id = ms .. '-*'
end

local first
local elements = {}
for at = once and 8 or 6, #ARGV, width do
  local type, data, meta = ARGV[at], ARGV[at + 1], ''
  if width == 3 then meta = ARGV[at + 2] end
  version = version + 1
  -- The payload's fields stand beside the others: no JSON is read here, so no number is bent.
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
    id = string.match(first, '^%d+') .. '-*'  -- one append, one millisecond: the client counts the positions on
  end
  elements[#elements + 1] = '["' .. position .. '",' .. type .. ',' .. data .. ',' .. token .. meta .. ']'
  if #elements == 1000 then  -- unpack fails above 7,999
    redis.call('RPUSH', log, unpack(elements))
    elements = {}
  end
end
if #elements > 0 then redis.call('RPUSH', log, unpack(elements)) end
if expected == 0 then redis.call('SADD', ids, string.sub(log, #stream + 4)) end  -- behind {stream}: comes the id
if once then redis.call('SET', once, ARGV[6], 'EX', ARGV[7]) end
return first
