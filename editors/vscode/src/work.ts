// Runs what the server takes its time for with its progress shown; cancelling stops it within one loop.
import * as vscode from 'vscode';
import { type LanguageClient, State, WorkDoneProgress } from 'vscode-languageclient/node';

let next_id = 1;

// Runs a command. What it leads to comes by itself: an edit to be applied, or a message. Resolves when the work is done.
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

// Shows that `work` is under way; its token is cancelled by the user or with `token`.
export async function cancellable<T>(title: string, token: vscode.CancellationToken, work: (either: vscode.CancellationToken) => vscode.ProviderResult<T>): Promise<T | null | undefined> {
  const options = { location: vscode.ProgressLocation.Notification, title: title.replace(/ \(loopd\)$/, ''), cancellable: true };
  return vscode.window.withProgress(options, async (_, cancelled) => {
    const either = new vscode.CancellationTokenSource();
    const listeners = [token, cancelled].map((one) => one.onCancellationRequested(() => either.cancel()));
    try {
      return await work(either.token);
    } finally {
      vscode.Disposable.from(...listeners, either).dispose();
    }
  });
}
