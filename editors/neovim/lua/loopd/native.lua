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

-- Neovim asks on its own, 200 ms after the cursor rests, and so gets one suggestion. What it shows answers with has no public
-- name yet: nil where a newer one has renamed it.
local function shower()
  local capability = package.loaded['vim.lsp._capability']
  local kind = capability and capability.all and capability.all.inline_completion
  local one = kind and kind.active[vim.api.nvim_get_current_buf()]
  return one and one.handler and one.reset_timer and one or nil
end

-- Asks explicitly: more loops, more time, and several suggestions; `shown` is called with the items when they are there.
local function ask(shown)
  local loopd = require('loopd')
  local client, one = loopd.client(), shower()
  if not client or not one then return false end
  one:reset_timer()
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  params.context = { triggerKind = 1 }
  loopd.request(client, 'textDocument/inlineCompletion', params, function(err, result, context)
    one:handler(err, result, context)
    if result then shown(result.items or result) end
  end, vim.api.nvim_get_current_buf())
  return true
end

function M.ask()
  return ask(function() end)
end

-- Shows another suggestion for the same place, around in a circle; false where none is shown.
function M.cycle()
  local one = shower()
  local current = one and one.current
  if not current then return false end
  local function next_one() vim.lsp.inline_completion.select({ count = 1 }) end
  if one:count_items() > 1 then
    next_one()
    return true
  end
  return ask(function(items)
    if items[1] and items[1].insertText == current.insert_text then next_one() end
  end)
end

return M
