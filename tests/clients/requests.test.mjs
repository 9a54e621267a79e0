// Requests that overtake, cancel and interrupt each other: the newest wins, and every one is answered exactly once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, protocol, random, without_model } from './loopd.mjs';

const editor = 'VS Code, languageclient 11';
const source = 'def area(width, height):\n    return width * height\n\n\ndef perimeter(width, height):\n    return ';

// "list", "null" or the code of the error.
const outcome = (request) => request.then((items) => (items === null ? 'null' : 'list'), (error) => error.code);

test('of requests for one document only the newest has to be computed', { skip: without_model }, async () => {
  const client = await Client.start(editor);
  await client.settled();
  const uri = 'file:///project/a.py';
  await client.open(uri, 'python', source);
  const outcomes = [];
  for (const letter of ['2', ' ', '*', ' ', '(']) {
    const end = client.documents.get(uri).getText().length;
    await client.replace(uri, end, end, letter);
    outcomes.push(outcome(client.inline(uri, end + 1)));
  }
  const all = await Promise.all(outcomes);
  assert.equal(all.at(-1), 'list', 'the newest request is answered with what it asked for');
  assert.ok(all.every((one) => one === 'list' || one === 'null'), `an error for an older request: ${all}`);
  assert.equal(await client.stop(), 0);
  assert.deepEqual(client.miscounted(), []);
});

test('documents do not supersede each other', { skip: without_model }, async () => {
  const client = await Client.start(editor);
  await client.settled();
  const uris = ['a', 'b', 'c', 'd'].map((name) => `file:///project/${name}.py`);
  for (const uri of uris) await client.open(uri, 'python', source);
  const all = await Promise.all(uris.map((uri) => outcome(client.inline(uri, source.length))));
  assert.deepEqual(all, ['list', 'list', 'list', 'list']);
  assert.equal(await client.stop(), 0);
});

test('a cancelled request is answered with RequestCancelled', { skip: without_model }, async () => {
  const client = await Client.start(editor);
  await client.settled();
  const uri = 'file:///project/a.py';
  await client.open(uri, 'python', source);
  const cancel = new protocol.CancellationTokenSource();
  const request = outcome(client.inline(uri, source.length, 1, cancel.token));
  cancel.cancel();
  // The answer may have been under way already; anything else than these two is wrong.
  const result = await request;
  assert.ok(result === -32800 || result === 'list', `answered with ${result}`);
  assert.equal(await outcome(client.inline(uri, source.length)), 'list', 'the next request is served');
  assert.equal(await client.stop(), 0);
  assert.deepEqual(client.miscounted(), []);
});

for (const where of [editor, 'Neovim 0.12', 'Emacs, eglot 1.9']) {
  test(`${where}: 500 random steps, every request is answered exactly once`, { timeout: 300_000 }, async () => {
    const client = await Client.start(where);
    const pick = random(20261122);
    const uris = ['a.py', 'b.ts', 'c.cpp'].map((name) => `file:///project/${name}`);
    const pieces = ['x', ' = ', '(', ')', '\n', '\r\n', '    ', '😀', 'ü', '\t', 'return ', '"', '#', '{', '}'];
    const pending = [];
    const ask = (uri) => {
      const cancel = new protocol.CancellationTokenSource();
      const offset = boundary(client.documents.get(uri).getText(), pick);
      pending.push(outcome(client.ask(uri, offset, cancel.token)));
      return cancel;
    };
    let running = [];
    for (let step = 0; step < 500; step += 1) {
      const uri = uris[pick(uris.length)];
      const document = client.documents.get(uri);
      const action = pick(20);
      if (!document) await client.open(uri, '', step % 2 ? source : '');
      else if (action === 0) await client.close(uri);
      else if (action < 11) {
        const [start, end] = [boundary(document.getText(), pick), boundary(document.getText(), pick)].sort((a, b) => a - b);
        await client.replace(uri, start, pick(4) ? start : end, pieces[pick(pieces.length)]);
      } else if (action < 17) running.push(ask(uri));
      else if (action < 19 && running.length) running.splice(pick(running.length), 1)[0].cancel();
      else if (pending.length) await pending[pick(pending.length)];
    }
    const outcomes = await Promise.all(pending);
    for (const one of outcomes) assert.ok(['list', 'null', -32800].includes(one), `a request was answered with ${one}`);
    assert.ok(outcomes.length > 50);
    assert.equal(await client.stop(), 0);
    assert.deepEqual(client.miscounted(), []);
  });
}

// A random place in the text that is not inside a surrogate pair or between \r and \n.
function boundary(text, pick) {
  let at = pick(text.length + 1);
  const low = at > 0 && at < text.length && (text.charCodeAt(at) & 0xfc00) === 0xdc00;
  if (low || (text[at - 1] === '\r' && text[at] === '\n')) at -= 1;
  return at;
}
