// The looped forward pass on a CUDA device, step for step beside forward.h; knows rows and pages, not sessions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "inference/cuda_memory.h"
#include "inference/cuda_weights.h"
#include "inference/model.h"

namespace inference {

// One position in one loop: what a pass works on.
struct CudaRow {
  TokenId token = 0;
  int position = 0;
  int loop = 1;
  int table = 0;         // first of its lane's page tables
  int first = 0;         // first position that its loop keeps keys of
  long long from = -1;   // slot of the state that the loop before left; -1 in loop 1
  long long to = -1;     // slot that this loop's state goes to
};

// Where a loop's state lies.
struct CudaState {
  long long slot = 0;
  int loop = 1;
};

// How much is laid out once, at load.
struct CudaSizes {
  int key_pages = 0;     // pages of keys and values, each over all layers
  int state_pages = 0;   // pages of states: 64 slots of [hidden]
  int tables = 0;        // page tables
  int table_stride = 0;  // pages that one table names
  int chunk = 0;         // rows of a prefill chunk
  cuda::Type keys = cuda::Type::bf16;
};

// Device memory of the caches and of the scratch, in bytes.
struct CudaNeed {
  std::size_t caches = 0;
  std::size_t scratch = 0;
};

// One stream of work; one thread at a time. Nothing waits but sync(), choose() and logits().
class CudaForward {
 public:
  CudaForward(const cuda::Api& api, cuda::Stream stream, const Model& model, const CudaWeights& weights, const CudaSizes& sizes);
  ~CudaForward();
  CudaForward(const CudaForward&) = delete;
  CudaForward& operator=(const CudaForward&) = delete;

  static CudaNeed need(const cuda::Api& api, const Model& model, const CudaWeights& weights, const CudaSizes& sizes);

  // Runs one loop of up to cuda::kMaxDecodeRows rows, each of any lane, position and loop.
  void pass(std::span<const CudaRow> rows);
  // Runs one loop of up to `chunk` rows at consecutive positions of one lane. False where this needs a library that is not
  // there; pass() does the same, slower.
  bool prefill_ready();
  void prefill(std::span<const CudaRow> rows);

  // Writes the entries [begin, end) of a page table.
  void set_table(int table, std::size_t begin, std::span<const int> pages);

  // From here on choose() picks ids below `vocabulary` only, unless a rule says which.
  void limit(std::size_t vocabulary);
  // The choice after each state, waited for. One rule a state; `allowed` is empty or [ceil(vocab / 32)] bits.
  struct Rule {
    std::span<const std::uint32_t> allowed;
    int bias_token = -1;
    float bias = 0;
  };
  void choose(std::span<const CudaState> states, std::span<const Rule> rules, std::span<cuda::Choice> out);
  // Logits [states][vocab], waited for.
  void logits(std::span<const CudaState> states, float* out);

  // Waits for everything. Throws DeviceLost or std::runtime_error where anything failed.
  void sync();

 private:
  static constexpr std::size_t kRows = cuda::kMaxDecodeRows;
  static constexpr std::size_t kBlocks = 32;  // row blocks that may be on their way at once

  // One upload describes a pass. In this order in host and device memory.
  struct RowBlock {
    int token[kRows], position[kRows], loop[kRows], table[kRows], first[kRows];
    long long from[kRows], to[kRows];
  };

  void upload(const CudaRow* rows, std::size_t count, std::size_t padded);
  void record_pass(int count);
  void some_rows(std::span<const CudaRow> rows);
  void head(std::span<const CudaState> states);
  void launch(std::array<cuda::Graph, 5>& graphs, std::size_t count, void (CudaForward::*record)(int));
  void record_head(int count);
  cuda::KvCache cache(std::size_t layer) const;

  const cuda::Api& api_;
  cuda::Stream stream_;
  const Model& model_;
  const CudaWeights& weights_;
  CudaSizes sizes_;
  cuda::HeadShape shape_;
  CudaMemory memory_;

  // Device memory. Pages are [layer][page][kv_head][64][head_dim].
  std::byte *keys_ = nullptr, *values_ = nullptr;
  std::size_t layer_bytes_ = 0;
  float* states_ = nullptr;  // [state_pages * 64][hidden]
  int* tables_ = nullptr;    // [tables][table_stride]
  float *state_ = nullptr, *hidden_ = nullptr, *qkv_ = nullptr, *mixed_ = nullptr, *gated_ = nullptr;  // scratch, [chunk][...]
  float* logits_ = nullptr;           // [kRows][vocab]
  std::uint32_t* allowed_ = nullptr;  // [2][vocab / 32]: the usual mask, and that of a rule
  int* first_mask_ = nullptr;         // [kRows] zeros: all rows use the same mask
  cuda::Choice* choices_ = nullptr;
  RowBlock* block_ = nullptr;
  int* chunk_rows_ = nullptr;         // token, position, loop, table, first: [5][chunk]
  long long* chunk_slots_ = nullptr;  // from, to: [2][chunk]
  cuda::Workspace workspace_, prefill_workspace_;
  // All layers as one kernel, for up to that many rows.
  int pass_rows_ = 0;
  cuda::PassShape pass_shape_;
  std::vector<cuda::PassLayer> pass_layers_;
  cuda::Workspace pass_workspace_;

  // Host memory that the device copies from and to.
  RowBlock* blocks_ = nullptr;  // [kBlocks]
  std::size_t next_block_ = 0;
  int* tables_host_ = nullptr;
  int* chunk_rows_host_ = nullptr;
  long long* chunk_slots_host_ = nullptr;
  cuda::Choice* choices_host_ = nullptr;
  float* logits_host_ = nullptr;
  std::uint32_t* allowed_host_ = nullptr;

  std::size_t vocabulary_ = 0;
  int parts_ = 1;          // of prefill products
  bool prefill_asked_ = false, prefill_ready_ = false;
  std::array<cuda::Graph, 5> pass_graphs_{}, head_graphs_{};  // of 1, 2, 4, 8 and 16 rows
};

}  // namespace inference
