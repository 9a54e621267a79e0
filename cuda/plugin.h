// What the CUDA plug-in offers: one table of functions, plain C++ without a CUDA header, found through one symbol.
//
// The host program never links CUDA. It opens libloopd_cuda.so, looks up kEntryPoint and calls it with kVersion; what it
// gets is null (another version) or a table that lives as long as the library. Operations take their arguments in the
// order of inference/ops.h: the stream (where the CPU takes its thread pool), the output, the inputs, the shapes. All
// data pointers of operations are device pointers, all operations are asynchronous on their stream, and none of them
// allocates: every one may be captured in a graph. Whatever changes from step to step is read from device memory (Rows).
//
// Errors. Functions that return bool return false, and last_error() then says why in one line. Operations return
// nothing: the first failed launch, a shape that is not supported included, is kept, and the next sync() or graph_end()
// returns false. After a sticky CUDA error (a kernel that faulted) every further call fails with the same text;
// usable() then answers false and the process must fall back to the CPU.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cuda {

constexpr int kVersion = 2;
constexpr const char* kEntryPoint = "loopd_cuda_api";  // extern "C" const cuda::Api* loopd_cuda_api(int version)

constexpr int kPage = 64;         // positions in a page of the KV cache
constexpr int kMaxDecodeRows = 16;  // rows that linear() and the other decode operations take at once
constexpr int kMaxHeadGroup = 8;  // query heads that share a kv head

struct StreamHandle;
struct GraphHandle;
using Stream = StreamHandle*;
using Graph = GraphHandle*;

struct DeviceInfo {
  char name[128];
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  std::size_t memory_bytes = 0, free_bytes = 0, l2_bytes = 0;
};

enum class Type : int { f32, f16, bf16, int8, int4, fp8 };

// A linear map's weights as stored in a checkpoint: row-major [rows][cols]. int4: two columns a byte, the even one in
// the low nibble, stored q + 8. int8: two's complement. Scales f32 [rows][cols / group]; zeros (int4 only, may be null:
// 8 everywhere) uint8 0..15 [rows][cols / group]. Weight = (q - zero) * scale.
struct RawMatrix {
  Type type = Type::f32;
  int rows = 0, cols = 0, group = 0;
  const void* data = nullptr;
  const float* scales = nullptr;
  const std::uint8_t* zeros = nullptr;
};

// The same on the device in the order the kernels read (see cuda/layout.h): make one with layout(), allocate `bytes`, set
// `data`, and fill it with pack(). One Matrix may hold several raw ones (q, k and v; gate and up).
enum class Packed : int { int4, int4_zeros, int8, bf16, pair };  // pair: two bf16, hi + lo, for f32, f16 and odd groups
struct Matrix {
  Packed packed = Packed::bf16;
  int rows = 0, cols = 0;  // as the model means them
  int group = 0;           // columns that share a scale
  std::size_t bytes = 0;   // of data, scales and zeros included
  void* data = nullptr;
};

// Where the rows of a raw matrix go in a packed one. `gate` and `up` interleave for linear()'s Epilogue::swiglu: a tile of
// 16 rows holds 8 of gate and the same 8 of up.
enum class RowOrder : int { plain, gate, up };

// What a decode or prefill step works on, in device memory, one entry a row. A row is a token of a session; several rows
// may be consecutive tokens of one session, in any order: all keys are written before any are read.
struct Rows {
  int* token = nullptr;           // [rows] its id
  int* position = nullptr;        // [rows]
  int* loop = nullptr;            // [rows] 1, 2, ..., the loop that it runs now; 0: the row sits this one out, untouched
  const int* depth = nullptr;     // [rows] last loop of the row; read by set_loop() only, may be null otherwise
  const int* table = nullptr;     // [rows] first of the session's page tables: table[row] + r - 1 is loop r's, r = 1 KV1
  const int* first = nullptr;     // [rows] first position that the row's own loop >= 2 keeps keys of; null: 0
  const int* pages = nullptr;     // page tables [tables][table_stride]: position p lies in page pages[table][p / kPage].
                                  // Loops >= 2 read only the entries of [position - window + 1, position]
  int table_stride = 0;
};

// The KV cache of one layer: K and V of every page, [page][kv_head][kPage][head_dim], type bf16 or fp8 (e4m3, scale 1).
// Pages are the same for all loops; a page id counts in units of page_elements = kv_heads * kPage * head_dim.
struct KvCache {
  Type type = Type::bf16;
  void* keys = nullptr;
  void* values = nullptr;
};

