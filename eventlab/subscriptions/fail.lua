-- Report that an event failed: it waits for a retry, or is parked.
-- KEYS: 1 category stream, 2 due, 3 failed, 4 parked
-- ARGV: 1 group, 2 consumer, 3 the consumer name of waiting events, 4 position, 5 failures to add:
--       1, or 0 to park an event that was not delivered, 6 failures at which it is parked, 7 pause
--       in ms after the first failure, 8 the record to keep: JSON of id, version, error
-- Returns 1 if it is parked, else 0.
local stream, due, failed, parked = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, me, waiting, id, added = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])

local row = redis.call('XPENDING', stream, group, id, id, 1)[1]
-- A repeat by redis-py after a lost response (it waits already), or a consumer that was presumed
-- dead: another one has the event now.
local repeated = row and row[2] ~= me
if repeated or not (row or redis.call('ZSCORE', due, id)) then
  return redis.call('HEXISTS', parked, id)
end

local failures, deliveries = string.match(redis.call('HGET', failed, id) or '0 0', '^(%d+) (%d+)')
if row then deliveries = row[4] end
failures = failures + added
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local record = failures .. ' ' .. deliveries - 1 + added .. ' ' .. now .. ' ' .. ARGV[8]
local again = now + math.floor(ARGV[7] * 2 ^ math.min(failures - 1, 8))
-- What keeps the event comes before what lets go of it.
local commands = {
  {'HSET', failed, id, record}, {'ZADD', due, again, id},
  {'XCLAIM', stream, group, waiting, 0, id, 'JUSTID'},
}
if failures >= tonumber(ARGV[6]) then
  commands = {
    {'HSET', parked, id, record}, {'XACK', stream, group, id}, {'ZREM', due, id},
    {'HDEL', failed, id},
  }
end
-- Redis checks each right only when its command runs, and the first write cannot be undone.
for _, command in ipairs(commands) do
  if not redis.acl_check_cmd(unpack(command)) then
    return redis.error_reply('NOPERM fail needs the right to run ' .. command[1])
  end
end
for _, command in ipairs(commands) do redis.call(unpack(command)) end
return failures >= tonumber(ARGV[6]) and 1 or 0
