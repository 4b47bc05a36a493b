-- Report that the work on events continues: they do not count as abandoned.
-- ARGV: 4 ms of silence after which an event counts as abandoned, then the positions: a page of them
-- Returns how many of them this consumer still holds; all that have no entry any more, and are not
-- finished: Redis does not know who holds those.
local held = 0
redis.call('XPENDING', stream, group, '-', '+', 1)  -- an error if the group is lost
for at = 5, #ARGV do
  local id = ARGV[at]
  local row = redis.call('XPENDING', stream, group, id, id, 1)[1]
  if row and row[2] == me then
    held = held + 1
    -- Redis would drop an event without an entry from the pending list.
    local entry = redis.call('XRANGE', stream, id, id)[1]
    if entry then redis.call('XCLAIM', stream, group, me, 0, id, 'JUSTID') end
  elseif not row and redis.call('ZSCORE', due, id) then
    held = held + 1
    redis.call('ZADD', due, now_ms() + ARGV[4], id)
  end
end
return held
