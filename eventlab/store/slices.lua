-- Record the number of slices of a category, unless a different number is already recorded.
-- KEYS: 1 category stream, which exists only if there is one slice, 2 the number of slices
-- ARGV: 1 number of slices
-- Replies with the number of slices that the category has.
if redis.call('EXISTS', KEYS[1]) == 1 then return '1' end
local made = redis.call('GET', KEYS[2]) or '1'
if ARGV[1] == '1' or made ~= '1' then return made end
redis.call('SET', KEYS[2], ARGV[1])
return ARGV[1]
