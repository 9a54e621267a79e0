// Runs the extension's own tests (editors/vscode/test) inside the extension host of a real VS Code: in a window on two
// folders that the user has not said to trust, with the extension and the program of this checkout.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { saw } from './seen.mjs';
import { VSCode, pictures, root } from './vscode.mjs';

const patience_ms = 150_000;
const extension = join(root, 'editors/vscode');
// What a workspace that is not trusted might try, and something harmless.
const settings = { 'loopd.path': '/bin/true', 'loopd.model': '/tmp', 'loopd.exclude': ['!.env'], 'loopd.maxTokens': 64 };

let code;
const outcomes = [];

describe('the extension in its host', () => {
  before(async () => {
    const folders = { folders: [{ path: 'first' }, { path: 'second' }], settings };
    const files = { 'both.code-workspace': JSON.stringify(folders), 'first/main.py': '\n', 'second/secret/key.py': 'key = \n' };
    code = await VSCode.start({ files, settings: { 'security.workspace.trust.startupPrompt': 'never' } });
    const remote = (path) => `vscode-remote://${code.address}${path}`;
    let page;
    const ended = new Promise((resolve) => {
      const prepare = async (fresh) => {
        page = fresh;
        page.on('console', (message) => {
          const [, line] = /loopd-test (.*)/s.exec(message.text()) ?? [];
          if (line === 'end') resolve();
          else if (line) outcomes.push(line);
        });
        await page.exposeFunction('codeAutomationExit', resolve);
        await page.exposeFunction('codeAutomationLog', () => {});
      };
      const payload = [['extensionDevelopmentPath', remote(extension)], ['extensionTestsPath', remote(join(extension, 'out/test/index.js'))]];
      code.window({ workspace: 'both.code-workspace', payload, prepare });
      setTimeout(resolve, patience_ms).unref();
    });
    await ended;
    await page?.screenshot({ path: join(pictures, '6-extension-tests.png') });
  });

  after(() => code?.stop());

  test('the tests inside the extension host pass', async (context) => {
    assert.ok(outcomes.length > 0, 'the extension host ran no test');
    // The one action that the menu's test leaves out, because it needs another extension's diagnostics.
    if (outcomes.some((outcome) => outcome.startsWith('ok actions: a misspelt name'))) saw('action fix');
    for (const outcome of outcomes) {
      const [, verdict, name, why] = /^(ok|FAIL) ([^:]*: [^:]*)(?:: (.*))?$/s.exec(outcome);
      await context.test(name, () => assert.equal(verdict, 'ok', why));
    }
  });
});
