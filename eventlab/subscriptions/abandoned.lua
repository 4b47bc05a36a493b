-- Find events that another consumer has left unfinished, page by page, and remove the consumers
-- that have been silent for long and hold nothing.
-- ARGV: 4 ms of silence after which an event counts as abandoned, 5 where to begin, 6 how many pending events to look at
-- Returns {positions, where to begin the next time: - when all were looked at, the time}.
local idle = tonumber(ARGV[4])
local others = redis.call('XPENDING', stream, group)[1]
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
  local name, pending, quiet = consumer[2], consumer[4], consumer[6]
  if name == me or name == waiting then
    others = others - pending
  elseif pending == 0 and quiet > 20 * idle then
    redis.call('XGROUP', 'DELCONSUMER', stream, group, name)
  end
end

-- If Redis' clock went back, what failed before that would wait for as long as it went back.
local now = now_ms()
for _, id in ipairs(redis.call('ZRANGE', due, 0, 99, 'REV')) do
  local failed_at = string.match(redis.call('HGET', failed, id) or '', '^%d+ %d+ (%d+)')
  if failed_at and tonumber(failed_at) > now + 1000 then redis.call('ZADD', due, now, id) end
end
if others == 0 then return {{}, '-', now} end

local found = {}
-- Not XPENDING … IDLE: where little is idle, it would look at all of them at once.
local rows = redis.call('XPENDING', stream, group, ARGV[5], '+', ARGV[6])
for _, row in ipairs(rows) do
  local id, owner, quiet = row[1], row[2], row[3]
  -- XNACK of Redis 8.8 leaves an event without an owner: it has no name.
  if owner ~= me and owner ~= waiting and (owner == '' or quiet >= idle) then
    found[#found + 1] = id
  end
end
return {found, #rows < tonumber(ARGV[6]) and '-' or '(' .. rows[#rows][1], now}
