-- The code that all scripts of a subscription share. It is put in front of each script.
-- KEYS: 1 category stream, 2 due, 3 failed, 4 parked, 5 lanes, 6 state, 7 the prefix of the keys of
--       the aggregate logs
-- ARGV: 1 group, 2 consumer, 3 the consumer name of waiting events, then those of the script
--
-- lanes.lua explains lanes. state has up to four fields: blocked, the number of blocked events, if
-- the subscription is ordered; outages, the number of outages in a row; since and until, the times
-- in ms when the pause after the last outage begins and ends.
local stream, due, failed, parked, lanes, state, logs = unpack(KEYS)
local group, me, waiting = ARGV[1], ARGV[2], ARGV[3]
local fields = redis.call('HMGET', state, 'blocked', 'outages', 'since', 'until')
local blocked, outages = fields[1], fields[2]
local since, paused_until = tonumber(fields[3]), tonumber(fields[4])
local unknown = '[null,null,""]'  -- the identity of an event if it is unknown or not needed
local max_bytes = 4000000  -- a script stops when its events reach this size

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Return the remaining time of the pause after an outage, in ms. It is 0 if there is no pause, or
-- if the pause began in the future, because Redis' clock was set back.
local function pause_left(now)
  return outages and since <= now + 1000 and math.max(0, paused_until - now) or 0
end

-- Return an error if the user lacks permission for one of the commands. Redis itself checks a
-- permission only when a command runs, and then an earlier write cannot be undone.
local function denied(what, commands)
  for _, command in ipairs(commands) do
    if not redis.acl_check_cmd(unpack(command)) then
      return redis.error_reply('NOPERM ' .. what .. ' needs permission to run ' .. command[1])
    end
  end
end

-- Make an event due. If its entry still exists, no trim goes past the event.
local function make_due(position, record, time)
  redis.call('HSET', failed, position, record)
  redis.call('ZADD', due, time, position)
  redis.call('XCLAIM', stream, group, waiting, 0, position, 'RETRYCOUNT', 0, 'FORCE', 'JUSTID')
end
