// The whole extension against the real program and a real model: start, complete, explain, die, be missing, doctor.
import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import type { Daemon, DaemonState } from '../src/daemon';
import type { Case } from './index';

interface Parts {
  daemon: Daemon;
  explain: { show(): Promise<string> };
  doctor: { run(): Promise<string> };
}

const extension = vscode.extensions.getExtension<Parts>('loopd.loopd')!;
let parts: Parts;
const set = (name: string, value: unknown) => vscode.workspace.getConfiguration('loopd').update(name, value, vscode.ConfigurationTarget.Global);

// Resolves when the daemon is in the state, at once where it is already.
function state(kind: DaemonState['kind'], but_not: number | undefined = undefined): Promise<void> {
  const there = () => parts.daemon.state.kind === kind && (but_not === undefined || parts.daemon.process_id !== but_not);
  if (there()) return Promise.resolve();
  return new Promise((resolve) => {
    const listener = parts.daemon.on_change(() => {
      if (!there()) return;
      listener.dispose();
      resolve();
    });
  });
}

async function open(language: string, content: string): Promise<vscode.TextEditor> {
  const editor = await vscode.window.showTextDocument(await vscode.workspace.openTextDocument({ language, content }));
  const end = editor.document.positionAt(content.length);
  editor.selection = new vscode.Selection(end, end);
  return editor;
}

function next_change(document: vscode.TextDocument): Promise<void> {
  return new Promise((resolve) => {
    const listener = vscode.workspace.onDidChangeTextDocument((event) => {
      if (event.document !== document) return;
      listener.dispose();
      resolve();
    });
  });
}

export const cases: Case[] = [
  {
    name: 'daemon: the first document starts it, with the program of the checkout',
    run: async () => {
      parts = await extension.activate();
      await open('python', 'def add(a, b):\n    return ');
      await state('ready');
      assert.ok(parts.daemon.binary && 'origin' in parts.daemon.binary && parts.daemon.binary.origin === 'the checkout');
      assert.notEqual(parts.daemon.state.model, '');
      assert.equal(parts.daemon.state.device, 'cpu');
    },
  },
  {
    name: 'daemon: a suggestion is asked for, accepted and explained',
    run: async () => {
      const { document } = vscode.window.activeTextEditor!;
      const before = document.getText();
      const changed = next_change(document);
      await vscode.commands.executeCommand('loopd.complete');
      while (!parts.daemon.last_shown(document.uri)) await new Promise((resolve) => setTimeout(resolve, 20));
      const { text } = parts.daemon.last_shown(document.uri)!;
      await vscode.commands.executeCommand('editor.action.inlineSuggest.commit');
      await changed;
      assert.equal(document.getText(), before + text);
      const page = await parts.explain.show();
      assert.match(page, /Loop steps[^]*draft/);
    },
  },
  {
    name: 'daemon: one that is killed is started again',
    run: async () => {
      const killed = parts.daemon.process_id!;
      process.kill(killed, 'SIGKILL');
      await state('ready', killed);
    },
  },
  {
    name: 'daemon: restart takes another process',
    run: async () => {
      const before = parts.daemon.process_id;
      await vscode.commands.executeCommand('loopd.restart');
      await state('ready', before);
    },
  },
  {
    name: 'daemon: a program that is missing is said, and found again',
    run: async () => {
      await set('path', '/nowhere/loopd');
      await state('missing');
      assert.match(parts.daemon.state.message, /"\/nowhere\/loopd".*no program/);
      await set('path', undefined);
      await state('ready');
    },
  },
  {
    name: 'daemon: a program that is none ends in an error, not in a loop',
    run: async () => {
      await set('path', '/bin/false');
      await state('error');
      assert.equal(parts.daemon.state.message, '/bin/false did not start: it ended with exit code 1');
      await set('path', undefined);
      await state('ready');
    },
  },
  {
    name: 'daemon: the doctor reports on editor, program and model',
    run: async () => {
      const page = await parts.doctor.run();
      assert.match(page, /^ok +editor +\S.* extension \d/m);
      assert.match(page, /^ok +workspace +not trusted/m);
      assert.match(page, /^ok +program +.*build\/release\/loopd, found by the checkout/m);
      assert.match(page, /^ok +model /m);
      assert.equal(vscode.window.activeTextEditor?.document.getText(), page);
    },
  },
  {
    name: 'daemon: globs count from the folder of a multi-root window that the file lies in',
    run: async () => {
      const folders = vscode.workspace.workspaceFolders!;
      assert.deepEqual(folders.map((folder) => folder.name), ['first', 'second']);
      await set('exclude', ['secret/**']);
      const silent = new Promise<vscode.Uri>((resolve) => parts.daemon.on_silence(resolve));
      const uri = vscode.Uri.joinPath(folders[1].uri, 'secret/key.py');
      await vscode.window.showTextDocument(await vscode.workspace.openTextDocument(uri));
      await vscode.commands.executeCommand('loopd.complete');
      assert.equal((await silent).toString(), uri.toString());
      assert.match((await parts.daemon.explain(uri))!.explain[0], /the file is excluded/);
      await set('exclude', undefined);
    },
  },
];
