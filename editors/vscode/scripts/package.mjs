// Makes loopd-linux-x64-VERSION.vsix, offline: the bundle, the loopd program with its libraries, and the default model.
// `npm run package [-- --out FILE]`; wants build/release/loopd and models/default, and says so where one is missing.
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const extension = fileURLToPath(new URL('..', import.meta.url));
const root = join(extension, '../..');
const stage = join(root, 'build/vscode-package');
const release = join(root, 'build/release');
const model = join(root, 'models/default');

// Libraries of the build system that other systems often lack; the C and C++ runtimes are the user's own.
const carried_libraries = /^lib(hwy|spdlog|fmt|pcre2-8)\.so/;
// What of the model folder the program reads.
const model_files = /\.(json|safetensors)$/;
// And what its users have a right to: its card, and the notices of what it learned from. The list of its training data,
// several megabytes, stays with its sources.
const model_papers = ['README.md', 'NOTICE.xz'];

function fail(reason) {
  console.error(`package: ${reason}`);
  process.exit(1);
}

function stage_extension() {
  const manifest = JSON.parse(readFileSync(join(extension, 'package.json'), 'utf8'));
  for (const key of ['private', 'scripts', 'devDependencies', 'dependencies']) delete manifest[key]; // all is bundled
  manifest.files = ['**'];
  writeFileSync(join(stage, 'package.json'), JSON.stringify(manifest, null, 2));
  for (const name of ['README.md', 'CHANGELOG.md', 'LICENSE', 'icon.png', 'images']) {
    if (existsSync(join(extension, name))) cpSync(join(extension, name), join(stage, name), { recursive: true });
  }
  mkdirSync(join(stage, 'out'));
  cpSync(join(extension, 'out/extension.js'), join(stage, 'out/extension.js'));
  return manifest.version;
}

function stage_program() {
  const server = join(stage, 'server');
  mkdirSync(join(server, 'bin'), { recursive: true });
  mkdirSync(join(server, 'lib'));
  const program = join(server, 'bin/loopd');
  cpSync(join(release, 'loopd'), program);
  execFileSync('strip', [program]); // symbols stay in the checkout's own
  chmodSync(program, 0o755);
  for (const plugin of readdirSync(release).filter((name) => name.endsWith('.so'))) cpSync(join(release, plugin), join(server, 'bin', plugin));
  const needed = execFileSync('ldd', [join(release, 'loopd')], { encoding: 'utf8' });
  for (const [, name, path] of needed.matchAll(/(\S+) => (\S+)/g)) {
    if (carried_libraries.test(name)) cpSync(realpathSync(path), join(server, 'lib', name));
  }
  return server;
}

function stage_model(server) {
  const place = join(server, 'share/loopd/models/default');
  mkdirSync(place, { recursive: true });
  for (const name of readdirSync(model).filter((one) => model_files.test(one))) cpSync(join(model, name), join(place, name));
  for (const name of model_papers) cpSync(join(model, '..', name), join(place, '..', name));
}

// Everything that is compiled or bundled in keeps its own terms.
function stage_licences(server) {
  const place = join(server, 'licences');
  mkdirSync(place);
  const keep = (from, name) => existsSync(from) && cpSync(from, join(place, name));
  for (const name of readdirSync(join(server, 'lib'))) {
    const owner = execFileSync('dpkg', ['-S', join('/usr/lib/x86_64-linux-gnu', name)], { encoding: 'utf8' }).split(':')[0];
    keep(`/usr/share/doc/${owner}/copyright`, `${owner}.txt`);
  }
  for (const name of ['libboost1.81-dev', 'nlohmann-json3-dev']) keep(`/usr/share/doc/${name}/copyright`, `${name}.txt`);
  const sources = join(root, 'third_party/node_modules');
  for (const name of readdirSync(sources).filter((one) => one.startsWith('tree-sitter'))) keep(join(sources, name, 'LICENSE'), `${name}.txt`);
  const modules = join(extension, 'node_modules');
  const bundled = ['vscode-languageclient', 'vscode-languageserver-protocol', 'vscode-languageserver-types', 'vscode-jsonrpc',
    'vscode-languageserver-textdocument', 'minimatch', 'semver', 'brace-expansion', 'balanced-match'];
  for (const name of bundled) {
    const folder = join(modules, name);
    const licence = existsSync(folder) && readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
    if (licence) keep(join(folder, licence), `${name}.txt`);
  }
}

if (process.platform !== 'linux' || process.arch !== 'x64') fail('packages are made on linux-x64, for linux-x64');
if (!existsSync(join(release, 'loopd'))) fail('build/release/loopd is missing; build it with: cmake --preset release && cmake --build --preset release');
if (!existsSync(join(model, 'config.json'))) fail('models/default holds no model (config.json is missing)');
rmSync(stage, { recursive: true, force: true });
mkdirSync(stage, { recursive: true });
execFileSync(process.execPath, [join(extension, 'scripts/build.mjs')], { stdio: 'inherit' });
const version = stage_extension();
const server = stage_program();
stage_model(server);
stage_licences(server);

const given = process.argv.indexOf('--out');
const out = resolve(given > 0 ? process.argv[given + 1] : join(extension, `loopd-linux-x64-${version}.vsix`));
mkdirSync(dirname(out), { recursive: true });
const vsce = createRequire(import.meta.url).resolve('@vscode/vsce/vsce');
const flags = ['--target', 'linux-x64', '--no-dependencies', '--allow-missing-repository', '--no-rewrite-relative-links', '--skip-license'];
execFileSync(process.execPath, [vsce, 'package', ...flags, '-o', out], { cwd: stage, stdio: ['ignore', 'ignore', 'inherit'] });
console.log(`package: ${basename(out)} in ${dirname(out)}`);
