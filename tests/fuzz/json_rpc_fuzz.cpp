// Any message body, in any order: at most one answer to each, always valid JSON, never an exception.
#include "lsp/json_rpc.h"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::string> sent;
  lsp::Dispatcher dispatcher([&](std::string message) { sent.push_back(std::move(message)); }, [](const std::string&) {});
  std::vector<lsp::Reply> kept;
  for (const char* method : {"initialize", "shutdown", "echo"}) {
    dispatcher.on_request(method, [](const lsp::Json& params, lsp::Reply& reply) { reply(params); });
  }
  dispatcher.on_request("later", [&](const lsp::Json&, lsp::Reply& reply) { kept.push_back(std::move(reply)); });
  dispatcher.on_request("forget", [](const lsp::Json&, lsp::Reply&) {});
  dispatcher.on_notification("note", [](const lsp::Json&) {});

  // A message a line: bodies with raw line breaks are covered by the framing's fuzzer.
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::size_t received = 0;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    dispatcher.receive(rest.substr(0, end));
    ++received;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  kept.clear();  // drops every answer that is still owed; each must then send an error
  REQUIRE_ALWAYS(sent.size() <= received);
  for (const auto& message : sent) {
    const auto json = lsp::Json::parse(message);
    REQUIRE_ALWAYS(json.is_object() && json.contains("id") && json.contains("result") != json.contains("error"));
  }
  return 0;
}
