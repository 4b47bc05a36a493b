-- What the scripts of a subscription share: this text is put in front of each of them.
-- KEYS: 1 category stream, 2 due, 3 failed, 4 parked, 5 lanes, 6 state, 7 how the keys of the
--       aggregate logs begin
-- ARGV: 1 group, 2 consumer, 3 the consumer name of waiting events, then those of the script
--
-- In an ordered subscription, an aggregate with an unfinished event has a lane: 'VERSION LAST', the
-- version of that event, and that of the last event read from the stream. The events in between,
-- and LAST, are blocked: acknowledged to Redis, and delivered from the aggregate log in their turn.
-- state: blocked, how many there are, only if the subscription is ordered; outages, how many
-- in succession; since and until, the time of the pause after the last of them, in ms.
local stream, due, failed, parked, lanes, state, logs = unpack(KEYS)
local group, me, waiting = ARGV[1], ARGV[2], ARGV[3]
local fields = redis.call('HMGET', state, 'blocked', 'outages', 'since', 'until')
local blocked, outages = fields[1], fields[2]
local since, paused_until = tonumber(fields[3]), tonumber(fields[4])
local unknown = '[null,null,""]'  -- the identity of an event, where it is not needed

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Return how long the pause after an outage lasts, in ms: 0 if there is none, or if it began in the
-- future, because Redis' clock went back.
local function pause_left(now)
  return outages and since <= now + 1000 and math.max(0, paused_until - now) or 0
end

-- Redis checks each right only when its command runs, and the first write cannot be undone.
local function denied(what, commands)
  for _, command in ipairs(commands) do
    if not redis.acl_check_cmd(unpack(command)) then
      return redis.error_reply('NOPERM ' .. what .. ' needs the right to run ' .. command[1])
    end
  end
end

-- Make an event due; it makes trim wait for it too, if its entry is still there.
local function make_due(position, record, time)
  redis.call('HSET', failed, position, record)
  redis.call('ZADD', due, time, position)
  redis.call('XCLAIM', stream, group, waiting, 0, position, 'RETRYCOUNT', 0, 'FORCE', 'JUSTID')
end

-- Return the identity of an entry as JSON, its id and its version, if the subscription is ordered
-- and the aggregate log has that version: another program's entries have no lane.
local function identify(entry)
  if not blocked or entry[1] ~= 'event' then return unknown end
  local id, version = string.match(entry[2], '^{"id":("[^"]*"),"version":(%d+),')
  local short = id and '{"id":' .. id .. ',"version":' .. version .. '}'
  local read, event = pcall(cjson.decode, short or entry[2])
  if not read and short then read, event = pcall(cjson.decode, entry[2]) end  -- \" in the id
  if not read or type(event) ~= 'table' then return unknown end
  id, version = event.id, event.version
  if type(id) ~= 'string' or type(version) ~= 'number' then return unknown end
  local known = version >= 1 and version % 1 == 0 and version <= redis.call('LLEN', logs .. id)
  if not known then return unknown end
  return '[' .. cjson.encode(id) .. string.format(',%d,""]', version), id, version
end

local function lane_of(id)
  local version, last = string.match(redis.call('HGET', lanes, id) or '', '^(%d+) (%d+)$')
  return tonumber(version), tonumber(last)
end

local function set_lane(id, version, last, newly_blocked)
  redis.call('HSET', lanes, id, string.format('%d %d', version, last))
  blocked = blocked + newly_blocked
  redis.call('HSET', state, 'blocked', blocked)
end

-- Give an event its lane, and return true if it may be delivered; otherwise it is blocked.
local function enter(position, id, version)
  local first, last = lane_of(id)
  if not first then
    set_lane(id, version, version, 0)
    return true
  end
  if version > last then set_lane(id, first, version, version - last) end
  redis.call('XACK', stream, group, position)
  return false
end

-- An event is finished: the next one of its aggregate is due.
local function finish(id, version)
  if type(id) ~= 'string' then return end
  local first, last = lane_of(id)
  if first ~= version then return end  -- a repeat
  -- Element n of the log, counted from 0, is version n + 1.
  local element = version < last and redis.call('LINDEX', logs .. id, version) or ''
  local position = string.match(element, '^%["(%d+%-%d+)"')
  if not position then  -- the last one; or the log is gone, and with it what was blocked
    set_lane(id, version, version, version - last)
    redis.call('HDEL', lanes, id)
    return
  end
  set_lane(id, version + 1, last, -1)
  local identity = '[' .. cjson.encode(id) .. string.format(',%d,""]', version + 1)
  make_due(position, '0 0 0 ' .. identity, now_ms())
end

-- What finish needs.
local finishing = blocked and {
  {'HSET', lanes, '', ''}, {'HDEL', lanes, ''}, {'HSET', state, '', ''}, {'LINDEX', logs, 0},
  {'HSET', failed, '', ''}, {'ZADD', due, 0, ''}, {'XCLAIM', stream, group, waiting, 0, '0-0'},
} or {}
