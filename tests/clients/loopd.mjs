// A client of loopd for the tests: starts the process, speaks through VS Code's own protocol library, and keeps its own
// copy of every document and a count of every answer.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { profiles } from './profiles.mjs';

const require = createRequire(import.meta.url);
export const protocol = require('vscode-languageserver-protocol/node');
const { TextDocument } = require('vscode-languageserver-textdocument');

export const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const binary = process.env.LOOPD_BINARY ?? join(root, 'build/release/loopd');
const model = process.env.LOOPD_MODEL ?? join(root, 'models/default');
// What `test(name, { skip })` wants: false, or why the test is skipped.
export const without_model = existsSync(join(model, 'config.json')) ? false : 'no model in models/default or $LOOPD_MODEL';

// Each process has an engine of its own, so that no test depends on another; sharing.test.mjs is about the other way.
const alone = { LOOPD_STANDALONE: '1' };

const never = protocol.CancellationToken.None;
const running = new Set();
// A test that failed leaves its process behind, which would keep this one alive.
after(() => running.forEach((child) => child.kill()));

const units = { 'utf-8': (text) => Buffer.byteLength(text), 'utf-16': (text) => text.length, 'utf-32': (text) => [...text].length };

export class Client {
  // Starts a process and initializes it as the named editor does.
  static async start(editor, { settings = {}, model_dir = model, folders = null, args = [], environment = alone } = {}) {
    const client = new Client(editor, settings, args, { LOOPD_MODEL: model_dir, ...environment });
    const { clientInfo, capabilities } = profiles[editor];
    client.initialized = await client.connection.sendRequest('initialize', {
      processId: process.pid,
      clientInfo,
      rootUri: null,
      workspaceFolders: folders,
      capabilities,
      initializationOptions: settings,
    });
    client.capabilities = client.initialized.capabilities;
    client.encoding = client.capabilities.positionEncoding ?? 'utf-16';
    await client.connection.sendNotification('initialized', {});
    return client;
  }

