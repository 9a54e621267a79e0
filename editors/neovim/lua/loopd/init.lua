-- loopd in Neovim 0.7 and newer: starts the server, shows its state, and has the commands; `require('loopd').setup{}`.
local M = { state = { state = 'stopped', message = '', model = '', device = '' } }

local modern = vim.fn.has('nvim-0.11') == 1 -- clients are objects with methods
local native = vim.fn.has('nvim-0.12') == 1 and vim.lsp.inline_completion ~= nil

-- What loopd parses; other files are completed as plain text where their type is added to `filetypes`.
local defaults = {
  cmd = { 'loopd' },
  settings = {}, -- loopd.*, as in the other editors: { maxTokens = 64, depth = { identifier = 1 } }
  filetypes = { 'python', 'c', 'cpp', 'cuda', 'javascript', 'javascriptreact', 'typescript', 'typescriptreact', 'rust', 'go', 'java' },
  debounce_ms = 60, -- between a key and its request; Neovim 0.12 has its own
  omnifunc = false, -- complete by CTRL-X CTRL-O as well; costs a second completion where it is used
  keys = { accept = '<Tab>', word = '<M-Right>', line = '<M-Down>', dismiss = '<C-]>', ask = '<M-\\>', cycle = '<M-]>' },
}

local options = defaults
local off = {} -- filetype -> true: ghost text was turned off for it
local started = {} -- root -> client id, where Neovim does not reuse clients itself

function M.request(client, method, params, handler, buffer)
  if modern then return client:request(method, params, handler, buffer) end
  local sent, id = client.request(method, params, handler, buffer)
  return sent, id
end

-- The loopd client of a buffer; nil where there is none (yet).
function M.client(buffer)
  for _, client in pairs((vim.lsp.get_clients or vim.lsp.get_active_clients)()) do
    if client.name == 'loopd' and vim.lsp.buf_is_attached(buffer or vim.api.nvim_get_current_buf(), client.id) then return client end
  end
end

function M.ghost()
  return require(native and 'loopd.native' or 'loopd.ghost')
end

-- For a status line: "loopd: default · cpu", or why there is nothing.
function M.status()
  local now = M.state
  if now.state == 'ready' then
    if off[vim.bo.filetype] then return 'loopd: off' end
    return 'loopd: ' .. vim.fn.fnamemodify(now.model, ':t') .. ' · ' .. now.device
  end
  return 'loopd: ' .. now.state .. (now.state == 'error' and ': ' .. now.message or '')
end

local function on_status(_, status)
  M.state = status
  vim.cmd('redrawstatus')
  vim.cmd('silent doautocmd <nomodeline> User LoopdStatus')
end

-- The folder that holds `.git`, else the file's own.
local function root_of(path)
  local marker = vim.fn.finddir('.git', path .. ';')
  if marker == '' then marker = vim.fn.findfile('.git', path .. ';') end
  return marker == '' and path or vim.fn.fnamemodify(marker, ':p'):gsub('/%.git/?$', '')
end

local function capabilities()
  local announced = vim.lsp.protocol.make_client_capabilities()
  announced.textDocument.inlineCompletion = { dynamicRegistration = false }
  return announced
end

local function attach(buffer)
  if vim.bo[buffer].buftype ~= '' then return end
  local path = vim.api.nvim_buf_get_name(buffer)
  local root = root_of(path == '' and vim.fn.getcwd() or vim.fn.fnamemodify(path, ':p:h'))
  local settings = vim.deepcopy(options.settings)
  if options.omnifunc then settings.popup = true end
  local config = {
    name = 'loopd',
    cmd = options.cmd,
    root_dir = root,
    capabilities = capabilities(),
    init_options = next(settings) and settings or nil,
    settings = { loopd = next(settings) and settings or vim.empty_dict() },
    handlers = {
      ['loopd/status'] = on_status,
      ['loopd/result'] = function() end,
      ['workspace/applyEdit'] = function(...) return require('loopd.module').apply_edit(...) end,
    },
    on_exit = function(code)
      M.state = { state = 'stopped', message = 'ended with exit code ' .. code, model = '', device = '' }
      started[root] = nil
    end,
  }
  local id
  if vim.lsp.start then
    id = vim.lsp.start(config, { bufnr = buffer })
  else
    id = started[root] or vim.lsp.start_client(config)
    started[root] = id
    if id then vim.lsp.buf_attach_client(buffer, id) end
  end
  if not id then return end
  if options.omnifunc then vim.bo[buffer].omnifunc = 'v:lua.vim.lsp.omnifunc' end
  M.ghost().enable(buffer, not off[vim.bo[buffer].filetype], options)
