-- Count what a group has not finished. (Redis counts too, but loses count when an entry is deleted.)
-- KEYS: 1 category stream, 2 due, 3 failed, 4 parked
-- ARGV: 1 group, 2 the consumer that stands for waiting, 3 up to how many new ones are counted
-- Answers {new, in work, waiting, parked, 1 if that is exact, else 0}.
local stream, group = KEYS[1], ARGV[1]
local pending = redis.call('XPENDING', stream, group)
local work = pending[1]
for _, of in ipairs(pending[4] or {}) do
  if of[1] == ARGV[2] then work = work - of[2] end
end
local last, known
for _, of in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  if of[2] == group then last, known = of[8], of[12] end
end
local new = #redis.call('XRANGE', stream, '(' .. last, '+', 'COUNT', ARGV[3])
local exact = new < tonumber(ARGV[3])
if not exact then new = known or redis.call('XLEN', stream) end
return {new, work, redis.call('ZCARD', KEYS[2]), redis.call('HLEN', KEYS[4]), exact and 1 or 0}