  constructor(editor, settings, args, environment) {
    this.editor = editor;
    this.settings = settings;
    this.documents = new Map();
    this.statuses = [];
    this.registrations = [];
    this.messages = []; // that the user sees
    this.asked = new Map(); // id -> method
    this.answered = new Map(); // id -> number of answers
    this.logs = '';
    this.child = spawn(binary, args, { env: { ...process.env, ...environment } });
    running.add(this.child);
    this.child.stderr.on('data', (data) => (this.logs += data));
    this.exit_code = new Promise((resolve) => this.child.on('exit', (code, signal) => resolve(signal ?? code)));

    const reader = new protocol.StreamMessageReader(this.child.stdout);
    const writer = new protocol.StreamMessageWriter(this.child.stdin);
    const listen = reader.listen.bind(reader);
    reader.listen = (callback) =>
      listen((message) => {
        if (!('method' in message)) this.answered.set(message.id, (this.answered.get(message.id) ?? 0) + 1);
        callback(message);
      });
    const write = writer.write.bind(writer);
    writer.write = (message) => {
      if ('method' in message && 'id' in message) this.asked.set(message.id, message.method);
      return write(message);
    };
    this.connection = protocol.createProtocolConnection(reader, writer);
    this.connection.onNotification('loopd/status', (status) => this.#status(status));
    this.connection.onRequest('client/registerCapability', (params) => void this.registrations.push(...params.registrations));
    this.connection.onRequest('workspace/configuration', (params) =>
      params.items.map((item) => (item.section === 'loopd' ? this.settings.loopd ?? this.settings : null)));
    this.connection.onNotification('window/showMessage', (params) => void this.messages.push(params.message));
    this.connection.onUnhandledNotification(() => {});
    this.connection.listen();
  }

  #waiting = [];
  #status(status) {
    this.statuses.push(status);
    if (status.state === 'ready' || status.state === 'error') for (const wake of this.#waiting.splice(0)) wake(status);
  }

  // The first status that says whether there is a model.
  settled() {
    const known = this.statuses.find((status) => status.state === 'ready' || status.state === 'error');
    return known ? Promise.resolve(known) : new Promise((resolve) => this.#waiting.push(resolve));
  }

  open(uri, language_id, text) {
    this.documents.set(uri, TextDocument.create(uri, language_id, 1, text));
    return this.connection.sendNotification('textDocument/didOpen', {
      textDocument: { uri, languageId: language_id, version: 1, text },
    });
  }

  close(uri) {
    this.documents.delete(uri);
    return this.connection.sendNotification('textDocument/didClose', { textDocument: { uri } });
  }

  // Replaces UTF-16 offsets [start, end) here and, in its own position encoding, there.
  replace(uri, start, end, text) {
    const document = this.documents.get(uri);
    const range = { start: this.position(uri, start), end: this.position(uri, end) };
    const plain = { start: document.positionAt(start), end: document.positionAt(end) };
    TextDocument.update(document, [{ range: plain, text }], document.version + 1);
    return this.connection.sendNotification('textDocument/didChange', {
      textDocument: { uri, version: document.version },
      contentChanges: [{ range, text }],
    });
  }

  // The position of a UTF-16 offset in the encoding that was agreed on.
  position(uri, offset) {
    const document = this.documents.get(uri);
    const { line, character } = document.positionAt(offset);
    const text = document.getText().slice(document.offsetAt({ line, character: 0 }), offset);
    return { line, character: units[this.encoding](text) };
  }

  // And back: the UTF-16 offset of a position of the server.
  offset(uri, position) {
    const document = this.documents.get(uri);
    const start = document.offsetAt({ line: position.line, character: 0 });
    const line = document.getText().slice(start).split(/\r\n|\r|\n/, 1)[0];
    let at = 0;
    while (at < line.length && units[this.encoding](line.slice(0, at)) < position.character) at += line.codePointAt(at) > 0xffff ? 2 : 1;
    if (units[this.encoding](line.slice(0, at)) !== position.character) throw new Error(`no character starts at ${JSON.stringify(position)}`);
    return start + at;
  }

  // Asks as the editor does, at a UTF-16 offset. Resolves to the items; null where the server answered null.
  async inline(uri, offset, trigger = 2, token = never) {
    const answer = await this.connection.sendRequest(
      'textDocument/inlineCompletion',
      { textDocument: { uri }, position: this.position(uri, offset), context: { triggerKind: trigger } },
      token,
    );
    return answer === null ? null : Array.isArray(answer) ? answer : answer.items;
  }

  async popup(uri, offset, token = never) {
    const answer = await this.connection.sendRequest(
      'textDocument/completion',
      { textDocument: { uri }, position: this.position(uri, offset), context: { triggerKind: 1 } },
      token,
    );
    return answer === null ? null : Array.isArray(answer) ? answer : answer.items;
  }

  // Whatever this editor's way of asking is.
  ask(uri, offset, token = never) {
    return this.capabilities.inlineCompletionProvider ? this.inline(uri, offset, 2, token) : this.popup(uri, offset, token);
  }

  // The text of the document after the item was accepted.
  accepted(uri, item) {
    const text = this.documents.get(uri).getText();
    const range = item.textEdit?.range ?? item.range;
    const inserted = item.textEdit?.newText ?? item.insertText;
    return text.slice(0, this.offset(uri, range.start)) + inserted + text.slice(this.offset(uri, range.end));
  }

  // Ids that were answered never or more than once.
  miscounted() {
    return [...this.asked].filter(([id]) => this.answered.get(id) !== 1).map(([id, method]) => `${method} #${id}: ${this.answered.get(id) ?? 0}`);
  }

  async stop() {
    await this.connection.sendRequest('shutdown');
    await this.connection.sendNotification('exit');
    const code = await this.exit_code;
    this.connection.dispose();
    return code;
  }
}

// Splits a text at its `^`: the text without it, and where it stood.
export function cursor(marked) {
  const at = marked.indexOf('^');
  return { text: marked.slice(0, at) + marked.slice(at + 1), at };
}

// A generator of numbers in [0, limit) that repeats itself for the same seed.
export function random(seed) {
  let state = seed >>> 0 || 1;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}
