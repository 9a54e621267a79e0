// Code actions as each editor uses them: by command, by resolving an edit, or by both; progress, cancelling, modules.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Client, cursor, without_model } from './loopd.mjs';
import { profiles } from './profiles.mjs';

const source = 'def area(width, height):\n    """Return the area of a rectangle."""\n    ^pass\n\n\nlast = 1\n';

// What an editor announces about code actions decides what it is sent.
const editors = {
  'VS Code, languageclient 11': { both: true },
  'Neovim 0.7.2': { both: true },
  'Neovim 0.12': { both: true },
  'Emacs, eglot 1.9': { both: false },
  'JetBrains, LSP4IJ': { both: true },
  Helix: { both: true },
  Kate: { both: false },
};

// A client whose edits and progress can be looked at.
async function start(editor, options = {}) {
  const client = await Client.start(editor, options);
  client.edits = [];
  client.progress = [];
  client.asked_user = [];
  client.answer_user = () => null;
  let wake = () => {};
  client.next_edit = () => new Promise((resolve) => (wake = resolve));
  client.connection.onRequest('workspace/applyEdit', (params) => {
    client.edits.push(params);
    wake(params);
    return { applied: true };
  });
  client.connection.onRequest('window/workDoneProgress/create', () => null);
  client.connection.onNotification('$/progress', (params) => client.progress.push(params));
  client.connection.onRequest('window/showMessageRequest', (params) => {
    client.asked_user.push(params);
    return client.answer_user(params);
  });
  client.results = [];
  client.connection.onNotification('loopd/result', (result) => {
    client.results.push(result);
    client.on_result?.(result);
  });
  await client.settled();
  return client;
}

async function actions(client, uri, at, context = { diagnostics: [] }) {
  const position = client.position(uri, at);
  return client.connection.sendRequest('textDocument/codeAction', { textDocument: { uri }, range: { start: position, end: position }, context });
}

// The edits of a WorkspaceEdit that concern `uri`.
function edits_of(edit, uri) {
  const changed = edit.documentChanges?.filter((change) => change.textDocument?.uri === uri).flatMap((change) => change.edits);
  return changed ?? edit.changes[uri];
}

function apply(client, uri, edit) {
  const document = client.documents.get(uri);
  let text = document.getText();
  for (const one of edits_of(edit, uri)) {
    text = text.slice(0, client.offset(uri, one.range.start)) + one.newText + text.slice(client.offset(uri, one.range.end));
  }
  return text;
}

function check_implemented(text) {
  assert.ok(text.startsWith('def area(width, height):\n    """Return the area of a rectangle."""\n    '), text);
  assert.ok(text.endsWith('\n\n\nlast = 1\n'), text);
  assert.ok(!text.includes('pass'), text);
}

for (const [editor, { both }] of Object.entries(editors)) {
  test(`${editor} implements a function`, { skip: without_model }, async () => {
    const client = await start(editor);
    const uri = 'file:///project/shapes.py';
    const { text, at } = cursor(source);
    await client.open(uri, 'python', text);
    const offered = await actions(client, uri, at);
    const action = offered.find((one) => one.title.startsWith('Implement area'));
    assert.ok(action, JSON.stringify(offered));
    const literals = 'codeAction' in profiles[editor].capabilities.textDocument;
    assert.equal(typeof action.command, literals ? 'object' : 'string', 'clients without literals get bare commands');
    const command = literals ? action.command : action;

    if (both) {
      const resolved = await client.connection.sendRequest('codeAction/resolve', action);
      check_implemented(apply(client, uri, resolved.edit));
      // Neovim and VS Code run the command, too; what was resolved is not carried out twice.
      assert.equal(await client.connection.sendRequest('workspace/executeCommand', command), null);
      await client.connection.sendRequest('loopd/explain', { textDocument: { uri } });
      assert.deepEqual(client.edits, []);
    } else {
      const edit = client.next_edit();
      assert.equal(await client.connection.sendRequest('workspace/executeCommand', command), null, 'answered at once');
      check_implemented(apply(client, uri, (await edit).edit));
    }
    assert.equal(client.results.length, 1);
    assert.ok(client.results[0].loop_steps.some((step) => step.focus === 'check'));
    assert.equal(await client.stop(), 0);
    assert.deepEqual(client.miscounted(), []);
  });
}

test('the client is told that a model writes, and only the kinds it asks for', { skip: without_model }, async () => {
  const client = await start('VS Code, languageclient 11');
  const uri = 'file:///project/shapes.py';
  const { text, at } = cursor(source);
  await client.open(uri, 'python', text);
  const [action] = await actions(client, uri, at, { diagnostics: [], only: ['refactor'] });
  assert.equal(action.kind, 'refactor.rewrite');
  assert.deepEqual(action.tags, [1]);
  assert.deepEqual(await actions(client, uri, at, { diagnostics: [], only: ['quickfix'] }), []);
  const unknown = { title: 'Other', command: { title: 'Other', command: 'other' }, data: { of: 'someone else' } };
  assert.deepEqual(await client.connection.sendRequest('codeAction/resolve', unknown), unknown);
  assert.equal(await client.stop(), 0);
});

