// Bundles the extension and its tests into out/: `npm run build`, or `npm run watch` to do it again on every change.
import { fileURLToPath } from 'node:url';
import { build, context } from 'esbuild';

const here = fileURLToPath(new URL('..', import.meta.url));
const shared = { absWorkingDir: here, bundle: true, platform: 'node', format: 'cjs', target: 'node20', external: ['vscode'], sourcemap: true, logLevel: 'warning' };
const bundles = [
  { ...shared, entryPoints: ['src/extension.ts'], outfile: 'out/extension.js', minify: true, legalComments: 'linked' },
  { ...shared, entryPoints: ['test/index.ts'], outfile: 'out/test/index.js' },
];

if (process.argv.includes('--watch')) {
  for (const bundle of bundles) await (await context({ ...bundle, logLevel: 'info' })).watch();
} else {
  await Promise.all(bundles.map((bundle) => build(bundle)));
}
