-- Deliver events to a consumer: its own unfinished ones, those due for a retry, abandoned ones, new
-- ones.
-- KEYS: 1 category stream, 2 due, 3 failed
-- ARGV: 1 group, 2 consumer, 3 the consumer name of waiting events, 4 the maximum of events, 5 ms
--       of silence after which an event counts as abandoned, 6 the source that is asked first: 0 to
--       3, 7 the time of this consumer's last answer, 8 how many of its own unfinished events to
--       look at, 9 position of the newest event that the consumer knows, 10 how its first
--       field begins, 11 the number of positions that may be abandoned, then these, then the
--       positions that the consumer is working on
-- Returns {{{position, fields or {}, deliveries that got no response, record}, ...}, the time}, or
-- nothing if the stream does not have the event that the consumer knows.
local stream, due, failed, group = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local me, waiting, count, idle = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local answered, first_held = tonumber(ARGV[7]), 12 + ARGV[11]
local max_bytes = 4000000  -- a batch ends with the events that reach them
-- Redis checks each right only when its command runs, and the first write cannot be undone.
for _, command in ipairs({
  {'XACK', stream, group, '0-0'}, {'XCLAIM', stream, group, me, 0, '0-0'}, {'ZREM', due, ''},
  {'ZADD', due, 0, ''}, {'HSET', failed, '', ''},
  {'XREADGROUP', 'GROUP', group, me, 'STREAMS', stream, '>'},
}) do
  if not redis.acl_check_cmd(unpack(command)) then
    return redis.error_reply('NOPERM receive needs the right to run ' .. command[1])
  end
end
-- After a failover, the group is as old as the stream: only the consumer knows what was there.
local newest = redis.call('XRANGE', stream, ARGV[9], ARGV[9])[1] or {'', {'', ''}}
if string.sub(newest[2][2], 1, #ARGV[10]) ~= ARGV[10] then return false end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held, delivered, bytes, own, abandoned = {}, {}, 0, {}, {unpack(ARGV, 12, first_held - 1)}
for at = first_held, #ARGV do held[ARGV[at]] = true end

local function add(id, fields, unanswered, record)
  delivered[#delivered + 1] = {id, fields, unanswered, record}
  for _, text in ipairs(fields) do bytes = bytes + #text end
end

local function deliver(id, from_others)
  local row = redis.call('XPENDING', stream, group, id, id, 1)[1]
  local free = row and row[2] ~= waiting and (row[2] == '' or row[3] >= idle)
  if from_others and not free then return end
  local record = redis.call('HGET', failed, id) or '0 0 0 [null,null,""]'
  local failures, deliveries, kept = string.match(record, '^(%d+) (%d+) %d+ (.*)$')
  if row then deliveries = row[4] end
  local entry = redis.call('XRANGE', stream, id, id)[1]
  -- Delivered after the last answer: its answer was lost, so this is not another delivery.
  local again = row and row[2] == me and now - row[3] > answered
  local unanswered = deliveries - failures - (again and 1 or 0)
  -- It may kill its consumer: then no other event must be counted with it.
  local alone, later = unanswered >= 2, unanswered >= 2 and #delivered > 0
  if entry then
    local since = later and answered - 1 or now  -- before the last answer: not again
    local counted = (again or later) and 'JUSTID' or 'FORCE'  -- with JUSTID, it is not counted
    redis.call('ZREM', due, id)
    redis.call('XCLAIM', stream, group, me, 0, id, 'TIME', since, 'FORCE', counted)
  elseif not later then  -- Redis would drop it silently from the pending list: due by the clock
    redis.call('HSET', failed, id, failures .. ' ' .. deliveries + 1 .. ' ' .. now .. ' ' .. kept)
    redis.call('ZADD', due, now + idle, id)
    redis.call('XACK', stream, group, id)
  end
  if later then return end
  add(id, entry and entry[2] or {}, unanswered, kept)
  if alone then count = 1 end
end

local function take(ids, most, from_others)
  local before = #delivered
  for _, id in ipairs(ids) do
    if #delivered >= count or #delivered - before >= most or bytes >= max_bytes then break end
    if not held[id] then
      held[id] = true
      deliver(id, from_others)
    end
  end
end

local function read_new(most)
  while most > 0 and bytes < max_bytes do
    local asked = math.min(most, 8)  -- Redis holds them in memory, whatever they weigh
    local of = redis.call('XREADGROUP', 'GROUP', group, me, 'COUNT', asked, 'STREAMS', stream, '>')
    local entries = of and of[1][2] or {}
    for _, entry in ipairs(entries) do add(entry[1], entry[2], 0, '[null,null,""]') end
    most = #entries == asked and most - asked or 0
  end
end

-- More than count, because some may be held.
local ready = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, count + #ARGV - 11)
for _, row in ipairs(redis.call('XPENDING', stream, group, '-', '+', ARGV[8], me)) do
  own[#own + 1] = row[1]
  if now - row[3] > answered then take({row[1]}, 1) end  -- of a lost answer
end
-- First, each source but the last leaves half of the rest to the others. Then those that have more
-- events fill it up.
for step = 0, 7 do
  local left, source = count - #delivered, (ARGV[6] + step) % 4 + 1
  if left <= 0 or bytes >= max_bytes then break end
  local most = step < 3 and math.ceil(left / 2) or left
  if source == 4 then read_new(most) end
  take(({own, ready, abandoned})[source] or {}, most, source == 3)
end
return {delivered, now}
