-- Functions that keep the events of an aggregate in order. This file is included after shared.lua.
--
-- In an ordered subscription, an aggregate with an unfinished event has a lane, 'VERSION LAST': the
-- version of that event, and the version of the last event read from the stream. The events after
-- VERSION, up to LAST, are blocked. They are already acknowledged to Redis, and each is delivered
-- from the aggregate log when its turn comes.

-- Return the identity of an entry as JSON, its id and its version. Return only `unknown` if the
-- subscription is not ordered, or if the aggregate log does not have that version: another
-- program's entries have no lane.
local function identify(entry)
  if not blocked or entry[1] ~= 'event' then return unknown end  -- without order, it is not needed
  -- The beginning is enough unless the id contains a quote or another program wrote the entry.
  local id, version = string.match(entry[2], '^{"id":("[^"]*"),"version":(%d+),')
  local short = id and '{"id":' .. id .. ',"version":' .. version .. '}'
  local read, event = pcall(cjson.decode, short or entry[2])
  if not read or type(event) ~= 'table' then return unknown end
  id, version = event.id, event.version
  if type(id) ~= 'string' or type(version) ~= 'number' then return unknown end
  local logged = version >= 1 and version % 1 == 0 and version <= redis.call('LLEN', logs .. id)
  if not logged then return unknown end
  return '[' .. cjson.encode(id) .. string.format(',%d,""]', version), id, version
end

-- Lanes are changed in memory, because a script may change a lane often. write_lanes writes each
-- changed lane once.
local known, changed, passed, released = {}, {}, {}, {}
local bytes_read = 0  -- by finish: Redis reads the whole element of a list

local function lane_of(id)
  if not known[id] then
    local first, last = string.match(redis.call('HGET', lanes, id) or '', '^(%d+) (%d+)$')
    known[id] = {tonumber(first), tonumber(last)}
  end
  return unpack(known[id])
end

local function set_lane(id, first, last, newly_blocked)
  known[id], changed[id] = {first, last}, true
  blocked = blocked + newly_blocked
end

local function write_lanes()
  if next(changed) then redis.call('HSET', state, 'blocked', blocked) end
  for id in pairs(changed) do
    local first, last = unpack(known[id])
    if first then
      redis.call('HSET', lanes, id, string.format('%d %d', first, last))
    else
      redis.call('HDEL', lanes, id)
    end
  end
  if #passed > 0 then redis.call('XACK', stream, group, unpack(passed)) end
  for _, each in ipairs(released) do make_due(each[1], each[2], now_ms()) end
end

-- Put an event into its lane. Return true if it may be delivered; otherwise, it is blocked.
local function enter(position, id, version)
  local first, last = lane_of(id)
  if first then
    if version > last then set_lane(id, first, version, version - last) end
    passed[#passed + 1] = position
    return false
  end
  set_lane(id, version, version, 0)
  return true
end

-- Finish an event, and make the next event of its aggregate due.
local function finish(id, version)
  if type(id) ~= 'string' then return end
  local first, last = lane_of(id)
  if first ~= version then return end  -- a repeat
  -- Element n of the log, counted from 0, is version n + 1.
  local element = version < last and redis.call('LINDEX', logs .. id, version) or ''
  bytes_read = bytes_read + #element
  local position = string.match(element, '^%["(%d+%-%d+)"')
  if not position then  -- it was the last one, or the log is gone, and the blocked events with it
    set_lane(id, nil, nil, version - last)
    return
  end
  set_lane(id, version + 1, last, -1)
  local identity = '[' .. cjson.encode(id) .. string.format(',%d,""]', version + 1)
  released[#released + 1] = {position, '0 0 0 ' .. identity}
end

-- Finish events in memory until the elements that were read exceed max_bytes; return how many.
-- Each event is an id and a version, or false.
local function finish_some(events)
  for at, event in ipairs(events) do
    if event then finish(event[1], event[2]) end
    if bytes_read >= max_bytes then return at end
  end
  return #events
end

-- The commands that finishing an event needs, for the check of permissions.
local finishing = blocked and {
  {'HSET', lanes, '', ''}, {'HDEL', lanes, ''}, {'HSET', state, '', ''}, {'LINDEX', logs, 0},
  {'HSET', failed, '', ''}, {'ZADD', due, 0, ''}, {'XCLAIM', stream, group, waiting, 0, '0-0'},
} or {}
