-- Report that the work on events continues: they do not count as abandoned.
-- ARGV: 4 ms of silence after which an event counts as abandoned, then the positions: a page of them
-- Returns {how many of them this consumer still holds, of how many}; the others are for another
-- call. Of those without an entry, it holds all that are not finished: Redis does not know whose
-- they are.
local held, looked, bytes = 0, 0, 0
redis.call('XPENDING', stream, group, '-', '+', 1)  -- an error if the group is lost
while looked < #ARGV - 4 and bytes < max_bytes do
  looked = looked + 1
  local id = ARGV[4 + looked]
  local row = redis.call('XPENDING', stream, group, id, id, 1)[1]
  if row and row[2] == me then
    held = held + 1
    -- Redis would drop an event without an entry from the pending list.
    local entry = redis.call('XRANGE', stream, id, id)[1]
    if entry then
      bytes = bytes + #entry[2][2]  -- Redis can only read it whole
      redis.call('XCLAIM', stream, group, me, 0, id, 'JUSTID')
    end
  elseif not row and redis.call('ZSCORE', due, id) then
    held = held + 1
    redis.call('ZADD', due, now_ms() + ARGV[4], id)
  end
end
return {held, looked}
