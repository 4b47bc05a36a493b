-- Finish events, whichever consumer holds them, and whether they wait, failed or are parked.
-- ARGV: 4 the ids and versions of the events, as JSON, then their positions: a page of them
-- Returns how many of them it has finished; the others are for another call.
redis.call('XPENDING', stream, group, '-', '+', 1)  -- XACK accepts a group that is lost
if #ARGV < 5 then return 0 end
local denial = denied('ack', finishing)
if denial then return denial end
local finished = blocked and finish_some(cjson.decode(ARGV[4])) or #ARGV - 4
local last = 4 + finished
local commands = {
  {'XACK', stream, group, unpack(ARGV, 5, last)}, {'ZREM', due, unpack(ARGV, 5, last)},
  {'HDEL', failed, unpack(ARGV, 5, last)}, {'HDEL', parked, unpack(ARGV, 5, last)},
}
-- A finished event ends an outage, unless it was in work when the pause began.
if outages and pause_left(now_ms()) == 0 then
  commands[#commands + 1] = {'HDEL', state, 'outages', 'since', 'until'}
end
denial = denied('ack', commands)
if denial then return denial end
for _, command in ipairs(commands) do redis.call(unpack(command)) end
write_lanes()
return finished
