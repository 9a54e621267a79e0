// Of `loopd bench decode --speculation`: what guessed tokens are worth where people type, by the syntax at the cursor.
#include "lsp/commands/bench_typing.h"

#include <array>
#include <cstdio>
#include <stdexcept>
#include <vector>

#include <nlohmann/json.hpp>

#include "context/language.h"
#include "lsp/commands/guess_figures.h"
#include "lsp/commands/recording.h"
#include "lsp/commands/typist.h"
#include "lsp/json_rpc.h"
#include "lsp/sessions.h"

namespace lsp {
namespace {

// Keys between two places that are completed: half a line, so that a place differs from the one before.
constexpr std::size_t stride = 10;

// One way to complete: what it remembers of earlier places is its own.
struct Side {
  explicit Side(const std::shared_ptr<const inference::Engine>& engine) : sessions(engine), port(sessions.port()) {
    port.generate = [this, whole = port, engine](const std::string& session, const inference::FimPrompt& prompt, const inference::GenerateParams& params,
                                                 std::stop_token stop) {
      whole.prefill(session, prompt, params.depth, stop);
      const double start = guess_clock_ms(engine->info());
      auto result = whole.generate(session, prompt, params, stop);
      decode_ms += guess_clock_ms(engine->info()) - start;
      return result;
    };
  }
  Sessions sessions;
  ModelPort port;
  double decode_ms = 0;  // of this place, without its prompt
  std::shared_ptr<context::Anchors> anchors = std::make_shared<context::Anchors>();
};

// The places of one recording, in order.
struct Place {
  context::SyntaxClass syntax_class = context::SyntaxClass::none;
  TimedAnswer answer;
};

class Replay {
 public:
  Replay(const std::shared_ptr<const inference::Engine>& engine, std::optional<int> depth, const Settings& settings)
      : plain_(engine), guessing_(engine), depth_(depth), settings_(settings) {}

  // One round; `second_first` is who begins.
  void type(const Recording& recording, const std::vector<context::OtherFile>& others, std::size_t most, bool second_first, std::vector<Place>& all) {
    turn_ = second_first;
    Typist typist(recording.start, recording.indent);
    std::size_t keys = 0, places = 0;
    for (const RecordedEvent& event : recording.events) {
      if (event.jump) {
        typist.jump(*event.jump);
        continue;
      }
      typist.press(event.key);
      if (++keys % stride != 0) continue;
      if (places == most) return;
      if (all.size() == places) all.emplace_back();
      CompletionInput input;
      input.session = input.path = recording.path;
      input.language = context::detect_language("file:///" + recording.path, recording.language);
      input.document = std::make_shared<const context::Document>(typist.text(), static_cast<int>(keys));
      input.offset = typist.cursor();
      input.others = others;
      input.options.depth = depth_;
      input.options.policy = settings_.depth;
      input.options.max_tokens = settings_.max_tokens;
      input.options.search_tokens = 0;  // what guesses gain is measured on the greedy answer alone
      complete_both(input, all[places++]);
    }
  }

 private:
  void complete_both(const CompletionInput& input, Place& place) {
    // Who comes second finds the machine's caches warm, so that they take turns at it.
    turn_ = !turn_;
    Completion plain, guessing;
    for (const bool second : {false, true}) {
      Side& side = second == turn_ ? guessing_ : plain_;
      CompletionInput own = input;
      own.anchors = side.anchors;
      side.decode_ms = 0;
      own.options.speculate = &side == &guessing_;
      (own.options.speculate ? guessing : plain) = complete(side.port, own, {});
    }
    if (plain.text != guessing.text) throw std::runtime_error(input.path + ": guessed tokens changed what is generated");
    place.syntax_class = plain.syntax_class;
    place.answer.plain_ms.push_back(plain_.decode_ms);
    place.answer.guessing_ms.push_back(guessing_.decode_ms);
    if (place.answer.plain_ms.size() > 1) return;
    place.answer.tokens = plain.timings.generated_tokens;
    place.answer.drafted = guessing.timings.drafted_tokens;
    place.answer.accepted = guessing.timings.accepted_tokens;
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
  std::array<std::vector<TimedAnswer>, 4> classes;  // by context::SyntaxClass
  for (const Recording& recording : recordings) {
    std::vector<context::OtherFile> others;
    for (const Recording& other : recordings) {
      if (&other != &recording) others.push_back({other.path, std::make_shared<const context::Document>(other.start, 1)});
    }
    std::vector<Place> places;
    for (int round = 0; round < kGuessRounds; ++round) {
      Replay replay(engine, depth, settings);
      replay.type(recording, others, static_cast<std::size_t>(limit.value_or(1'000'000)), round % 2 == 1, places);
    }
    for (Place& place : places) classes[static_cast<std::size_t>(place.syntax_class)].push_back(std::move(place.answer));
  }
  Json rows = Json::array();
  for (std::size_t i = 0; i < classes.size(); ++i) {
    const std::string name(context::name(static_cast<context::SyntaxClass>(i)));
    if (!classes[i].empty()) rows.push_back(guess_row(name, depth ? Json(*depth) : Json("policy"), classes[i], engine->info()));
  }
  return rows;
}

}  // namespace lsp
