-- Count the unfinished events of a group, without reading any event.
-- Returns {new, or nothing if Redis lost count (an entry was deleted, or the group did not begin at
-- the first event), pending, waiting, parked, the position after which new events begin, the
-- number of entries, ms until an event is due (at most 1000), blocked, ms until a pause ends}.
local summary = redis.call('XPENDING', stream, group)
local pending = summary[1]
for _, consumer in ipairs(summary[4] or {}) do
  if consumer[1] == waiting then pending = pending - consumer[2] end
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
local now = now_ms()
local again = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2] or now + 1000
local pause = math.max(0, math.min(1000, again - now))
return {
  new, pending, redis.call('ZCARD', due), redis.call('HLEN', parked), last,
  redis.call('XLEN', stream), pause, tonumber(blocked or 0), pause_left(now),
}
