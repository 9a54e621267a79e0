// Runs the loopd process for this window and speaks LSP with it; at most one process at a time.
//
// A process that dies is started again, quietly, with every open document sent anew; one that dies over and over stays
// down and the status says so. Errors never pop up while somebody types: no suggestion is the answer to all of them.
import { spawn, type ChildProcess } from 'node:child_process';
import * as vscode from 'vscode';
import { type ApplyWorkspaceEditParams, type ApplyWorkspaceEditResult, CloseAction, ErrorAction, LanguageClient, type LanguageClientOptions, RevealOutputChannelOn, State } from 'vscode-languageclient/node';
import { type Binary, find_binary, type Missing } from './binary';
import { binary_setting, server_settings } from './config';
import type { Report } from './report';
import { cancellable, execute } from './work';

// What the server says of itself (notification loopd/status), and what only its client can know.
export interface DaemonState {
  kind: 'idle' | 'missing' | 'loading' | 'ready' | 'error' | 'stopped';
  message: string;
  model: string;
  device: string;
}

const idle: DaemonState = { kind: 'idle', message: 'starts with the first file', model: '', device: '' };

// Files and unsaved buffers; not output panels, settings, diffs or notebooks' cells.
export const selector = [{ scheme: 'file' }, { scheme: 'untitled' }];

// More deaths than this within the window mean that another start will not help.
const deaths_allowed = 4;
const deaths_window_ms = 3 * 60 * 1000;

export class Daemon implements vscode.Disposable {
  private client: LanguageClient | undefined;
  private process: ChildProcess | undefined;
  private changes = Promise.resolve(); // starts and stops, one after another
  private said = ''; // the end of what the process wrote to stderr
  private ran = false; // the client at hand has been initialized once
  private deaths: number[] = [];
  private waiting = 0;
  private readonly shown = new Map<string, Report>(); // by URI: the last suggestion that was not empty
  private readonly changed = new vscode.EventEmitter<void>();
  private readonly silent = new vscode.EventEmitter<vscode.Uri>();
  private readonly subscriptions: vscode.Disposable;

  state = idle;
  binary: Binary | Missing | undefined;
  acted: Report | undefined; // the trace of the last action, until a suggestion is shown
  // Takes over edits that create files; undefined where it leaves an edit to the client.
  review: ((params: ApplyWorkspaceEditParams) => Promise<ApplyWorkspaceEditResult> | undefined) | undefined;

  readonly on_change = this.changed.event;
  // The user asked for a completion and there was none.
  readonly on_silence = this.silent.event;

  constructor(
    private readonly context: vscode.ExtensionContext,
    readonly log: vscode.LogOutputChannel,
  ) {
    this.subscriptions = vscode.Disposable.from(
      vscode.workspace.onDidChangeConfiguration((event) => this.configure(event)),
      vscode.workspace.onDidCloseTextDocument((document) => this.shown.delete(document.uri.toString())),
    );
  }

  dispose() {
    this.subscriptions.dispose();
    this.changed.dispose();
    this.silent.dispose();
  }

  get busy(): boolean {
    return this.waiting > 0;
  }

  get process_id(): number | undefined {
    return this.process?.pid;
  }

  // The client while it can be asked something.
  get running(): LanguageClient | undefined {
    return this.client?.state === State.Running ? this.client : undefined;
  }

  // Runs a command of the server; the user sees its progress and may cancel it.
  async execute(command: string, argument: unknown, title: string): Promise<void> {
    const client = this.running;
    if (!client) return void vscode.window.showInformationMessage(`loopd: ${this.state.message || this.state.kind}`);
    this.wait(1);
    try {
      await execute(client, command, argument, title);
    } catch (error) {
      this.log.warn(String(error));
    } finally {
      this.wait(-1);
    }
  }

  // Looked for anew each time: it may have been installed or built meanwhile.
  find(): Binary | Missing {
    this.binary = find_binary({
      setting: binary_setting(),
      search_path: process.env.PATH ?? '',
      extension: this.context.extensionPath,
      development: this.context.extensionMode !== vscode.ExtensionMode.Production,
    });
    return this.binary;
  }

