-- Count what a group has not finished. (Redis counts too, but loses count when an entry is
-- deleted.)
-- KEYS: 1 category stream, 2 due, 3 failed, 4 parked
-- ARGV: 1 group, 2 the consumer name of waiting events, 3 the limit to which new events are counted
-- Returns {new, pending, waiting, parked, 1 if that is exact, else 0}.
local stream, group = KEYS[1], ARGV[1]
local summary = redis.call('XPENDING', stream, group)
local pending = summary[1]
for _, consumer in ipairs(summary[4] or {}) do
  if consumer[1] == ARGV[2] then pending = pending - consumer[2] end
end
local last, known
for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  if info[2] == group then last, known = info[8], info[12] end
end
local new = #redis.call('XRANGE', stream, '(' .. last, '+', 'COUNT', ARGV[3])
local exact = new < tonumber(ARGV[3])
if not exact then new = known or redis.call('XLEN', stream) end
return {new, pending, redis.call('ZCARD', KEYS[2]), redis.call('HLEN', KEYS[4]), exact and 1 or 0}
