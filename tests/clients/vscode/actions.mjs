// Actions in a real VS Code: a function implemented by a key, a module from the Explorer's menu, each taken back by one undo.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Editor } from './editor.mjs';
import { saw } from './seen.mjs';
import { VSCode } from './vscode.mjs';

const shapes = `def area(width, height):
    return width * height


def square(side):
    """Return the area of a square."""
    pass


last = 1
`;
const settings = { 'loopd.depth.module': [1, 2], 'loopd.context.tokens': 512 };
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

describe('actions in VS Code', () => {
  before(async () => {
    code = await VSCode.start({ files: { 'shop/shapes.py': shapes, 'shop/tools/.keep': '' }, vsix: process.env.LOOPD_VSIX, settings });
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

  test('a module from the folder menu is shown before it is created; Discard leaves nothing', async () => {
    await ask_for_module();
    const message = await editor.answer('Create ', 'Discard', '8-module-preview');
    for (const file of made) assert.ok(message.includes(file), `${file} is not listed: ${message}`);
    assert.deepEqual(files_there(), []);
  });

  test('Create makes exactly the previewed files, and one undo removes them all', async () => {
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
    await until('the files to be gone', () => files_there().length === 0);
    await editor.picture('10-module-undone');
    saw('module-undo');
    assert.deepEqual(await editor.notifications(), []);
  });
});
