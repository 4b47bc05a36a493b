-- Report that an event failed: it waits for a retry, or is parked.
-- KEYS: 1 category stream, 2 due, 3 failed, 4 parked
-- ARGV: 1 group, 2 the consumer name of waiting events, 3 position, 4 failures to add: 1, or 0 to
--       park an event that was not delivered, 5 failures at which it is parked, 6 pause in ms after
--       the first failure, 7 the record to keep: JSON of id, version, error
-- Returns 1 if it is parked, else 0.
local stream, due, failed, parked = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, waiting, id, added = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local row = redis.call('XPENDING', stream, group, id, id, 1)[1]
-- A repeat: by redis-py after a lost response, or by a consumer that was presumed dead.
local repeated = row and row[2] == waiting
if repeated or not (row or redis.call('ZSCORE', due, id)) then
  return redis.call('HEXISTS', parked, id)
end

local failures, deliveries = string.match(redis.call('HGET', failed, id) or '0 0', '^(%d+) (%d+)')
if row then deliveries = row[4] end
failures = failures + added
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local record = failures .. ' ' .. deliveries - 1 + added .. ' ' .. now .. ' ' .. ARGV[7]
if failures >= tonumber(ARGV[5]) then
  redis.call('XACK', stream, group, id)
  redis.call('ZREM', due, id)
  redis.call('HDEL', failed, id)
  redis.call('HSET', parked, id, record)
  return 1
end
redis.call('XCLAIM', stream, group, waiting, 0, id, 'JUSTID')
redis.call('HSET', failed, id, record)
redis.call('ZADD', due, now + math.floor(ARGV[6] * 2 ^ math.min(failures - 1, 8)), id)
return 0
