// Kate, replayed: the servers that editors/kate/settings.json starts, and what it does with their answers.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client, cursor, root, without_model } from './loopd.mjs';
import { row } from './record.mjs';

const { servers } = JSON.parse(readFileSync(join(root, 'editors/kate/settings.json'), 'utf8'));
const saw = row('kate', '25.08', 'replayed');
// Kate's names of highlighting modes, and the server that each must find.
const modes = { Python: 'python', C: 'c', 'C++': 'c', 'ISO C++': 'c', JavaScript: 'javascript', TypeScript: 'typescript', Rust: 'rust', Go: 'go', Java: 'java' };

test('every highlighting mode finds one server, and every server is loopd', () => {
  for (const [mode, wanted] of Object.entries(modes)) {
    const found = Object.keys(servers).filter((name) => new RegExp(servers[name].highlightingModeRegex).test(mode));
    assert.deepEqual(found, [wanted], mode);
  }
  assert.ok(Object.values(servers).every(({ command }) => command.join(' ') === 'loopd'));
});

test('the popup completes a word, an action implements a function', { skip: without_model }, async () => {
  const client = await Client.start('Kate', { settings: servers.python.initializationOptions });
  assert.equal((await client.settled()).state, 'ready');
  assert.deepEqual(client.messages, [], 'the server complains about a setting');
  const uri = 'file:///project/shapes.py';
  const { text, at } = cursor('def area(width, height):\n    pass\n\n\ndef perimeter(width, height):\n    return 2 * (wid^');
  await client.open(uri, 'Python', text);
  const [item] = await client.popup(uri, at);
  assert.match(client.accepted(uri, item), /return 2 \* \(wid\w+/);
  assert.ok(!item.textEdit.newText.includes('\n'), 'Kate shows one line');
  saw('popup', 'accept');

  const edit = new Promise((resolve) => client.connection.onRequest('workspace/applyEdit', (params) => (resolve(params.edit), { applied: true })));
  client.connection.onRequest('window/workDoneProgress/create', () => null);
  const start = client.position(uri, text.indexOf('pass'));
  const offered = await client.connection.sendRequest('textDocument/codeAction', { textDocument: { uri }, range: { start, end: start }, context: { diagnostics: [] } });
  const action = offered.find((one) => one.title.startsWith('Implement area'));
  await client.connection.sendRequest('workspace/executeCommand', { command: action.command.command ?? action.command, arguments: action.command.arguments ?? action.arguments });
  const { documentChanges, changes } = await edit;
  assert.ok(!JSON.stringify(documentChanges ?? changes).includes('pass'));
  saw('actions');
  assert.equal(await client.stop(), 0);
});

test('a module is listed by the server, which writes it on a yes', { skip: without_model }, async () => {
  // actions.test.mjs looks at the files; here is only that Kate is asked in the one way that it knows.
  const client = await Client.start('Kate', { settings: { depth: { module: [1, 2] }, context: { tokens: 512 } } });
  await client.settled();
  client.connection.onRequest('window/workDoneProgress/create', () => null);
  const asked = new Promise((resolve) => client.connection.onRequest('window/showMessageRequest', (params) => (resolve(params), null)));
  const argument = { folder: 'file:///project/word_count', language: 'python', about: 'Counts the words of a text.' };
  await client.connection.sendRequest('workspace/executeCommand', { command: 'loopd.module', arguments: [argument] });
  const { message, actions } = await asked;
  assert.match(message, /word_count\.py/);
  assert.deepEqual(actions.map(({ title }) => title), ['Write these files', 'Cancel']);
  saw('module');
  assert.equal(await client.stop(), 0);
});