end

-- A key that does what it always did where there is no suggestion.
local function map(key, act)
  if not key then return end
  vim.keymap.set('i', key, function()
    if act() then return end
    vim.api.nvim_feedkeys(vim.api.nvim_replace_termcodes(key, true, false, true), 'ni', false)
  end, { desc = 'loopd' })
end

local function toggle()
  local kind = vim.bo.filetype
  off[kind] = not off[kind] or nil
  for _, buffer in ipairs(vim.api.nvim_list_bufs()) do
    if vim.bo[buffer].filetype == kind and M.client(buffer) then M.ghost().enable(buffer, not off[kind], options) end
  end
  vim.api.nvim_echo({ { 'loopd: ' .. (off[kind] and 'off' or 'on') .. ' for ' .. kind } }, false, {})
end

-- The menu of code actions for the line. Newer Neovims tell a server only of its own diagnostics, of which loopd has none; here
-- it gets those of all tools, so that it can offer to fix them.
local function actions()
  local client = M.client()
  local row = vim.api.nvim_win_get_cursor(0)[1] - 1
  local function position(line, byte)
    local text = vim.api.nvim_buf_get_lines(0, line, line + 1, false)[1] or ''
    if not client or client.offset_encoding == 'utf-8' then return { line = line, character = byte } end
    local _, utf16 = vim.str_utfindex(text, math.min(byte, #text))
    return { line = line, character = utf16 }
  end
  local diagnostics = {}
  for _, one in ipairs(vim.diagnostic.get(0, { lnum = row })) do
    local range = { start = position(one.lnum, one.col), ['end'] = position(one.end_lnum or one.lnum, one.end_col or one.col) }
    diagnostics[#diagnostics + 1] = { range = range, message = one.message, severity = one.severity, source = one.source }
  end
  local context = { diagnostics = diagnostics }
  vim.lsp.buf.code_action(vim.fn.has('nvim-0.8') == 1 and { context = context } or context)
end

function M.setup(given)
  options = vim.tbl_deep_extend('force', defaults, given or {})
  if vim.fn.executable(options.cmd[1]) == 0 then
    vim.notify("loopd: there is no program " .. options.cmd[1] .. "; build it and give its path: require('loopd').setup{ cmd = { '...' } }", vim.log.levels.WARN)
    return
  end
  for _, part in ipairs({ 'word', 'line' }) do
    map(options.keys[part], function() return M.ghost().accept(part) end)
  end
  map(options.keys.accept, function() return M.ghost().accept('all') end)
  map(options.keys.dismiss, function() return M.ghost().dismiss() end)
  map(options.keys.ask, function() return M.ghost().ask() end)
  map(options.keys.cycle, function() return M.ghost().cycle() end)
  local command = vim.api.nvim_create_user_command
  command('LoopdToggle', toggle, { desc = 'Turn ghost text on or off for this language' })
  command('LoopdExplain', function() require('loopd.explain').show() end, { desc = 'Explain the last suggestion' })
  command('LoopdStatus', function() print(M.status()) end, { desc = 'Show what loopd does' })
  command('LoopdActions', actions, { desc = 'Code actions for this line, with the diagnostics of all tools' })
  command('LoopdCancel', function()
    local client = M.client()
    if client then M.request(client, 'workspace/executeCommand', { command = 'loopd.cancel' }, function() end, vim.api.nvim_get_current_buf()) end
  end, { desc = 'Stop the action or module that loopd is working on' })
  command('LoopdModule', function(arguments) require('loopd.module').generate(arguments.fargs) end,
    { nargs = '+', complete = 'dir', desc = 'Generate a module: LoopdModule FOLDER [LANGUAGE [ABOUT...]]' })
  local group = vim.api.nvim_create_augroup('loopd', {})
  vim.api.nvim_create_autocmd('FileType', { group = group, pattern = options.filetypes, callback = function(event) attach(event.buf) end })
  for _, buffer in ipairs(vim.api.nvim_list_bufs()) do
    if vim.api.nvim_buf_is_loaded(buffer) and vim.tbl_contains(options.filetypes, vim.bo[buffer].filetype) then attach(buffer) end
  end
end

return M