// A vector of a model, or one of every loop: a row in loop r takes the one at data + (min(r, loops) - 1) * stride.
struct Gain {
  const float* data = nullptr;  // null: none
  int stride = 0;               // 0: all loops share one
  int loops = 1;
};

struct HeadShape {
  int heads = 0, kv_heads = 0, head_dim = 0;  // head_dim 8, 16, 32, 64 or 128; heads / kv_heads <= kMaxHeadGroup
};

// Memory of operations in flight on one stream: at least workspace_bytes(), zeroed once by the caller before its first use.
// The first kWorkspaceCounters bytes are arrival counters, which every operation leaves at zero.
constexpr std::size_t kWorkspaceCounters = 65536;
struct Workspace {
  void* data = nullptr;
  std::size_t bytes = 0;
};

enum class Epilogue : int {
  store,   // out[rows][matrix.rows] = y
  add,     // out[rows][matrix.rows] += y, only in rows whose `loop` (where given) is not 0
  swiglu,  // out[rows][matrix.rows / 2] = silu(gate) * up, of a matrix packed with RowOrder::gate and up
};

// One layer, as pass() reads it; all pointers are of the device.
struct PassLayer {
  Matrix qkv, o, gate_up, down;
  Gain input_gain, attention_gain;  // [width]
  const float* qkv_bias = nullptr;
  Gain q_gain, k_gain;  // [head_dim], or null
  Gain gate_weight, gate_bias;  // null where there are no loops >= 2
  KvCache cache;
};
// What all layers share.
struct PassShape {
  HeadShape heads;
  int width = 0, inner = 0, layers = 0;
  int window = 0;
  float eps = 0;
  const float* rope = nullptr;  // rope_table()
};
constexpr int kMaxPassRows = 8;

// Greedy choice of a row. Written by argmax().
struct Choice {
  std::int32_t token;
  float logprob;       // natural log of its softmax probability before mask and bias
  float best, second;  // the two largest logits after mask and bias: how near a tie it was
};

struct Api {
  int version;

  // Device. device_count() is 0 where there is no driver or no device, and last_error() says which.
  int (*device_count)();
  bool (*device_info)(DeviceInfo* out, int device);
  bool (*use_device)(int device);  // for the calling thread; false where the plug-in has no code for its architecture
  bool (*usable)();                // false after a sticky error
  const char* (*last_error)();     // of the calling thread; "" if none
  void (*clear_error)();           // forgets a failed call that was not sticky

  // Memory. Device memory is not zeroed by device_alloc; fill() sets bytes. Host memory of host_alloc is pinned: use it
  // for copies that must not block. A copy to or from other host memory may block until it is done.
  void* (*device_alloc)(std::size_t bytes);  // null: not enough, last_error() says how much was asked and is free
  void (*device_free)(void* memory);
  void* (*host_alloc)(std::size_t bytes);
  void (*host_free)(void* memory);
  bool (*upload)(Stream stream, void* device, const void* host, std::size_t bytes);
  bool (*download)(Stream stream, void* host, const void* device, std::size_t bytes);
  bool (*copy)(Stream stream, void* device_to, const void* device_from, std::size_t bytes);
  bool (*fill)(Stream stream, void* device, int byte, std::size_t bytes);

  // Streams and graphs. Between graph_begin and graph_end the stream records instead of running; graph_end gives a graph
  // to launch any number of times, or null. One thread uses a stream at a time.
  Stream (*stream_create)();
  void (*stream_destroy)(Stream stream);
  bool (*sync)(Stream stream);  // waits; false where anything on it failed
  bool (*graph_begin)(Stream stream);
  Graph (*graph_end)(Stream stream);
  bool (*graph_launch)(Graph graph, Stream stream);
  void (*graph_destroy)(Graph graph);

  // Bytes read plus bytes written per second of a large device-to-device copy, measured now (some 50 ms, 2 GiB or what
  // is free). 0 on failure.
  double (*measure_copy_bandwidth)();
  // Milliseconds of device time between two marks on a stream: mark(stream, 0) ... mark(stream, 1), sync, elapsed_ms.
  bool (*mark)(Stream stream, int which);
  double (*elapsed_ms)(Stream stream);

