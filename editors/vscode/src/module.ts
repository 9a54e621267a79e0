// Generates a module: asks what for, shows the files before there are any, and creates them as one edit on a yes.
import { posix } from 'node:path';
import * as vscode from 'vscode';
import type { ApplyWorkspaceEditParams, ApplyWorkspaceEditResult } from 'vscode-languageclient/node';
import type { Daemon } from './daemon';
import { MadeFolders } from './made';

export interface NewFile {
  uri: vscode.Uri;
  text: string;
}

const scheme = 'loopd-module';
const create = 'Create';
const languages = ['python', 'typescript', 'javascript', 'rust', 'go', 'cpp', 'c']; // those that lsp/module_plan.cpp plans

// The files that an edit of the server creates, with all their text; empty where it creates none.
export function new_files({ edit }: ApplyWorkspaceEditParams): NewFile[] {
  const files = new Map<string, NewFile>();
  for (const change of edit.documentChanges ?? []) {
    if ('kind' in change) {
      if (change.kind === 'create') files.set(change.uri, { uri: vscode.Uri.parse(change.uri), text: '' });
    } else {
      const file = files.get(change.textDocument.uri);
      if (file) file.text = change.edits.map((one) => ('newText' in one ? one.newText : '')).join('');
    }
  }
  return [...files.values()];
}

export class ModuleDesk implements vscode.Disposable {
  private readonly texts = new Map<string, string>(); // of the previews that are open
  private readonly provider = vscode.workspace.registerTextDocumentContentProvider(scheme, {
    provideTextDocumentContent: (uri) => this.texts.get(uri.toString()) ?? '',
  });

  private readonly folders = new MadeFolders();

  dispose() {
    this.folders.dispose();
    this.provider.dispose();
  }

  // From the Explorer's menu with its folder, or from the palette.
  async generate(daemon: Daemon, folder: vscode.Uri | undefined): Promise<void> {
    const place = folder ?? vscode.workspace.workspaceFolders?.[0]?.uri;
    if (!place) return void vscode.window.showInformationMessage('Open a folder first.');
    if (!daemon.running) await daemon.start();
    const inside = vscode.workspace.asRelativePath(place);
    const name = await vscode.window.showInputBox({
      title: 'loopd: Generate Module',
      prompt: `Name of the module: a new folder in ${inside}. Empty: ${inside} itself.`,
      validateInput: (text) => (/^[\w-]*$/.test(text) ? undefined : 'Letters, digits, - and _ only'),
    });
    if (name === undefined) return;
    const here = vscode.window.activeTextEditor?.document.languageId ?? '';
    const order = languages.includes(here) ? [here, ...languages.filter((one) => one !== here)] : languages;
    const language = await vscode.window.showQuickPick(['as the files around', ...order], { title: 'loopd: Generate Module', placeHolder: 'Language' });
    if (language === undefined) return;
    const about = await vscode.window.showInputBox({ title: 'loopd: Generate Module', prompt: 'What is it for? One sentence.' });
    if (about === undefined) return;
    const target = name === '' ? place : vscode.Uri.joinPath(place, name);
    const argument = { folder: target.toString(), language: languages.includes(language) ? language : '', about };
    await daemon.execute('loopd.module', argument, `Generating ${name || posix.basename(place.path)}`);
  }

  // Shows the files side by side with nothing, and creates exactly them on a yes. One undo removes them all.
  async review(params: ApplyWorkspaceEditParams): Promise<ApplyWorkspaceEditResult> {
    const files = new_files(params);
    const folder = posix.dirname(files[0].uri.path);
    const title = `loopd: ${posix.basename(folder)}, not yet created`;
    const previews = files.map(({ uri, text }) => {
      const preview = vscode.Uri.from({ scheme, path: uri.path, query: String(Date.now()) });
      this.texts.set(preview.toString(), text);
      return [uri, undefined, preview] as const;
    });
    await vscode.commands.executeCommand('vscode.changes', title, previews);
    const names = files.map(({ uri }) => posix.relative(folder, uri.path)).join(', ');
    const where = vscode.workspace.asRelativePath(vscode.Uri.file(folder));
    const choice = await vscode.window.showInformationMessage(`Create ${names} in ${where}?`, create, 'Discard');
    for (const [, , preview] of previews) this.texts.delete(preview.toString());
    const tabs = vscode.window.tabGroups.all.flatMap((group) => group.tabs).filter((tab) => tab.label === title);
    await vscode.window.tabGroups.close(tabs);
    // Who discards has decided; the server would tell of an editor that failed.
    return { applied: choice !== create || (await this.write(files)) };
  }

  private async write(files: NewFile[]): Promise<boolean> {
    const places = files.map(({ uri }) => uri);
    const folders = await MadeFolders.missing(places);
    const edit = new vscode.WorkspaceEdit();
    // Contents that come with the creation go with it when it is undone; a text edit would be a second step.
    for (const { uri, text } of files) edit.createFile(uri, { overwrite: false, contents: new TextEncoder().encode(text) });
    if (!(await vscode.workspace.applyEdit(edit))) {
      void vscode.window.showWarningMessage('loopd: nothing was created; one of the files is there already.');
      return false;
    }
    this.folders.remember(places, folders);
    await vscode.window.showTextDocument(files[0].uri);
    return true;
  }
}
