// Two VS Code windows and a Neovim on one engine process; its death while somebody types is noticed by nobody.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Editor } from './editor.mjs';
import { saw } from './seen.mjs';
import { VSCode, root } from './vscode.mjs';

const source = 'def area(width, height):\n    return width * height\n\n\n';
const here = join(root, 'tests/clients/neovim');
const no_neovim = spawnSync('nvim', ['--version']).status === 0 ? false : 'no nvim here';

let code;
let sockets;
const editors = [];

// The processes of this package that are engines, not servers of an editor.
const engines = () => code.daemons().filter((id) => readFileSync(`/proc/${id}/cmdline`, 'utf8').split('\0')[1] === 'host');

async function until(what, condition) {
  for (let left = 400; !condition(); --left) {
    if (left === 0) assert.fail(`waited 20 s for ${what}`);
    await editors[0].page.waitForTimeout(50);
  }
}

describe('sharing one engine', () => {
  before(async () => {
    // The path of a socket may have 108 bytes, so that it is not in the checkout.
    sockets = mkdtempSync(join(tmpdir(), 'loopd-'));
    const files = { 'first/shapes.py': source, 'second/shapes.py': source };
    const environment = { XDG_RUNTIME_DIR: sockets, LOOPD_STANDALONE: '' };
    code = await VSCode.start({ files, vsix: process.env.LOOPD_VSIX, environment });
    for (const workspace of ['first', 'second']) {
      const editor = await Editor.open(code, workspace);
      await editor.show('shapes.py');
      await editor.wait_for_status(/loopd: .+ · cpu/);
      editors.push(editor);
    }
  });

  after(async () => {
    // An engine outlives its editors by a minute.
    for (const engine of code ? engines() : []) process.kill(engine, 'SIGKILL');
    await code?.stop();
    if (sockets) rmSync(sockets, { recursive: true, force: true });
  });

  async function complete(editor, name) {
    await editor.page.bringToFront();
    await editor.press('Control+End');
    await editor.type(`def ${name}(width, height):`);
    await editor.press('Enter');
    await editor.type('return ');
    await editor.ghost();
    await editor.press('Escape');
  }

  test('two windows have a server each, and one engine', async () => {
    for (const editor of editors) await complete(editor, 'ratio');
    assert.equal(engines().length, 1);
    assert.equal(code.daemons().length, 3, 'two servers and an engine');
  });

  test('a Neovim with the same program joins them', { skip: no_neovim }, async () => {
    const folder = join(code.folder, 'neovim');
    mkdirSync(folder);
    copyFileSync(join(here, 'rectangle.py'), join(folder, 'rectangle.py'));
    const binary = code.program();
    const [engine] = engines();
    const libraries = join(dirname(binary), '../lib');
    const environment = { ...code.environment, HOME: folder, LOOPD_BINARY: binary, LD_LIBRARY_PATH: libraries };
    const runtime = `set runtimepath+=${join(root, 'editors/neovim')}`;
    const args = ['--headless', '-u', 'NONE', '-i', 'NONE', '-n', '--cmd', runtime, '-c', `luafile ${join(here, 'share.lua')}`, 'rectangle.py'];
    const neovim = spawn('nvim', args, { cwd: folder, env: environment });
    let said = '';
    const ended = new Promise((resolve) => neovim.on('close', resolve));
    for (const stream of [neovim.stdout, neovim.stderr]) stream.on('data', (data) => (said += data));
    await until('ghost text in Neovim', () => said.includes('shown') || said.includes('FAIL'));
    assert.ok(said.includes('shown'), said);
    assert.deepEqual(engines(), [engine], 'it would have started an engine of its own');
    assert.equal(code.daemons().length, 4);
    writeFileSync(join(folder, 'end'), '');
    await ended;
    assert.match(said, /ok neovim/);
    saw('sharing');
  });

  test('an engine that is killed while somebody types is replaced, with no pop-up and no lost key', async () => {
    const [editor, other] = editors;
    const [killed] = engines();
    await editor.page.bringToFront();
    await editor.press('Control+End');
    await editor.press('Enter');
    await editor.press('Home');
    const before_typing = (await editor.text('shapes.py')).trimEnd();
    const typed = '# one two three four five six seven eight nine ten';
    const typing = editor.type(typed);
    process.kill(killed, 'SIGKILL');
    await typing;
    const text = await editor.text('shapes.py');
    assert.equal(text.slice(before_typing.length).trim(), typed);
    await editor.press('Enter');
    await complete(editor, 'slope');
    await other.press('Enter');
    await complete(other, 'slope');
    assert.equal(engines().length, 1);
    assert.ok(!engines().includes(killed));
    for (const one of editors) assert.deepEqual(await one.notifications(), []);
  });
});
