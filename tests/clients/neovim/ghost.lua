-- A typing user with editors/neovim, in any Neovim: sees ghost text, types through it, takes a word, a line, all of it,
-- takes it back, has a function implemented and a module generated.
local here = debug.getinfo(1, 'S').source:match('^@(.*)/[^/]*$')
package.path = here .. '/?.lua;' .. package.path
local driver = require('driver')
local keys, wait_for, lines = driver.keys, driver.wait_for, driver.lines

local numbers = vim.version()
local version = ('%d.%d.%d'):format(numbers.major, numbers.minor, numbers.patch)
local name = 'neovim ' .. version .. ' with editors/neovim'

local function saw(feature)
  local row = numbers.minor >= 12 and 'neovim-0.12' or 'neovim-0.7'
  driver.record(row, version, feature)
end

-- The grey text, wherever it is drawn; "" where there is none.
local function ghost()
  local text = {}
  for space, id in pairs(vim.api.nvim_get_namespaces()) do
    if space == 'loopd' or space == 'nvim.lsp.inline_completion' then
      for _, mark in ipairs(vim.api.nvim_buf_get_extmarks(0, id, 0, -1, { details = true })) do
        local rows = { mark[4].virt_text or {}, unpack(mark[4].virt_lines or {}) }
        for _, row in ipairs(rows) do
          local pieces = {}
          for _, piece in ipairs(row) do
            -- Text that is there already, and the number of a suggestion among several.
            if piece[2] ~= 'Normal' and piece[2] ~= 'ComplHintMore' then pieces[#pieces + 1] = piece[1] end
          end
          text[#text + 1] = table.concat(pieces)
        end
      end
    end
  end
  return table.concat(text, '\n')
end

local function wait_for_ghost(what, condition)
  local seen
  wait_for(what, function()
    seen = ghost()
    return seen ~= '' and (not condition or condition(seen))
  end)
  return seen
end

local function text()
  return table.concat(lines(), '\n')
end

-- Another suggestion, and on until the first comes back; whether there is another is the model's business, so that there
-- are several places to look for one.
local function cycle()
  local first, second
  for _, code in ipairs({ 'def double(side): return ', 'def half(width): return ', 'for number in ' }) do
    keys('<Esc>Go<Esc>0C' .. code)
    first = wait_for_ghost('ghost text behind ' .. code)
    keys('<M-]>')
    local polls = 0
    wait_for('another suggestion, or none', function()
      polls = polls + 1
      second = ghost()
      return (second ~= first and second ~= '') or polls > 150
    end)
    if second ~= first then break end
  end
  assert(second ~= first, 'no place has a second suggestion')
  local around = { first, second }
  repeat
    keys('<M-]>')
    around[#around + 1] = wait_for_ghost('the next suggestion', function(seen) return seen ~= around[#around] end)
  until around[#around] == second or around[#around] == first or #around > 6
  assert(#around <= 6, 'not around: ' .. vim.inspect(around))
  local before, last = text(), around[#around]
  keys('<Tab>')
  wait_for('the chosen one in the text', function() return text() == before .. last end)
  saw('cycle')
end

local function user()
  vim.o.autoindent, vim.o.showmode = true, false
  require('loopd').setup({ cmd = { vim.env.LOOPD_BINARY }, settings = { depth = { module = { 1, 2 } }, context = { tokens = 512 } } })
  vim.bo.filetype = 'python'
  local loopd = require('loopd')
  wait_for('a model', function() return loopd.state.state == 'ready' or loopd.state.state == 'error' end)
  assert(loopd.state.state == 'ready', loopd.state.message)
  assert(loopd.status():match('^loopd: %S+ · cpu$'), loopd.status())
  saw('status')

  -- Ghost text behind what was typed; the beginning of it is typed, and the rest stays.
  local before = text()
  keys('GA')
  local first = wait_for_ghost('ghost text')
  saw('ghost')
  keys(first:sub(1, 1))
  local rest = wait_for_ghost('the rest of it', function(seen) return seen == first:sub(2) end)
  saw('type-through')

  -- All of it is taken, and one undo takes it back, but not the key that was typed before.
  keys('<Tab>')
  wait_for('the suggestion in the text', function() return text() == before .. first:sub(1, 1) .. rest end)
  saw('accept')
  keys('<Esc>u')
  wait_for('the undo', function() return text() ~= before .. first:sub(1, 1) .. rest end)
  assert(text() == before .. first:sub(1, 1), 'undone to ' .. text())
  saw('undo')
  keys('A')

  -- A word of it, then the line.
  wait_for_ghost('ghost text again')
  keys('<M-Right>')
  wait_for('a word', function() return text() ~= before .. first:sub(1, 1) end)
  local word = text():sub(#before + 2)
  assert(word ~= '' and #word < #rest and rest:sub(1, #word) == word, 'a word of ' .. rest .. ' is ' .. word)
  wait_for_ghost('what is left')
  keys('<M-Down>')
  wait_for('the line', function() return text() == before .. first:sub(1, 1) .. rest:match('^[^\n]*') end)
  saw('partial')
  driver.check_clean()

  -- Text behind the cursor is not said twice, and characters beyond the basic plane shift nothing.
  keys('<Esc>o<Esc>0Cfor side in (1, 2): print("😀", perimeter(si))<Left><Left>')
  wait_for_ghost('ghost text inside of a line')
  keys('<Tab>')
  local inside = '^for side in %(1, 2%): print%("😀", perimeter%(si%w+[^()]*%)%)'
  wait_for('the name inside of the line', function() return lines()[#lines()]:find(inside) ~= nil end)
  driver.check_clean()
  keys('<Esc>')
  wait_for('normal mode', function() return vim.fn.mode() == 'n' end)

  cycle()

  -- Why it was what it was.
  vim.cmd('LoopdExplain')
  local floating
  wait_for('the explanation', function()
    for _, window in ipairs(vim.api.nvim_list_wins()) do
      if vim.api.nvim_win_get_config(window).relative ~= '' then floating = window end
    end
    return floating
  end)
  local page = table.concat(vim.api.nvim_buf_get_lines(vim.api.nvim_win_get_buf(floating), 0, -1, false), '\n')
  assert(page:find('draft') or page:find('loops'), page)
  vim.api.nvim_win_close(floating, true)
  saw('explain')

  -- A function without a body is implemented by the editor's own menu of code actions.
  vim.api.nvim_buf_set_lines(0, 1, 1, false, { '', '', 'def square(side):', '    """Return the area of a square."""', '    pass' })
  vim.api.nvim_win_set_cursor(0, { 4, 4 })
  vim.ui.select = function(items, _, choose)
    for _, item in ipairs(items) do
      local action = item.action or item[2]
      if action.title:match('^Implement square') then return choose(item) end
    end
    driver.finish('FAIL ' .. name .. ': not offered: ' .. vim.inspect(items))
  end
  local below = lines()[#lines()]
  vim.lsp.buf.code_action()
  wait_for('the function to be implemented', function() return not vim.tbl_contains(lines(), '    pass') end, 40)
  local body = lines()[6]
  assert(body:find('^    %S'), 'implemented: ' .. vim.inspect(lines()))
  assert(lines()[5] == '    """Return the area of a square."""' and lines()[#lines()] == below, 'changed around it')
  driver.check_clean()
  saw('actions')

  -- A module: listed, confirmed, on disk. Which way Neovim is asked, by the server or by editors/neovim, depends on its age.
  local asked
  vim.fn.confirm = function(question)
    asked = question
    return 1
  end
  vim.fn.inputlist = function(options)
    asked = options[1]
    return 1
  end
  vim.ui.select = function(items, choices, choose)
    asked = choices.prompt
    choose(items[1])
  end
  vim.cmd('LoopdModule word_count python Counts the words of a text.')
  local made = { 'README.md', '__init__.py', 'test_word_count.py', 'word_count.py' }
  wait_for('the module', function()
    for _, file in ipairs(made) do
      if vim.fn.getfsize('word_count/' .. file) <= 0 then return false end
    end
    return true
  end, 60)
  for _, file in ipairs(made) do assert(asked:find(file, 1, true), file .. ' was not listed: ' .. asked) end
  assert(#vim.fn.readdir('word_count') == #made)
  saw('module')

  local client = loopd.client()
  vim.lsp.stop_client(client.id)
  wait_for('the server to end', function() return vim.lsp.client_is_stopped(client.id) end)
  return vim.inspect(first) .. ' / ' .. word .. ' / ' .. body
end

driver.run(name, user)
