// Writes the trace of a suggestion as a page: what was suggested, why, and what each loop step did.
import { basename } from 'node:path';
import type { LoopStep, Report } from './report';

const style = `
  body { font-family: var(--vscode-font-family); color: var(--vscode-foreground); padding: 0 1.5em 2em; max-width: 60em; }
  h1 { font-size: 1.4em; font-weight: 600; } h2 { font-size: 1.05em; font-weight: 600; margin-top: 1.6em; }
  pre { font-family: var(--vscode-editor-font-family); font-size: var(--vscode-editor-font-size); overflow-x: auto;
        background: var(--vscode-textCodeBlock-background); padding: .7em 1em; border-radius: 4px; }
  table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; }
  th, td { padding: .3em .8em .3em 0; white-space: nowrap; border-bottom: 1px solid var(--vscode-widget-border, #8884); vertical-align: middle; }
  td.number { text-align: right; font-variant-numeric: tabular-nums; } td.time { width: 30%; padding-right: 0; }
  .bar { display: inline-block; height: .6em; border-radius: .3em; min-width: 2px; background: var(--vscode-charts-blue); }
  .verify .bar { background: var(--vscode-charts-green); } .revise .bar { background: var(--vscode-charts-orange); }
  .loops { letter-spacing: .12em; } .quiet { color: var(--vscode-descriptionForeground); }`;

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]!);
}

function milliseconds(ms: number): string {
  return `${ms < 10 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
}

function loops(depth: number): string {
  return depth === 0 ? '<span class="quiet">no model</span>' : `<span class="loops" title="${depth} loops">${'●'.repeat(depth)}</span> ${depth}`;
}

const meanings = {
  draft: 'written by the model',
  verify: 'checked by the parser',
  revise: 'written again, because the parser found a fault',
};

// Guesses are checked several in one run; each that is right saves a run.
function guesses({ tokens_drafted: drafted, tokens_accepted: accepted }: LoopStep): string {
  return drafted ? `${accepted ?? 0} of ${drafted}` : '';
}

function row(step: LoopStep, slowest: number): string {
  const tokens = step.tokens_revised ? `${step.tokens_revised} revised` : step.tokens_generated ? String(step.tokens_generated) : '';
  const width = slowest > 0 ? Math.round((step.ms / slowest) * 100) : 0;
  return `<tr class="${step.kind}"><td class="number">${step.step}</td><td title="${meanings[step.kind]}">${escaped(step.kind)}</td>
    <td>${escaped(step.focus)}</td><td>${loops(step.depth)}</td><td class="number">${tokens}</td>
    <td class="number" title="guessed tokens that were right, of all that were guessed">${guesses(step)}</td>
    <td class="number">${milliseconds(step.ms)}</td><td class="time"><span class="bar" style="width:${width}%"></span></td></tr>`;
}

function steps_table({ loop_steps: steps, finish_reason }: Report): string {
  if (steps.length === 0) return `<p class="quiet">${finish_reason === 'off' ? 'The model did not run.' : 'Nothing of what the model wrote was kept.'}</p>`;
  const slowest = Math.max(...steps.map((step) => step.ms));
  return `<table><tr><th>step</th><th>kind</th><th>focus</th><th>loops</th><th>tokens</th><th>guesses</th><th>time</th><th></th></tr>
    ${steps.map((step) => row(step, slowest)).join('\n')}</table>`;
}

function timings(report: Report): string {
  const t = report.timings_ms;
  if (t.total === 0) return 'nothing had to be computed';
  const stages = (['parse', 'prompt', 'prefill', 'decode', 'check'] as const).map((stage) => `${stage} ${milliseconds(t[stage])}`);
  return `${milliseconds(t.total)} in all: ${stages.join(', ')}`;
}

function place({ position }: Report): string {
  return position ? `line ${position.line + 1}, column ${position.character + 1}` : 'this file';
}

function reasons(report: Report): string {
  return `<ul>${report.explain.map((reason) => `<li>${escaped(reason)}</li>`).join('')}</ul>`;
}

// What else there is for the place, with the time that it took.
function alternatives({ alternatives: others }: Report): string {
  if (!others?.length) return '';
  const shown = others.map((other) => `<pre>${escaped(other.text)}</pre>${steps_table(other)}`);
  return `<h2>Other suggestions for the place</h2>${shown.join('\n')}`;
}

// `silence` is the newest answer where that was empty, or null: it is told, too, unless it is what `report` is about.
export function explain_html(report: Report, silence: Report | null, file: string): string {
  const title = report.action ? `Last action: ${escaped(report.action)}` : 'Last suggestion';
  const where = report.position ? `${escaped(file)}, ${place(report)} · ` : '';
  const depth = `${report.loop_depth} ${report.loop_depth === 1 ? 'loop' : 'loops'}`;
  const suggestion = report.text ? `<pre>${escaped(report.text)}</pre>` : '<p><em>Nothing was suggested.</em> The reasons below say why.</p>';
  const since = silence && silence !== report && report.text ? `<h2>Since then</h2><p>Nothing was suggested at ${place(silence)}:</p>${reasons(silence)}` : '';
  const { drafted, accepted } = report.tokens;
  const guessed = drafted ? `; ${accepted ?? 0} of ${drafted} guesses were right` : '';
  const tokens = `${report.tokens.prompt} tokens in the prompt, ${report.tokens.reused} of them from the cache; ${report.tokens.generated} generated${guessed}`;
  return `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>loopd: last suggestion</title><style>${style}</style></head><body>
<h1>${title}</h1>
<p class="quiet">${where}${escaped(report.language)} · ${escaped(report.syntax_class)} · ${depth}</p>
${suggestion}
<h2>Why</h2>${reasons(report)}
<h2>Loop steps</h2>${steps_table(report)}
<h2>Cost</h2><p>${timings(report)}<br>${tokens}<br>ended by: ${escaped(report.finish_reason)}</p>
${alternatives(report)}
${since}
<p class="quiet" title="${escaped(report.model)}">${escaped(basename(report.model))} on ${escaped(report.device)}</p>
</body></html>`;
}
