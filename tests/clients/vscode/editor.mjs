// What a user does and sees in one VS Code window: opens files, types, looks at ghost text, saves.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pictures } from './vscode.mjs';

// Runs in the page. Ghost text is drawn as coloured pieces within a line and, where it has more lines, in a view zone
// below; elements stay where nothing is shown any more, so that only text counts.
const watch_ghost_text = () => {
  window.ghost_text = () => {
    const pieces = [...document.querySelectorAll('.view-lines [class*="ghost-text-decoration"]')];
    const lines = [...document.querySelectorAll('.suggest-preview-text .view-line')];
    const text = [pieces.map((piece) => piece.textContent).join(''), ...lines.map((line) => line.textContent)].join('\n');
    return text.replaceAll('\u00a0', ' ').trimEnd();
  };
  window.keys = [];
  document.addEventListener('keydown', () => window.keys.push({ at: performance.now() }), true);
  new MutationObserver(() => {
    const last = window.keys.at(-1);
    if (last && last.shown === undefined && window.ghost_text().trim()) last.shown = performance.now();
  }).observe(document.body, { childList: true, subtree: true, characterData: true, attributes: true });
};

export class Editor {
  constructor(code, page) {
    this.code = code;
    this.page = page;
    this.keyboard = page.keyboard;
  }

  // Opens a folder and says that its authors are trusted.
  static async open(code, workspace) {
    const prepare = (page) => page.addInitScript(`addEventListener('DOMContentLoaded', ${watch_ghost_text})`);
    const editor = new Editor(code, await code.window({ workspace, prepare }));
    editor.workspace = workspace;
    await editor.page.waitForSelector('.explorer-folders-view .monaco-list-row', { timeout: 60_000 });
    // The VS Code that is installed for the tests asks; newer ones may not.
    const asked = editor.page.getByRole('button', { name: 'Yes, I trust the authors' }).click({ timeout: process.env.LOOPD_CODE_SERVER ? 5000 : 30_000 });
    await (process.env.LOOPD_CODE_SERVER ? asked.catch(() => {}) : asked);
    return editor;
  }

  async show(file) {
    await this.page.locator('.explorer-folders-view .monaco-list-row', { hasText: file }).first().dblclick();
    await this.page.waitForSelector(`.tab.active[data-resource-name="${file}"]`);
    await this.page.locator('.editor-instance .view-lines').first().click();
  }

  async wait_for_status(pattern, timeout = 60_000) {
    await this.page.waitForFunction(
      (source) => [...document.querySelectorAll('.statusbar-item')].some((item) => item.id.endsWith('loopd.status') && new RegExp(source).test(item.textContent)),
      pattern.source,
      { timeout, polling: 50 },
    );
  }

  async wait_for_text(pattern) {
    await this.page.waitForFunction((source) => new RegExp(source).test(document.body.innerText), pattern.source, { polling: 50 });
  }

  async click_status() {
    await this.page.locator('.statusbar-item[id$="loopd.status"]').click();
    await this.page.locator('.quick-input-list .monaco-list-row').first().waitFor();
  }

  async choose(label) {
    await this.page.locator('.quick-input-list .monaco-list-row', { hasText: label }).click();
    await this.page.locator('.quick-input-widget').waitFor({ state: 'hidden' });
    await this.press('Control+1'); // back into the editor
  }

  type(text) {
    return this.keyboard.type(text, { delay: 40 });
  }

  press(key) {
    return this.keyboard.press(key);
  }

  // Runs a command from the palette, by its title.
  async command(title) {
    await this.keyboard.press('F1');
    await this.page.waitForSelector('.quick-input-widget input');
    await this.keyboard.type(title);
    await this.page.locator('.quick-input-list .monaco-list-row', { hasText: title }).first().waitFor();
    await this.keyboard.press('Enter');
  }

  async go_to(line, column) {
    await this.keyboard.press('Control+g');
    await this.page.waitForSelector('.quick-input-widget input');
    await this.keyboard.type(`${line}:${column}`);
    await this.keyboard.press('Enter');
    await this.page.waitForFunction(() => document.activeElement?.closest('.editor-instance') !== null);
  }

  // The ghost text; waits until there is some.
  async ghost(timeout = 15_000) {
    await this.page.waitForFunction(() => window.ghost_text().trim() !== '', null, { timeout, polling: 20 });
    return this.page.evaluate(() => window.ghost_text());
  }

