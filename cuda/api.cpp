// The one symbol of the plug-in: its table of functions.
#include "cuda/table.h"

extern "C" __attribute__((visibility("default"))) const cuda::Api* loopd_cuda_api(int version) {
  static const cuda::Api api = [] {
    cuda::Api a{};
    a.version = cuda::kVersion;
    a.device_count = cuda::device_count;
    a.device_info = cuda::device_info;
    a.use_device = cuda::use_device;
    a.usable = cuda::usable;
    a.last_error = cuda::last_error;
    a.clear_error = cuda::clear_error;
    a.device_alloc = cuda::device_alloc;
    a.device_free = cuda::device_free;
    a.host_alloc = cuda::host_alloc;
    a.host_free = cuda::host_free;
    a.upload = cuda::upload;
    a.download = cuda::download;
    a.copy = cuda::copy;
    a.fill = cuda::fill;
    a.stream_create = cuda::stream_create;
    a.stream_destroy = cuda::stream_destroy;
    a.sync = cuda::sync;
    a.graph_begin = cuda::graph_begin;
    a.graph_end = cuda::graph_end;
    a.graph_launch = cuda::graph_launch;
    a.graph_destroy = cuda::graph_destroy;
    a.measure_copy_bandwidth = cuda::measure_copy_bandwidth;
    a.mark = cuda::mark;
    a.elapsed_ms = cuda::elapsed_ms;
    a.layout = cuda::layout;
    a.pack_padding = cuda::pack_padding;
    a.pack = cuda::pack;
    a.random_matrix = cuda::random_matrix;
    a.random_floats = cuda::random_floats;
    a.rope_table = cuda::rope_table;
    a.linear_workspace = cuda::linear_workspace;
    a.attention_workspace = cuda::attention_workspace;
    a.enter = cuda::enter;
    a.linear = cuda::linear;
    a.rope_write = cuda::rope_write;
    a.attention = cuda::attention;
    a.pass_rows = cuda::pass_rows;
    a.pass_workspace = cuda::pass_workspace;
    a.pass_prepare = cuda::pass_prepare;
    a.pass = cuda::pass;
    a.argmax = cuda::argmax;
    a.set_loop = cuda::set_loop;
    a.feed_back = cuda::feed_back;
    a.scatter_states = cuda::scatter_states;
    a.gather_states = cuda::gather_states;
    a.prefill_ready = cuda::prefill_ready;
    a.prefill_workspace = cuda::prefill_workspace;
    a.prefill_linear = cuda::prefill_linear;
    a.prefill_mlp_workspace = cuda::prefill_mlp_workspace;
    a.prefill_mlp = cuda::prefill_mlp;
    a.prefill_attention = cuda::prefill_attention;
    a.measure_matrix_rate = cuda::measure_matrix_rate;
    return a;
  }();
  return version == cuda::kVersion ? &api : nullptr;
}