  start(): Promise<void> {
    return this.then(async () => {
      if (!this.client) await this.launch();
    });
  }

  stop(): Promise<void> {
    return this.then(() => this.halt());
  }

  restart(): Promise<void> {
    return this.then(async () => {
      await this.halt();
      this.deaths = [];
      await this.launch();
    });
  }

  // The trace of the last suggestion in a document that had text; undefined where there was none yet.
  last_shown(uri: vscode.Uri): Report | undefined {
    return this.shown.get(uri.toString());
  }

  // The trace of the last answer, which may be that there is nothing to suggest; null where nothing was asked yet.
  async explain(uri: vscode.Uri): Promise<Report | null> {
    if (!this.running) return null;
    const textDocument = { uri: this.running.code2ProtocolConverter.asUri(uri) };
    return this.running.sendRequest<Report | null>('loopd/explain', { textDocument });
  }

  private then(change: () => Promise<void>): Promise<void> {
    this.changes = this.changes.then(change).catch((error) => this.log.error(error));
    return this.changes;
  }

  private set_state(state: Partial<DaemonState> & { kind: DaemonState['kind'] }) {
    this.state = { message: '', model: '', device: '', ...state };
    this.changed.fire();
  }

  private async launch() {
    const found = this.find();
    if ('reason' in found) {
      this.log.error(found.reason);
      this.set_state({ kind: 'missing', message: found.reason });
      void this.tell_missing(found.reason);
      return;
    }
    this.log.info(`starting ${found.command}, found by ${found.origin}`);
    this.set_state({ kind: 'loading', message: 'starting' });
    this.client = new LanguageClient('loopd', 'loopd', () => this.spawn(found), this.options());
    this.client.onNotification('loopd/status', (status) => this.hear(status));
    this.client.onNotification('loopd/result', (report: Report) => {
      this.acted = report;
    });
    this.ran = false;
    try {
      await this.client.start();
      this.ran = true;
    } catch (error) {
      await this.did_not_start(error instanceof Error ? error.message : String(error));
    }
  }

  // A program that ends before it has answered is noticed twice, by its silence and by its end, in either order.
  private async did_not_start(otherwise: string) {
    const reason = (await this.last_words()) ?? otherwise;
    const command = this.binary && 'command' in this.binary ? this.binary.command : 'loopd';
    this.fail(`${command} did not start: ${reason}`);
  }

  private async halt() {
    const client = this.client;
    this.client = undefined;
    if (client && client.needsStop()) await client.stop(3000).catch((error) => this.log.warn(String(error)));
    await client?.dispose().catch(() => {});
    this.process?.kill();
    this.process = undefined;
    this.set_state({ kind: 'stopped', message: 'stopped' });
  }

  private spawn(binary: Binary): Promise<ChildProcess> {
    return new Promise((resolve, reject) => {
      const child = spawn(binary.command, [`--clientProcessId=${process.pid}`], {
        env: { ...process.env, ...binary.environment },
        stdio: 'pipe',
      });
      child.once('spawn', () => resolve(child));
      child.once('error', reject);
      child.once('exit', (code, signal) => this.log.info(`loopd ended (${signal ?? `exit code ${code}`})`));
      child.stderr.on('data', (data) => (this.said = `${this.said}${data}`.slice(-2000)));
      this.said = '';
      this.process = child;
    });
  }

  // What a process that ended said last; undefined where it lives. Its end is often noticed later than its silence.
  private async last_words(): Promise<string | undefined> {
    const child = this.process;
    if (!child) return undefined;
    if (child.exitCode === null && child.signalCode === null) {
      await new Promise<void>((resolve) => {
        child.once('close', () => resolve());
        setTimeout(resolve, 1000);
      });
    }
    const line = this.said.trim().split('\n').at(-1);
    if (line) return line;
    return child.exitCode === null ? undefined : `it ended with exit code ${child.exitCode}`;
  }

