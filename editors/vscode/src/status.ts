// The status bar item: what loopd does right now, why it is silent, and the way to its menu.
import { basename } from 'node:path';
import * as vscode from 'vscode';
import { is_enabled, language_label } from './config';
import { type Daemon, type DaemonState, selector } from './daemon';

export interface StatusView {
  text: string;
  tooltip: string; // Markdown
  error: boolean;
}

// Shorter waits are not shown: an icon that changes with every key is a distraction.
const busy_after_ms = 200;

// What the item shows. `off` is the language that is turned off, as a sentence names it; empty: none.
export function view(state: DaemonState, busy: boolean, off: string): StatusView {
  const lines = [`**loopd** ${sentence(state)}`];
  if (off) lines.push(`Completion is off for ${off}.`);
  if (state.model) lines.push(`model \`${state.model}\``);
  if (state.device) lines.push(`device ${state.device}`);
  lines.push('Click for what you can do.');
  return { text: text(state, busy, off), tooltip: lines.join('\n\n'), error: state.kind === 'error' || state.kind === 'missing' };
}

function sentence(state: DaemonState): string {
  const words = { idle: 'is idle', missing: 'was not found', loading: 'is loading', ready: 'is ready', error: 'has a problem', stopped: 'is stopped' };
  return state.message ? `${words[state.kind]}: ${state.message}` : words[state.kind];
}

function text(state: DaemonState, busy: boolean, off: string): string {
  if (state.kind === 'missing' || state.kind === 'error') return `$(error) loopd: ${state.kind}`;
  if (state.kind === 'loading') return '$(loading~spin) loopd: loading';
  if (state.kind !== 'ready') return `$(circle-slash) loopd: ${state.kind}`;
  if (off) return '$(circle-slash) loopd: off';
  const runs = [basename(state.model), state.device].filter(Boolean).join(' · ');
  return `${busy ? '$(sync~spin)' : '$(sparkle)'} loopd: ${runs}`;
}

export function create_status(daemon: Daemon): vscode.Disposable {
  const item = vscode.window.createStatusBarItem('loopd.status', vscode.StatusBarAlignment.Right, 100);
  item.name = 'loopd';
  item.command = 'loopd.menu';
  let shown_busy = false;
  let timer: NodeJS.Timeout | undefined;

  const draw = () => {
    const document = vscode.window.activeTextEditor?.document;
    const ours = document !== undefined && vscode.languages.match(selector, document) > 0;
    const off = ours && !is_enabled(document.languageId) ? language_label(document.languageId) : '';
    const shown = view(daemon.state, shown_busy, off);
    item.text = shown.text;
    item.tooltip = new vscode.MarkdownString(shown.tooltip, true);
    item.backgroundColor = shown.error ? new vscode.ThemeColor('statusBarItem.errorBackground') : undefined;
    item.accessibilityInformation = { label: shown.text.replace(/\$\([^)]*\) /, '') };
  };
  const update = () => {
    clearTimeout(timer);
    if (daemon.busy && !shown_busy) {
      timer = setTimeout(() => {
        shown_busy = daemon.busy;
        draw();
      }, busy_after_ms);
    } else {
      shown_busy = daemon.busy;
    }
    draw();
  };
  draw();
  item.show();
  return vscode.Disposable.from(item, daemon.on_change(update), vscode.window.onDidChangeActiveTextEditor(draw), {
    dispose: () => clearTimeout(timer),
  });
}
