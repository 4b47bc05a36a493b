-- Deliver events to a consumer: its own unfinished events, events due for a retry, abandoned
-- events, and new events. This file is included after deliver.lua.
-- ARGV: 4 the maximum number of events, 5 ms of silence after which an event counts as abandoned,
--       6 the source that is asked first (0 to 3), 7 the time of the last reply to this consumer,
--       8 how many of its own unfinished events to check, 9 position of the newest event that the
--       consumer knows, 10 the start of its first field, 11 the number of positions that may be
--       abandoned, then these positions, then those that the consumer is working on
-- Returns {{{position, fields or {}, deliveries without an outcome, record}, ...}, the time, 1 if
-- it read only blocked events, else 0}, or nothing if the stream does not have the newest event
-- that the consumer knows.
local first_held = 12 + ARGV[11]
local denial = denied('receive', {
  {'XACK', stream, group, '0-0'}, {'XCLAIM', stream, group, me, 0, '0-0'}, {'ZREM', due, ''},
  {'ZADD', due, 0, ''}, {'HSET', failed, '', ''},
  {'XREADGROUP', 'GROUP', group, me, 'STREAMS', stream, '>'},
}) or denied('receive', blocked and {{'LLEN', logs}} or {})
if denial then return denial end
-- After a failover, the group is as old as the stream, so only the consumer knows what it received.
local newest = redis.call('XRANGE', stream, ARGV[9], ARGV[9])[1] or {'', {'', ''}}
if string.sub(newest[2][2], 1, #ARGV[10]) ~= ARGV[10] then return false end
if pause_left(now) > 0 then return {{}, now, 0} end
if outages then count = 1 end  -- a probe: the outage may not be over
local held, own, abandoned = {}, {}, {unpack(ARGV, 12, first_held - 1)}
local looked = 0  -- how many new events were read
for at = first_held, #ARGV do held[ARGV[at]] = true end

local function take(ids, most, from_others)
  local before = #delivered
  for _, id in ipairs(ids) do
    if #delivered >= count or #delivered - before >= most or bytes >= max_bytes then break end
    if not held[id] then
      held[id] = true
      deliver(id, from_others)
    end
  end
end

local function read_new(most)
  while most > 0 and bytes < max_bytes and looked < 1000 do
    local asked = math.min(most, 8)  -- only a few, because Redis holds them all
    local of = redis.call('XREADGROUP', 'GROUP', group, me, 'COUNT', asked, 'STREAMS', stream, '>')
    local entries = of and of[1][2] or {}
    for _, entry in ipairs(entries) do
      local kept, id, version = unknown, nil, nil
      if blocked then kept, id, version = identify(entry[2]) end
      if not id or enter(entry[1], id, version) then
        add(entry[1], entry[2], 0, kept)
        most = most - 1
      else
        bytes = bytes + #entry[2][2]
      end
    end
    looked = looked + #entries
    if #entries < asked then return end
  end
end

-- Read more than `count`, because some may be held.
local ready = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, count + #ARGV - 11)
for _, row in ipairs(redis.call('XPENDING', stream, group, '-', '+', ARGV[8], me)) do
  own[#own + 1] = row[1]
  if now - row[3] > answered then take({row[1]}, 1) end  -- its reply was lost
end
-- First, each source except the last takes at most half of the remaining count. Then the sources
-- that have more events fill the batch.
for step = 0, 7 do
  local left, source = count - #delivered, (ARGV[6] + step) % 4 + 1
  if left <= 0 or bytes >= max_bytes then break end
  local most = step < 3 and math.ceil(left / 2) or left
  if source == 4 then read_new(most) end
  take(({own, ready, abandoned})[source] or {}, most, source == 3)
end
write_lanes()
return {delivered, now, looked > 0 and #delivered == 0 and 1 or 0}
