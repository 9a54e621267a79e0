-- Ghost text for Neovim 0.7 to 0.11, drawn with extmarks: ask after each key, show, let typing eat it, accept.
local taking = require('loopd.taking')

local M = {}

local space = vim.api.nvim_create_namespace('loopd')
local group = vim.api.nvim_create_augroup('loopd_ghost', {})
-- What is shown: the text would stand at (row, column), from 0 and in bytes, in place of what goes to `stop`. It is the
-- index-th of `items`, the answer of the client, until a part of it is typed or taken.
local shown = nil ---@type table|nil { buffer, row, column, stop, text, before, client, items, index }
local timer = vim.loop.new_timer()
local waiting -- the newest request: { client, id }
local ticket = 0 -- of the newest request; an answer with an older one is late

vim.api.nvim_set_hl(0, 'LoopdGhost', { link = 'Comment', default = true })

local function hide()
  if shown and vim.api.nvim_buf_is_valid(shown.buffer) then vim.api.nvim_buf_clear_namespace(shown.buffer, space, 0, -1) end
  shown = nil
end

local function line_at(buffer, row)
  return vim.api.nvim_buf_get_lines(buffer, row, row + 1, false)[1] or ''
end

-- Virtual text shows tabs as control characters.
local function visible(text)
  return (text:gsub('\t', string.rep(' ', vim.bo.tabstop)))
end

