-- Count what a group has not finished, without reading an event.
-- KEYS: 1 category stream, 2 due, 3 failed, 4 parked
-- ARGV: 1 group, 2 the consumer name of waiting events
-- Returns {new, or nothing if Redis lost count (an entry was deleted, or the group did not begin at
-- the first event), pending, waiting, parked, the position after which new events come, the
-- number of entries, ms until an event is due, at most 1000}.
local stream, due, group = KEYS[1], KEYS[2], ARGV[1]
local summary = redis.call('XPENDING', stream, group)
local pending = summary[1]
for _, consumer in ipairs(summary[4] or {}) do
  if consumer[1] == ARGV[2] then pending = pending - consumer[2] end
end
local last, new
for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local of = {}
  for at = 1, #info, 2 do of[info[at]] = info[at + 1] end
  if of['name'] == group then
    last = of['last-delivered-id']
    new = of['lag']
  end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local again = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2] or now + 1000
local pause = math.max(0, math.min(1000, again - now))
local parked = redis.call('HLEN', KEYS[4])
return {new, pending, redis.call('ZCARD', due), parked, last, redis.call('XLEN', stream), pause}
