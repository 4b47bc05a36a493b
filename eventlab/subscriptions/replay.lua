-- Deliver parked events again, with their counts reset.
-- KEYS: 1 category stream, 2 due, 3 failed, 4 parked
-- ARGV: 1 group, 2 the consumer name of waiting events, then the positions: a page of them
-- Returns how many were parked.
local stream, due, failed, parked = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, waiting, replayed = ARGV[1], ARGV[2], 0
redis.call('XPENDING', stream, group, '-', '+', 1)  -- an error if the group is lost
-- Redis checks each right only when its command runs, and the first write cannot be undone.
for _, command in ipairs({
  {'XCLAIM', stream, group, waiting, 0, '0-0'}, {'HSET', failed, '', ''}, {'ZADD', due, 0, ''},
  {'HDEL', parked, ''},
}) do
  if not redis.acl_check_cmd(unpack(command)) then
    return redis.error_reply('NOPERM replay needs the right to run ' .. command[1])
  end
end
for at = 3, #ARGV do
  local id = ARGV[at]
  local record = redis.call('HGET', parked, id)
  if record then
    -- First, because a Redis that is full rejects it, and Lua does not roll back.
    redis.call('HSET', failed, id, '0 0 0 ' .. string.match(record, '^%d+ %d+ %d+ (.*)$'))
    redis.call('ZADD', due, 0, id)
    -- It makes trim wait for the event again, if its entry is still there.
    redis.call('XCLAIM', stream, group, waiting, 0, id, 'RETRYCOUNT', 0, 'FORCE', 'JUSTID')
    redis.call('HDEL', parked, id)
    replayed = replayed + 1
  end
end
return replayed
