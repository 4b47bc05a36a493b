-- Count entries of the category stream: about 500 of them, or about a megabyte.
-- ARGV: 4 the position after which to count
-- Returns {how many there are, the last of them, 1 if there may be more, else 0}.
local counted, last, bytes = 0, ARGV[4], 0
while counted < 500 and bytes < 1000000 do
  -- Only a few at a time, because Redis holds them all in memory, whatever their size.
  local entries = redis.call('XRANGE', stream, '(' .. last, '+', 'COUNT', 8)
  for _, entry in ipairs(entries) do
    for _, text in ipairs(entry[2]) do bytes = bytes + #text end
    last = entry[1]
  end
  counted = counted + #entries
  if #entries < 8 then return {counted, last, 0} end
end
return {counted, last, 1}
