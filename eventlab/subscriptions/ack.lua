-- Finish events, whichever consumer holds them, and whether they wait, failed or are parked.
-- KEYS: 1 category stream, 2 due, 3 failed, 4 parked
-- ARGV: 1 group, then the positions: a page of them
local stream, due, failed, parked, group = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1]
redis.call('XPENDING', stream, group, '-', '+', 1)  -- XACK accepts a group that is lost
if #ARGV == 1 then return end
local commands = {
  {'XACK', stream, group, unpack(ARGV, 2)}, {'ZREM', due, unpack(ARGV, 2)},
  {'HDEL', failed, unpack(ARGV, 2)}, {'HDEL', parked, unpack(ARGV, 2)},
}
-- Redis checks each right only when its command runs, and the first write cannot be undone.
for _, command in ipairs(commands) do
  if not redis.acl_check_cmd(unpack(command)) then
    return redis.error_reply('NOPERM ack needs the right to run ' .. command[1])
  end
end
for _, command in ipairs(commands) do redis.call(unpack(command)) end
