// Somebody types for $LOOPD_LEAK_MINUTES (1), taking and refusing suggestions: memory must not grow with the time.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { Editor } from './editor.mjs';
import { measured } from './seen.mjs';
import { VSCode } from './vscode.mjs';

const minutes = Number(process.env.LOOPD_LEAK_MINUTES ?? 1);
// Keys and values of prompts that were computed are kept, up to a bound (192 MB, inference/engine.h) and what the lanes hold;
// that takes minutes of typing. What grows behind it is what is looked for, so that a longer run tells more.
const kept_mb = 256;
const warm_up = 0.4; // of the time
const growth = 1.1;

const source = 'class Shelf:\n    def __init__(self, books):\n        self.books = books\n        self.first = books[0]\n\n';
const names = ['title', 'author', 'year', 'pages', 'price', 'shelf', 'index', 'count', 'length', 'weight'];

let code;
let editor;

const megabytes = (id) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${id}/status`, 'utf8'))[1]) / 1024;

describe('typing for long', { skip: minutes > 0 ? false : 'LOOPD_LEAK_MINUTES is 0' }, () => {
  before(async () => {
    code = await VSCode.start({ files: { 'shop/shelf.py': source }, vsix: process.env.LOOPD_VSIX });
    editor = await Editor.open(code, 'shop');
    await editor.show('shelf.py');
    await editor.wait_for_status(/loopd: .+ · cpu/);
  });

  after(() => code?.stop());

  // A method is typed, and whatever grey text there is at its end is taken or sent away; the file starts anew at times.
  async function type_method(round) {
    const name = names[round % names.length];
    if (round % 12 === 0) {
      await editor.press('Control+a');
      await editor.press('Delete');
      await editor.keyboard.insertText(source);
    }
    await editor.press('Control+End');
    await editor.type(`    def ${name}_${round}(self):`);
    await editor.press('Enter');
    await editor.type(`return self.`);
    await editor.ghost(1500).catch(() => {});
    await editor.press(round % 3 === 0 ? 'Escape' : 'Tab');
    await editor.press('Escape');
    await editor.press('Enter');
    await editor.press('Home');
  }

  test(`memory stays as it is over ${minutes} minutes`, { timeout: (minutes + 3) * 60_000 }, async (context) => {
    const [server] = code.daemons();
    const began = Date.now();
    const passed = () => (Date.now() - began) / (minutes * 60_000);
    const first = megabytes(server);
    const samples = []; // MB at every tenth of the time
    let rounds = 0;
    for (; passed() < 1; ++rounds) {
      await type_method(rounds);
      while (samples.length < Math.min(9, Math.floor(passed() * 10))) samples.push(Math.round(megabytes(server)));
    }
    assert.deepEqual(code.daemons(), [server], 'the server was replaced');
    const last = megabytes(server);
    const warm = samples[warm_up * 10 - 1];
    const figures = { minutes, rounds, start_mb: Math.round(first), warm_mb: warm, end_mb: Math.round(last), samples_mb: samples };
    context.diagnostic(`RSS of the server: ${figures.start_mb} MB at the start, ${figures.warm_mb} MB after ${warm_up * 100} % of ${minutes} min, ${figures.end_mb} MB at the end; ${rounds} methods typed; ${samples.join(' ')}`);
    measured('vscode memory', figures);
    assert.ok(last < Math.max(warm * growth, first + kept_mb), `grew from ${warm} MB to ${last} MB`);
  });
});
