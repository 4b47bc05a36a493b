-- Functions that deliver an event. receive.lua includes them, so ARGV is that of receive.lua.
local count, idle, answered = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[7])
local now, delivered, bytes = now_ms(), {}, 0

local function add(id, fields, unanswered, record)
  delivered[#delivered + 1] = {id, fields, unanswered, record}
  for _, text in ipairs(fields) do bytes = bytes + #text end
end

local function deliver(id, from_others)
  local row = redis.call('XPENDING', stream, group, id, id, 1)[1]
  local free = row and row[2] ~= waiting and (row[2] == '' or row[3] >= idle)
  if from_others and not free then return end
  local entry = redis.call('XRANGE', stream, id, id)[1]
  local record = redis.call('HGET', failed, id)
  if not record then record = '0 0 0 ' .. (entry and identify(entry[2]) or unknown) end
  local failures, deliveries, kept = string.match(record, '^(%d+) (%d+) %d+ (.*)$')
  if row then deliveries = row[4] end
  -- A delivery in a reply that was lost, after the last one that arrived, is not counted twice.
  local again = row and row[2] == me and now - row[3] > answered
  local unanswered = deliveries - failures - (again and 1 or 0)
  -- An event that may kill its consumer is delivered alone, so that no other delivery is counted.
  local alone, later = unanswered >= 2, unanswered >= 2 and #delivered > 0
  if entry then
    local since = later and answered - 1 or now  -- before the last reply, so not `again` next time
    local counted = (again or later) and 'JUSTID' or 'FORCE'  -- JUSTID does not count it
    redis.call('ZREM', due, id)
    redis.call('XCLAIM', stream, group, me, 0, id, 'TIME', since, 'FORCE', counted)
  elseif not later then  -- without an entry, Redis would drop it from the pending list: use `due`
    redis.call('HSET', failed, id, failures .. ' ' .. deliveries + 1 .. ' ' .. now .. ' ' .. kept)
    redis.call('ZADD', due, now + idle, id)
    redis.call('XACK', stream, group, id)
  end
  if later then return end
  add(id, entry and entry[2] or {}, unanswered, kept)
  if alone then count = 1 end
end
