-- Deliver events to a consumer: its own unfinished ones, those due for a retry, a dead consumer's,
-- new ones.
-- KEYS: 1 category stream, 2 due, 3 failed
-- ARGV: 1 group, 2 consumer, 3 the consumer name of waiting events, 4 the maximum of events, 5 ms
--       of silence after which an event counts as abandoned, 6 the source that is asked first: 0 to
--       3, then the positions that the consumer is working on
-- Returns {{{position, fields or {}, deliveries that got no response, record}, ...},
-- the position after which new events come, ms until it is worth asking again}.
local stream, due, failed, group = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local me, waiting, count, idle = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held, delivered, holding = {}, {}, #ARGV - 6
for at = 7, #ARGV do held[ARGV[at]] = true end

local function deliver(id)
  local row = redis.call('XPENDING', stream, group, id, id, 1)[1]
  local record = redis.call('HGET', failed, id) or '0 0 0 [null,null,""]'
  local failures, deliveries, kept = string.match(record, '^(%d+) (%d+) %d+ (.*)$')
  if row then deliveries = row[4] end
  local entry = redis.call('XRANGE', stream, id, id)[1]
  -- It may kill its consumer: then no other event must be counted with it.
  local alone = deliveries - failures >= 2
  if alone and #delivered > 0 then
    if entry then
      redis.call('ZREM', due, id)
      redis.call('XCLAIM', stream, group, me, 0, id, 'FORCE', 'JUSTID')
    end
    return
  end
  if entry then
    redis.call('ZREM', due, id)
    redis.call('XCLAIM', stream, group, me, 0, id, 'FORCE')
  else  -- trimmed: Redis would drop it silently from the pending list, so it is due by the clock
    redis.call('XACK', stream, group, id)
    redis.call('HSET', failed, id, failures .. ' ' .. deliveries + 1 .. ' ' .. now .. ' ' .. kept)
    redis.call('ZADD', due, now + idle, id)
  end
  delivered[#delivered + 1] = {id, entry and entry[2] or {}, deliveries - failures, kept}
  if alone then count = 1 end
end

local function take(rows, most)
  local before = #delivered
  for _, row in ipairs(rows) do
    if #delivered == count or #delivered - before == most then break end
    local id = type(row) == 'table' and row[1] or row
    if not held[id] then
      held[id] = true
      deliver(id)
    end
  end
  return #delivered - before
end

local sources = {
  function(most)
    take(redis.call('XPENDING', stream, group, '-', '+', most + holding, me), most)
  end,
  function(most)
    take(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, most + holding), most)
  end,
  function(most)
    for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
      local name, pending, quiet = consumer[2], consumer[4], consumer[6]
      if name ~= me and name ~= waiting and pending == 0 and quiet > 20 * idle then
        redis.call('XGROUP', 'DELCONSUMER', stream, group, name)
      elseif name ~= me and name ~= waiting and most > 0 then
        local rows = redis.call('XPENDING', stream, group, 'IDLE', idle, '-', '+', most, name)
        most = most - take(rows, most)
      end
    end
  end,
  function(most)
    local read = redis.call('XREADGROUP', 'GROUP', group, me, 'COUNT', most, 'STREAMS', stream, '>')
    for _, entry in ipairs(read and read[1][2] or {}) do
      held[entry[1]] = true
      delivered[#delivered + 1] = {entry[1], entry[2], 0, '[null,null,""]'}
    end
  end,
}
-- First, each source but the last leaves half of the rest to the others. Then those that have more
-- events fill it up.
for step = 0, 7 do
  local left = count - #delivered
  if left <= 0 then break end
  sources[(ARGV[6] + step) % 4 + 1](step < 3 and math.ceil(left / 2) or left)
end

local last
for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  if info[2] == group then last = info[8] end
end
local next = #delivered == 0 and redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2] or now + 1000
return {delivered, last, math.max(0, math.min(1000, next - now))}
