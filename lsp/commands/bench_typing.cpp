// Of `loopd bench decode --speculation`: what guessed tokens are worth where people type, by the syntax at the cursor.
#include "lsp/commands/bench_typing.h"

#include <array>
#include <cstdio>
#include <stdexcept>
#include <vector>

#include <nlohmann/json.hpp>

#include "context/language.h"
#include "lsp/commands/recording.h"
#include "lsp/commands/typist.h"
#include "lsp/json_rpc.h"
#include "lsp/sessions.h"

namespace lsp {
namespace {

// Keys between two places that are completed: half a line, so that a place differs from the one before.
constexpr std::size_t stride = 10;

struct Figures {
  std::size_t places = 0, tokens = 0, drafted = 0, accepted = 0;
  double plain_ms = 0, speculative_ms = 0;
};

// One way to complete: what it remembers of earlier places is its own.
struct Side {
  explicit Side(const std::shared_ptr<const inference::Engine>& engine) : sessions(engine), port(sessions.port()) {}
  Sessions sessions;
  ModelPort port;
  std::shared_ptr<context::Anchors> anchors = std::make_shared<context::Anchors>();
};

using Classes = std::array<Figures, 4>;  // by context::SyntaxClass

class Replay {
 public:
  Replay(const std::shared_ptr<const inference::Engine>& engine, std::optional<int> depth, const Settings& settings)
      : plain_(engine), guessing_(engine), depth_(depth), settings_(settings) {}

  void type(const Recording& recording, const std::vector<context::OtherFile>& others, std::size_t most, Classes& classes) {
    Typist typist(recording.start, recording.indent);
    std::size_t keys = 0, places = 0;
    for (const RecordedEvent& event : recording.events) {
      if (event.jump) {
        typist.jump(*event.jump);
        continue;
      }
      typist.press(event.key);
      if (++keys % stride != 0) continue;
      if (places++ == most) return;
      CompletionInput input;
      input.session = input.path = recording.path;
      input.language = context::detect_language("file:///" + recording.path, recording.language);
      input.document = std::make_shared<const context::Document>(typist.text(), static_cast<int>(keys));
      input.offset = typist.cursor();
      input.others = others;
      input.options.depth = depth_;
      input.options.policy = settings_.depth;
      input.options.max_tokens = settings_.max_tokens;
      complete_both(input, classes);
    }
  }

 private:
  void complete_both(const CompletionInput& input, Classes& classes) {
    // Who comes second finds the machine's caches warm, so that they take turns at it.
    turn_ = !turn_;
    Completion plain, guessing;
    for (const bool second : {false, true}) {
      Side& side = second == turn_ ? guessing_ : plain_;
      CompletionInput own = input;
      own.anchors = side.anchors;
      own.options.speculate = &side == &guessing_;
      (own.options.speculate ? guessing : plain) = complete(side.port, own, {});
    }
    if (plain.text != guessing.text) throw std::runtime_error(input.path + ": guessed tokens changed what is generated");
    Figures& figures = classes[static_cast<std::size_t>(plain.syntax_class)];
    ++figures.places;
    figures.tokens += plain.timings.generated_tokens;
    figures.drafted += guessing.timings.drafted_tokens;
    figures.accepted += guessing.timings.accepted_tokens;
    figures.plain_ms += plain.timings.decode;
    figures.speculative_ms += guessing.timings.decode;
  }

  Side plain_, guessing_;
  std::optional<int> depth_;
  const Settings& settings_;
  bool turn_ = false;
};

}  // namespace

Json bench_typing(const std::shared_ptr<const inference::Engine>& engine, std::optional<int> depth, std::optional<int> limit,
                  const Settings& settings) {
  std::vector<Recording> recordings;
  for (const std::string& file : recordings_at_hand()) recordings.push_back(read_recording(file));
  Classes classes;
  for (const Recording& recording : recordings) {
    std::vector<context::OtherFile> others;
    for (const Recording& other : recordings) {
      if (&other != &recording) others.push_back({other.path, std::make_shared<const context::Document>(other.start, 1)});
    }
    Replay replay(engine, depth, settings);
    replay.type(recording, others, static_cast<std::size_t>(limit.value_or(1'000'000)), classes);
  }
  Json rows = Json::array();
  for (std::size_t i = 0; i < classes.size(); ++i) {
    const Figures& f = classes[i];
    if (f.tokens == 0) continue;
    const double plain = 1e3 * static_cast<double>(f.tokens) / f.plain_ms;
    const double guessing = 1e3 * static_cast<double>(f.tokens) / f.speculative_ms;
    rows.push_back({{"bench", "speculation"}, {"text", std::string(context::name(static_cast<context::SyntaxClass>(i)))},
                    {"depth", depth ? Json(*depth) : Json("policy")}, {"places", f.places}, {"tokens", f.tokens}, {"drafted", f.drafted},
                    {"accepted", f.accepted}, {"plain_tokens_per_s", plain}, {"tokens_per_s", guessing}, {"ratio", guessing / plain},
                    {"device", engine->info().device}, {"threads", engine->info().threads}});
  }
  return rows;
}

}  // namespace lsp
