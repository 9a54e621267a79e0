// The view beside the editor that explains the last suggestion; asking again reuses it.
import * as vscode from 'vscode';
import type { Daemon } from './daemon';
import { explain_html } from './explain_html';

export function create_explain(daemon: Daemon): vscode.Disposable & { show(): Promise<string> } {
  let panel: vscode.WebviewPanel | undefined;

  // Resolves to the page that is shown; empty where there is nothing to explain.
  async function show(): Promise<string> {
    const document = vscode.window.activeTextEditor?.document;
    const newest = document ? await daemon.explain(document.uri) : null;
    const shown = document ? daemon.last_shown(document.uri) : undefined;
    const report = daemon.acted ?? shown ?? newest;
    if (!document || !report) {
      void vscode.window.showInformationMessage('loopd has suggested nothing in this file yet.');
      return '';
    }
    if (!panel) {
      const column = { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true };
      panel = vscode.window.createWebviewPanel('loopd.explain', 'loopd: Last Suggestion', column, { enableScripts: false });
      panel.onDidDispose(() => (panel = undefined));
    } else {
      panel.reveal(undefined, true);
    }
    panel.webview.html = explain_html(report, !daemon.acted && newest?.text === '' ? newest : null, vscode.workspace.asRelativePath(document.uri));
    return panel.webview.html;
  }

  return { show, dispose: () => panel?.dispose() };
}

// What to say where the user asked for a completion and got none: the last reason is the decisive one.
export async function tell_silence(daemon: Daemon, uri: vscode.Uri): Promise<void> {
  const report = await daemon.explain(uri);
  const reason = report?.explain.at(-1) ?? daemon.state.message;
  vscode.window.setStatusBarMessage(`loopd: nothing to suggest here${reason ? ` (${reason})` : ''}`, 6000);
}
