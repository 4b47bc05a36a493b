-- Remove a consumer unless it holds events, because Redis would drop them with it.
-- Returns 1 if the consumer was removed, else 0.
if redis.call('XPENDING', stream, group, '-', '+', 1, me)[1] then return 0 end
redis.call('XGROUP', 'DELCONSUMER', stream, group, me)
return 1