  private options(): LanguageClientOptions {
    return {
      documentSelector: selector,
      outputChannel: this.log,
      revealOutputChannelOn: RevealOutputChannelOn.Never, // the status bar leads there
      initializationOptions: server_settings(this.context.extension),
      initializationFailedHandler: () => false,
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue, handled: true }),
        closed: () => this.died(),
      },
      middleware: {
        workspace: {
          configuration: (params) => params.items.map((item) => (item.section === 'loopd' ? server_settings(this.context.extension) : null)),
          handleApplyEdit: (params, next) => this.review?.(params) ?? next(params, new vscode.CancellationTokenSource().token),
        },
        // VS Code itself shows no way to cancel an action that was chosen from its menu.
        resolveCodeAction: async (action, token, next) => {
          this.wait(1);
          try {
            return await cancellable(action.title, token, (either) => next(action, either));
          } finally {
            this.wait(-1);
          }
        },
        provideInlineCompletionItems: async (document, position, context, token, next) => {
          if (this.client?.state !== State.Running) return null;
          this.wait(1);
          try {
            const result = await next(document, position, context, token);
            const items = Array.isArray(result) ? result : result?.items;
            const asked = context.triggerKind === vscode.InlineCompletionTriggerKind.Invoke;
            if (asked && !token.isCancellationRequested && !items?.length) this.silent.fire(document.uri);
            if (items?.length) void this.remember(document.uri);
            return result;
          } catch (error) {
            if (!(error instanceof vscode.CancellationError)) this.log.warn(String(error));
            return null;
          } finally {
            this.wait(-1);
          }
        },
      },
    };
  }

  // The server keeps the trace of its last answer alone, and behind an accepted suggestion that is often an empty one.
  private async remember(uri: vscode.Uri) {
    const report = await this.explain(uri).catch(() => null);
    if (!report?.text) return;
    this.shown.set(uri.toString(), report);
    this.acted = undefined;
  }

  private wait(more: number) {
    const before = this.busy;
    this.waiting += more;
    if (this.busy !== before) this.changed.fire();
  }

  private hear(status: { state: string; message: string; model: string; device: string }) {
    const kind = status.state === 'ready' || status.state === 'error' ? status.state : 'loading';
    this.set_state({ ...status, kind });
  }

  private died() {
    if (!this.ran) {
      void this.did_not_start('it ended at once');
      return { action: CloseAction.DoNotRestart, handled: true };
    }
    const now = Date.now();
    this.deaths = [...this.deaths.filter((then) => now - then < deaths_window_ms), now];
    if (this.deaths.length > deaths_allowed) {
      this.fail(`loopd ended ${this.deaths.length} times within three minutes and is not started again`);
      return { action: CloseAction.DoNotRestart, handled: true };
    }
    this.set_state({ kind: 'loading', message: 'starting again' });
    return { action: CloseAction.Restart, handled: true };
  }

  // Said once, and then by the status bar for as long as it lasts.
  private fail(message: string) {
    if (this.state.kind === 'error') return;
    this.log.error(message);
    this.set_state({ kind: 'error', message });
    void vscode.window.showErrorMessage(message, 'Show Log', 'Restart').then((choice) => {
      if (choice === 'Show Log') this.log.show();
      if (choice === 'Restart') void this.restart();
    });
  }

  private async tell_missing(reason: string) {
    const choice = await vscode.window.showErrorMessage(reason, 'Open Settings', 'Try Again');
    if (choice === 'Open Settings') await vscode.commands.executeCommand('workbench.action.openSettings', 'loopd.path');
    if (choice === 'Try Again') await this.restart();
  }

  private configure(event: vscode.ConfigurationChangeEvent) {
    if (!event.affectsConfiguration('loopd')) return;
    if (event.affectsConfiguration('loopd.path')) {
      if (this.state.kind !== 'idle') void this.restart();
    } else if (this.client?.state === State.Running) {
      // The server asks for the settings itself (workspace/configuration).
      void this.client.sendNotification('workspace/didChangeConfiguration', { settings: null });
    }
    this.changed.fire();
  }
}
