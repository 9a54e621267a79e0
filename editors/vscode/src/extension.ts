// The extension from start to end: one daemon, its status, its commands. Each part is in the file of its name.
import * as vscode from 'vscode';
import { register_commands } from './commands';
import { Daemon, selector } from './daemon';
import { create_doctor } from './doctor';
import { create_explain, tell_silence } from './explain';
import { ModuleDesk, new_files } from './module';
import { create_status } from './status';

let daemon: Daemon | undefined;

// Returns the parts to the extension's own tests.
export function activate(context: vscode.ExtensionContext) {
  const log = vscode.window.createOutputChannel('loopd', { log: true });
  const started = (daemon = new Daemon(context, log));
  const explain = create_explain(started);
  const doctor = create_doctor(context, started);
  const modules = new ModuleDesk();
  started.review = (params) => (new_files(params).length > 0 ? modules.review(params) : undefined);
  context.subscriptions.push(log, started, explain, doctor, modules, create_status(started));
  context.subscriptions.push(register_commands({ daemon: started, explain, doctor, modules }));
  context.subscriptions.push(started.on_silence((uri) => void tell_silence(started, uri)));

  // The model takes memory, so that a window without a file to complete does not load it.
  const start_for = (editor: vscode.TextEditor | undefined) => {
    if (editor && vscode.languages.match(selector, editor.document) > 0 && started.state.kind === 'idle') void started.start();
  };
  context.subscriptions.push(vscode.window.onDidChangeActiveTextEditor(start_for));
  vscode.window.visibleTextEditors.forEach(start_for);
  return { daemon: started, explain, doctor };
}

export function deactivate(): Promise<void> | undefined {
  return daemon?.stop();
}
