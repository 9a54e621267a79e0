// After a storm of edits the server completes the same text that the editor shows.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, random, without_model } from './loopd.mjs';

const start = 'class Point:\n    def __init__(self, x, y):\n        self.x = x\n        self.y = y\n\n    def scaled(self, factor):\n        return Point(';

for (const editor of ['VS Code, languageclient 11', 'Neovim 0.12', 'Emacs, eglot 1.9', 'Helix']) {
  test(`${editor}: edited and freshly opened documents get the same suggestions`, { skip: without_model, timeout: 300_000 }, async () => {
    // Short, and without a deadline that a busy machine would notice.
    const settings = { loopd: { maxTokens: 16, deadlineMs: 600000 } };
    const client = await Client.start(editor, { settings });
    await client.settled();
    const pick = random(7);
    const edited = 'file:///project/edited.py';
    await client.open(edited, 'python', start);
    const pieces = ['x', 'self.', '(', ')', '\n', '\r\n', '        ', '# 😀 ü\n', '日本', '\t', ' + ', '', ''];
    let compared = 0;
    for (let round = 0; round < 12; round += 1) {
      for (let edit = 0; edit < 25; edit += 1) {
        const text = client.documents.get(edited).getText();
        const places = [...boundaries(text)];
        const first = pick(places.length);
        const last = Math.min(places.length - 1, first + pick(4));
        await client.replace(edited, places[first], places[last], pieces[pick(pieces.length)]);
      }
      // Behind the mess something that a model goes on with; it is a part of the mess from then on.
      const mess = client.documents.get(edited).getText().length;
      await client.replace(edited, mess, mess, '\n\ndef area(width, height):\n    return ');
      // The same text under the same name in a process that saw none of the edits.
      const text = client.documents.get(edited).getText();
      const at = text.length;
      const after_edits = await client.ask(edited, at);
      const copy = await Client.start(editor, { settings });
      await copy.settled();
      await copy.open(edited, 'python', text);
      const fresh = await copy.ask(edited, at);
      await copy.stop();
      assert.deepEqual(after_edits, fresh, `round ${round}, text ${JSON.stringify(text)}`);
      compared += after_edits.length;
    }
    assert.ok(compared > 0, 'no round had a suggestion, so nothing was compared');
    assert.equal(await client.stop(), 0);
  });
}

// Places between characters: never inside a surrogate pair or a line end.
function* boundaries(text) {
  for (let at = 0; at <= text.length; at += 1) {
    const low = at > 0 && at < text.length && (text.charCodeAt(at) & 0xfc00) === 0xdc00;
    if (!low && !(text[at - 1] === '\r' && text[at] === '\n')) yield at;
  }
}
