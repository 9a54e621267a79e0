-- Types a function in Neovim with a pause after every word, shows ghost text as it comes, and prints how long that took.
local typed = {
  'def share_of_letters(text):\r', 'letters = ', '0\r', 'for character ', 'in text:\r', 'if character.', 'isalpha():\r',
  'letters ', '+= 1\r', '\bif not ', 'text:\r', 'return ', '0.0\r', '\breturn ', 'letters ', '/ len(text)\r', '\r',
  '\bdef longest_line(', 'text):\r', 'lengths = ', '[len(line) ', 'for line ', 'in text.', 'split("\\n")]\r', 'return ',
  'max(lengths)\r', '\r', '\bdef is_blank(', 'text):\r', 'return ', 'not text.', 'strip()\r',
}
-- Since 0.12 the editor asks and draws by itself, after a pause of its own.
local own = vim.lsp.inline_completion
local debounce_ms = own and 200 or tonumber(vim.env.LOOPD_DEBOUNCE_MS)
vim.o.showmode = false
local namespace = vim.api.nvim_create_namespace('ghost')
local buffer = vim.api.nvim_get_current_buf()
local client, ready, pressed, asked
local key_ms, request_ms, shown = {}, {}, 0

local function milliseconds() return vim.loop.hrtime() / 1e6 end

local function percentiles(name, values)
  table.sort(values)
  local function at(share) return values[math.min(#values, math.floor(share * #values) + 1)] or 0 end
  io.stdout:write(string.format('%s: %d, p50 %.0f, p90 %.0f, p99 %.0f ms\n', name, #values, at(0.5), at(0.9), at(0.99)))
end

local function finish()
  percentiles('key to ghost text, debounce of ' .. debounce_ms .. ' ms included', key_ms)
  percentiles('request to ghost text', request_ms)
  io.stdout:write(shown .. ' answers had text\n')
  vim.cmd('qa!')
end

local function note(result)
  local item = result and (result.items or result)[1]
  if item and item.insertText ~= '' then shown = shown + 1 end
  vim.cmd('redraw')
  table.insert(key_ms, milliseconds() - pressed)
  table.insert(request_ms, milliseconds() - asked)
end

local function show(result)
  vim.api.nvim_buf_clear_namespace(buffer, namespace, 0, -1)
  local item = result and (result.items or result)[1]
  if item and item.insertText ~= '' then
    local at = vim.api.nvim_win_get_cursor(0)
    local first = vim.split(item.insertText, '\n')[1]
    vim.api.nvim_buf_set_extmark(buffer, namespace, at[1] - 1, at[2], { virt_text = { { first, 'Comment' } }, virt_text_pos = 'overlay' })
  end
  note(result)
end

local keys_so_far = 0
local function ask()
  asked = milliseconds()
  local mine = keys_so_far
  local params = vim.lsp.util.make_position_params(0, 'utf-16')
  params.context = { triggerKind = 2 }
  vim.lsp.get_client_by_id(client).request('textDocument/inlineCompletion', params, function(_, result)
    if mine == keys_so_far then show(result) end
  end, buffer)
end

-- One character of the current word every 90 ms; behind a word the hands rest for as long as a suggestion takes to read.
local word, letter = 1, 0
local function type_on()
  letter = letter + 1
  if letter > #typed[word] then
    word, letter = word + 1, 0
    if word > #typed then return vim.defer_fn(finish, 500) end
    return vim.defer_fn(type_on, 900)
  end
  local character = typed[word]:sub(letter, letter):gsub('\r', '<CR>'):gsub('\b', '<BS>')
  keys_so_far = keys_so_far + 1
  pressed = milliseconds()
  if not own then vim.api.nvim_buf_clear_namespace(buffer, namespace, 0, -1) end
  vim.api.nvim_feedkeys(vim.api.nvim_replace_termcodes(character, true, false, true), 't', false)
  local mine = keys_so_far
  if not own then
    vim.defer_fn(function()
      if mine == keys_so_far then ask() end
    end, debounce_ms)
  end
  vim.defer_fn(type_on, 90)
end

local capabilities = vim.lsp.protocol.make_client_capabilities()
capabilities.textDocument.inlineCompletion = { dynamicRegistration = false }
-- Notes when the editor asks and when it has drawn the answer, unless a key came in between.
local function watch(editor)
  local request = editor.request
  editor.request = function(self, method, params, handler, ...)
    if method ~= 'textDocument/inlineCompletion' then return request(self, method, params, handler, ...) end
    asked = milliseconds()
    local mine = keys_so_far
    return request(self, method, params, function(error, result, ...)
      handler(error, result, ...)
      if mine == keys_so_far and mine > 0 and not error then note(result) end
    end, ...)
  end
end

local configuration = {
  name = 'loopd',
  cmd = { vim.env.LOOPD_BINARY },
  root_dir = vim.fn.getcwd(),
  capabilities = capabilities,
  flags = { debounce_text_changes = 0, allow_incremental_sync = true },
  handlers = {
    ['loopd/status'] = function(_, status)
      if status.state ~= 'ready' or ready then return end
      ready = true
      vim.api.nvim_feedkeys(vim.api.nvim_replace_termcodes('Go<CR>', true, false, true), 't', false)
      vim.defer_fn(type_on, 2500)
    end,
  },
}
vim.bo[buffer].filetype, vim.bo[buffer].autoindent = 'python', true
vim.bo[buffer].shiftwidth, vim.bo[buffer].expandtab, vim.bo[buffer].softtabstop = 4, true, 4
vim.bo[buffer].smartindent, vim.bo[buffer].cinwords = true, 'def,if,for,else,while'
if own then
  client = vim.lsp.start(configuration, { bufnr = buffer })
  watch(vim.lsp.get_client_by_id(client))
  own.enable(true, { bufnr = buffer })
else
  client = vim.lsp.start_client(configuration)
  vim.lsp.buf_attach_client(buffer, client)
end
