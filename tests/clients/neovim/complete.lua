-- A typing user in Neovim 0.7.2: asks for a completion with CTRL-X CTRL-O, accepts it, goes on
-- typing, has a function implemented.
local function finish(verdict)
  io.stdout:write('\n' .. verdict .. '\n')
  vim.cmd(verdict:match('^ok') and 'qa!' or 'cquit 1')
end

local function keys(typed)
  vim.api.nvim_feedkeys(vim.api.nvim_replace_termcodes(typed, true, false, true), 't', false)
end

-- Runs inside a coroutine: gives the editor its main loop until `condition` holds.
local waiting
local function wait_for(what, condition)
  waiting = { what = what, condition = condition, polls = 0 }
  coroutine.yield()
end

local function lines()
  return vim.api.nvim_buf_get_lines(0, 0, -1, false)
end

-- Neovim shows a NUL byte in a line as a line feed.
local function check_clean()
  for number, line in ipairs(lines()) do
    assert(not line:find('[%z\n]'), 'line ' .. number .. ' holds a NUL byte: ' .. vim.inspect(line))
  end
end

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
  assert(vim.startswith(last, start .. 'width'), 'accepted: ' .. last)
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
    finish('FAIL neovim: not offered: ' .. vim.inspect(items))
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
  finish('ok neovim: ' .. last .. ' / ' .. line .. ' / ' .. body)
end

local thread = coroutine.create(user)
local function resume()
  local good, message = coroutine.resume(thread)
  if not good then finish('FAIL neovim: ' .. tostring(message)) end
end

local timer = vim.loop.new_timer()
timer:start(0, 20, vim.schedule_wrap(function()
  if coroutine.status(thread) == 'dead' then return end
  if not waiting then return resume() end
  if waiting.condition() then
    waiting = nil
    return resume()
  end
  waiting.polls = waiting.polls + 1
  if waiting.polls > 1000 then finish('FAIL neovim: waited 20 s for ' .. waiting.what .. ', mode ' .. vim.fn.mode()) end
end))
