// Runs a command of the server with its progress shown, until it says that it is done; cancelling stops it within one loop.
import * as vscode from 'vscode';
import { type LanguageClient, State, WorkDoneProgress } from 'vscode-languageclient/node';

let next_id = 1;

// What the command leads to comes by itself: an edit to be applied, or a message. Resolves when the work is done.
export async function execute(client: LanguageClient, command: string, argument: unknown, title: string): Promise<void> {
  const options = { location: vscode.ProgressLocation.Notification, title, cancellable: true };
  await vscode.window.withProgress(options, async (progress, cancelled) => {
    const token = `loopd-vscode/${next_id++}`;
    const listeners: vscode.Disposable[] = [];
    const ended = new Promise<void>((resolve) => {
      listeners.push(
        client.onProgress(WorkDoneProgress.type, token, (value) => {
          if (value.kind === 'report') progress.report({ message: value.message });
          if (value.kind === 'end') resolve();
        }),
        client.onDidChangeState(({ newState }) => newState !== State.Running && resolve()),
        cancelled.onCancellationRequested(() => void client.sendNotification('window/workDoneProgress/cancel', { token })),
      );
    });
    try {
      await client.sendRequest('workspace/executeCommand', { command, arguments: [argument], workDoneToken: token });
      await ended;
    } finally {
      vscode.Disposable.from(...listeners).dispose();
    }
  });
}
