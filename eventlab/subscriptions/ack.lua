-- Finish events, whichever consumer holds them, and whether they wait, failed or are parked.
-- ARGV: 4 the ids and versions of the events, as JSON, then their positions: a page of them
redis.call('XPENDING', stream, group, '-', '+', 1)  -- XACK accepts a group that is lost
if #ARGV < 5 then return end
local commands = {
  {'XACK', stream, group, unpack(ARGV, 5)}, {'ZREM', due, unpack(ARGV, 5)},
  {'HDEL', failed, unpack(ARGV, 5)}, {'HDEL', parked, unpack(ARGV, 5)},
}
-- A finished event ends an outage, unless it was in work when the pause began.
if outages and pause_left(now_ms()) == 0 then
  commands[#commands + 1] = {'HDEL', state, 'outages', 'since', 'until'}
end
local denial = denied('ack', commands) or denied('ack', finishing)
if denial then return denial end
for _, command in ipairs(commands) do redis.call(unpack(command)) end
for _, event in ipairs(blocked and cjson.decode(ARGV[4]) or {}) do finish(event[1], event[2]) end
write_lanes()
