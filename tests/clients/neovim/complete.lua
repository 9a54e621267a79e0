-- A typing user in Neovim 0.7.2: asks for a completion with CTRL-X CTRL-O, accepts it, goes on
-- typing, has a function implemented.
local here = debug.getinfo(1, 'S').source:match('^@(.*)/[^/]*$')
package.path = here .. '/?.lua;' .. package.path
local driver = require('driver')
local keys, wait_for, lines, check_clean = driver.keys, driver.wait_for, driver.lines, driver.check_clean

local function in_insert_mode()
  return vim.fn.mode():sub(1, 1) == 'i'
end

local function user()
  local buffer = vim.api.nvim_get_current_buf()
  local state, failure
  local client = vim.lsp.start_client({
    name = 'loopd',
    cmd = { vim.env.LOOPD_BINARY },
    root_dir = vim.fn.getcwd(),
    handlers = {
      ['loopd/status'] = function(_, status) state = status.state end,
      ['window/showMessage'] = function(_, message) failure = message.message end,
    },
  })
  vim.bo[buffer].filetype = 'python'
  vim.lsp.buf_attach_client(buffer, client)
  wait_for('a model', function() return state == 'ready' or failure end)
  assert(not failure, failure)
  vim.bo[buffer].omnifunc = 'v:lua.vim.lsp.omnifunc'
  vim.o.completeopt, vim.o.autoindent, vim.o.showmode = 'menu,menuone,noinsert', false, false

  -- A word is begun, completed and accepted.
  local before = lines()
  local start = before[#before]
  keys('GAwid<C-x><C-o>')
  wait_for('the popup', function() return vim.fn.pumvisible() == 1 end)
  keys('<C-y>')
  wait_for('the popup to close', function() return vim.fn.pumvisible() == 0 end)
  local last = lines()[#lines()]
  assert(last:sub(1, #start) == start and last:sub(#start + 1):find('^wid%w+'), 'accepted: ' .. last)
  assert(#lines() == #before, 'Neovim 0.7.2 can insert one line only: ' .. vim.inspect(lines()))
  check_clean()

  -- Characters beyond ASCII and beyond the basic plane, then another completion: server and editor still agree.
  keys('<Esc>o# größe 😀<CR>name = "😀"; copy = na<C-x><C-o>')
  wait_for('the second popup', function() return vim.fn.pumvisible() == 1 end)
  keys('<C-y>')
  wait_for('the second popup to close', function() return vim.fn.pumvisible() == 0 end)
  assert(in_insert_mode())
  local line = lines()[#lines()]
  -- Which name it is, is the model's business; that the word was continued in place is ours.
  assert(line:find('^name = "😀"; copy = na%w+'), 'accepted: ' .. line)
  check_clean()
  keys('<Esc>')
  wait_for('normal mode', function() return vim.fn.mode() == 'n' end)

  -- A function without a body is implemented. Neovim 0.7 asks for the action's edit, and then runs its command as well.
  vim.api.nvim_buf_set_lines(buffer, 1, 1, false, { '', '', 'def square(side):', '    """Return the area of a square."""', '    pass' })
  vim.api.nvim_win_set_cursor(0, { 4, 4 })
  vim.ui.select = function(items, _, choose)
    for _, item in ipairs(items) do
      if item[2].title:match('^Implement square') then return choose(item) end
    end
    driver.finish('FAIL neovim 0.7.2: not offered: ' .. vim.inspect(items))
  end
  local below = lines()[#lines()]
  vim.lsp.buf.code_action()
  wait_for('the function to be implemented', function() return not vim.tbl_contains(lines(), '    pass') end)
  local body = lines()[6]
  assert(body:find('^    %S'), 'implemented: ' .. vim.inspect(lines()))
  assert(lines()[5] == '    """Return the area of a square."""' and lines()[#lines()] == below, 'changed around it')
  check_clean()

  vim.lsp.stop_client(client)
  wait_for('the server to end', function() return vim.lsp.client_is_stopped(client) end)
  for _, feature in ipairs({ 'popup', 'accept', 'actions' }) do driver.record('neovim-0.7-omnifunc', '0.7.2', feature) end
  return last .. ' / ' .. line .. ' / ' .. body
end

driver.run('neovim 0.7.2', user)
