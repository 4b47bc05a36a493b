-- Create the group, unless it exists, and record whether the subscription is ordered.
-- ARGV: 4 the position after which the group begins, 5 '1' for an ordered subscription, else '0'
-- Returns {1 if the group is new, else 0; 0 if the subscription cannot become ordered, else 1}.
local orders = ARGV[5] == '1'
-- What remains of a lost group would block events of the new group, and the due events would be
-- delivered out of order.
local left = {lanes, state}
if orders then left = {lanes, state, due, failed} end
local remains = redis.call('EXISTS', unpack(left)) > 0
local denial = denied('a subscription', {{'XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM'}})
  or denied('a subscription', orders and {{'HSET', state, '', ''}} or {})
  or denied('a subscription', remains and {{'UNLINK', lanes}} or {})
if denial then return denial end

local created = redis.pcall('XGROUP', 'CREATE', stream, group, ARGV[4], 'MKSTREAM')
if not created.err then
  if remains then redis.call('UNLINK', unpack(left)) end
  if orders then redis.call('HSET', state, 'blocked', 0) end
  return {1, 1}
end
if string.sub(created.err, 1, 9) ~= 'BUSYGROUP' then return created end
if blocked or not orders then return {0, 1} end
local unfinished = redis.call('XPENDING', stream, group)[1] + redis.call('ZCARD', due)
if unfinished + redis.call('HLEN', parked) > 0 then return {0, 0} end
redis.call('HSET', state, 'blocked', 0)
return {0, 1}
