// Makes the table of clients in editors/README.md from what the tests saw work, and checks that it tells the truth.
//
//   node tests/clients/table.mjs           takes over what the last test runs saw (build/test/clients), writes the table
//   node tests/clients/table.mjs --check   fails where table and results differ, or the last runs saw less than it claims
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { seen_folder } from './record.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const results_file = join(root, 'editors/clients.json');
const page_file = join(root, 'editors/README.md');
const marks = ['<!-- made by tests/clients/table.mjs: begin -->', '<!-- end -->'];

// Rows and columns in the order of the page.
const rows = {
  vscode: '[VS Code](vscode)',
  'neovim-0.12': '[Neovim 0.12](neovim)',
  'neovim-0.7': '[Neovim 0.7 to 0.11](neovim)',
  'neovim-0.7-omnifunc': 'Neovim 0.7, no plug-in',
  'emacs-eglot': '[Emacs, eglot](emacs)',
  'emacs-lsp-mode': '[Emacs, lsp-mode](emacs)',
  helix: '[Helix](helix)',
  jetbrains: '[JetBrains, LSP4IJ](jetbrains)',
  kate: '[Kate](kate)',
};
const columns = {
  ghost: 'ghost text',
  popup: 'popup',
  accept: 'accept',
  partial: 'word, line',
  'type-through': 'type through',
  cycle: 'cycle',
  undo: 'one undo',
  actions: 'actions',
  module: 'module',
  explain: 'explain',
  status: 'status',
};

// What a row's test runs wrote: { version, how, features }; undefined where none ran here.
function seen(row) {
  const file = join(seen_folder, `${row}.tsv`);
  if (!existsSync(file)) return undefined;
  const lines = readFileSync(file, 'utf8').trim().split('\n').map((line) => line.split('\t'));
  return { version: lines[0][1], how: lines[0][3], features: [...new Set(lines.map((line) => line[2]))].sort() };
}

function figures() {
  if (!existsSync(seen_folder)) return {};
  const names = readdirSync(seen_folder).filter((name) => name.endsWith('.json')).sort();
  return Object.fromEntries(names.map((name) => [name.slice(0, -'.json'.length), JSON.parse(readFileSync(join(seen_folder, name), 'utf8'))]));
}

function table(results) {
  const cell = (result, feature) => (!result?.features.includes(feature) ? '' : result.how === 'typed' ? '✓' : '(✓)');
  const head = `| client | tested with | ${Object.values(columns).join(' | ')} |`;
  const rule = `| --- | --- |${' :-: |'.repeat(Object.keys(columns).length)}`;
  const body = Object.entries(rows).map(([row, title]) => {
    const result = results.rows[row];
    return `| ${title} | ${result?.version ?? ''} | ${Object.keys(columns).map((feature) => cell(result, feature)).join(' | ')} |`;
  });
  return [head, rule, ...body].join('\n');
}

// Which code actions were chosen from the program's own menu, and whether one was cancelled on its way.
const actions = ['implement', 'document', 'rewrite', 'continue', 'repair', 'fix', 'tests', 'explain'];

function actions_table(results) {
  const wanted = [...actions.map((action) => `action ${action}`), 'cancel'];
  const driven = Object.entries(rows).filter(([row]) => wanted.some((feature) => results.rows[row]?.features.includes(feature)));
  if (driven.length === 0) return '';
  const head = `| code actions | ${[...actions, 'cancel'].join(' | ')} |`;
  const rule = `| --- |${' :-: |'.repeat(wanted.length)}`;
  const body = driven.map(([row, title]) => `| ${title} | ${wanted.map((feature) => (results.rows[row].features.includes(feature) ? '✓' : '')).join(' | ')} |`);
  return `\n\n${[head, rule, ...body].join('\n')}`;
}

function speed(results) {
  const place = results.figures['vscode key to ghost text in place'];
  const jump = results.figures['vscode key to ghost text behind a jump'];
  const memory = results.figures['vscode memory'];
  const lines = [];
  if (place) lines.push(`From a key to its ghost text in VS Code, its own pause of 50 ms included: p50 ${place.p50_ms} ms, p95 ${place.p95_ms} ms (${place.shown} keys).`);
  if (jump) lines.push(`Right after a jump to another file: p50 ${jump.p50_ms} ms, p95 ${jump.p95_ms} ms (${jump.shown} keys).`);
  if (memory) lines.push(`Memory of the server while somebody types for ${memory.minutes} min, in MB: ${memory.start_mb}, then at every tenth of the time ${memory.samples_mb.join(', ')}, ${memory.end_mb}. It grows until 192 MB of computed prompts are kept.`);
  return lines.length > 0 ? `\n\nOn two cores of a shared machine, with the default model:\n\n${lines.map((line) => `- ${line}`).join('\n')}` : '';
}

function page(results) {
  const text = readFileSync(page_file, 'utf8');
  const [begin, end] = marks.map((mark) => text.indexOf(mark));
  if (begin < 0 || end < begin) throw new Error(`${page_file} has lost the marks around its table`);
  return `${text.slice(0, begin + marks[0].length)}\n${table(results)}${actions_table(results)}${speed(results)}\n${text.slice(end)}`;
}

const results = existsSync(results_file) ? JSON.parse(readFileSync(results_file, 'utf8')) : { rows: {}, figures: {} };

if (process.argv.includes('--check')) {
  const complaints = [];
  if (page(results) !== readFileSync(page_file, 'utf8')) complaints.push('editors/README.md is not what editors/clients.json says; run node tests/clients/table.mjs');
  for (const [row, claimed] of Object.entries(results.rows)) {
    const now = seen(row);
    const lost = now ? claimed.features.filter((feature) => !now.features.includes(feature)) : [];
    if (lost.length > 0) complaints.push(`${row}: the table claims what the last test run did not see: ${lost.join(', ')}`);
    if (now && now.how !== claimed.how) complaints.push(`${row}: the table says "${claimed.how}", the last test run "${now.how}"`);
    console.log(`ok ${row}: ${now ? `${claimed.features.length} features seen` : 'not driven here'}`);
  }
  for (const complaint of complaints) console.log(`FAIL ${complaint}`);
  process.exit(complaints.length > 0 ? 1 : 0);
}

for (const row of Object.keys(rows)) results.rows[row] = seen(row) ?? results.rows[row];
Object.assign(results.figures, figures());
writeFileSync(results_file, `${JSON.stringify(results, null, 2)}\n`);
writeFileSync(page_file, page(results));
