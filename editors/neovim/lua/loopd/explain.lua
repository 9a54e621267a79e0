-- Shows why the last suggestion is what it is, loop step by loop step, in a floating window.
local M = {}

local function lines_of(report)
  local lines = { ('**%s**, %s, depth %d: %s'):format(report.language, report.syntax_class, report.loop_depth, report.finish_reason), '' }
  for _, sentence in ipairs(report.explain) do lines[#lines + 1] = '- ' .. sentence:gsub('\n', ' ') end
  lines[#lines + 1] = ''
  for _, step in ipairs(report.loop_steps) do
    local count = step.tokens_revised > 0 and step.tokens_revised .. ' tokens revised' or step.tokens_generated .. ' tokens'
    if (step.tokens_drafted or 0) > 0 then
      count = ('%s, %d of %d guesses right'):format(count, step.tokens_accepted, step.tokens_drafted)
    end
    lines[#lines + 1] = ('%d. %s of %s, %d loops, %s, %.1f ms'):format(step.step, step.kind, step.focus, step.depth, count, step.ms)
  end
  for number, other in ipairs(report.alternatives or {}) do
    lines[#lines + 1] = ('Or, number %d: `%s`'):format(number + 1, other.text:gsub('\n%s*', ' ⏎ '))
  end
  lines[#lines + 1] = ('%.0f ms in all; %s on %s'):format(report.timings_ms.total, vim.fn.fnamemodify(report.model, ':t'), report.device)
  return lines
end

function M.show()
  local loopd = require('loopd')
  local client = loopd.client()
  local nothing = function() vim.notify('loopd has suggested nothing in this file yet', vim.log.levels.INFO) end
  if not client then return nothing() end
  local params = { textDocument = vim.lsp.util.make_text_document_params() }
  loopd.request(client, 'loopd/explain', params, function(_, report)
    if not report or report == vim.NIL then return nothing() end
    vim.lsp.util.open_floating_preview(lines_of(report), 'markdown', { focus_id = 'loopd' })
  end, vim.api.nvim_get_current_buf())
end

return M
