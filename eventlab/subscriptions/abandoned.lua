-- Find events that other consumers have abandoned, one page per call, and remove the consumers
-- that have been silent for a long time and hold no events.
-- ARGV: 4 ms of silence after which an event counts as abandoned, 5 where the page begins, 6 how
--       many pending events to check
-- Returns {positions, where the next page begins ('-' after the last page), the time}.
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

-- Otherwise, if Redis' clock was set back by an hour, failed events would wait an hour longer.
local now = now_ms()
for _, id in ipairs(redis.call('ZRANGE', due, 0, 99, 'REV')) do
  local failed_at = string.match(redis.call('HGET', failed, id) or '', '^%d+ %d+ (%d+)')
  if failed_at and tonumber(failed_at) > now + 1000 then redis.call('ZADD', due, now, id) end
end
if others == 0 then return {{}, '-', now} end

local found = {}
-- XPENDING … IDLE is not used, because it would scan all pending events at once if few are idle.
local rows = redis.call('XPENDING', stream, group, ARGV[5], '+', ARGV[6])
for _, row in ipairs(rows) do
  local id, owner, quiet = row[1], row[2], row[3]
  -- XNACK (Redis 8.8) leaves an event without an owner: the owner's name is then empty.
  if owner ~= me and owner ~= waiting and (owner == '' or quiet >= idle) then
    found[#found + 1] = id
  end
end
return {found, #rows < tonumber(ARGV[6]) and '-' or '(' .. rows[#rows][1], now}
