// Any JSON as the parameters of any message is read, or refused in one line that a client may see.
#include "lsp/protocol.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <nlohmann/json.hpp>

#include "lsp/actions/messages.h"
#include "lsp/json_rpc.h"
#include "tests/fuzz/require.h"

namespace {

template <typename Read>
void read_or_refuse(Read read, const lsp::Json& params) {
  try {
    read(params);
  } catch (const lsp::RequestError& error) {
    const std::string_view what = error.what();
    REQUIRE_ALWAYS(error.code == lsp::ErrorCode::invalid_params && !what.empty());
    REQUIRE_ALWAYS(what.find('\n') == std::string_view::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto params = lsp::Json::parse(data, data + size, nullptr, false);
  if (params.is_discarded()) return 0;
  read_or_refuse(lsp::read_initialize, params);
  read_or_refuse(lsp::initialization_options, params);
  read_or_refuse(lsp::read_open, params);
  read_or_refuse(lsp::read_change, params);
  read_or_refuse(lsp::read_document_uri, params);
  read_or_refuse(lsp::read_position, params);
  read_or_refuse(lsp::read_inline_completion, params);
  read_or_refuse(lsp::read_folders_change, params);
  read_or_refuse(lsp::changed_settings, params);
  read_or_refuse(lsp::configuration_answer, params);
  read_or_refuse(lsp::read_generate, params);
  read_or_refuse(lsp::read_code_action, params);
  read_or_refuse(lsp::read_resolve, params);
  read_or_refuse(lsp::read_execute, params);
  read_or_refuse(lsp::read_progress_token, params);
  read_or_refuse(lsp::chosen, params);
  read_or_refuse(lsp::was_applied, params);
  return 0;
}