test('progress shows the step, and cancelling is silent', { skip: without_model }, async () => {
  const client = await start('VS Code, languageclient 11');
  const uri = 'file:///project/shapes.py';
  const { text, at } = cursor(source);
  await client.open(uri, 'python', text);
  const [action] = await actions(client, uri, at);
  const ended = new Promise((resolve) => {
    client.connection.onNotification('$/progress', (params) => {
      client.progress.push(params);
      if (params.value.kind === 'begin') client.connection.sendNotification('window/workDoneProgress/cancel', { token: params.token });
      if (params.value.kind === 'end') resolve();
    });
  });
  await client.connection.sendRequest('workspace/executeCommand', { ...action.command, workDoneToken: 'mine' });
  await ended;
  assert.equal(client.progress[0].token, 'mine');
  assert.equal(client.progress[0].value.cancellable, true);
  // The action may have been done before the cancellation came; else nothing is applied and nothing said.
  await client.connection.sendRequest('loopd/explain', { textDocument: { uri } });
  if (client.progress.at(-1).value.message === 'cancelled') {
    assert.deepEqual(client.edits, []);
    assert.deepEqual(client.messages, []);
  }
  assert.equal(await client.stop(), 0);
});

test('typing on stops the action for the text as it was', { skip: without_model }, async () => {
  const client = await start('Emacs, eglot 1.9');
  const uri = 'file:///project/shapes.py';
  const { text, at } = cursor(source);
  await client.open(uri, 'python', text);
  const [action] = await actions(client, uri, at);
  await client.connection.sendRequest('workspace/executeCommand', action.command ?? action);
  await client.replace(uri, 0, 0, '# changed\n');
  const edit = await Promise.race([client.next_edit(), actions(client, uri, at + 10).then(() => null)]);
  if (edit) assert.ok(client.edits.length <= 1, 'it was done before the key came');
  assert.equal(await client.stop(), 0);
});

const options = { depth: { module: [1, 2] }, context: { tokens: 512 } };

test('VS Code gets a module as one edit with creations to be confirmed', { skip: without_model }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'loopd-'));
  try {
    const client = await start('VS Code, languageclient 11', { settings: options });
    const result = new Promise((resolve) => (client.on_result = resolve));
    await client.connection.sendRequest('workspace/executeCommand', {
      command: 'loopd.module',
      arguments: [{ folder: pathToFileURL(join(folder, 'word_count')).href, language: 'python', about: 'Counts the words of a text.' }],
    });
    const told = await result;
    if (told.files.length > 0) {
      const { edit } = client.edits[0] ?? (await client.next_edit());
      const created = edit.documentChanges.filter((change) => change.kind === 'create').map((change) => change.uri.split('/').at(-1));
      assert.deepEqual(created, ['word_count.py', '__init__.py', 'test_word_count.py', 'README.md']);
      assert.ok(edit.documentChanges.every((change) => change.kind !== 'create' || change.options.overwrite === false));
      assert.equal(Object.values(edit.changeAnnotations)[0].needsConfirmation, true);
    }
    assert.ok(told.loop_steps.some((step) => step.focus === 'plan'));
    assert.ok(!existsSync(join(folder, 'word_count')), 'the editor writes, not the server');
    assert.equal(await client.stop(), 0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

for (const editor of ['Neovim 0.7.2', 'Emacs, eglot 1.9', 'Kate']) {
  test(`${editor} cannot create files by an edit: the server asks, and writes on a yes`, { skip: without_model }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'loopd-'));
    try {
      const client = await start(editor, { settings: options });
      const said = new Promise((resolve) => client.connection.onNotification('window/showMessage', ({ message }) => resolve(message)));
      client.answer_user = (params) => params.actions[0];
      await client.connection.sendRequest('workspace/executeCommand', {
        command: 'loopd.module',
        arguments: [pathToFileURL(join(folder, 'word_count')).href, 'python', 'Counts the words of a text.'],
      });
      const message = await said;
      if (client.asked_user.length > 0) {
        assert.match(client.asked_user[0].message, /word_count\.py/);
        assert.match(message, /4 files written/);
        assert.deepEqual(readdirSync(join(folder, 'word_count')).sort(), ['README.md', '__init__.py', 'test_word_count.py', 'word_count.py']);
        assert.match(readFileSync(join(folder, 'word_count/word_count.py'), 'utf8'), /Counts the words of a text/);
      }
      assert.deepEqual(client.edits, []);
      assert.equal(await client.stop(), 0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}
