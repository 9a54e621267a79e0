// Implements the function at the cursor, or the selection, by one key: the first fitting action that the server offers.
import * as vscode from 'vscode';
import type { Daemon } from './daemon';

interface Offered {
  title: string;
  data?: { action?: string };
  command?: { command: string; arguments?: unknown[] };
}

// In order of preference: a body that is missing, the code of a comment, what comes behind the selection.
const wanted = ['implement', 'rewrite', 'continue'];

export function best(offered: Offered[]): Offered | undefined {
  const named = (name: string) => offered.find((one) => one.data?.action === name);
  return wanted.map(named).find((one) => one !== undefined);
}

export async function implement(daemon: Daemon): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  const client = daemon.running;
  if (!editor || !client) {
    vscode.window.setStatusBarMessage(`loopd: ${editor ? daemon.state.message || daemon.state.kind : 'open a file first'}`, 6000);
    return;
  }
  const converter = client.code2ProtocolConverter;
  const offered = await client.sendRequest<Offered[] | null>('textDocument/codeAction', {
    textDocument: { uri: converter.asUri(editor.document.uri) },
    range: converter.asRange(editor.selection),
    context: { diagnostics: [], only: ['refactor.rewrite'], triggerKind: 1 },
  });
  const action = best(offered ?? []);
  if (!action?.command) {
    vscode.window.setStatusBarMessage('loopd: nothing to implement here; go to a function without a body or to a comment, or select code', 6000);
    return;
  }
  await daemon.execute(action.command.command, action.command.arguments?.[0], action.title.replace(/ \(loopd\)$/, ''));
}