  // Weights. layout() fills everything but data; a group that the kernels cannot read (not a multiple of 32, nor all
  // columns) and f32 and f16 become Packed::pair. rows must be those of all raw matrices that will be packed into it, and
  // with RowOrder::gate/up every part but the last a multiple of 8.
  Matrix (*layout)(Type type, int rows, int cols, int group, bool zeros);
  // Writes raw (all pointers on the device) into rows [first_row, first_row + raw.rows) of `out`, or in the interleaved
  // order (first_row 0 then). pack_padding() must run once before, and sets the rest of `out` to weights of zero.
  void (*pack_padding)(Stream stream, const Matrix& out);
  void (*pack)(Stream stream, const Matrix& out, int first_row, RowOrder order, const RawMatrix& raw);
  // Seeded weights of about the size 1 / sqrt(cols), for benchmarks of shapes without a checkpoint.
  void (*random_matrix)(Stream stream, const Matrix& out, std::uint64_t seed);
  void (*random_floats)(Stream stream, float* out, std::size_t count, float mean, float spread, std::uint64_t seed);
  // table[position][head_dim / 2] = {cos, sin} of position * theta^(-2i / head_dim), as float pairs, computed in double.
  void (*rope_table)(Stream stream, float* table, int positions, int head_dim, double theta);

  // What the workspace of a stream must hold for a matrix at up to `rows` rows, and for attention; take the largest.
  std::size_t (*linear_workspace)(const Matrix& matrix, int rows);
  std::size_t (*attention_workspace)(const HeadShape& shape, int rows, int splits);

  // ---- Decode: rows <= kMaxDecodeRows. Activations are f32 row-major. A row's result does not depend, bit for bit, on
  // the other rows nor on how many there are (except linear() beyond 8 rows and with many columns, see there).

  // The residual stream at the entry of each row's loop. state is the buffer that the loop before left: for loop 1 it is
  // not read. out and state may be the same. loopd family (input_gain not null): out = rms(embedding[token]) *
  // input_gain of the loop + (loop > 1 ? rms(state) * state_gain of loop - 1 : 0); a null state_gain counts as ones.
  // Others: loop 1 the embedding, later loops the state as it is. Rows with loop 0 are left alone. Any number of rows.
  void (*enter)(Stream stream, float* out, const float* state, const Matrix& embedding, const Gain& input_gain,
                const Gain& state_gain, const Rows& rows, int count, int width, float eps);

  // y = norm(x) * matrix^T, norm(x) = x / sqrt(mean(x^2) + eps) * gain where gain is given, x itself where it is null;
  // then the epilogue. x enters as a sum of two bf16 (16 bits of it), weights as stored, sums are f32. With more than 8
  // rows, x enters as one bf16 where two do not fit shared memory (on an H100: cols > 2560). `loop` (Rows::loop) says which
  // gain is a row's, and which rows Epilogue::add leaves alone; null: all are in loop 1.
  void (*linear)(Stream stream, float* out, const float* x, const Gain& gain, const Matrix& matrix, int rows, float eps,
                 Epilogue epilogue, const int* loop, const Workspace& workspace);

  // qkv [rows][(heads + 2 kv_heads) * head_dim], as linear() leaves it: adds bias (null: none; laid out as a row), norms
  // q and k per head with their gains (null: none), rotates them (table: rope_table()), writes q back in place and k and
  // v into the cache of each row's loop. Rows with loop 0 are skipped. Any number of rows.
  void (*rope_write)(Stream stream, float* qkv, const KvCache& cache, const float* bias, const Gain& q_gain,
                     const Gain& k_gain, const float* table, const Rows& rows, int count, const HeadShape& shape, float eps);

  // out [rows][heads * head_dim] = attention of the queries in qkv over KV1, positions [0, position]; rows in loops >= 2
  // mix it by head with attention over their own loop's keys of (position - window, position], not before `first`:
  // g * global + (1 - g) * local with g = sigmoid(q . gate_weight[head] + gate_bias[head]) of their loop. One kernel. `splits` (1..64)
  // blocks share a context: a constant of the engine, because it decides the order of sums; 16 is good to 32K.
  void (*attention)(Stream stream, float* out, const float* qkv, const KvCache& cache, const Gain& gate_weight,
                    const Gain& gate_bias, const Rows& rows, int count, const HeadShape& shape, int window, int splits,
                    const Workspace& workspace);