  async ghost_gone(timeout = 15_000) {
    await this.page.waitForFunction(() => window.ghost_text().trim() === '', null, { timeout, polling: 20 });
  }

  // Sends the ghost text away, also one that comes late, behind the key that was to send it away.
  async dismiss_ghost() {
    for (let left = 20; ; --left) {
      await this.press('Escape');
      const gone = await this.ghost_gone(1000).then(() => true, () => false);
      if (gone) return;
      if (left === 0) throw new Error('Escape does not send the ghost text away');
    }
  }

  // The ghost text as soon as it is another than `old`.
  async other_ghost(old) {
    await this.page.waitForFunction((known) => window.ghost_text().trim() !== '' && window.ghost_text() !== known, old, { polling: 20 });
    return this.page.evaluate(() => window.ghost_text());
  }

  // The ghost text that is not `old`, once it has stayed the same for half a second: VS Code draws what it has while it asks.
  async calm_ghost(old = '', timeout = 15_000) {
    const calm = (known) => {
      const text = window.ghost_text();
      if (text !== window.drawn?.text) window.drawn = { text, since: performance.now() };
      return text.trim() !== '' && text !== known && performance.now() - window.drawn.since > 500;
    };
    await this.page.waitForFunction(calm, old, { timeout, polling: 20 });
    return this.page.evaluate(() => window.ghost_text());
  }

  // Milliseconds from the last key to its ghost text; null where none came in time.
  async time_to_ghost(timeout) {
    await this.ghost(timeout).catch(() => {});
    return this.page.evaluate(() => {
      const last = window.keys.at(-1);
      return last?.shown === undefined ? null : last.shown - last.at;
    });
  }

  // The document's text, as it is on disk after saving.
  async text(file) {
    await this.keyboard.press('Control+s');
    await this.page.waitForFunction(() => !document.querySelector('.tab.active.dirty'));
    return readFileSync(join(this.code.workspaces, this.workspace, file), 'utf8');
  }

  // The text of the web view that is open.
  async view(pattern) {
    for (let attempt = 0; ; ++attempt) {
      for (const frame of this.page.frames()) {
        const text = await frame.evaluate(() => document.body?.innerText ?? '').catch(() => '');
        if (frame !== this.page.mainFrame() && pattern.test(text)) return text;
      }
      if (attempt === 150) throw new Error(`no view shows ${pattern}`);
      await this.page.waitForTimeout(100);
    }
  }

  notifications() {
    return this.page.evaluate(() => [...document.querySelectorAll('.notification-toast')].map((toast) => toast.querySelector('.notification-list-item-message').textContent));
  }

  // Waits for a notification with this text and answers it.
  async answer(pattern, button, picture) {
    const toast = this.page.locator('.notification-toast', { hasText: pattern });
    await toast.waitFor({ timeout: 60_000 });
    if (picture) await this.picture(picture);
    const message = await toast.locator('.notification-list-item-message').textContent();
    await toast.hover();
    await toast.locator('.monaco-button', { hasText: button }).click();
    return message;
  }

  // Chooses from the menu of a row in the Explorer.
  async explorer_menu(row, label) {
    await this.page.locator('.explorer-folders-view .monaco-list-row', { hasText: row }).first().click({ button: 'right' });
    // A menu takes no click right after it has come; what is focused by the mouse is chosen by the key.
    const item = this.page.locator('.monaco-menu .action-item', { hasText: label }).first();
    await item.hover();
    await this.page.locator('.monaco-menu .action-item.focused', { hasText: label }).waitFor();
    await this.press('Enter');
  }

  // Answers an input box or a list that is open: types and presses Enter.
  async enter(prompt, text) {
    await this.page.locator('.quick-input-widget', { hasText: prompt }).waitFor();
    await this.keyboard.type(text);
    await this.keyboard.press('Enter');
  }

  // Waits until the lines that are visible say so.
  async wait_for_lines(condition, timeout = 30_000) {
    await this.page.waitForFunction(
      (source) => new Function('text', `return ${source}`)([...document.querySelectorAll('.editor-instance .view-line')].map((line) => line.textContent.replaceAll('\u00a0', ' ')).join('\n')),
      condition,
      { timeout, polling: 50 },
    );
  }

  picture(name) {
    return this.page.screenshot({ path: join(pictures, `${name}.png`) });
  }
}
