// What the desks need of the server: completion_desk.h serves suggestions, actions/desk.h code actions.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "context/snippets.h"
#include "lsp/completion.h"
#include "lsp/documents.h"
#include "lsp/settings.h"

namespace lsp {

// All but `model` is called on the event loop.
struct DeskHooks {
  std::function<void(std::function<void()> task)> post;  // onto the event loop, from any thread
  std::function<void(std::chrono::milliseconds, std::function<void()> task)> after;  // on the event loop, later
  std::function<void(const std::string& line)> log;
  std::function<const ModelPort*()> model;  // on a lane of the scheduler; null while there is none
  std::function<const Settings&()> settings;
  std::function<std::string(const std::string& path)> relative;  // to its workspace folder
  std::function<std::string(const OpenDocument& open)> silence;  // why nothing is offered; empty: something may be
  std::function<std::vector<context::OtherFile>(const std::string& uri)> others;  // open files that the model may see
};

}  // namespace lsp
