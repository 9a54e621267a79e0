// The narrow door to the model: Engine is what was loaded and never changes, Session is one timeline of tokens.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "inference/tokenizer.h"

namespace inference {

struct EngineOptions {
  std::string model_dir;
  std::string device = "auto";  // auto | cpu | cuda
  int threads = 0;              // 0: one per core
  bool reference = false;       // run the specification (plain loops) instead of the fast kernels
  std::size_t prefix_cache_mb = 192;  // keys and values of prompts' beginnings that sessions share, on the CPU
  bool need_tokenizer = true;   // false: token ids in, logits out
  std::size_t device_memory = 0;  // bytes of a GPU's memory to use at most; 0: what is free
};

struct EngineInfo {
  std::string model_dir;
  std::string model_type;          // "loopd", "iquestloopcoder", "llama", ...
  std::string device;              // "cpu" or "cuda", and why in `device_reason`
  std::string device_reason;
  std::string kernels;             // "reference", or the instruction set the fast kernels run on
  int max_depth = 1;               // loops the model was trained for
  int threads = 1;
  std::size_t parameters = 0;      // unique parameters
  std::size_t bytes_per_loop = 0;  // weight bytes one loop over one token reads
  std::size_t head_bytes = 0;      // weight bytes that turning a state into logits reads
  std::size_t kv_bytes_per_token = 0;
  std::size_t context = 0;         // tokens
  std::size_t vocabulary = 0;      // rows of the embedding; the tokenizer may define fewer
};

// Which special tokens frame a fill-in-the-middle prompt, read from the tokenizer.
enum class FimLayout { none, prefix_suffix_middle, suffix_prefix_middle, suffix_prefix_joined };

struct FimSegment {
  std::string_view path;
  std::string_view text;
};

struct FimPrompt {
  std::string_view path;
  std::span<const FimSegment> segments;  // other files, shown before the one being completed
  std::string_view prefix;
  std::string_view suffix;
};

struct GenerateParams {
  int depth = 1;
  int max_tokens = 64;
  float temperature = 0;  // 0: greedy
  float top_p = 1;
  std::uint64_t seed = 0;
  // Bytes that the generated text must begin with. They are not part of the result.
  std::string forced;
  // Never generated as the token that the text begins with; lets a revise pass take another way.
  std::vector<TokenId> banned_first;
  // Called after each token with the whole text so far (without `forced`); true ends generation ("stop_rule").
  std::function<bool(std::string_view)> stop_rule;
  std::optional<std::chrono::steady_clock::time_point> deadline;
  bool speculate = true;  // check several guessed tokens at once where that pays; never changes the result
  // Above 0: a token that an earlier loop gives at least this probability is taken from that loop, and the later ones do not
  // run for it. This does change the result. Tokens are not guessed then.
  float adaptive = 0;
  // Tokens that may be spent, after a greedy answer has come to its end, on finding a likelier one; 0: the greedy answer. Made
  // for answers of a line: the likeliest of all texts that may be long is often none. Not with `adaptive`.
  std::size_t search_tokens = 0;
  bool background = false;  // nobody waits for it: whoever serves several callers serves the others first
};

enum class FinishReason { end_token, max_tokens, stop_rule, deadline, cancelled, context_full };
std::string_view name(FinishReason reason);

struct Timings {
  double prefill_ms = 0;
  double decode_ms = 0;
  std::size_t prompt_tokens = 0;
  std::size_t reused_tokens = 0;    // of the prompt, found in the cache
  std::size_t computed_tokens = 0;  // of the prompt, run through the model
  std::size_t generated_tokens = 0;
  std::size_t prefetched_tokens = 0;  // computed for this session since the answer before, by whoever keeps it ready
  std::size_t drafted_tokens = 0;   // guesses that were checked
  std::size_t accepted_tokens = 0;  // of them, what the model would have generated anyway
  std::size_t verify_runs = 0;      // runs that checked guesses
  double verify_ms = 0;             // their part of decode_ms
  std::size_t early_tokens = 0;     // generated tokens taken from an earlier loop
  std::size_t searched_tokens = 0;  // of other answers, spent on finding a likelier one; not among the generated
};

struct GenerateResult {
  std::string text;
  std::vector<TokenId> tokens;
  std::vector<float> logprobs;   // natural log, one per token
  std::vector<double> token_ms;  // time from the call to each token
  // Per token: guesses that ran through the model beside it, and how many of them were what came next.
  std::vector<std::uint8_t> drafted, accepted;
  FinishReason finish = FinishReason::end_token;
  Timings timings;
};

class ChatTemplate;  // inference/chat.h
struct Model;  // weights, config: inference/model.h
class Device;  // what the weights lie on: inference/lane.h

class Engine {
 public:
  // Throws std::runtime_error: one line that names the file, tensor or key, what was expected and what was found.
  static std::shared_ptr<const Engine> load(const EngineOptions& options);
  ~Engine();

