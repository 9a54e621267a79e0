// A model for the tests of code actions: answers each prompt with what a function of the test says, one token a byte.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "lsp/completion.h"

namespace tests {

struct FakeModel {
  // (prefix, suffix) -> what the model writes.
  std::function<std::string(const std::string& prefix, const std::string& suffix)> says;
  std::function<void(std::stop_token)> during = [](std::stop_token) {};
  std::vector<std::string> prefixes;  // of all calls
  std::vector<float> temperatures;

  lsp::ModelPort port() {
    lsp::ModelPort port;
    port.max_depth = 6;
    port.count = [](std::string_view text) { return text.size() / 4 + 1; };
    port.token_bytes = [](inference::TokenId) { return std::size_t{1}; };
    port.prefill = [](const std::string&, const inference::FimPrompt&, int, std::stop_token) {};
    port.generate = [this](const std::string&, const inference::FimPrompt& prompt, const inference::GenerateParams& params,
                           std::stop_token stop) {
      prefixes.emplace_back(prompt.prefix);
      temperatures.push_back(params.temperature);
      during(stop);
      inference::GenerateResult result;
      if (stop.stop_requested()) {
        result.finish = inference::FinishReason::cancelled;
        return result;
      }
      for (const char c : says(std::string(prompt.prefix), std::string(prompt.suffix))) {
        result.text += c;
        result.tokens.push_back(c);
        result.logprobs.push_back(-0.1F);
        result.token_ms.push_back(static_cast<double>(result.tokens.size()));
        if (params.stop_rule && params.stop_rule(result.text)) {
          result.finish = inference::FinishReason::stop_rule;
          break;
        }
      }
      result.timings.generated_tokens = result.tokens.size();
      return result;
    };
    return port;
  }
};

}  // namespace tests
