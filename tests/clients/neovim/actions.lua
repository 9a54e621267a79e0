-- Every code action of tests/clients/actions.json, chosen from Neovim's own menu, and one that is cancelled on its way.
local here = debug.getinfo(1, 'S').source:match('^@(.*)/[^/]*$')
package.path = here .. '/?.lua;' .. package.path
local driver = require('driver')
local keys, wait_for = driver.keys, driver.wait_for

local numbers = vim.version()
local version = ('%d.%d.%d'):format(numbers.major, numbers.minor, numbers.patch)
local name = 'neovim ' .. version .. ' actions'
local rows = vim.fn.json_decode(table.concat(vim.fn.readfile(here .. '/../actions.json'), '\n'))

local said = {} -- what the server shows the user
local progress = {} -- values of $/progress
local wanted -- title of the action that the user chooses

local function text()
  return table.concat(driver.lines(), '\n')
end

local function position(at)
  return { at[1] + 1, at[2] }
end

local other_tool = vim.api.nvim_create_namespace('another tool')

-- Opens the menu as the user's way of asking is in this version.
local function open_menu(row)
  if row.diagnostic then
    local start, stop = row.diagnostic.start, row.diagnostic['end']
    local one = { lnum = start[1], col = start[2], end_lnum = stop[1], end_col = stop[2], message = row.diagnostic.message, severity = 1 }
    vim.diagnostic.set(other_tool, 0, { one }, { virtual_text = false })
    return vim.cmd('LoopdActions')
  end
  local range = row['end'] and { start = position(row.start), ['end'] = position(row['end']) }
  if not range then return vim.lsp.buf.code_action() end
  if vim.fn.has('nvim-0.8') == 1 then return vim.lsp.buf.code_action({ range = range }) end
  vim.lsp.buf.range_code_action(nil, range.start, range['end'])
end

local function choose(row)
  vim.diagnostic.reset(other_tool, 0)
  vim.api.nvim_buf_set_lines(0, 0, -1, false, row.text)
  vim.api.nvim_win_set_cursor(0, position(row.start))
  said, progress, wanted = {}, {}, row.title
  open_menu(row)
end

-- Runs one; returns whether the text was changed. Whether a draft passes the checks is the model's business, and where none
-- does, the user is told.
local function run(row)
  local before = table.concat(row.text, '\n')
  choose(row)
  local function created()
    return row.creates and vim.fn.bufnr(row.creates) ~= -1 and #vim.fn.getbufline(row.creates, 1, 2) > 1
  end
  wait_for(row.action, function() return #said > 0 or text() ~= before or created() end, 60)
  local after = text()
  if #said > 0 then
    assert(said[1]:find('loopd', 1, true) and not row.always, row.action .. ' says ' .. said[1])
    assert(after == before, row.action .. ' changed the text and says ' .. said[1])
    return row.says ~= nil
  end
  assert(not row.says, row.action .. ' says nothing')
  assert(after:sub(1, #row.head) == row.head and after:sub(-#row.tail) == row.tail, row.action .. ' changed around it:\n' .. after)
  driver.check_clean()
  return true
end

local function progressed(kind)
  for _, value in ipairs(progress) do
    if value.kind == kind then return value end
  end
end

-- A repair looks at every line, so that there is time to cancel it.
local function cancel()
  local body = { 'def total(prices):', '    total = 0' }
  for number = 1, 30 do body[#body + 1] = ('    total += prices[%d]'):format(number) end
  body[#body + 1] = '    return total'
  choose({ title = 'Find and repair', text = body, start = { 1, 4 }, ['end'] = { #body - 1, 16 } })
  wait_for('the progress of a long action', function() return progressed('begin') end, 30)
  vim.cmd('LoopdCancel')
  wait_for('its end', function() return progressed('end') end, 30)
  assert(progressed('end').message ~= 'done', 'it was done before it could be cancelled')
  assert(text() == table.concat(body, '\n'), 'a cancelled action changed the text:\n' .. text())
  assert(#said == 0 and vim.v.errmsg == '', 'cancelling says ' .. vim.inspect(said) .. vim.v.errmsg)
  -- The next completion comes as if nothing had been.
  local space = numbers.minor >= 12 and 'nvim.lsp.inline_completion' or 'loopd'
  vim.api.nvim_buf_set_lines(0, 0, -1, false, { 'def area(width, height):', '    return ' })
  keys('GA')
  wait_for('ghost text after it', function()
    local id = vim.api.nvim_get_namespaces()[space]
    return id and #vim.api.nvim_buf_get_extmarks(0, id, 0, -1, {}) > 0
  end)
  assert(#said == 0 and vim.v.errmsg == '', 'afterwards it says ' .. vim.inspect(said) .. vim.v.errmsg)
  keys('<Esc>')
end

local function user()
  vim.o.hidden, vim.o.showmode = true, false
  local shown = vim.lsp.handlers['$/progress']
  vim.lsp.handlers['$/progress'] = function(err, params, ...)
    progress[#progress + 1] = params.value
    return shown(err, params, ...)
  end
  vim.lsp.handlers['window/showMessage'] = function(_, message) said[#said + 1] = message.message end
  vim.ui.select = function(items, _, choice)
    local titles = {}
    for _, item in ipairs(items) do
      titles[#titles + 1] = (item.action or item[2]).title
      if vim.startswith(titles[#titles], wanted) then return choice(item) end
    end
    driver.finish('FAIL ' .. name .. ': ' .. wanted .. ' is not offered, but ' .. vim.inspect(titles))
  end
  vim.fn.confirm = function() return 1 end
  require('loopd').setup({ cmd = { vim.env.LOOPD_BINARY }, settings = { context = { tokens = 512 } } })
  vim.bo.filetype = 'python'
  vim.bo.indentexpr = ''
  local loopd = require('loopd')
  wait_for('a model', function() return loopd.state.state == 'ready' or loopd.state.state == 'error' end)
  assert(loopd.state.state == 'ready', loopd.state.message)
  vim.v.errmsg = ''

  local done, refused = {}, {}
  for _, row in ipairs(rows) do
    table.insert(run(row) and done or refused, row.action)
    driver.record(numbers.minor >= 12 and 'neovim-0.12' or 'neovim-0.7', version, 'action ' .. row.action)
  end
  cancel()
  driver.record(numbers.minor >= 12 and 'neovim-0.12' or 'neovim-0.7', version, 'cancel')
  return table.concat(done, ', ') .. (#refused > 0 and '; with no good draft: ' .. table.concat(refused, ', ') or '') .. '; cancelled'
end

driver.run(name, user)
