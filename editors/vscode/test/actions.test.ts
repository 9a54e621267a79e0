// Which action a key means, what a module's edit creates, and both against the real program.
import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import { best } from '../src/actions';
import { new_files } from '../src/module';
import type { Case } from './index';

const offer = (action: string) => ({ title: action, data: { action } });
const square = 'def square(side):\n    """Return the area of a square."""\n    pass\n';

async function open(content: string, line: number): Promise<vscode.TextEditor> {
  const editor = await vscode.window.showTextDocument(await vscode.workspace.openTextDocument({ language: 'python', content }));
  editor.selection = new vscode.Selection(line, 4, line, 4);
  return editor;
}

export const cases: Case[] = [
  {
    name: 'actions: a missing body comes before a comment, and that before the selection',
    run: () => {
      assert.equal(best([offer('document'), offer('continue'), offer('implement')])?.title, 'implement');
      assert.equal(best([offer('continue'), offer('rewrite')])?.title, 'rewrite');
      assert.equal(best([offer('repair'), offer('explain')]), undefined);
    },
  },
  {
    name: 'actions: the files of a module are those that its edit creates, in their order',
    run: () => {
      const text = (uri: string, newText: string) => ({ textDocument: { uri, version: null }, edits: [{ range: { start: { line: 0, character: 0 }, end: { line: 0, character: 0 } }, newText }] });
      const documentChanges = [{ kind: 'create' as const, uri: 'file:///m/a.py' }, text('file:///m/a.py', 'a = 1\n'), { kind: 'create' as const, uri: 'file:///m/b.md' }, text('file:///other.py', 'x')];
      assert.deepEqual(new_files({ edit: { documentChanges } }).map(({ uri, text: all }) => [uri.path, all]), [['/m/a.py', 'a = 1\n'], ['/m/b.md', '']]);
      assert.deepEqual(new_files({ edit: { changes: {} } }), []);
    },
  },
  {
    name: 'actions: the function at the cursor is implemented, and one undo takes that back',
    run: async () => {
      const { document } = await open(square, 0);
      await vscode.commands.executeCommand('loopd.implement');
      while (/^ {4}pass$/m.test(document.getText())) await new Promise((resolve) => setTimeout(resolve, 20));
      assert.ok(document.getText().startsWith(square.slice(0, square.indexOf('    pass'))), document.getText());
      await vscode.commands.executeCommand('undo');
      assert.equal(document.getText(), square);
    },
  },
];
