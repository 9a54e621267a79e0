// Runs `loopd doctor` with the editor's settings and shows what it says as a page of text.
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { server_settings } from './config';
import type { Daemon } from './daemon';

const scheme = 'loopd-doctor';
const patience_ms = 120_000;

export function create_doctor(context: vscode.ExtensionContext, daemon: Daemon): vscode.Disposable & { run(): Promise<string> } {
  let page = '';
  const changed = new vscode.EventEmitter<vscode.Uri>();
  const uri = vscode.Uri.parse(`${scheme}:loopd%20doctor`);
  const provider = vscode.workspace.registerTextDocumentContentProvider(scheme, {
    onDidChange: changed.event,
    provideTextDocumentContent: () => page,
  });

  async function run(): Promise<string> {
    const progress = { location: vscode.ProgressLocation.Window, title: 'loopd: examining' };
    page = await vscode.window.withProgress(progress, () => examine(context, daemon));
    changed.fire(uri);
    await vscode.window.showTextDocument(await vscode.workspace.openTextDocument(uri), { preview: true });
    return page;
  }

  return { run, dispose: () => vscode.Disposable.from(provider, changed).dispose() };
}

async function examine(context: vscode.ExtensionContext, daemon: Daemon): Promise<string> {
  const binary = daemon.find();
  const where = vscode.env.remoteName ? `, on the remote machine (${vscode.env.remoteName})` : '';
  const lines = [
    `ok   editor      ${vscode.env.appName} ${vscode.version}, extension ${context.extension.packageJSON.version}${where}`,
    `ok   workspace   ${vscode.workspace.isTrusted ? 'trusted' : "not trusted: its own loopd.path, loopd.model and loopd.exclude don't count"}`,
  ];
  if (!vscode.workspace.getConfiguration('editor').get('inlineSuggest.enabled', true)) {
    lines.push('!!   ghost text  is turned off in VS Code (editor.inlineSuggest.enabled)');
  }
  if ('reason' in binary) return [...lines, `!!   program     ${binary.reason}`, ''].join('\n');
  lines.push(`ok   program     ${binary.command}, found by ${binary.origin}`);
  const now = daemon.state;
  lines.push(`${now.kind === 'ready' ? 'ok  ' : '!!  '} server      ${now.kind}${now.message ? `: ${now.message}` : ''}`);

  const folder = await mkdtemp(join(tmpdir(), 'loopd-doctor-'));
  try {
    const config = join(folder, 'settings.json');
    await writeFile(config, JSON.stringify(server_settings(context.extension)));
    const options = { env: { ...process.env, ...binary.environment }, timeout: patience_ms };
    const output = await new Promise<string>((resolve) => {
      // Exit code 1 says that something is wrong, which is in the output, too.
      execFile(binary.command, ['doctor', '--config', config], options, (error, stdout, stderr) =>
        resolve(stdout || `!!   doctor      ${stderr.trim() || error?.message || 'said nothing'}`),
      );
    });
    return [...lines, output.trimEnd(), ''].join('\n');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
