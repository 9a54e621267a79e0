// What is computed before anybody asks: in a pause behind an answer, the place that the user reaches by taking it is
// completed too, and prompts whose beginning has aged get a new one.
//
// Lives on the event loop; the work itself runs on a lane of the scheduler, as background work that any key stops.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "lsp/completion.h"
#include "lsp/recall.h"
#include "lsp/scheduler.h"

namespace lsp {

struct ForesightHooks {
  std::function<void(std::chrono::milliseconds, std::function<void()> task)> after;  // on the event loop, later
  std::function<void(std::function<void()> task)> post;                              // on the event loop, from any thread
  std::function<void(Job)> submit;
  std::function<const ModelPort*()> model;  // called on a lane of the scheduler; null: none is loaded
};

class Foresight : public std::enable_shared_from_this<Foresight> {
 public:
  // So long nothing must happen in a document: keys of somebody who types on are closer together.
  static constexpr std::chrono::milliseconds pause{400};
  // A suggestion that the model itself gives less than this is hardly ever taken: of recorded ones 1 in 44, and 4 in 35 of
  // the others (counted by hand, with the model before the shipped one). The place behind it would be computed for nothing.
  static constexpr double likely_enough = 0.05;

  explicit Foresight(ForesightHooks hooks) : hooks_(std::move(hooks)) {}

  // Something happens in the document, so that there is no pause.
  void stir(const std::string& uri) { stirred_[uri] = ++moment_; }
  // `shown` was the answer to `input`.
  void answered(const CompletionInput& input, const Completion& shown);
  // What comes behind the last answer, should it have been taken; null where that was not foreseen.
  const Suggestion* ahead(const std::string& uri) const;
  void forget(const std::string& uri);  // opened anew, or closed
  void forget_all();  // they were made under other settings

 private:
  std::uint64_t last_stir(const std::string& uri) const;
  void look_ahead(const CompletionInput& input, const Completion& shown);

  ForesightHooks hooks_;
  std::uint64_t moment_ = 0;
  std::unordered_map<std::string, std::uint64_t> stirred_;  // when something last happened, of open documents
  std::unordered_map<std::string, Suggestion> ahead_;
};

}  // namespace lsp
