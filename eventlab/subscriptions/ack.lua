-- Finish events, whichever consumer holds them, even if they are waiting for a retry or parked.
-- ARGV: from 4 on, a page of events: the position of each, then its id and version as JSON
-- Returns {how many events the call has finished, the same number}; another call must finish the
-- rest.
redis.call('XPENDING', stream, group, '-', '+', 1)  -- fails if the group is lost, unlike XACK
if #ARGV == 3 then return {0, 0} end
local denial = denied('ack', finishing)
if denial then return denial end
local positions, events = {}, {}
for at = 4, #ARGV do
  local position = string.match(ARGV[at], '^%S+')
  positions[at - 3] = position
  if blocked then events[at - 3] = cjson.decode(string.sub(ARGV[at], #position + 2)) end
end
local finished = blocked and finish_some(events) or #positions
local commands = {
  {'XACK', stream, group, unpack(positions, 1, finished)},
  {'ZREM', due, unpack(positions, 1, finished)},
  {'HDEL', failed, unpack(positions, 1, finished)},
  {'HDEL', parked, unpack(positions, 1, finished)},
}
-- A finished event ends an outage, unless it was being handled when the pause began.
if outages and pause_left(now_ms()) == 0 then
  commands[#commands + 1] = {'HDEL', state, 'outages', 'since', 'until'}
end
denial = denied('ack', commands)
if denial then return denial end
for _, command in ipairs(commands) do redis.call(unpack(command)) end
write_lanes()
return {finished, finished}
