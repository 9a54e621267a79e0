-- Generates a module into a folder: asks what for, shows the list of files, and writes them on a yes.
local M = {}

-- FOLDER [LANGUAGE [ABOUT...]]; what is missing is asked for or found out by the server.
function M.generate(arguments)
  local loopd = require('loopd')
  local client = loopd.client()
  if not client then
    return vim.notify('loopd: open a file that loopd completes first', vim.log.levels.WARN)
  end
  local folder = vim.fn.fnamemodify(vim.fn.expand(arguments[1]), ':p'):gsub('/$', '')
  local function run(about)
    if about == nil then return end
    local one = { folder = vim.uri_from_fname(folder), language = arguments[2] or vim.bo.filetype, about = about }
    loopd.request(client, 'workspace/executeCommand', { command = 'loopd.module', arguments = { one } }, function(err)
      if err then vim.notify('loopd: ' .. err.message, vim.log.levels.WARN) end
    end, vim.api.nvim_get_current_buf())
  end
  if arguments[3] then return run(table.concat(arguments, ' ', 3)) end
  vim.ui.input({ prompt = 'What is the module for? ' }, run)
end

local function created(edit)
  local files = {}
  for _, change in ipairs(edit.documentChanges or {}) do
    if change.kind == 'create' then files[#files + 1] = vim.uri_to_fname(change.uri) end
  end
  return files
end

-- Edits that create files are shown first and are on disk afterwards; others go Neovim's own way.
function M.apply_edit(err, params, context, config)
  local files = created(params.edit)
  if #files == 0 then return vim.lsp.handlers['workspace/applyEdit'](err, params, context, config) end
  local question = (params.label or 'loopd') .. '\n' .. table.concat(files, '\n') .. '\n\nWrite these files?'
  if vim.fn.confirm(question, '&Yes\n&No', 1) ~= 1 then return { applied = false } end
  -- Neovim 0.7 creates no folders.
  for _, file in ipairs(files) do vim.fn.mkdir(vim.fn.fnamemodify(file, ':h'), 'p') end
  local answer = vim.lsp.handlers['workspace/applyEdit'](err, params, context, config)
  for _, file in ipairs(files) do
    local buffer = vim.fn.bufnr(file)
    if buffer ~= -1 then
      vim.bo[buffer].buflisted = true
      vim.api.nvim_buf_call(buffer, function() vim.cmd('silent write!') end)
    end
  end
  return answer
end

return M
