// Settings from initializationOptions, didChangeConfiguration and workspace/configuration take effect at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, without_model } from './loopd.mjs';

const uri = 'file:///project/a.py';
const source = 'def area(width, height):\n    return width * height\n\n\ndef perimeter(width, height):\n    return ';
const comment = '# Adds two numbers and ';

async function start(editor, settings) {
  const client = await Client.start(editor, { settings });
  await client.settled();
  await client.open(uri, 'python', source);
  return client;
}

async function change(client, settings) {
  client.settings = settings;
  await client.connection.sendNotification('workspace/didChangeConfiguration', { settings });
}

// Whether the model ran for a request at the end of the document; an empty answer alone could have other reasons.
async function ran(client) {
  const items = await client.ask(uri, source.length);
  const { finish_reason } = await explain(client, uri, source.length);
  if (finish_reason === 'off') assert.deepEqual(items, []);
  return finish_reason !== 'off';
}

function explain(client, uri, offset) {
  return client.connection.sendRequest('loopd/explain', { textDocument: { uri }, position: client.position(uri, offset) });
}

for (const editor of ['VS Code, languageclient 11', 'JetBrains, LSP4IJ', 'Emacs, eglot 1.9']) {
  test(`${editor}: languages and exclude`, { skip: without_model }, async () => {
    const client = await start(editor, { loopd: { languages: ['typescript'] } });
    assert.equal(await ran(client), false, 'python is switched off');

    await change(client, { loopd: { languages: [] } });
    await settle(client);
    assert.equal(await ran(client), true, 'every language is on');

    await change(client, { loopd: { exclude: ['**/project/*.py'] } });
    await settle(client);
    assert.equal(await ran(client), false, 'the file is excluded');

    // Wrong types are reported and change nothing; unknown keys harm nobody.
    await change(client, { loopd: { exclude: 'everything', maxTokens: 'many', nonsense: 1 } });
    await settle(client);
    assert.equal(await ran(client), false, 'the old value was kept');
    assert.equal(await client.stop(), 0);
    assert.deepEqual(client.miscounted(), []);
  });
}

test('VS Code, languageclient 11: the depth of a class can be set, and explain tells it', { skip: without_model }, async () => {
  const client = await start('VS Code, languageclient 11', { loopd: { depth: { function: 4, identifier: 4, module: 4 } } });
  await client.inline(uri, source.length);
  const explained = await explain(client, uri, source.length);
  assert.equal(explained.loop_depth, 4);
  assert.ok(explained.loop_steps.length > 0);
  for (const step of explained.loop_steps) {
    assert.ok(['draft', 'verify', 'revise'].includes(step.kind));
    for (const key of ['step', 'depth', 'tokens_generated', 'tokens_revised', 'tokens_drafted', 'tokens_accepted', 'ms']) assert.equal(typeof step[key], 'number', key);
  }
  assert.equal(await client.stop(), 0);
});

test('VS Code, languageclient 11: comments can be switched on', { skip: without_model }, async () => {
  const client = await start('VS Code, languageclient 11', { loopd: { comments: true } });
  const other = 'file:///project/comment.py';
  await client.open(other, 'python', comment);
  await client.inline(other, comment.length);
  assert.notEqual((await explain(client, other, comment.length)).finish_reason, 'off');
  assert.equal(await client.stop(), 0);
});

// The server may ask for the settings instead of reading them from the notification; a round trip lets that happen.
async function settle(client) {
  for (let i = 0; i < 3; i += 1) await client.connection.sendRequest('loopd/no-such-method').catch(() => {});
}
