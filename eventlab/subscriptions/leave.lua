-- Remove a consumer, unless it holds events: Redis would drop them with it.
-- KEYS: 1 category stream
-- ARGV: 1 group, 2 consumer
-- Returns 1 if it is removed, else 0.
if redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2])[1] then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
