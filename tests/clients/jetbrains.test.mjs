// A JetBrains IDE with LSP4IJ, replayed: what the template makes it say, and how it inserts what it is answered.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Client, cursor, root, without_model } from './loopd.mjs';
import { row } from './record.mjs';

const editor = 'JetBrains, LSP4IJ';
const read = (name) => JSON.parse(readFileSync(join(root, 'editors/jetbrains/loopd', name), 'utf8'));
const template = read('template.json');
const settings = read('settings.json');
const saw = row('jetbrains', '0.20', 'replayed');

// The languageId that the IDE sends for a file, by the template's patterns.
function language_id(file) {
  const matches = (pattern) => file.endsWith(pattern.slice(1));
  return template.fileTypeMappings.find(({ fileType }) => fileType.patterns.some(matches))?.languageId;
}

// What stands in the document after Tab: LSP4IJ leaves out as many characters as the range has before the cursor, and
// inserts the rest at the cursor, whatever stands behind it.
function taken(client, uri, at, item) {
  const text = client.documents.get(uri).getText();
  const before = at - client.offset(uri, item.range?.start ?? client.position(uri, at));
  return text.slice(0, at) + item.insertText.slice(before) + text.slice(at);
}

async function open(text, file = 'shapes.py') {
  const client = await Client.start(editor, { settings, folders: [{ uri: 'file:///project', name: 'project' }] });
  client.edits = [];
  client.connection.onRequest('window/workDoneProgress/create', () => null);
  assert.equal((await client.settled()).state, 'ready');
  const uri = `file:///project/${file}`;
  await client.open(uri, language_id(file), text);
  return { client, uri };
}

test('the template is one that LSP4IJ imports', () => {
  assert.equal(template.id, 'loopd');
  assert.equal(template.programArgs.default, 'loopd');
  assert.ok(template.fileTypeMappings.every(({ fileType, languageId }) => fileType.patterns.every((one) => one.startsWith('*.')) && languageId));
  const patterns = template.fileTypeMappings.flatMap(({ fileType }) => fileType.patterns);
  assert.equal(new Set(patterns).size, patterns.length, 'a pattern stands in two mappings');
});

test('its settings are what the server knows', { skip: without_model }, async () => {
  const { client } = await open('x = 1\n');
  assert.deepEqual(client.messages, [], 'the server complains about a setting');
  assert.equal(await client.stop(), 0);
  saw('status');
});

for (const file of ['a.py', 'b.cpp', 'c.c', 'd.ts', 'e.tsx', 'f.rs', 'g.go', 'h.java', 'i.mjs']) {
  test(`${file} is parsed as its language`, { skip: without_model }, async () => {
    const { client, uri } = await open('\n', file);
    await client.inline(uri, 0);
    const report = await client.connection.sendRequest('loopd/explain', { textDocument: { uri } });
    assert.notEqual(report.language, 'none');
    assert.equal(await client.stop(), 0);
  });
}

test('grey text is inserted whole, and says nothing twice', { skip: without_model }, async () => {
  const at_end = cursor('def area(width, height):\n    return width * height\n\n\ndef perimeter(width, height):\n    return 2 * (wid^');
  const { client, uri } = await open(at_end.text);
  const [item] = await client.inline(uri, at_end.at);
  assert.match(taken(client, uri, at_end.at, item), /return 2 \* \(wid\w+/);
  saw('ghost', 'accept');

  // The closing bracket that the IDE has put behind the cursor stays the only one.
  const inside = cursor('def perimeter(width, height):\n    return 2 * (width + ^)\n');
  await client.replace(uri, 0, at_end.text.length, inside.text);
  for (const one of await client.inline(uri, inside.at)) {
    const text = taken(client, uri, inside.at, one);
    assert.equal(text.split(')').length, text.split('(').length, text);
  }
  assert.equal(await client.stop(), 0);
  assert.deepEqual(client.miscounted(), []);
});

test('Alt+Enter implements a function: the edit is resolved, then the command is sent, and it happens once', { skip: without_model }, async () => {
  const { text, at } = cursor('def area(width, height):\n    """Return the area of a rectangle."""\n    ^pass\n');
  const { client, uri } = await open(text);
  client.connection.onRequest('workspace/applyEdit', (params) => (client.edits.push(params), { applied: true }));
  const position = client.position(uri, at);
  const offered = await client.connection.sendRequest('textDocument/codeAction', {
    textDocument: { uri }, range: { start: position, end: position }, context: { diagnostics: [], triggerKind: 1 },
  });
  const action = offered.find((one) => one.title.startsWith('Implement area'));
  const resolved = await client.connection.sendRequest('codeAction/resolve', action);
  const [change] = resolved.edit.documentChanges;
  assert.equal(change.textDocument.uri, uri);
  assert.ok(!change.edits[0].newText.includes('pass'));
  await client.connection.sendRequest('workspace/executeCommand', resolved.command);
  await client.connection.sendRequest('loopd/explain', { textDocument: { uri } });
  assert.deepEqual(client.edits, []);
  assert.equal(await client.stop(), 0);
  saw('actions');
});

test('an empty file offers a module, which comes as one edit that creates its files', { skip: without_model }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'loopd-'));
  try {
    const { client } = await open('', 'unused.py');
    const start = { line: 0, character: 0 };
    // What the model writes for one folder and name need not parse, and then the answer says so; not so for all of them.
    for (const name of ['text/word_count', 'shop/inventory', 'shapes/geometry', 'net/client', 'work/queue', 'geo/point', 'bank/account', 'game/score']) {
      const file = join(folder, `${name}.py`);
      mkdirSync(dirname(file));
      writeFileSync(file, '');
      const uri = pathToFileURL(file).href;
      await client.open(uri, 'python', '');
      const edit = new Promise((resolve) => client.connection.onRequest('workspace/applyEdit', (params) => (resolve(params), { applied: true })));
      const said = new Promise((resolve) => client.connection.onNotification('window/showMessage', ({ message }) => resolve(message)));
      const offered = await client.connection.sendRequest('textDocument/codeAction', { textDocument: { uri }, range: { start, end: start }, context: { diagnostics: [] } });
      const action = offered.find((one) => one.title.startsWith('Generate a module'));
      const again = await client.connection.sendRequest('codeAction/resolve', action);
      assert.deepEqual(again, action, 'it has no edit to resolve');
      await client.connection.sendRequest('workspace/executeCommand', action.command);
      const answer = await Promise.race([edit, said]);
      if (typeof answer === 'object') {
        const created = answer.edit.documentChanges.filter((change) => change.kind === 'create');
        assert.ok(created.length >= 3);
        assert.ok(created.every((change) => change.options.overwrite === false));
        saw('module');
        break;
      }
      assert.match(answer, /module/, 'why there is none is said');
    }
    assert.equal(await client.stop(), 0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