-- The line as it would be, laid over the line as it is: the one way to draw inside of a line before 0.10.
local function draw()
  vim.api.nvim_buf_clear_namespace(shown.buffer, space, 0, -1)
  local line = line_at(shown.buffer, shown.row)
  local covered, rest = line:sub(shown.column + 1), line:sub(shown.stop + 1)
  local lines = vim.split(shown.text, '\n')
  local chunks = {}
  for number, text in ipairs(lines) do
    chunks[number] = { { visible(text), 'LoopdGhost' } }
  end
  if rest ~= '' then table.insert(chunks[#chunks], { visible(rest), 'Normal' }) end
  local width = vim.fn.strdisplaywidth(visible(lines[1] .. (#lines == 1 and rest or '')))
  local short = vim.fn.strdisplaywidth(visible(covered)) - width
  if short > 0 then table.insert(chunks[1], { string.rep(' ', short), 'Normal' }) end
  vim.api.nvim_buf_set_extmark(shown.buffer, space, shown.row, shown.column, {
    virt_text = chunks[1],
    virt_text_pos = 'overlay',
    virt_lines = vim.list_slice(chunks, 2),
  })
end

-- The byte column of an LSP position; nil where the line is shorter.
local function byte_column(line, character, encoding)
  if encoding == 'utf-8' then return character <= #line and character or nil end
  local found, column = pcall(vim.str_byteindex, line, character, encoding == 'utf-16')
  return found and column or nil
end

local function show(client, buffer, items, index)
  local item = items[index]
  if not item then return end
  local row, column = unpack(vim.api.nvim_win_get_cursor(0))
  row = row - 1
  local line = line_at(buffer, row)
  local start = item.range and byte_column(line, item.range.start.character, client.offset_encoding) or column
  local stop = item.range and byte_column(line, item.range['end'].character, client.offset_encoding) or column
  if start ~= column or not stop or (item.range and item.range.start.line ~= row) then return end
  shown = { buffer = buffer, row = row, column = column, stop = stop, text = item.insertText, before = line:sub(1, column),
    client = client, items = items, index = index }
  draw()
end

-- Shows of the answer the item that `choose` gives the index of; the first where there is no such function.
local function request(buffer, kind, choose)
  local loopd = require('loopd')
  local client = loopd.client(buffer)
  if not client or vim.fn.mode():sub(1, 1) ~= 'i' or vim.fn.pumvisible() == 1 then return end
  ticket = ticket + 1
  local mine = ticket
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  params.context = { triggerKind = kind }
  local _, id = loopd.request(client, 'textDocument/inlineCompletion', params, function(_, result)
    if mine ~= ticket or buffer ~= vim.api.nvim_get_current_buf() or vim.fn.mode():sub(1, 1) ~= 'i' then return end
    hide()
    local items = result and (result.items or result) or {}
    show(client, buffer, items, choose and choose(items) or 1)
  end, buffer)
  waiting = { client = client.id, id = id }
end

local function cancel()
  ticket = ticket + 1
  timer:stop()
  local client = waiting and vim.lsp.get_client_by_id(waiting.client)
  if client and waiting.id then
    -- It may be answered already, which Neovim does not mind.
    if vim.fn.has('nvim-0.11') == 1 then client:cancel_request(waiting.id) else client.cancel_request(waiting.id) end
  end
  waiting = nil
end

-- Keeps the suggestion where exactly its beginning was typed; a flicker between two keys is what people notice.
local function typed_through()
  if not shown then return false end
  local row, column = unpack(vim.api.nvim_win_get_cursor(0))
  if row - 1 ~= shown.row or shown.buffer ~= vim.api.nvim_get_current_buf() then return false end
  local line = line_at(shown.buffer, shown.row)
  local typed = line:sub(#shown.before + 1, column)
  if column < shown.column or line:sub(1, #shown.before) ~= shown.before or shown.text:sub(1, #typed) ~= typed then return false end
  if #typed == #shown.text then return false end
  shown.text, shown.before = shown.text:sub(#typed + 1), line:sub(1, column)
  shown.column, shown.stop = column, shown.stop + #typed
  if #typed > 0 then shown.items = nil end
  draw()
  return true
end

local function changed(buffer, debounce_ms)
  cancel()
  if not typed_through() then hide() end
  timer:start(debounce_ms, 0, vim.schedule_wrap(function()
    if vim.api.nvim_buf_is_valid(buffer) and buffer == vim.api.nvim_get_current_buf() then request(buffer, 2) end
  end))
end

function M.enable(buffer, on, options)
  vim.api.nvim_clear_autocmds({ group = group, buffer = buffer })
  if not on then
    cancel()
    return hide()
  end
  vim.api.nvim_create_autocmd({ 'TextChangedI', 'CursorMovedI' }, {
    group = group,
    buffer = buffer,
    callback = function() changed(buffer, options.debounce_ms) end,
  })
  vim.api.nvim_create_autocmd({ 'InsertLeave', 'BufLeave', 'CompleteChanged' }, {
    group = group,
    buffer = buffer,
    callback = function()
      cancel()
      hide()
    end,
  })
end

-- Takes a part of what is shown; false where nothing is.
function M.accept(which)
  if not shown or vim.fn.pumvisible() == 1 then return false end
  local taken = taking.of(shown.text, which)
  local whole = taken == shown.text
  local was = shown
  cancel()
  hide()
  local row, column = taking.insert(was.buffer, was.row, was.column, whole and was.stop or was.column, taken)
  if not whole then
    shown = { buffer = was.buffer, row = row, column = column, stop = column + was.stop - was.column, text = was.text:sub(#taken + 1),
      before = line_at(was.buffer, row):sub(1, column) }
    draw()
  end
  return true
end

function M.dismiss()
  local was = shown ~= nil
  cancel()
  hide()
  return was
end

-- Asks explicitly: more loops and more time than for a key.
function M.ask()
  cancel()
  request(vim.api.nvim_get_current_buf(), 1)
  return true
end

-- Shows another suggestion for the same place, around in a circle; false where none is shown. A key brings one alone, so
-- the first time more are asked for.
function M.cycle()
  local was = shown
  if not was then return false end
  if was.items and #was.items > 1 then
    hide()
    show(was.client, was.buffer, was.items, was.index % #was.items + 1)
    return true
  end
  cancel()
  request(was.buffer, 1, function(items)
    for index, item in ipairs(items) do
      if item.insertText ~= was.text then return index end
    end
  end)
  return true
end

return M
