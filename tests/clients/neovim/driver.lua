-- What the Neovim tests share: a user as a coroutine who types keys and waits for what is to be seen.
local driver = {}

function driver.finish(verdict)
  io.stdout:write('\n' .. verdict .. '\n')
  vim.cmd(verdict:match('^ok') and 'qa!' or 'cquit 1')
end

function driver.keys(typed)
  vim.api.nvim_feedkeys(vim.api.nvim_replace_termcodes(typed, true, false, true), 't', false)
end

-- Runs inside the user's coroutine: gives the editor its main loop until `condition` holds.
local waiting
function driver.wait_for(what, condition, seconds)
  waiting = { what = what, condition = condition, polls = 0, most = (seconds or 20) * 50 }
  coroutine.yield()
end

function driver.lines()
  return vim.api.nvim_buf_get_lines(0, 0, -1, false)
end

-- Neovim shows a NUL byte in a line as a line feed.
function driver.check_clean()
  for number, line in ipairs(driver.lines()) do
    assert(not line:find('[%z\n]'), 'line ' .. number .. ' holds a NUL byte: ' .. vim.inspect(line))
  end
end

-- What this test saw work, for the table of clients: appended to $LOOPD_RESULTS.
function driver.record(editor, version, feature)
  local path = vim.env.LOOPD_RESULTS
  if not path then return end
  local file = assert(io.open(path, 'a'))
  file:write(table.concat({ editor, version, feature, 'typed' }, '\t'), '\n')
  file:close()
end

-- Drives `user` to its end; `name` starts the verdict that is printed.
function driver.run(name, user)
  local thread = coroutine.create(user)
  local function resume()
    local good, message = coroutine.resume(thread)
    if not good then return driver.finish('FAIL ' .. name .. ': ' .. tostring(message)) end
    if coroutine.status(thread) == 'dead' then driver.finish('ok ' .. name .. ': ' .. message) end
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
    if waiting.polls > waiting.most then
      driver.finish('FAIL ' .. name .. ': waited ' .. waiting.most / 50 .. ' s for ' .. waiting.what .. ', mode ' .. vim.fn.mode() .. ', lines ' .. vim.inspect(driver.lines()))
    end
  end))
end

return driver
