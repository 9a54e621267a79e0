// `loopd bench decode|prefill` on a GPU: of a model's weights, or of a shape whose weights are made up there.
#include <cstdio>

#include <nlohmann/json.hpp>

#include "inference/cuda_bench.h"
#include "inference/synthetic.h"
#include "lsp/commands/commands.h"
#include "lsp/commands/open_model.h"
#include "lsp/json_rpc.h"

namespace lsp {

int bench_gpu(const Options& options, const Settings& settings) {
  const bool made_up = !options.synthetic.empty();
  const std::string shape = made_up ? options.synthetic : model_folder(options, settings);
  const auto model = made_up ? inference::synthetic_model(shape) : inference::load_model(shape, false);
  inference::CudaBenchRequest request;
  request.decode = options.arguments[0] == "decode";
  if (!options.depths.empty()) request.depths = options.depths;
  if (!options.batches.empty()) request.batches = options.batches;
  request.contexts = request.decode ? std::vector<std::size_t>{0} : std::vector<std::size_t>{2048};
  if (!options.contexts.empty()) request.contexts.assign(options.contexts.begin(), options.contexts.end());
  Json rows = Json::array();
  bool head = false;
  const auto add = [&](const inference::CudaBenchRow& row) {
    Json json = {{"bench", options.arguments[0]}, {"shape", shape}, {"depth", row.depth}, {"batch", row.batch},
                 {"context", row.context}, {"copy_bandwidth_gbs", row.copy_bandwidth_gbs}, {"device", row.device}};
    if (!options.json && !head) {
      std::printf("%s on %s, which copies %.0f GB/s\n", shape.c_str(), row.device.c_str(), row.copy_bandwidth_gbs);
      std::puts(request.decode ? "depth  batch  context  ms/step    GB/s   %" : "depth  context  tokens/s   TFLOP/s");
      head = true;
    }
    if (request.decode) {
      const double percent = 100 * row.bandwidth_gbs / row.copy_bandwidth_gbs;
      json["ms_per_token"] = row.ms_per_token;
      json["bandwidth_gbs"] = row.bandwidth_gbs;
      json["bandwidth_pct"] = percent;
      if (!options.json) std::printf("%5d  %5d  %7zu  %7.3f  %6.0f  %2.0f\n", row.depth, row.batch, row.context, row.ms_per_token, row.bandwidth_gbs, percent);
    } else {
      json["tokens_per_s"] = row.tokens_per_s;
      json["tflops"] = row.tflops;
      if (!options.json) std::printf("%5d  %7zu  %8.0f  %8.1f\n", row.depth, row.context, row.tokens_per_s, row.tflops);
    }
    std::fflush(stdout);
    rows.push_back(std::move(json));
  };
  inference::cuda_bench(*model, request, add, [](const std::string& note) { std::fprintf(stderr, "loopd: %s\n", note.c_str()); });
  if (options.json) std::puts(to_text(rows).c_str());
  return 0;
}

}  // namespace lsp
