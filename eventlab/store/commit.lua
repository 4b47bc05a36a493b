-- Append events to several aggregates, all or nothing, and check the versions of others.
-- The script checks everything before it writes, because Redis does not roll back a script.
-- KEYS: 1 category stream, 2 ids, 3 the number of slices, then the aggregate logs, then the record
--       of the idempotency key
-- ARGV: 1 token as JSON, 2 time in ms or '', 3 number of logs, 4 the record of the idempotency key
--       or '', 5 its lifetime in seconds, 6 number of slices; then, for each log, 5 values:
--       expected version, number of events (0: it is only checked), texts per event (2 or 3),
--       the prefix {"id":…,"version":  and its newest event as '["position" token-as-JSON' or '';
--       then, for each event: type, data (and meta or '') as JSON
-- Replies with the first position, or with {'conflict', then, for each log at a different version,
-- its number, version, element}, {'repeat', record}, {'replaced', number}, {'missing', number},
-- {'foreign', number} or {'slices', number}.
local stream, ids, slices, token, count = KEYS[1], KEYS[2], KEYS[3], ARGV[1], tonumber(ARGV[3])
local record, moved, allowed, replaced, complete = KEYS[count + 4], {'conflict'}, true

-- The number 1 is never recorded. A store with one slice is checked below, at the first event.
if ARGV[6] ~= '1' and redis.call('GET', slices) ~= ARGV[6] then return {'slices', 1} end
if record then
  local first = redis.call('GET', record)
  if first then return {'repeat', first} end
  allowed = redis.acl_check_cmd('SET', record, '', 'EX', 1)
end
for n = 1, count do
  local log, at = KEYS[n + 3], 5 * n + 2
  local version, expected = redis.call('LLEN', log), tonumber(ARGV[at])
  -- The id, which is part of the key of the log, is needed only for the first event.
  local name = version == 0 and string.sub(log, string.find(log, '}:', 1, true) + 2)
  -- A log, its id and the stream exist together or not at all, unless Redis evicts keys.
  if version == 0 then
    if redis.call('SISMEMBER', ids, name) == 1 then return {'missing', n} end
    local is_first = redis.call('SCARD', ids) == 0
    if is_first and redis.call('XLEN', stream) > 0 then return {'foreign', n} end
    if is_first and ARGV[6] == '1' and redis.call('EXISTS', slices) == 1 then return {'slices', n} end
  elseif not complete and redis.call('EXISTS', stream, ids) < 2 then
    -- If there are no ids, the adoption of the stream is not finished.
    return {redis.call('EXISTS', stream) == 1 and 'foreign' or 'missing', n}
  end
  complete = complete or version > 0
  if version ~= expected then
    local element = redis.call('LINDEX', log, expected) or ''
    for _, value in ipairs({n, version, element}) do moved[#moved + 1] = value end
  elseif version > 0 and ARGV[at + 4] ~= '' then
    local begins, known = string.match(ARGV[at + 4], '^(%S+) (.*)$')
    local newest, ends = redis.call('LINDEX', log, -1), ',' .. known .. ']'
    if string.sub(newest, 1, #begins + 1) ~= begins .. ','
      or (string.sub(newest, -#ends) ~= ends
        and not string.find(newest, ',' .. known .. ',{', 1, true)) then
      replaced = replaced or n
    end
  end
  -- Redis checks a permission only when a command needs it, and the first write cannot be undone.
  allowed = allowed and (ARGV[at + 1] == '0' or (redis.acl_check_cmd('RPUSH', log, '')
    and (version > 0 or redis.acl_check_cmd('SADD', ids, name))))
end
if #moved > 1 then return moved end
if replaced then return {'replaced', replaced} end
if not allowed then
  return redis.error_reply('NOPERM a commit needs permission to run XADD, RPUSH, SADD and SET')
end

local id, first, at = '*', nil, 5 * count + 7
if ARGV[2] ~= '' then
  local ms = ARGV[2]
  local info = redis.call('EXISTS', stream) == 1 and redis.call('XINFO', 'STREAM', stream) or {}
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      local last = string.match(info[i + 1], '^%d+')
      -- A clock may stop or run backward, but positions must not.
      if tonumber(last) > tonumber(ms) then ms = last end
    end
  end
  id = ms .. '-*'
end
for n = 1, count do
  local log, of, elements = KEYS[n + 3], 5 * n + 2, {}
  local expected, events, width, prefix = unpack(ARGV, of, of + 3)
  for version = expected + 1, expected + events do
    local type, data, meta = ARGV[at], ARGV[at + 1], width == '3' and ARGV[at + 2] or ''
    at = at + width
    -- The payload's fields are added as text. No JSON is parsed, so no number changes.
    local event = prefix .. version .. ',"type":' .. type
    event = event .. (data == '{}' and '}' or ',' .. string.sub(data, 2))
    local second = meta == '' and {} or {'meta', meta}
    local position = redis.call('XADD', stream, id, 'event', event, unpack(second))
    if meta ~= '' then meta = ',' .. meta end
    if not first then first = position end
    -- All events get the same millisecond: the client derives their positions from the first one.
    if id == '*' and at <= #ARGV then id = string.match(first, '^%d+') .. '-*' end
    elements[#elements + 1] =
      '["' .. position .. '",' .. type .. ',' .. data .. ',' .. token .. meta .. ']'
    if #elements == 1000 then  -- unpack fails above 7,999
      redis.call('RPUSH', log, unpack(elements))
      elements = {}
    end
  end
  if #elements > 0 then redis.call('RPUSH', log, unpack(elements)) end
  local name = string.sub(log, string.find(log, '}:', 1, true) + 2)
  if expected == '0' and events ~= '0' then redis.call('SADD', ids, name) end
end
if record then redis.call('SET', record, ARGV[4], 'EX', ARGV[5]) end
return first
