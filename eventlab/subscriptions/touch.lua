-- Report that the work on events continues, so that they do not count as abandoned.
-- ARGV: 4 ms of silence after which an event counts as abandoned, then a page of positions
-- Returns {how many of the events this consumer still holds, how many positions the call has
-- handled}; another call must handle the rest. An unfinished event without an entry counts as
-- held, because Redis does not know which consumer has the event.
local held, looked, bytes = 0, 0, 0
redis.call('XPENDING', stream, group, '-', '+', 1)  -- fails if the group is lost
while looked < #ARGV - 4 and bytes < max_bytes do
  looked = looked + 1
  local id = ARGV[4 + looked]
  local row = redis.call('XPENDING', stream, group, id, id, 1)[1]
  if row and row[2] == me then
    held = held + 1
    -- Redis would drop an event without an entry from the pending list.
    local entry = redis.call('XRANGE', stream, id, id)[1]
    if entry then
      bytes = bytes + #entry[2][2]  -- Redis can only read a whole entry
      redis.call('XCLAIM', stream, group, me, 0, id, 'JUSTID')
    end
  elseif not row and redis.call('ZSCORE', due, id) then
    held = held + 1
    redis.call('ZADD', due, now_ms() + ARGV[4], id)
  end
end
return {held, looked}
