-- Deliver parked events again, with their counts reset.
-- ARGV: from 4 on, a page of positions
-- Returns {how many events the call has replayed, how many positions it has handled}. Events that
-- must wait for an earlier event of their aggregate are not replayed.
local replayed = 0
redis.call('XPENDING', stream, group, '-', '+', 1)  -- fails if the group is lost
local denial = denied('replay', {
  {'XCLAIM', stream, group, waiting, 0, '0-0'}, {'HSET', failed, '', ''}, {'ZADD', due, 0, ''},
  {'HDEL', parked, ''},
}) or denied('replay', finishing)
if denial then return denial end

-- An event parked before its group was lost may have no lane, or a lane with an earlier event.
local function may_go(kept)
  local id, version = unpack(blocked and cjson.decode(kept) or {})
  if type(id) ~= 'string' then return true end
  local first = lane_of(id)
  if not first then set_lane(id, version, version, 0) end
  return not first or first == version
end

for at = 4, #ARGV do
  local position = ARGV[at]
  local record = redis.call('HGET', parked, position)
  local kept = record and string.match(record, '^%d+ %d+ %d+ (.*)$')
  if kept and may_go(kept) then
    -- This comes first, because a full Redis rejects it, and Lua does not roll back.
    make_due(position, '0 0 0 ' .. kept, 0)
    redis.call('HDEL', parked, position)
    replayed = replayed + 1
  end
end
write_lanes()
return {replayed, #ARGV - 3}
