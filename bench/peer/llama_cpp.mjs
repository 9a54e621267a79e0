// Times llama.cpp on a model of the given shape: `node llama_cpp.mjs CONFIG.json THREADS` prints one JSON row a measurement.
import {mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {getLlama} from 'node-llama-cpp';
import {writeGguf} from './gguf.mjs';

const [config, threadsText] = process.argv.slice(2);
const shape = JSON.parse(readFileSync(config, 'utf8'));
const threads = Number(threadsText);
const folder = mkdtempSync(join(tmpdir(), 'loopd-peer-'));
const median = values => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

try {
  const file = join(folder, 'random.gguf');
  writeGguf(file, shape);
  const llama = await getLlama({gpu: false, logLevel: 'error', maxThreads: threads, build: 'never'});
  const model = await llama.loadModel({modelPath: file});
  for (const context of [8, 512, 1500]) {
    const holder = await model.createContext({contextSize: shape.max_position_embeddings, threads, batchSize: 512});
    const sequence = holder.getSequence();
    const prompt = Array.from({length: context}, (_, i) => 300 + i * 7919 % (shape.vocab_size - 300));
    let start = performance.now(), cpu = process.cpuUsage();
    const cpuMs = () => { const used = process.cpuUsage(cpu); return (used.user + used.system) / 1e3; };
    await sequence.evaluateWithoutGeneratingNewTokens(prompt);
    const rate = context / (performance.now() - start) * 1e3;
    if (context >= 64) console.log(JSON.stringify({bench: 'prefill', context, threads, tokens_per_s: rate, cpu_ms_per_token: cpuMs() / context}));
    const times = [];
    start = performance.now();
    cpu = process.cpuUsage();
    for await (const _ of sequence.evaluate([777], {temperature: 0, yieldEogToken: true})) {
      times.push(performance.now() - start);
      start = performance.now();
      if (times.length > 64) break;
    }
    console.log(JSON.stringify({bench: 'decode', context, threads, ms_per_token: median(times), cpu_ms_per_token: cpuMs() / times.length}));
    await holder.dispose();
  }
} finally {
  rmSync(folder, {recursive: true});
}
process.exit(0);
