// The commands, and the menu behind the status bar item.
import { basename } from 'node:path';
import * as vscode from 'vscode';
import { implement } from './actions';
import { is_enabled, language_label, toggle_language } from './config';
import { type Daemon, selector } from './daemon';
import type { ModuleDesk } from './module';

export interface Parts {
  daemon: Daemon;
  explain: { show(): Promise<string> };
  doctor: { run(): Promise<string> };
  modules: ModuleDesk;
}

// VS Code's own commands do the work on ghost text; these give them names that people find. Keys are bound to VS Code's
// commands, because the way through the extension is so long that a fast typist's next key would overtake it.
const forwarded = {
  'loopd.complete': 'editor.action.inlineSuggest.trigger',
  'loopd.acceptWord': 'editor.action.inlineSuggest.acceptNextWord',
  'loopd.acceptLine': 'editor.action.inlineSuggest.acceptNextLine',
};

async function toggle(): Promise<void> {
  const document = vscode.window.activeTextEditor?.document;
  if (!document) {
    void vscode.window.showInformationMessage('Open a file of the language first.');
    return;
  }
  try {
    const on = await toggle_language(document.languageId);
    vscode.window.setStatusBarMessage(`loopd: ${on ? 'on' : 'off'} for ${language_label(document.languageId)}`, 4000);
  } catch (error) {
    void vscode.window.showWarningMessage(`loopd: ${error instanceof Error ? error.message : error}`);
  }
}

async function show_menu(daemon: Daemon): Promise<void> {
  const document = vscode.window.activeTextEditor?.document;
  const entries: (vscode.QuickPickItem & { run: string })[] = [];
  const add = (icon: string, label: string, run: string, description = '') => entries.push({ label: `$(${icon}) ${label}`, description, run });
  if (document && vscode.languages.match(selector, document) > 0) {
    const on = is_enabled(document.languageId);
    if (on) add('sparkle', 'Complete here', 'loopd.complete');
    if (on) add('wand', 'Implement function or selection', 'loopd.implement');
    add('question', 'Explain the last suggestion', 'loopd.explain');
    add(on ? 'circle-slash' : 'check', `Turn ${on ? 'off' : 'on'} for ${language_label(document.languageId)}`, 'loopd.toggleLanguage');
  }
  if (vscode.workspace.workspaceFolders) add('new-folder', 'Generate module', 'loopd.generateModule');
  add('pulse', 'Doctor', 'loopd.doctor', 'what works, and what would stop a completion');
  add('debug-restart', 'Restart', 'loopd.restart');
  add('output', 'Show log', 'loopd.showLog');
  add('gear', 'Settings', 'loopd.settings');
  const { kind, message, model, device } = daemon.state;
  const title = kind === 'ready' ? `loopd: ${basename(model)} on ${device}` : `loopd: ${message || kind}`;
  const chosen = await vscode.window.showQuickPick(entries, { title, placeHolder: 'What shall loopd do?' });
  if (chosen?.run === 'loopd.settings') {
    await vscode.commands.executeCommand('workbench.action.openSettings', '@ext:loopd.loopd');
  } else if (chosen) {
    await vscode.commands.executeCommand(chosen.run);
  }
}

export function register_commands({ daemon, explain, doctor, modules }: Parts): vscode.Disposable {
  const register = vscode.commands.registerCommand;
  return vscode.Disposable.from(
    ...Object.entries(forwarded).map(([own, theirs]) => register(own, () => vscode.commands.executeCommand(theirs))),
    register('loopd.implement', () => implement(daemon)),
    register('loopd.generateModule', (folder?: vscode.Uri) => modules.generate(daemon, folder)),
    register('loopd.explain', () => explain.show()),
    register('loopd.toggleLanguage', toggle),
    register('loopd.restart', () => daemon.restart()),
    register('loopd.showLog', () => daemon.log.show()),
    register('loopd.doctor', () => doctor.run()),
    register('loopd.menu', () => show_menu(daemon)),
  );
}
