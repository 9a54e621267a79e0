// Finds the loopd program: the setting, a checkout under development, the PATH, or the one inside the extension.
import { accessSync, constants, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, isAbsolute, join } from 'node:path';

export interface Binary {
  command: string;
  origin: string; // where it was found, in words
  environment: Record<string, string>; // to add to the extension's own
}

export interface Missing {
  reason: string; // one line: what was looked for, where, and what to do
}

export interface Places {
  setting: string; // loopd.path; empty: not set
  search_path: string; // $PATH
  extension: string; // folder of the extension
  development: boolean; // the extension runs from a checkout of loopd
}

const program = process.platform === 'win32' ? 'loopd.exe' : 'loopd';

// "~/" is what people write in settings; no shell expands it there.
export function expand_home(path: string): string {
  return path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : path;
}

function is_program(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

export function find_binary(places: Places): Binary | Missing {
  if (places.setting !== '') return from_setting(places.setting);
  const checkout = join(places.extension, '../../build/release', program);
  if (places.development && is_program(checkout)) return { command: checkout, origin: 'the checkout', environment: {} };
  for (const folder of places.search_path.split(delimiter).filter(isAbsolute)) {
    const command = join(folder, program);
    if (is_program(command)) return { command, origin: 'the PATH', environment: {} };
  }
  const bundled = join(places.extension, 'server/bin', program);
  if (is_program(bundled)) {
    // The few shared libraries that not every system has come along.
    const libraries = [join(places.extension, 'server/lib'), process.env.LD_LIBRARY_PATH].filter(Boolean).join(':');
    return { command: bundled, origin: 'the extension', environment: { LD_LIBRARY_PATH: libraries } };
  }
  return {
    reason: 'There is no loopd on the PATH, and this build of the extension brings none for your system along. Build loopd and set loopd.path.',
  };
}

function from_setting(setting: string): Binary | Missing {
  const command = expand_home(setting);
  if (!isAbsolute(command)) return { reason: `loopd.path must be an absolute path, not "${setting}".` };
  if (!is_program(command)) return { reason: `loopd.path is "${setting}", and there is no program of that name.` };
  return { command, origin: 'the setting loopd.path', environment: {} };
}