  const EngineInfo& info() const { return info_; }
  const Tokenizer& tokenizer() const;
  const Model& model() const { return *model_; }
  // Where sessions run. Mutable behind its own mutex: scratch memory and threads, nothing that changes a result.
  Device& device() const { return *device_; }
  FimLayout fim_layout() const { return fim_layout_; }

  // Token ids of a fill-in-the-middle prompt in the model's own layout. Where the layout joins prefix and middle, the
  // last tokens of the prefix are left out and their bytes returned in `forced`, so that no cut inside a token costs
  // quality: pass them on as GenerateParams::forced. Throws std::runtime_error for a model without FIM tokens.
  struct Encoded {
    std::vector<TokenId> tokens;
    std::string forced;
  };
  Encoded encode_fim(const FimPrompt& prompt) const;
  // The same for plain continuation of `text`.
  Encoded encode_text(std::string_view text, bool special = true) const;
  // Null where the checkpoint has none. Never null where instructs() is true.
  const ChatTemplate* chat() const { return chat_.get(); }
  // Whether the model is better asked than made to fill in the middle: it was trained to answer, or cannot do else.
  bool instructs() const;
  // Token ids of a conversation that the model is to answer. Throws std::runtime_error, one line, where the checkpoint's
  // chat template cannot be rendered.
  Encoded encode_chat(std::string_view system, std::string_view user) const;
  // Tokens that end a completion: end of text, end of middle, start of another file.
  std::span<const TokenId> stop_tokens() const { return stop_tokens_; }

 private:
  Engine() = default;
  EngineInfo info_;
  std::unique_ptr<const Model> model_;
  std::unique_ptr<const ChatTemplate> chat_;
  std::unique_ptr<Device> device_;
  FimLayout fim_layout_ = FimLayout::none;
  std::vector<TokenId> stop_tokens_;
};

// One timeline: the tokens that are in the cache, and what follows from them. Used by one thread at a time.
class Session {
 public:
  explicit Session(std::shared_ptr<const Engine> engine);
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  // Makes the cache hold exactly `tokens` for depths up to `depth`, reusing the longest common prefix. False where
  // `stop` was requested; what was computed until then stays and is reused later. Throws std::runtime_error where the
  // tokens exceed the context.
  bool sync(std::span<const TokenId> tokens, int depth, std::stop_token stop = {});

  // Continues after `tokens` (sync is done first). Checks `stop` once per loop of each token.
  GenerateResult generate(std::span<const TokenId> tokens, const GenerateParams& params, std::stop_token stop = {});

  // Logits after the last of `tokens`, or after every one: [count][vocab] row-major, float32.
  std::vector<float> logits(std::span<const TokenId> tokens, int depth, bool all = false);

  // Of the timeline's tokens, those for which loop 1 has run.
  std::size_t cached_tokens() const;
  // Makes `tokens` the timeline's and computes nothing; returns how many at their start need not be computed.
  std::size_t adopt(std::span<const TokenId> tokens);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace inference
