-- Report that the work on events goes on: they do not count as abandoned.
-- ARGV: the positions, from 4 on: a page of them
-- Returns how many of them this consumer still holds.
local held = 0
redis.call('XPENDING', stream, group, '-', '+', 1)  -- an error if the group is lost
for at = 4, #ARGV do
  local id = ARGV[at]
  local row = redis.call('XPENDING', stream, group, id, id, 1)[1]
  if row and row[2] == me then
    held = held + 1
    -- Redis would drop an event without an entry from the pending list.
    local entry = redis.call('XRANGE', stream, id, id)[1]
    if entry then redis.call('XCLAIM', stream, group, me, 0, id, 'JUSTID') end
  end
end
return held
