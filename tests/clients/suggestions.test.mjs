// What is suggested can be inserted by the editor that asked: legal ranges, the right item shape, silence where it is due.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, cursor, without_model } from './loopd.mjs';
import { has_inline_completion, profiles } from './profiles.mjs';

// Places in code, the cursor as `^`; characters before the cursor that are one, two and four bytes long.
const places = [
  ['python', 'a.py', 'def add(a, b):\n    return a + b\n\n\ndef subtract(a, b):\n    ^'],
  ['python', 'b.py', 'names = ["ü", "😀"]\nfor name in names: print(na^)\n'],
  ['python', 'c.py', 'class Stack:\n    def __init__(self):\n        self.items = []\n\n    def push(self, item):\n        ^\n\n    def pop(self):\n        return self.items.pop()\n'],
  ['typescript', 'd.ts', 'export function total(prices: number[]): number {\r\n  let sum = 0; /* 😀 */ for (const price of ^)\r\n  return sum;\r\n}\r\n'],
  ['cpp', 'e.cpp', '#include <vector>\n\nint sum(const std::vector<int>& values) {\n  int result = 0;\n  for (int value : values) {\n    ^\n  }\n  return result;\n}\n'],
  ['c++', 'f', 'int main() {\n  int x = (1 + ^);\n}\n'],
  ['', 'g.rs', 'fn largest(values: &[i32]) -> i32 {\n    let mut best = values[0];\n    ^\n}\n'],
  ['python', 'h.py', '^'],
];

function check_inline(client, uri, at, item) {
  const { start, end } = item.range;
  const document = client.documents.get(uri);
  const text = document.getText();
  const here = client.position(uri, at);
  assert.ok(start.line === here.line && end.line === here.line, 'the range is on the line of the cursor');
  assert.ok(start.character <= here.character && end.character >= here.character, 'the range holds the cursor');
  const before = text.slice(client.offset(uri, start), at);
  const after = text.slice(at, client.offset(uri, end));
  const inserted = typeof item.insertText === 'string' ? item.insertText : item.insertText.value;
  assert.ok(inserted.length > 0 && !inserted.includes('\0'));
  assert.ok(inserted.startsWith(before), 'VS Code hides text that does not start with what is typed');
  let found = 0;
  for (const c of inserted.slice(before.length)) if (c === after[found]) found += 1;
  assert.equal(found, after.length, 'VS Code hides text that does not contain what it replaces');
  const rest = text.slice(client.offset(uri, end)).split(/\r\n|\r|\n/, 1)[0];
  if (client.editor.startsWith('VS Code') && inserted.includes('\n')) assert.equal(rest, '', 'lines replace up to the end of the line');
  if (client.editor.startsWith('JetBrains')) assert.deepEqual(end, here, 'LSP4IJ repeats what is behind the cursor');
}

function check_popup(client, uri, at, item) {
  const { textEdit } = item;
  assert.ok(textEdit?.range && !('insert' in textEdit), 'eglot 1.9 raises an error on InsertReplaceEdit');
  const here = client.position(uri, at);
  assert.ok(textEdit.range.start.line === here.line && textEdit.range.end.line === here.line);
  const typed = client.documents.get(uri).getText().slice(client.offset(uri, textEdit.range.start), at);
  assert.match(typed, /^[\p{L}\p{N}_]*$/u, 'the range starts at the word');
  assert.ok(textEdit.newText.startsWith(typed), 'Neovim 0.7.2 filters by newText');
  assert.ok((item.filterText ?? item.label).startsWith(typed), 'eglot filters by filterText');
  assert.ok(item.label.length > 0 && !item.label.includes('\n'));
  assert.ok(!textEdit.newText.includes('\0'));
  const snippets = profiles[client.editor].capabilities.textDocument.completion.completionItem.snippetSupport;
  if (!snippets) assert.ok((item.insertTextFormat ?? 1) === 1, 'no snippets where they are not understood');
  const lines = textEdit.newText.split('\n').length;
  if (client.editor === 'Neovim 0.7.2') assert.equal(lines, 1, 'several lines become a NUL byte in Neovim 0.7.2');
  if (client.editor === 'Neovim 0.12, popup' && lines > 1) assert.equal(item.insertTextFormat, 2);
}

for (const editor of Object.keys(profiles)) {
  test(`${editor}: suggestions can be inserted`, { skip: without_model }, async () => {
    const client = await Client.start(editor);
    assert.equal((await client.settled()).state, 'ready');
    for (const [language, name, marked] of places) {
      const { text, at } = cursor(marked);
      const uri = `file:///project/${name}`;
      await client.open(uri, language, text);
      for (const trigger of has_inline_completion(editor) ? [0, 1, 2] : [1]) {
        const items = has_inline_completion(editor) ? await client.inline(uri, at, trigger) : await client.popup(uri, at);
        assert.ok(Array.isArray(items), 'a list, empty where there is nothing to say');
        const texts = items.map((item) => (item.insertText ?? item.textEdit.newText).replaceAll(/\s/g, ''));
        // Once a draft's 0 was seen, 1 means automatic; the first request has asked already.
        assert.ok(items.length <= (trigger === 0 ? 3 : 1), 'who types gets one');
        assert.equal(new Set(texts).size, texts.length, `the same twice: ${texts}`);
        for (const item of items) (has_inline_completion(editor) ? check_inline : check_popup)(client, uri, at, item);
      }
    }
    assert.equal(await client.stop(), 0);
    assert.deepEqual(client.miscounted(), []);
  });
}

const silent = [
  ['in a comment', 'python', 'file:///project/a.py', '# sums the ^\ntotal = 0\n'],
  ['in a string', 'python', 'file:///project/b.py', 'name = "the ^"\n'],
  ['in a block comment', 'cpp', 'file:///project/c.cpp', '/* adds\n ^\n*/\nint x;\n'],
  ['in .env', 'dotenv', 'file:///project/.env', 'API_KEY=^'],
  ['in .env.local', '', 'file:///project/.env.local', 'API_KEY=^'],
  ['in a private key', '', 'file:///home/someone/.ssh/id_rsa', '-----BEGIN^'],
  ['in a certificate', 'plaintext', 'file:///project/server.pem', '-----BEGIN^'],
];
for (const editor of ['VS Code, languageclient 11', 'Emacs, eglot 1.9']) {
  test(`${editor}: nothing is suggested where completion is off`, { skip: without_model }, async () => {
    const client = await Client.start(editor);
    await client.settled();
    for (const [where, language, uri, marked] of silent) {
      const { text, at } = cursor(marked);
      await client.open(uri, language, text);
      assert.deepEqual(await client.ask(uri, at), [], where);
    }
    assert.equal(await client.stop(), 0);
  });
}
