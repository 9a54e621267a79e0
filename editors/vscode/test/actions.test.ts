// Which action a key means, what a module's edit creates, and both against the real program.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { best } from '../src/actions';
import { MadeFolders } from '../src/made';
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
    name: 'actions: folders that came with a module go with its files, unless something else lies there by then',
    run: async () => {
      const place = mkdtempSync(join(tmpdir(), 'loopd-'));
      const made = new MadeFolders();
      const files = ['crate/src/lib.rs', 'crate/Cargo.toml', 'kept/a.py', 'b.py'].map((file) => vscode.Uri.file(join(place, file)));
      const change = async (edit: vscode.WorkspaceEdit) => assert.ok(await vscode.workspace.applyEdit(edit));
      const gone = async (path: string) => {
        while (existsSync(join(place, path))) await new Promise((resolve) => setTimeout(resolve, 20));
      };
      try {
        for (const module of [files.slice(0, 2), files.slice(2)]) {
          const folders = await MadeFolders.missing(module);
          assert.ok(folders.every((folder) => folder.path.startsWith(`${place}/`)), folders.join());
          const edit = new vscode.WorkspaceEdit();
          for (const file of module) edit.createFile(file, { contents: new Uint8Array() });
          await change(edit);
          made.remember(module, folders);
        }
        writeFileSync(join(place, 'kept/mine.py'), '');
        const edit = new vscode.WorkspaceEdit();
        for (const file of files) edit.deleteFile(file);
        await change(edit);
        await gone('crate');
        assert.deepEqual(readdirSync(place), ['kept']);
      } finally {
        made.dispose();
        rmSync(place, { recursive: true });
      }
    },
  },
  {
    name: 'actions: a misspelt name that another extension complains about is fixed',
    run: async () => {
      const { document } = await open('def area(width, height):\n    return widht * height\n', 1);
      const at = new vscode.Range(1, 11, 1, 16);
      const complaints = vscode.languages.createDiagnosticCollection('another');
      try {
        complaints.set(document.uri, [new vscode.Diagnostic(at, "undefined name 'widht'", vscode.DiagnosticSeverity.Error)]);
        const offered = await vscode.commands.executeCommand<vscode.CodeAction[]>('vscode.executeCodeActionProvider', document.uri, at, 'quickfix', 9);
        const fix = offered.find((one) => one.title.startsWith('Fix: undefined name'));
        assert.ok(fix?.edit, `not offered, but ${offered.map((one) => one.title)}`);
        assert.ok(await vscode.workspace.applyEdit(fix.edit));
        assert.equal(document.getText(), 'def area(width, height):\n    return width * height\n');
      } finally {
        complaints.dispose();
      }
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
