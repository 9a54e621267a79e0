// Which program is started, for every combination of places that have one.
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expand_home, find_binary } from '../src/binary';
import type { Case } from './index';

const root = mkdtempSync(join(tmpdir(), 'loopd-binary-'));

function program(path: string, mode = 0o755): string {
  const whole = join(root, path);
  mkdirSync(dirname(whole), { recursive: true });
  writeFileSync(whole, '');
  chmodSync(whole, mode);
  return whole;
}

const own = program('own/loopd');
const on_path = program('bin/loopd');
const checkout = program('checkout/build/release/loopd');
const bundled = program('checkout/editors/vscode/server/bin/loopd');
const not_executable = program('plain/loopd', 0o644);
const extension = join(root, 'checkout/editors/vscode');
const path = `relative:${join(root, 'plain')}:${join(root, 'bin')}`;
const none = { setting: '', search_path: '', extension: join(root, 'nowhere'), development: false };

const table: [string, Partial<typeof none>, string | RegExp][] = [
  ['the setting wins', { setting: own, search_path: path, extension, development: true }, own],
  ['a wrong setting is said, not worked around', { setting: join(root, 'gone'), search_path: path }, /no program of that name/],
  ['a file that cannot be run is no program', { setting: not_executable }, /no program of that name/],
  ['a relative setting is refused', { setting: 'bin/loopd' }, /absolute path/],
  ['developers get their own build', { search_path: path, extension, development: true }, checkout],
  ['the PATH comes before what is bundled', { search_path: path, extension }, on_path],
  ['what is bundled comes last', { extension }, bundled],
  ['where there is none, the reason names the setting', {}, /set loopd\.path/],
];

export const cases: Case[] = [
  ...table.map(([name, places, expected]) => ({
    name: `binary: ${name}`,
    run: () => {
      const found = find_binary({ ...none, ...places });
      if (typeof expected === 'string') {
        assert.equal('command' in found && found.command, expected);
      } else {
        assert.match('reason' in found ? found.reason : '', expected);
      }
    },
  })),
  {
    name: 'binary: the bundled program gets the bundled libraries',
    run: () => {
      const found = find_binary({ ...none, extension });
      assert.ok('environment' in found && found.environment.LD_LIBRARY_PATH?.split(':')[0] === join(extension, 'server/lib'));
    },
  },
  { name: 'binary: ~ is the home folder', run: () => assert.equal(expand_home('~/bin/loopd'), join(homedir(), 'bin/loopd')) },
];
