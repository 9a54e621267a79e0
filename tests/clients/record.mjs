// Keeps what a test saw work in a client, for the table of clients in editors/README.md: build/test/clients/ROW.tsv.
import { appendFileSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const seen_folder = join(dirname(fileURLToPath(import.meta.url)), '../../build/test/clients');

// Starts a row of the table anew. `how`: "typed" into the real program, or "replayed": its side of the protocol.
// `anew` is false where a run drives only some of the suites that fill the row.
export function row(name, version, how, anew = true) {
  mkdirSync(seen_folder, { recursive: true });
  const file = join(seen_folder, `${name}.tsv`);
  if (anew) rmSync(file, { force: true });
  return (...features) => features.forEach((feature) => appendFileSync(file, `${name}\t${version}\t${feature}\t${how}\n`));
}
