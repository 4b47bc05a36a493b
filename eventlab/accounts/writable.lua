#!lua
-- Check, without writing, that Redis would run a script that writes to this category.
-- Redis rejects a script that does not declare `no-writes` whenever it would reject a write: on a
-- replica, above maxmemory, with too few replicas, or after a disk error.
-- KEYS: 1 category stream, 2 an aggregate log, 3 ids
-- Replies with the command that the user may not run, or with an empty string.
local needed = {
  {'XADD', KEYS[1], '*', 'event', ''},
  {'RPUSH', KEYS[2], ''},
  {'SADD', KEYS[3], ''},
}
for _, command in ipairs(needed) do
  if not redis.acl_check_cmd(unpack(command)) then return command[1] end
end
return ''
