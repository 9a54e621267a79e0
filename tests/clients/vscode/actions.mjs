// Actions in a real VS Code: a function implemented by a key, each action from the menu behind the light bulb, one cancelled,
// a module from the Explorer's menu.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Editor } from './editor.mjs';
import { saw } from './seen.mjs';
import { root, VSCode } from './vscode.mjs';

const shapes = `def area(width, height):
    return width * height


def square(side):
    """Return the area of a square."""
    pass


last = 1
`;
// Fixes need diagnostics, which nobody makes here; the extension's own tests have some.
const rows = JSON.parse(readFileSync(join(root, 'tests/clients/actions.json'), 'utf8')).filter((row) => !row.diagnostic);
// Texts are put in as they are; VS Code would indent and close what it takes for typed.
const settings = { 'editor.autoIndent': 'none', 'editor.autoClosingBrackets': 'never', 'editor.autoClosingQuotes': 'never', 'loopd.depth.module': [1, 2], 'loopd.context.tokens': 512 };
const made = ['README.md', '__init__.py', 'test_word_count.py', 'word_count.py'];

let code;
let editor;
let module_folder;

const files_there = () => (existsSync(module_folder) ? readdirSync(module_folder).sort() : []);

async function until(what, condition) {
  for (let left = 400; !condition(); --left) {
    if (left === 0) assert.fail(`waited 20 s for ${what}: ${files_there()}`);
    await editor.page.waitForTimeout(50);
  }
}

async function ask_for_module() {
  await editor.explorer_menu('tools', 'Generate Module');
  await editor.enter('Name of the module', 'word_count');
  await editor.enter('as the files around', 'python');
  await editor.enter('What is it for', 'Counts the words of a text.');
}

// Makes `lines` the text of rectangle.py, selects and chooses from the menu of actions.
async function choose({ action, title, text, start, end }) {
  await editor.press('Control+a');
  await editor.keyboard.insertText(`${text.join('\n')}\n`);
  await editor.press('Escape');
  await editor.go_to(start[0] + 1, start[1] + 1);
  for (let line = start[0]; end && line < end[0]; ++line) await editor.press('Shift+ArrowDown');
  if (end) await editor.press('Shift+End');
  assert.equal(await editor.text('rectangle.py'), `${text.join('\n')}\n`);
  // What explains is a source action to VS Code, which has a menu of its own for those.
  await (action === 'explain' ? editor.command('Source Action...') : editor.press('Control+.'));
  await editor.page.locator('.action-widget .monaco-list-row', { hasText: title }).first().waitFor();
  // The menu takes no click; it goes around by key.
  const wanted = editor.page.locator('.action-widget .monaco-list-row.focused', { hasText: title });
  for (let left = 12; (await wanted.count()) === 0; --left) {
    assert.ok(left > 0, `the menu does not go to ${title}`);
    await editor.press('ArrowDown');
  }
  await editor.press('Enter');
}

const loopd_says = async () => (await editor.notifications()).find((message) => message.startsWith('loopd'));

// Waits until the action has changed the text, created its file, or said why not; returns the text and what was said.
async function outcome({ creates }) {
  for (let left = 600; left > 0; --left) {
    const said = await loopd_says();
    const changed = (await editor.page.locator('.tab.active.dirty').count()) > 0;
    if (said || changed || (creates && existsSync(join(code.workspaces, 'shop', creates)))) {
      // Saving what is saved would write the file once more, and it is empty for a moment.
      const after = changed ? await editor.text('rectangle.py') : readFileSync(join(code.workspaces, 'shop/rectangle.py'), 'utf8');
      return { after: after.trimEnd(), said };
    }
    await editor.page.waitForTimeout(50);
  }
  return assert.fail(`nothing after 30 s: ${await editor.notifications()}`);
}

