-- Discard parked events.
-- KEYS: 1 category stream, 2 due, 3 failed, 4 parked
-- ARGV: 1 group, then the positions: a page of them
-- Returns how many were parked.
redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1)  -- an error if the group is lost
if #ARGV == 1 then return 0 end
return redis.call('HDEL', KEYS[4], unpack(ARGV, 2))
