-- Give events to a consumer: its own unfinished ones, those due for another try, a dead consumer's, new ones.
-- KEYS: 1 category stream, 2 due, 3 failed
-- ARGV: 1 group, 2 consumer, 3 the consumer that stands for waiting, 4 how many, 5 ms after which one is taken for
--       dead, 6 which of the four is asked first: 0 to 3, then positions that the consumer has in work
-- Answers {{position, fields or {}, deliveries that came to nothing, what is kept}, …}, the position that news come
-- after, ms until it pays to ask again.
local stream, due, failed = KEYS[1], KEYS[2], KEYS[3]
local group, me, waiting, count, idle = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held, given, holding = {}, {}, #ARGV - 6
for at = 7, #ARGV do held[ARGV[at]] = true end

local function give(id)
  local row = redis.call('XPENDING', stream, group, id, id, 1)[1]
  local record = redis.call('HGET', failed, id) or '0 0 0 [null,null,""]'
  local failures, deliveries, kept = string.match(record, '^(%d+) (%d+) %d+ (.*)$')
  if row then deliveries = row[4] end
  local entry = redis.call('XRANGE', stream, id, id)[1]
  local alone = deliveries - failures >= 2  -- it may kill who takes it: no neighbour shall be counted with it
  if alone and #given > 0 then
    if entry then
      redis.call('ZREM', due, id)
      redis.call('XCLAIM', stream, group, me, 0, id, 'FORCE', 'JUSTID')
    end
    return
  end
  if entry then
    redis.call('ZREM', due, id)
    redis.call('XCLAIM', stream, group, me, 0, id, 'FORCE')
  else  -- trimmed: Redis would drop it from the pending ones in silence, so it is lent by the clock
    redis.call('XACK', stream, group, id)
    redis.call('HSET', failed, id, failures .. ' ' .. deliveries + 1 .. ' ' .. now .. ' ' .. kept)
    redis.call('ZADD', due, now + idle, id)
  end
  given[#given + 1] = {id, entry and entry[2] or {}, deliveries - failures, kept}
  if alone then count = 1 end
end

local function take(rows, most)
  local before = #given
  for _, row in ipairs(rows) do
    if #given == count or #given - before == most then break end
    local id = type(row) == 'table' and row[1] or row
    if not held[id] then
      held[id] = true
      give(id)
    end
  end
  return #given - before
end

local sources = {
  function(most) take(redis.call('XPENDING', stream, group, '-', '+', most + holding, me), most) end,
  function(most) take(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, most + holding), most) end,
  function(most)
    for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
      local name, pending, quiet = consumer[2], consumer[4], consumer[6]
      if name ~= me and name ~= waiting and pending == 0 and quiet > 20 * idle then
        redis.call('XGROUP', 'DELCONSUMER', stream, group, name)
      elseif name ~= me and name ~= waiting and most > 0 then
        most = most - take(redis.call('XPENDING', stream, group, 'IDLE', idle, '-', '+', most, name), most)
      end
    end
  end,
  function(most)
    local read = redis.call('XREADGROUP', 'GROUP', group, me, 'COUNT', most, 'STREAMS', stream, '>')
    for _, entry in ipairs(read and read[1][2] or {}) do
      held[entry[1]] = true
      given[#given + 1] = {entry[1], entry[2], 0, '[null,null,""]'}
    end
  end,
}
for step = 0, 7 do  -- each may take half of what is left to the others; then whoever has more takes the rest
  local left = count - #given
  if left <= 0 then break end
  sources[(ARGV[6] + step) % 4 + 1](step < 3 and math.ceil(left / 2) or left)
end

local news
for _, of in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  if of[2] == group then news = of[8] end
end
local next = #given == 0 and redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2] or now + 1000
return {given, news, math.max(0, math.min(1000, next - now))}
