// Writes a llama model of a given shape with random 4-bit weights (GGUF version 3, Q4_0), so that a peer does the same work.
import {openSync, writeSync, closeSync} from 'node:fs';

const ALIGNMENT = 32;
const F32 = 0, Q4_0 = 2;                              // tensor types
const UINT32 = 4, INT32 = 5, FLOAT32 = 6, STRING = 8, ARRAY = 9;  // metadata types
const HALF_SCALE = 0x1800;                            // 2^-9 as float16

class Writer {
  parts = [];
  u32(value) { const b = Buffer.alloc(4); b.writeUInt32LE(value); this.parts.push(b); }
  i32(value) { const b = Buffer.alloc(4); b.writeInt32LE(value); this.parts.push(b); }
  u64(value) { const b = Buffer.alloc(8); b.writeBigUInt64LE(BigInt(value)); this.parts.push(b); }
  f32(value) { const b = Buffer.alloc(4); b.writeFloatLE(value); this.parts.push(b); }
  text(value) { const b = Buffer.from(value); this.u64(b.length); this.parts.push(b); }
  bytes() { return Buffer.concat(this.parts); }
}

const put = {[UINT32]: 'u32', [INT32]: 'i32', [FLOAT32]: 'f32', [STRING]: 'text'};

// Blocks of 32 weights: a float16 scale, then 16 bytes of nibbles.
function randomQ4(count) {
  const block = 18, data = Buffer.alloc(count / 32 * block);
  let state = 1;
  for (let at = 0; at < data.length; at += block) {
    data.writeUInt16LE(HALF_SCALE, at);
    for (let i = 2; i < block; i += 4) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      data.writeUInt32LE(state, at + i);
    }
  }
  return data;
}

// `shape` as in a checkpoint's config.json. Embedding and output head are two tensors of the same size.
export function writeGguf(path, shape) {
  const metadata = [];
  const add = (key, type, value) => metadata.push({key, type, value});
  const {num_hidden_layers: layers, hidden_size: hidden, intermediate_size: inner, num_attention_heads: heads,
         num_key_value_heads: kvHeads, head_dim: dim, vocab_size: vocabulary} = shape;
  add('general.architecture', STRING, 'llama');
  const sizes = {block_count: layers, context_length: shape.max_position_embeddings, embedding_length: hidden, feed_forward_length: inner,
                 'attention.head_count': heads, 'attention.head_count_kv': kvHeads, 'rope.dimension_count': dim,
                 'attention.key_length': dim, 'attention.value_length': dim, vocab_size: vocabulary};
  for (const [key, value] of Object.entries(sizes)) add('llama.' + key, UINT32, value);
  add('llama.attention.layer_norm_rms_epsilon', FLOAT32, shape.rms_norm_eps);
  // A vocabulary that is never used for text: control tokens, bytes, then names.
  const tokens = ['<unk>', '<s>', '</s>'], kinds = [2, 3, 3];
  for (let byte = 0; byte < 256; ++byte) tokens.push(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`), kinds.push(6);
  while (tokens.length < vocabulary) tokens.push('t' + tokens.length), kinds.push(1);
  add('tokenizer.ggml.model', STRING, 'llama');
  add('tokenizer.ggml.tokens', [STRING], tokens);
  add('tokenizer.ggml.scores', [FLOAT32], tokens.map((_, i) => -i));
  add('tokenizer.ggml.token_type', [INT32], kinds);
  add('tokenizer.ggml.bos_token_id', UINT32, 1);
  add('tokenizer.ggml.eos_token_id', UINT32, 2);

  // Extents innermost first, as the format has them.
  const tensors = [{name: 'token_embd.weight', extents: [hidden, vocabulary]}, {name: 'output.weight', extents: [hidden, vocabulary]},
                   {name: 'output_norm.weight', extents: [hidden]}];
  for (let i = 0; i < layers; ++i) {
    const linear = {attn_q: [hidden, heads * dim], attn_k: [hidden, kvHeads * dim], attn_v: [hidden, kvHeads * dim],
                    attn_output: [heads * dim, hidden], ffn_gate: [hidden, inner], ffn_up: [hidden, inner], ffn_down: [inner, hidden],
                    attn_norm: [hidden], ffn_norm: [hidden]};
    for (const [name, extents] of Object.entries(linear)) tensors.push({name: `blk.${i}.${name}.weight`, extents});
  }

  const header = new Writer();
  header.parts.push(Buffer.from('GGUF'));
  header.u32(3);
  header.u64(tensors.length);
  header.u64(metadata.length);
  for (const {key, type, value} of metadata) {
    header.text(key);
    if (!Array.isArray(type)) {
      header.u32(type);
      header[put[type]](value);
      continue;
    }
    header.u32(ARRAY);
    header.u32(type[0]);
    header.u64(value.length);
    for (const element of value) header[put[type[0]]](element);
  }
  const padding = size => Buffer.alloc((ALIGNMENT - size % ALIGNMENT) % ALIGNMENT);
  let offset = 0;
  for (const tensor of tensors) {
    const count = tensor.extents.reduce((a, b) => a * b);
    tensor.data = tensor.extents.length === 1 ? Buffer.from(new Float32Array(count).fill(1).buffer) : randomQ4(count);
    header.text(tensor.name);
    header.u32(tensor.extents.length);
    for (const extent of tensor.extents) header.u64(extent);
    header.u32(tensor.extents.length === 1 ? F32 : Q4_0);
    header.u64(offset);
    offset += tensor.data.length + padding(tensor.data.length).length;
  }
  const file = openSync(path, 'w');
  const head = header.bytes();
  writeSync(file, head);
  writeSync(file, padding(head.length));
  for (const {data} of tensors) {
    writeSync(file, data);
    writeSync(file, padding(data.length));
  }
  closeSync(file);
}
