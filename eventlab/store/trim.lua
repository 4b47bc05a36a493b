-- Drop the events before a position from the category stream, unless a group still needs them.
-- KEYS: 1 category stream, 2 the hash that records what was trimmed
-- ARGV: 1 the first position to keep, 2 token of the call
-- Replies with the number of dropped events, or with {'unfinished', group, position}.
local stream, mark, before = KEYS[1], KEYS[2], ARGV[1]

-- If the call is sent again after a lost reply, it gets the same number.
local token, count = unpack(redis.call('HMGET', mark, 'token', 'count'))
if token == ARGV[2] then return tonumber(count) end
if before == '0-0' or redis.call('EXISTS', stream) == 0 then return 0 end
local last = redis.call('XREVRANGE', stream, '(' .. before, '-', 'COUNT', 1)[1]
if not last then return 0 end
for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local of = {}
  for i = 1, #group, 2 do of[group[i]] = group[i + 1] end
  local pending = redis.call('XPENDING', stream, of['name'], '-', '(' .. before, 1)[1]
  local read = '(' .. of['last-delivered-id']
  local unread = redis.call('XRANGE', stream, read, '(' .. before, 'COUNT', 1)[1]
  local needed = pending or unread
  if needed then return {'unfinished', of['name'], needed[1]} end
end
-- Redis checks a permission only when a command needs it, and the first write cannot be undone.
if not (redis.acl_check_cmd('HSET', mark, 'position', '')
  and redis.acl_check_cmd('HINCRBY', mark, 'dropped', 0)) then
  return redis.error_reply('NOPERM a trim needs permission to run XTRIM, HSET and HINCRBY')
end
local dropped = redis.call('XTRIM', stream, 'MINID', before)
redis.call('HSET', mark, 'position', last[1], 'token', ARGV[2], 'count', dropped)
redis.call('HINCRBY', mark, 'dropped', dropped)
return dropped
