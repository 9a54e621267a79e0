// What the status bar shows for every state.
import assert from 'node:assert/strict';
import type { DaemonState } from '../src/daemon';
import { view } from '../src/status';
import type { Case } from './index';

const ready: DaemonState = { kind: 'ready', message: '75 M parameters', model: '/models/default', device: 'cpu' };
const bare = (kind: DaemonState['kind'], message = ''): DaemonState => ({ kind, message, model: '', device: '' });

const table: [string, DaemonState, boolean, string, RegExp, RegExp][] = [
  ['ready', ready, false, '', /loopd: default · cpu$/, /75 M parameters[^]*\/models\/default[^]*cpu/],
  ['busy', ready, true, '', /sync~spin.*default · cpu$/, /is ready/],
  ['off for a language', ready, true, 'python', /loopd: off$/, /off for python/],
  ['loading', bare('loading', 'starting'), false, '', /spin.*loading$/, /is loading: starting/],
  ['missing', bare('missing', 'There is no loopd'), false, '', /error.*missing$/, /There is no loopd/],
  ['a problem is said even where the language is off', bare('error', 'no model'), false, 'python', /error.*error$/, /has a problem: no model/],
  ['idle', bare('idle'), false, '', /loopd: idle$/, /is idle/],
  ['stopped', bare('stopped'), false, '', /loopd: stopped$/, /is stopped/],
];

export const cases: Case[] = table.map(([name, state, busy, off, text, tooltip]) => ({
  name: `status: ${name}`,
  run: () => {
    const shown = view(state, busy, off);
    assert.match(shown.text, text);
    assert.match(shown.tooltip, tooltip);
    assert.equal(shown.error, state.kind === 'error' || state.kind === 'missing');
  },
}));
