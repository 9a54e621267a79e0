// The commands of the `loopd` binary, one per file. Each returns the exit code and throws what it cannot do.
#pragma once

#include "lsp/cli.h"
#include "lsp/settings.h"

namespace lsp {

int serve(const Options& options, const Settings& settings);
int run_host(const Options& options, const Settings& settings);
int complete_file(const Options& options, const Settings& settings);
int generate_text(const Options& options, const Settings& settings);
int make_module(const Options& options, const Settings& settings);
int print_logits(const Options& options, const Settings& settings);
int tokenize(const Options& options, const Settings& settings);
int detokenize(const Options& options, const Settings& settings);
int doctor(const Options& options, const Settings& settings);
int bench(const Options& options, const Settings& settings);
int bench_keystrokes(const Options& options, const Settings& settings);
int bench_gpu(const Options& options, const Settings& settings);  // of bench: --synthetic, or --device cuda
int bench_speculation(const Options& options, const Settings& settings);  // of bench decode: --speculation
int evaluate(const Options& options, const Settings& settings);  // one of those below, by its name
int evaluate_infill(const Options& options, const Settings& settings);
int evaluate_implement(const Options& options, const Settings& settings);

}  // namespace lsp
