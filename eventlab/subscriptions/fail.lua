-- Report that an event failed. It then waits for a retry, or is parked.
-- ARGV: 4 position, 5 what happened: failed, parked (park it now), outage, returned (not handled),
--       6 the number of failures at which the event is parked, 7 the pause in ms after the first
--       failure, 8 the record to keep: JSON of id, version, error
-- Returns 1 if the event was parked, else 0.
local id, what, pause = ARGV[4], ARGV[5], tonumber(ARGV[7])
local added = what == 'failed' and 1 or 0

local row = redis.call('XPENDING', stream, group, id, id, 1)[1]
-- Either redis-py has repeated the call after a lost reply, and the event is already waiting, or
-- this consumer was presumed dead, and another one now has the event.
local repeated = row and row[2] ~= me
if repeated or not (row or redis.call('ZSCORE', due, id)) then
  return redis.call('HEXISTS', parked, id)
end

local failures, deliveries = string.match(redis.call('HGET', failed, id) or '0 0', '^(%d+) (%d+)')
if row then deliveries = row[4] end
failures = failures + added
deliveries = deliveries - 1 + added  -- without a failure, the delivery does not count
local now = now_ms()
local record = failures .. ' ' .. deliveries .. ' ' .. now .. ' ' .. ARGV[8]
local again = now  -- after an outage, nothing is delivered during the pause
if what == 'failed' then again = now + math.floor(pause * 2 ^ math.min(failures - 1, 8)) end
-- The commands that keep the event come before those that release it.
local commands = {
  {'HSET', failed, id, record}, {'ZADD', due, again, id},
  {'XCLAIM', stream, group, waiting, 0, id, 'RETRYCOUNT', deliveries, 'JUSTID'},
}
local parks = what == 'parked' or added == 1 and failures >= tonumber(ARGV[6])
if parks then
  commands = {
    {'HSET', parked, id, record}, {'XACK', stream, group, id}, {'ZREM', due, id},
    {'HDEL', failed, id},
  }
elseif what == 'outage' and pause_left(now) == 0 then  -- during a pause, it is the same outage
  local pauses_before = tonumber(outages or 0)
  local over = now + math.floor(pause * 2 ^ math.min(pauses_before, 6))
  commands[4] = {'HSET', state, 'outages', pauses_before + 1, 'since', now, 'until', over}
end
local denial = denied('fail', commands)
if denial then return denial end
for _, command in ipairs(commands) do redis.call(unpack(command)) end
return parks and 1 or 0
