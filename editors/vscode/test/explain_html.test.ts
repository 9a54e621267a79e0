// The page that explains a suggestion.
import assert from 'node:assert/strict';
import { explain_html } from '../src/explain_html';
import type { Report } from '../src/report';
import type { Case } from './index';

const report: Report = {
  text: 'a < b && "<script>"',
  language: 'cpp',
  syntax_class: 'function',
  loop_depth: 3,
  loop_steps: [
    { step: 1, focus: 'condition', kind: 'draft', depth: 3, tokens_generated: 7, tokens_revised: 0, tokens_drafted: 5, tokens_accepted: 4, ms: 20 },
    { step: 1, focus: 'parse', kind: 'verify', depth: 0, tokens_generated: 0, tokens_revised: 0, ms: 0.25 },
    { step: 1, focus: 'condition', kind: 'revise', depth: 3, tokens_generated: 0, tokens_revised: 5, ms: 12 },
  ],
  finish_reason: 'stop_rule',
  timings_ms: { parse: 0.5, prompt: 0.25, prefill: 4, decode: 32, check: 0.5, total: 40 },
  tokens: { prompt: 120, reused: 100, generated: 12, drafted: 5, accepted: 4 },
  model: '/models/default',
  device: 'cpu',
  replace_after: 0,
  explain: ['function: inside a block', 'depth 3 of 6'],
  position: { line: 4, character: 8 },
};
const silent: Report = { ...report, text: '', loop_steps: [], finish_reason: 'off', explain: ['the file is excluded'], position: { line: 9, character: 0 } };
const text_of = (html: string) => html.replace(/<style>[^]*<\/style>/, '').replaceAll(/<[^>]*>/g, ' ').replaceAll(/\s+/g, ' ');

export const cases: Case[] = [
  {
    name: 'explain: text of the document cannot become markup',
    run: () => {
      const html = explain_html(report, null, '<b>.cpp');
      assert.ok(!/<script|<b>/.test(html));
      assert.ok(html.includes('a &lt; b &amp;&amp; &quot;&lt;script&gt;&quot;'));
    },
  },
  {
    name: 'explain: every loop step has a row with its depth, its tokens and its time',
    run: () => {
      const text = text_of(explain_html(report, null, 'a.cpp'));
      assert.match(text, /1 draft condition ●●● 3 7 4 of 5 20 ms/);
      assert.match(text, /1 verify parse no model 0\.3 ms/);
      assert.match(text, /1 revise condition ●●● 3 5 revised 12 ms/);
      assert.match(text, /12 generated; 4 of 5 guesses were right/);
      assert.match(text, /a\.cpp, line 5, column 9 · cpp · function · 3 loops/);
    },
  },
  {
    name: 'explain: other suggestions for the place have their text and their steps',
    run: () => {
      const other = { ...report, text: 'a > <b>', loop_steps: report.loop_steps.slice(0, 1) };
      const html = explain_html({ ...report, alternatives: [other] }, null, 'a.cpp');
      assert.match(text_of(html), /Other suggestions for the place a &gt; &lt;b&gt; step .* 1 draft condition/);
      assert.ok(!text_of(explain_html({ ...report, alternatives: [] }, null, 'a.cpp')).includes('Other suggestions'));
    },
  },
  {
    name: 'explain: the reason for silence is told, alone and after a suggestion',
    run: () => {
      const alone = text_of(explain_html(silent, silent, 'a.cpp'));
      assert.match(alone, /Nothing was suggested.*the file is excluded.*The model did not run/);
      assert.ok(!alone.includes('Since then'));
      assert.match(text_of(explain_html(report, silent, 'a.cpp')), /Since then Nothing was suggested at line 10, column 1: the file is excluded/);
    },
  },
];
