// The settings: complete, described, accepted by the server as they are; and the list of languages as commands change it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { language_name, server_settings, toggled } from '../src/config';
import type { Case } from './index';

const extension = vscode.extensions.getExtension('loopd.loopd')!;
const checkout = join(extension.extensionPath, '../..');
const properties: Record<string, { description?: string; markdownDescription?: string }> = extension.packageJSON.contributes.configuration.properties;
const all = ['python', 'c', 'cpp', 'javascript', 'typescript', 'tsx', 'rust', 'go', 'java', 'none'];
const without = (name: string) => all.filter((one) => one !== name);

export const cases: Case[] = [
  {
    name: 'config: every setting of the server is here, and none that it does not have',
    run: () => {
      const source = readFileSync(join(checkout, 'lsp/settings.cpp'), 'utf8');
      const known = [...source.matchAll(/^ {6}\{"([\w.]+)",/gm)].map((found) => found[1]).sort();
      assert.deepEqual(Object.keys(server_settings(extension)).sort(), known);
    },
  },
  {
    name: 'config: every setting is described',
    run: () => Object.entries(properties).forEach(([name, property]) => assert.ok(property.description ?? property.markdownDescription, name)),
  },
  {
    name: 'config: the server takes the defaults without a complaint',
    run: () => {
      const file = join(tmpdir(), `loopd-settings-${process.pid}.json`);
      writeFileSync(file, JSON.stringify(server_settings(extension)));
      const ran = spawnSync(join(checkout, 'build/release/loopd'), ['tokenize', '--config', file], { input: 'x', encoding: 'utf8' });
      assert.equal(ran.stderr, '');
      assert.equal(ran.status, 0);
    },
  },
  {
    name: 'config: a language is turned off and on in a list where empty means all',
    run: () => {
      assert.deepEqual(toggled([], 'python'), without('python'));
      assert.deepEqual(toggled(without('python'), 'python'), []);
      assert.deepEqual(toggled(['rust'], 'python'), ['rust', 'python']);
      assert.deepEqual(toggled(['rust', 'python'], 'python'), ['rust']);
    },
  },
  {
    name: 'config: names of languages are the server\'s',
    run: () => {
      const ids = { python: 'python', typescriptreact: 'tsx', javascriptreact: 'javascript', 'cuda-cpp': 'cpp', markdown: 'none' };
      for (const [id, name] of Object.entries(ids)) assert.equal(language_name(id), name);
    },
  },
  {
    name: "config: an untrusted workspace cannot choose the program, the model or files to take back in",
    run: () => {
      assert.equal(vscode.workspace.isTrusted, false, 'the tests run in an untrusted window');
      const configuration = vscode.workspace.getConfiguration('loopd');
      assert.equal(configuration.get('path'), '');
      assert.equal(configuration.get('model'), '');
      assert.deepEqual(configuration.get('exclude'), []);
      assert.equal(configuration.get('maxTokens'), 64, "what is harmless counts");
    },
  },
];
