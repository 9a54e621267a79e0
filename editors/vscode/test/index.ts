// The extension's own tests, run inside the extension host of a real VS Code; tests/clients/vscode/extension.test.mjs
// opens the window for them and reads the lines that `run` writes: "ok NAME" or "FAIL NAME: why".
import { cases as actions } from './actions.test';
import { cases as binary } from './binary.test';
import { cases as config } from './config.test';
import { cases as daemon } from './daemon.test';
import { cases as explain } from './explain_html.test';
import { cases as status } from './status.test';

export interface Case {
  name: string;
  run(): void | Promise<void>;
}

const patience_ms = 60_000;

function in_time(work: void | Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout;
  const late = new Promise<void>((_, reject) => (timer = setTimeout(() => reject(new Error(`not done after ${patience_ms} ms`)), patience_ms)));
  return Promise.race([Promise.resolve(work), late]).finally(() => clearTimeout(timer));
}

export async function run(): Promise<void> {
  let failed = 0;
  for (const { name, run: test } of [...binary, ...config, ...status, ...explain, ...daemon, ...actions]) {
    try {
      await in_time(test());
      console.log(`loopd-test ok ${name}`);
    } catch (error) {
      ++failed;
      console.log(`loopd-test FAIL ${name}: ${error instanceof Error ? error.stack : error}`);
    }
  }
  console.log('loopd-test end');
  if (failed > 0) throw new Error(`${failed} tests failed`);
}
