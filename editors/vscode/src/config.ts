// The user's `loopd.*` settings: as the server wants them, and changed by commands.
import * as vscode from 'vscode';
import { expand_home } from './binary';

// Settings that the server knows nothing of.
const client_only = new Set(['path']);

// What loopd.languages calls a VS Code language; the server's own table in context/language.cpp is the model.
const names: Record<string, string> = {
  python: 'python',
  c: 'c',
  cpp: 'cpp',
  'cuda-cpp': 'cpp',
  javascript: 'javascript',
  javascriptreact: 'javascript',
  typescript: 'typescript',
  typescriptreact: 'tsx',
  rust: 'rust',
  go: 'go',
  java: 'java',
};
const other = 'none';
const all_names = [...new Set(Object.values(names)), other];

export function language_name(id: string): string {
  return names[id] ?? other;
}

// The language as a sentence names it.
export function language_label(id: string): string {
  return language_name(id) === other ? 'other languages' : id;
}

export function binary_setting(): string {
  return vscode.workspace.getConfiguration('loopd').get<string>('path', '').trim();
}

// Every setting under its name without "loopd.", with defaults: the server keeps an old value until it is told another.
export function server_settings(extension: vscode.Extension<unknown>): Record<string, unknown> {
  const settings: Record<string, unknown> = {};
  const configuration = vscode.workspace.getConfiguration('loopd');
  for (const key of Object.keys(extension.packageJSON.contributes.configuration.properties)) {
    const name = key.slice('loopd.'.length);
    if (!client_only.has(name)) settings[name] = configuration.get(name);
  }
  settings.model = expand_home(String(settings.model ?? '').trim());
  return settings;
}

function enabled_languages(): string[] {
  return vscode.workspace.getConfiguration('loopd').get<string[]>('languages', []);
}

export function is_enabled(language_id: string): boolean {
  const enabled = enabled_languages();
  return enabled.length === 0 || enabled.includes(language_name(language_id));
}

// The list that turns one language on or off; an empty list means all, so that the last one cannot be turned off by it.
export function toggled(enabled: string[], name: string): string[] {
  const before = enabled.length === 0 ? all_names : enabled;
  const after = before.includes(name) ? before.filter((one) => one !== name) : [...before, name];
  return all_names.every((one) => after.includes(one)) ? [] : after;
}

// Changes the setting where it is set: the workspace's own value would hide the user's.
export async function toggle_language(language_id: string): Promise<boolean> {
  const configuration = vscode.workspace.getConfiguration('loopd');
  const inspected = configuration.inspect<string[]>('languages');
  const target = inspected?.workspaceValue !== undefined ? vscode.ConfigurationTarget.Workspace : vscode.ConfigurationTarget.Global;
  const after = toggled(enabled_languages(), language_name(language_id));
  if (after.length === 0 && is_enabled(language_id)) {
    throw new Error('this is the only language that is on; to turn loopd off altogether, disable the extension');
  }
  await configuration.update('languages', after.length === 0 ? undefined : after, target);
  return is_enabled(language_id);
}
