-- Restore some events of a backup, all or none, after the events that already exist.
-- KEYS: 1 category stream, 2 ids, then the aggregate log of each id of this page
-- ARGV: 1 position at which the stream must end, 2 how many entries it must have;
--       then for each event: index of its log among KEYS, id, version, position,
--       text for the stream, meta or '', element of the aggregate log
-- Replies with 'OK', or with {'other', position, entries} or {'version', id, version}.
local stream, ids = KEYS[1], KEYS[2]

local last = '0-0'
if redis.call('EXISTS', stream) == 1 then
  local info = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then last = info[i + 1] end
  end
end
local entries = redis.call('XLEN', stream)
if last ~= ARGV[1] or entries ~= tonumber(ARGV[2]) then return {'other', last, entries} end
local versions = {}
for at = 3, #ARGV, 7 do
  local log, version = KEYS[tonumber(ARGV[at])], tonumber(ARGV[at + 2])
  versions[log] = (versions[log] or redis.call('LLEN', log)) + 1
  if versions[log] ~= version then return {'version', ARGV[at + 1], version} end
end
for _, command in ipairs({'RPUSH', 'SADD'}) do
  if not redis.acl_check_cmd(command, command == 'SADD' and ids or KEYS[3], '') then
    return redis.error_reply('NOPERM a restore needs permission to run XADD, RPUSH and SADD')
  end
end

for at = 3, #ARGV, 7 do
  local log = KEYS[tonumber(ARGV[at])]
  local position, text, meta = ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  if meta == '' then
    redis.call('XADD', stream, position, 'event', text)
  else
    redis.call('XADD', stream, position, 'event', text, 'meta', meta)
  end
  redis.call('RPUSH', log, ARGV[at + 6])
  if ARGV[at + 2] == '1' then redis.call('SADD', ids, ARGV[at + 1]) end
end
return 'OK'
