// A real VS Code for the tests: code-server with its window in headless Chromium, everything it writes in one folder.
import { execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';

export const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');
export const pictures = join(root, 'build/test/vscode');
// $LOOPD_CODE_SERVER is the folder of another one, such as a newer, which may want a newer Node in front of the PATH.
const code_server = join(process.env.LOOPD_CODE_SERVER ?? join(root, 'build/tools/code-server'), 'node_modules/code-server/out/node/entry.js');

// VS Code's own settings that would move or cover what the tests look at.
const calm = {
  'workbench.startupEditor': 'none',
  'workbench.tips.enabled': false,
  'telemetry.telemetryLevel': 'off',
  'update.mode': 'none',
  'files.autoSave': 'off',
  'editor.minimap.enabled': false,
  'editor.fontSize': 15,
  'editor.wordBasedSuggestions': 'off', // its popup would hide the ghost text at some words, as it does for users
  'chat.disableAIFeatures': true, // newer ones open a pane for it
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'git.enabled': false, // it would ask about the repository around the workspace
  'security.workspace.trust.banner': 'never',
};

async function free_port() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export class VSCode {
  // `files` lie in the folder of all workspaces: name -> text. `settings` are the user's; `environment` is added to ours.
  static async start({ files, settings = {}, vsix, environment = {} }) {
    const code = new VSCode();
    mkdirSync(pictures, { recursive: true });
    code.folder = mkdtempSync(join(root, 'build/test/vscode-home-'));
    code.workspaces = join(code.folder, 'workspaces');
    for (const name of ['user/User', 'extensions', 'home']) mkdirSync(join(code.folder, name), { recursive: true });
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(code.workspaces, name)), { recursive: true });
      writeFileSync(join(code.workspaces, name), text);
    }
    writeFileSync(join(code.folder, 'user/User/settings.json'), JSON.stringify({ ...calm, ...settings }));
    const home = join(code.folder, 'home');
    code.environment = {
      ...process.env,
      ...environment,
      HOME: home, XDG_CONFIG_HOME: home, XDG_DATA_HOME: home, XDG_CACHE_HOME: home, XDG_STATE_HOME: home,
      // Without an address VS Code looks for extensions nowhere.
      EXTENSIONS_GALLERY: '{"serviceUrl":"","itemUrl":"","resourceUrlTemplate":"","controlUrl":""}',
    };
    const places = ['--user-data-dir', join(code.folder, 'user'), '--extensions-dir', join(code.folder, 'extensions')];
    const config = ['--config', join(code.folder, 'config.yaml')];
    if (vsix) await promisify(execFile)(process.execPath, [code_server, ...config, ...places, '--install-extension', vsix], { env: code.environment });
    const port = await free_port();
    code.address = `127.0.0.1:${port}`;
    const quiet = ['--auth', 'none', '--disable-telemetry', '--disable-update-check'];
    code.server = spawn(process.execPath, [code_server, ...config, '--bind-addr', code.address, ...quiet, ...places], {
      env: code.environment,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true, // a group of its own, so that all of it can be ended
    });
    code.log = '';
    await new Promise((resolve, reject) => {
      const hear = (data) => {
        code.log += data;
        if (code.log.includes('HTTP server listening')) resolve();
      };
      code.server.stdout.on('data', hear);
      code.server.stderr.on('data', hear);
      code.server.on('exit', () => reject(new Error(`code-server ended: ${code.log.slice(-2000)}`)));
    });
    code.browser = await chromium.launch({
      executablePath: '/usr/bin/chromium',
      args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
        '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'],
    });
    return code;
  }

  // A window on a folder or a `.code-workspace` file; `payload` as VS Code's web workbench takes it. `prepare` gets the
  // page before anything is in it.
  async window({ workspace, payload = [], prepare = async () => {} }) {
    const page = await this.browser.newPage({ viewport: { width: 1180, height: 720 } });
    page.setDefaultTimeout(30_000);
    await prepare(page);
    const kind = workspace.endsWith('.code-workspace') ? 'workspace' : 'folder';
    const query = new URLSearchParams({ [kind]: join(this.workspaces, workspace), payload: JSON.stringify(payload) });
    await page.goto(`http://${this.address}/?${query}`, { waitUntil: 'domcontentloaded' });
    return page;
  }

  // The program that came with the package.
  program() {
    const extension = readdirSync(join(this.folder, 'extensions')).find((name) => name.startsWith('loopd.loopd'));
    return join(this.folder, 'extensions', extension, 'server/bin/loopd');
  }

  // Process ids of the loopd processes whose program lies in `folder`.
  daemons(folder = this.folder) {
    const ids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    return ids.map(Number).filter((id) => {
      try {
        const program = readlinkSync(`/proc/${id}/exe`);
        return program.startsWith(folder) && program.endsWith('/loopd');
      } catch {
        return false; // gone meanwhile, or not ours
      }
    });
  }

  async stop() {
    await this.browser?.close();
    if (this.server?.exitCode === null) {
      const ended = new Promise((resolve) => this.server.on('exit', resolve));
      process.kill(-this.server.pid, 'SIGTERM');
      await ended;
    }
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
