-- Discard parked events.
-- ARGV: from 4 on, a page of positions
-- Returns {how many events the call has discarded, how many positions it has handled}; another
-- call must handle the rest.
redis.call('XPENDING', stream, group, '-', '+', 1)  -- fails if the group is lost
if #ARGV == 3 then return {0, 0} end
local denial = denied('discard', {{'HDEL', parked, ''}}) or denied('discard', finishing)
if denial then return denial end
local looked = #ARGV - 3
if blocked then
  local events = redis.call('HMGET', parked, unpack(ARGV, 4))
  for at, record in ipairs(events) do
    events[at] = record and cjson.decode(string.match(record, '^%d+ %d+ %d+ (.*)$'))
  end
  looked = finish_some(events)
end
local discarded = redis.call('HDEL', parked, unpack(ARGV, 4, 3 + looked))
write_lanes()
return {discarded, looked}
