-- Deliver parked events again, with their counts reset.
-- KEYS: 1 category stream, 2 due, 3 failed, 4 parked
-- ARGV: 1 group, 2 the consumer name of waiting events, then the positions
-- Returns how many were parked.
local replayed = 0
for at = 3, #ARGV do
  local record = redis.call('HGET', KEYS[4], ARGV[at])
  if record then
    -- First, because this command may fail, and Lua does not roll back. It also makes trim wait for
    -- the event again, if its entry is still there.
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[at], 'RETRYCOUNT', 0, 'FORCE', 'JUSTID')
    redis.call('HSET', KEYS[3], ARGV[at], '0 0 0 ' .. string.match(record, '^%d+ %d+ %d+ (.*)$'))
    redis.call('ZADD', KEYS[2], 0, ARGV[at])
    redis.call('HDEL', KEYS[4], ARGV[at])
    replayed = replayed + 1
  end
end
return replayed
