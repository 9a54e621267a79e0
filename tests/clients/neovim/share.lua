-- A Neovim that shares its engine with other editors: says when it has ghost text, and stays until its folder says so.
local here = debug.getinfo(1, 'S').source:match('^@(.*)/[^/]*$')
package.path = here .. '/?.lua;' .. package.path
local driver = require('driver')

driver.run('neovim', function()
  require('loopd').setup({ cmd = { vim.env.LOOPD_BINARY } })
  vim.bo.filetype = 'python'
  driver.wait_for('a model', function() return require('loopd').state.state == 'ready' end)
  driver.keys('GA')
  driver.wait_for('ghost text', function()
    local space = vim.api.nvim_get_namespaces().loopd
    return space and #vim.api.nvim_buf_get_extmarks(0, space, 0, -1, {}) > 0
  end)
  io.stdout:write('\nshown\n')
  driver.wait_for('the end', function() return vim.fn.filereadable('end') == 1 end, 60)
  return 'shared'
end)
