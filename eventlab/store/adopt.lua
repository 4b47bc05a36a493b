-- Add rows to one aggregate log, starting at a version. Existing rows must have the same positions.
-- KEYS: 1 aggregate log
-- ARGV: 1 version of the first row; then, for each row, its position and its element
-- Replies with 0, or with the first version whose row is missing or belongs to another event.
local log, first = KEYS[1], tonumber(ARGV[1])

local length = redis.call('LLEN', log)
if length < first - 1 then return first end
for at = 2, #ARGV, 2 do
  local version = first + (at - 2) / 2
  if version <= length then
    local start = '["' .. ARGV[at] .. '",'
    local element = redis.call('LINDEX', log, version - 1)
    if string.sub(element, 1, #start) ~= start then return version end
  end
end
for at = 2, #ARGV, 2 do
  if first + (at - 2) / 2 > length then redis.call('RPUSH', log, ARGV[at + 1]) end
end
return 0
