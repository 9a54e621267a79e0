// What the server answers to loopd/explain, and sends as loopd/result behind an action; lsp/report.cpp writes it.
export interface LoopStep {
  step: number;
  focus: string; // "condition", "call", ...; "parse" for a verify step
  kind: 'draft' | 'verify' | 'revise';
  depth: number; // loops; 0 where no model ran
  tokens_generated: number;
  tokens_revised: number;
  tokens_drafted?: number; // guesses that were checked on the way
  tokens_accepted?: number; // of them, those that were right
  ms: number;
}

export interface Report {
  text: string;
  language: string;
  syntax_class: string;
  loop_depth: number;
  loop_steps: LoopStep[];
  finish_reason: string; // "off" where no model ran
  timings_ms: { parse: number; prompt: number; prefill: number; decode: number; check: number; total: number };
  tokens: { prompt: number; reused: number; generated: number; drafted?: number; accepted?: number };
  model: string;
  device: string;
  replace_after: number; // bytes behind the cursor that the text replaces
  explain: string[]; // sentences
  position?: { line: number; character: number }; // from 0; none where an action wrote more than one place
  alternatives?: Report[]; // what else there is for the place, where the user asked by a key
  action?: string; // "implement", ...; none for a suggestion
}
