-- Count entries of the category stream, up to about 500 entries or about 1 MB.
-- ARGV: 4 the position after which to count
-- Returns {the count, the position of the last entry, 1 if there may be more entries, else 0}.
local counted, last, bytes = 0, ARGV[4], 0
while counted < 500 and bytes < 1000000 do
  -- Read only a few at a time, because Redis holds them all in memory, whatever their size.
  local entries = redis.call('XRANGE', stream, '(' .. last, '+', 'COUNT', 8)
  for _, entry in ipairs(entries) do
    for _, text in ipairs(entry[2]) do bytes = bytes + #text end
    last = entry[1]
  end
  counted = counted + #entries
  if #entries < 8 then return {counted, last, 0} end
end
return {counted, last, 1}
