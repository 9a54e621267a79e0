-- Takes a suggestion into the text: a word, a line, or all of it.
local M = {}

-- The beginning of `text` that `part` means; never empty where the text is not.
function M.of(text, part)
  if part == 'word' then
    return text:match('^%s*[%w_\128-\255]+') or text:match('^%s*[^%w%s_\128-\255]+') or text
  end
  if part == 'line' then
    -- A suggestion that starts with a line break means the line behind it.
    return text:match('^%s*\n[^\n]*') or text:match('^[^\n]+') or text
  end
  return text
end

-- Puts `text` in place of bytes [column, stop) of a row, from 0, and the cursor behind it; returns the cursor's place.
-- One undo takes back what was taken, and no key that was typed before it.
function M.insert(buffer, row, column, stop, text)
  local lines = vim.split(text, '\n')
  vim.cmd('let &g:undolevels = &g:undolevels')
  vim.api.nvim_buf_set_text(buffer, row, column, row, stop, lines)
  local last_row, last_column = row + #lines - 1, (#lines == 1 and column or 0) + #lines[#lines]
  vim.api.nvim_win_set_cursor(0, { last_row + 1, last_column })
  return last_row, last_column
end

return M
