-- Ghost text by Neovim's own inline completion (0.12 and newer), and what that lacks: taking a word or a line.
local taking = require('loopd.taking')

local M = {}

-- Newer ones let a suggestion's range grow with what is typed.
local grows = vim.fn.has('nvim-0.13') == 1

function M.enable(buffer, on)
  vim.lsp.inline_completion.enable(on, { bufnr = buffer })
end

-- What was typed since the suggestion came stands between its start and the cursor, and Neovim 0.12 would leave it behind
-- the accepted text; so the text is inserted here.
local function take(item, which)
  local cursor_row, cursor = unpack(vim.api.nvim_win_get_cursor(0))
  local row, column, _, stop = item.range:to_extmark()
  if row ~= cursor_row - 1 or column > cursor then return end
  local typed = cursor - column
  local left = item.insert_text:sub(typed + 1)
  local taken = taking.of(left, which)
  local replaced = taken == left and stop - column - (grows and typed or 0) or 0
  taking.insert(0, row, cursor, cursor + math.max(0, replaced), taken)
end

-- Takes a part of what is shown; false where nothing is.
function M.accept(which)
  return vim.lsp.inline_completion.get({ on_accept = function(item) take(item, which) end })
end

function M.dismiss()
  local buffer = vim.api.nvim_get_current_buf()
  M.enable(buffer, false)
  M.enable(buffer, true)
  return true
end

-- Neovim asks on its own, 200 ms after the cursor rests; asking by hand has no interface yet.
function M.ask()
  return false
end

return M
