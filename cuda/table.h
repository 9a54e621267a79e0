// The functions behind the plug-in's table (cuda/plugin.h says what each does), one file an operation.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/plugin.h"

namespace cuda {

int device_count();
bool device_info(DeviceInfo* out, int device);
bool use_device(int device);
bool usable();
const char* last_error();
void clear_error();
bool has_code_for_device();

void* device_alloc(std::size_t bytes);
void device_free(void* memory);
void* host_alloc(std::size_t bytes);
void host_free(void* memory);
bool upload(Stream stream, void* device, const void* host, std::size_t bytes);
bool download(Stream stream, void* host, const void* device, std::size_t bytes);
bool copy(Stream stream, void* to, const void* from, std::size_t bytes);
bool fill(Stream stream, void* device, int byte, std::size_t bytes);

Stream stream_create();
void stream_destroy(Stream stream);
bool sync(Stream stream);
bool graph_begin(Stream stream);
Graph graph_end(Stream stream);
bool graph_launch(Graph graph, Stream stream);
void graph_destroy(Graph graph);
double measure_copy_bandwidth();
bool mark(Stream stream, int which);
double elapsed_ms(Stream stream);

Matrix layout(Type type, int rows, int cols, int group, bool zeros);
void pack_padding(Stream stream, const Matrix& out);
void pack(Stream stream, const Matrix& out, int first_row, RowOrder order, const RawMatrix& raw);
void random_matrix(Stream stream, const Matrix& out, std::uint64_t seed);
void random_floats(Stream stream, float* out, std::size_t count, float mean, float spread, std::uint64_t seed);
void rope_table(Stream stream, float* table, int positions, int head_dim, double theta);

std::size_t linear_workspace(const Matrix& matrix, int rows);
std::size_t attention_workspace(const HeadShape& shape, int rows, int splits);

void enter(Stream stream, float* out, const float* state, const Matrix& embedding, const Gain& input_gain, const Gain& state_gain,
           const Rows& rows, int count, int width, float eps);
void linear(Stream stream, float* out, const float* x, const Gain& gain, const Matrix& matrix, int rows, float eps, Epilogue epilogue,
            const int* loop, const Workspace& workspace);
void rope_write(Stream stream, float* qkv, const KvCache& cache, const float* bias, const Gain& q_gain, const Gain& k_gain,
                const float* table, const Rows& rows, int count, const HeadShape& shape, float eps);
void attention(Stream stream, float* out, const float* qkv, const KvCache& cache, const Gain& gate_weight, const Gain& gate_bias,
               const Rows& rows, int count, const HeadShape& shape, int window, int splits, const Workspace& workspace);
int pass_rows(const PassShape& shape, const PassLayer* layers);
std::size_t pass_workspace(const PassShape& shape, const PassLayer* layers);
bool pass_prepare(Stream stream, const PassShape& shape, const PassLayer* layers, const Workspace& workspace);
void pass(Stream stream, float* hidden, const PassShape& shape, const PassLayer* layers, const Rows& rows, int count,
          const Workspace& workspace);
void argmax(Stream stream, Choice* out, const float* logits, int rows, int vocab, const std::uint32_t* allowed, const int* mask,
            int bias_token, float bias);
void set_loop(Stream stream, const Rows& rows, int count, int r);
void feed_back(Stream stream, const Rows& rows, const Choice* choices, int count, Choice* history, int history_stride, int* step);
void scatter_states(Stream stream, float* states, const float* hidden, const long long* slot, const int* loop, int count, int width,
                    const long long* before, const Gain& carry);
void gather_states(Stream stream, float* hidden, const float* states, const long long* slot, int count, int width);

bool prefill_ready();
double measure_matrix_rate();
std::size_t prefill_workspace(const Matrix& matrix, int rows, int parts);
void prefill_linear(Stream stream, float* out, const float* x, const Gain& gain, const Matrix& matrix, int rows, float eps,
                    Epilogue epilogue, const int* loop, int parts, const Workspace& workspace);
std::size_t prefill_mlp_workspace(const Matrix& gate_up, const Matrix& down, int rows, int parts);
void prefill_mlp(Stream stream, float* hidden, const Gain& gain, const Matrix& gate_up, const Matrix& down, int rows, float eps,
                 const int* loop, int parts, const Workspace& workspace);
void prefill_attention(Stream stream, float* out, const float* qkv, const KvCache& cache, const Gain& gate_weight, const Gain& gate_bias,
                       const Rows& rows, int count, const HeadShape& shape, int window, int r, int first_position);

}  // namespace cuda
