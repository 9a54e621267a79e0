// What the tests in VS Code saw work, for the table of clients; and the figures they took, in build/test/clients.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { row, seen_folder } from '../record.mjs';

export const saw = row('vscode', '1.100 (code-server 4.100.3)', 'typed', !process.env.LOOPD_VSCODE);

// Keeps a figure, such as milliseconds from a key to its ghost text, as JSON.
export function measured(name, figures) {
  mkdirSync(seen_folder, { recursive: true });
  writeFileSync(join(seen_folder, `${name}.json`), `${JSON.stringify(figures, null, 2)}\n`);
}
