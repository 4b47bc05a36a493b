-- Finish events, whichever consumer holds them, and whether they wait, failed or are parked.
-- KEYS: 1 category stream, 2 due, 3 failed, 4 parked
-- ARGV: 1 group, then the positions
for at = 2, #ARGV do
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[at])
  redis.call('ZREM', KEYS[2], ARGV[at])
  redis.call('HDEL', KEYS[3], ARGV[at])
  redis.call('HDEL', KEYS[4], ARGV[at])
end
