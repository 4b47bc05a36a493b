-- Discard parked events.
-- ARGV: the positions, from 4 on: a page of them
-- Returns how many were parked.
redis.call('XPENDING', stream, group, '-', '+', 1)  -- an error if the group is lost
if #ARGV == 3 then return 0 end
local denial = denied('discard', {{'HDEL', parked, ''}}) or denied('discard', finishing)
if denial then return denial end
local records = blocked and redis.call('HMGET', parked, unpack(ARGV, 4)) or {}
local discarded = redis.call('HDEL', parked, unpack(ARGV, 4))
for _, record in ipairs(records) do
  if record then
    local event = cjson.decode(string.match(record, '^%d+ %d+ %d+ (.*)$'))
    finish(event[1], event[2])
  end
end
write_lanes()
return discarded