describe('actions in VS Code', () => {
  before(async () => {
    code = await VSCode.start({ files: { 'shop/shapes.py': shapes, 'shop/rectangle.py': '\n', 'shop/tools/.keep': '' }, vsix: process.env.LOOPD_VSIX, settings });
    module_folder = join(code.workspaces, 'shop/tools/word_count');
    editor = await Editor.open(code, 'shop');
    await editor.show('shapes.py');
    await editor.wait_for_status(/loopd: .+ · cpu/);
  });

  after(() => code?.stop());

  test('Ctrl+Shift+L implements the function at the cursor, and one undo takes it back', async () => {
    await editor.go_to(5, 5);
    await editor.press('Control+Shift+l');
    await editor.wait_for_lines('text.includes("def square") && !/^ +pass$/m.test(text)');
    const text = await editor.text('shapes.py');
    const [head, tail] = shapes.split('    pass\n');
    assert.ok(text.startsWith(`${head}    `) && text.endsWith(tail), `changed around it: ${text}`);
    await editor.picture('7-implemented');
    saw('actions');
    await editor.press('Control+z');
    assert.equal(await editor.text('shapes.py'), shapes);
  });

  test('what the action did is explained', async () => {
    await editor.command('loopd: Explain Last Suggestion');
    const page = await editor.view(/Last action: implement/);
    assert.match(page, /Loop steps/);
    await editor.command('View: Close All Editors');
  });

  test('every action can be chosen from the menu; it changes what it is about, or says that no draft was good', async (context) => {
    await editor.show('rectangle.py');
    for (const row of rows) {
      await choose(row);
      const { after, said } = await outcome(row);
      if (row.says) assert.ok(said?.startsWith(row.says), `${row.action} says ${said}`);
      if (said) {
        assert.equal(after, row.text.join('\n'), `${row.action} changed the text and says ${said}`);
        if (!row.says) context.diagnostic(`${row.action}: ${said}`);
      } else {
        assert.ok(after.startsWith(row.head) && after.endsWith(row.tail), `${row.action} changed around it: ${after}`);
      }
      saw(`action ${row.action}`);
      await editor.command('Notifications: Clear All Notifications');
    }
  });

  test('an action that is cancelled on its way says nothing, changes nothing, and the next completion comes', async () => {
    const body = ['def total(prices):', '    total = 0', ...Array.from({ length: 30 }, (_, n) => `    total += prices[${n}]`), '    return total'];
    await choose({ title: 'Find and repair', text: body, start: [1, 4], end: [body.length - 1, 16] });
    const toast = editor.page.locator('.notification-toast', { hasText: 'Find and repair' });
    await toast.waitFor();
    await toast.hover();
    await toast.locator('.monaco-button', { hasText: 'Cancel' }).click();
    await toast.waitFor({ state: 'detached' });
    assert.equal(await editor.text('rectangle.py'), `${body.join('\n')}\n`);
    await editor.press('Control+End');
    await editor.type('def half(width):');
    await editor.press('Enter');
    await editor.type('    return ');
    await editor.ghost();
    await editor.press('Escape');
    assert.deepEqual(await editor.notifications(), []);
    saw('cancel');
    await editor.text('rectangle.py');
  });

  test('a module from the folder menu is shown before it is created; Discard leaves nothing', async () => {
    await ask_for_module();
    const message = await editor.answer('Create ', 'Discard', '8-module-preview');
    for (const file of made) assert.ok(message.includes(file), `${file} is not listed: ${message}`);
    assert.deepEqual(files_there(), []);
  });

  test('Create makes exactly the previewed files, and one undo removes them and their folder', async () => {
    await ask_for_module();
    await editor.page.locator('.multiDiffEditor').first().waitFor();
    await editor.answer('Create ', 'Create');
    await until('the files', () => files_there().length === made.length);
    assert.deepEqual(files_there(), made);
    const source = readFileSync(join(module_folder, 'word_count.py'), 'utf8');
    assert.match(source, /Counts the words of a text/);
    await editor.page.waitForSelector('.tab.active[data-resource-name="word_count.py"]');
    await editor.picture('9-module');
    saw('module');
    await editor.page.locator('.editor-instance .view-lines').first().click();
    await editor.press('Control+z');
    await until('the folder to be gone', () => !existsSync(module_folder));
    await editor.page.locator('.explorer-folders-view .monaco-list-row', { hasText: 'word_count' }).waitFor({ state: 'detached' });
    await editor.picture('10-module-undone');
    saw('module-undo');
    assert.deepEqual(await editor.notifications(), []);
  });
});
