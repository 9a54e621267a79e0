-- How much of a suggestion a key takes, as a table.
local here = debug.getinfo(1, 'S').source:match('^@(.*)/[^/]*$')
package.path = here .. '/?.lua;' .. package.path
local driver = require('driver')

local cases = {
  -- text, word, line
  { 'width * height', 'width', 'width * height' },
  { ' * height', ' *', ' * height' },
  { 'größe + 1\nx', 'größe', 'größe + 1' },
  { '\n    return 1\n    pass', '\n    return', '\n    return 1' },
  { '):', '):', '):' },
  { '\n', '\n', '\n' },
  { '  ', '  ', '  ' },
}

driver.run('neovim taking', function()
  local taking = require('loopd.taking')
  for _, case in ipairs(cases) do
    local text, word, line = unpack(case)
    assert(taking.of(text, 'word') == word, vim.inspect({ text, taking.of(text, 'word') }))
    assert(taking.of(text, 'line') == line, vim.inspect({ text, taking.of(text, 'line') }))
    assert(taking.of(text, 'all') == text)
  end
  return #cases .. ' texts'
end)