  // One loop of all layers as one kernel that stays on the device: what linear(), rope_write(), attention() and so on do
  // one after the other, for rows <= kMaxPassRows. hidden [rows][width] is what enter() left, and becomes the state; rows in
  // loop 0 keep theirs. Weights stream through shared memory without a stop while blocks wait for each other.
  // pass_rows() says up to how many rows it is the faster way: kMaxPassRows; fewer, where more rows go better through the
  // single operations, and results may then differ by rounding; 0: there is no such kernel for these weights on this
  // device. pass_workspace() says how much memory it needs, pass_prepare() copies the layers' descriptions there once. Not
  // thread-safe on one workspace.
  int (*pass_rows)(const PassShape& shape, const PassLayer* layers);
  std::size_t (*pass_workspace)(const PassShape& shape, const PassLayer* layers);
  bool (*pass_prepare)(Stream stream, const PassShape& shape, const PassLayer* layers, const Workspace& workspace);
  void (*pass)(Stream stream, float* hidden, const PassShape& shape, const PassLayer* layers, const Rows& rows, int count,
               const Workspace& workspace);

  // The greedy choice of each row among allowed tokens. allowed: [masks][ceil(vocab / 32)] bits (bit i % 32 of word
  // i / 32 is token i), mask[row] picks one, -1 (or mask null): all. bias is added to the logit of token bias_token (-1:
  // none) before choosing. Ties: the lowest id. No token allowed: token -1.
  void (*argmax)(Stream stream, Choice* out, const float* logits, int rows, int vocab, const std::uint32_t* allowed,
                 const int* mask, int bias_token, float bias);

  // Bookkeeping that lets steps follow each other without the host.
  // rows.loop[row] = depth[row] >= r ? r : 0.
  void (*set_loop)(Stream stream, const Rows& rows, int count, int r);
  // token = choice.token, position += 1, history[row * history_stride + step[0]] = choice; then step[0] += 1. Page tables
  // must already cover the new positions.
  void (*feed_back)(Stream stream, const Rows& rows, const Choice* choices, int count, Choice* history, int history_stride,
                    int* step);
  // states[slot[row]][width] = hidden[row] for rows with loop != 0 and slot >= 0: keeps what a deeper loop starts from. In
  // loops r >= 2 of a model that carries states on, plus the carry of r - 1 times states[before[row]], elementwise; `carry`
  // null: none, and `before` is not read. gather_states is the way back, for all rows with slot >= 0. Slots count rows.
  void (*scatter_states)(Stream stream, float* states, const float* hidden, const long long* slot, const int* loop, int count, int width,
                         const long long* before, const Gain& carry);
  void (*gather_states)(Stream stream, float* hidden, const float* states, const long long* slot, int count, int width);

  // ---- Prefill: any number of rows (chunks up to 2048 keep scratch small), one session's consecutive positions a call
  // where attention is concerned. Needs cuBLASLt, which is opened at the first call; prefill_ready() does it early.

  bool (*prefill_ready)();  // false: no cuBLASLt, last_error() says so; decode needs none
  // Scratch for prefill_linear of a matrix at `rows` rows and `parts`.
  std::size_t (*prefill_workspace)(const Matrix& matrix, int rows, int parts);
  // As linear(), through a bf16 copy of the matrix and a matrix product with f32 sums. parts 1: operands rounded to bf16
  // once. parts 3: x_hi w_hi + x_lo w_hi + x_hi w_lo, three times the work and about f32's accuracy: the default model.
  // Its workspace is its own (prefill_workspace bytes, not zeroed). Rows with loop 0 must not be among them. No swiglu here.
  void (*prefill_linear)(Stream stream, float* out, const float* x, const Gain& gain, const Matrix& matrix, int rows, float eps,
                         Epilogue epilogue, const int* loop, int parts, const Workspace& workspace);
  // hidden += silu(gate) * up * down^T, with gate and up of norm(hidden) and interleaved in gate_up. What lies between the
  // products never leaves bf16 (parts 1), or its three parts.
  std::size_t (*prefill_mlp_workspace)(const Matrix& gate_up, const Matrix& down, int rows, int parts);
  void (*prefill_mlp)(Stream stream, float* hidden, const Gain& gain, const Matrix& gate_up, const Matrix& down, int rows, float eps,
                      const int* loop, int parts, const Workspace& workspace);
  // As attention(), for rows at consecutive positions of one session that all run the same loop `r` (rows.loop agrees):
  // row i is at position first_position + i, read from the host's arguments. bf16 (or fp8) keys; tensor cores.
  void (*prefill_attention)(Stream stream, float* out, const float* qkv, const KvCache& cache, const Gain& gate_weight,
                            const Gain& gate_bias, const Rows& rows, int count, const HeadShape& shape, int window, int r,
                            int first_position);

  // Operations (2 n^3) per second of a bf16 matrix product with n = 8192 on random data, measured now; what prefill is
  // held against. 0 on failure.
  double (*measure_matrix_rate)();
};

}  // namespace cuda
