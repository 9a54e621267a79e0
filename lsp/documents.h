// The open buffers of a client: what it says they hold, as snapshots, with their syntax followed off the event loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "context/anchor.h"
#include "context/document.h"
#include "context/language.h"
#include "context/snippets.h"
#include "context/syntax.h"
#include "lsp/protocol.h"

namespace lsp {

struct OpenDocument {
  std::string uri;
  std::string path;  // of the file, decoded; the URI itself where it is no file
  context::Language language = context::Language::none;
  std::shared_ptr<const context::Document> document;
  std::shared_ptr<context::SyntaxTracker> syntax;
  std::shared_ptr<context::Anchors> anchors;  // how its prompts begin; used by one lane at a time
  std::size_t last_edit = 0;  // byte offset at the last edit's end: where the cursor probably is; 0 where nothing tells
};

// The path of a `file:` URI with its %XX escapes undone; any other URI as it is.
std::string path_of(const std::string& uri);

// One thread that parses what changed, so that a request finds its tree ready and no keystroke waits for a parse.
class ParseWorker {
 public:
  ParseWorker();
  ~ParseWorker();
  ParseWorker(const ParseWorker&) = delete;
  ParseWorker& operator=(const ParseWorker&) = delete;
  void parse_later(const std::shared_ptr<context::SyntaxTracker>& syntax);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Lives on the event loop; edits are applied at once. A client that contradicts itself (an edit outside the text, a
// version that does not grow, a document that is not open) is logged and taken as far as it makes sense, never fatal.
class Documents {
 public:
  using Log = std::function<void(const std::string& line)>;
  Documents(PositionEncoding encoding, Log log);

  void set_encoding(PositionEncoding encoding) { encoding_ = encoding; }
  void open(const OpenParams& params);
  void change(const ChangeParams& params);
  void close(const std::string& uri);

  // Null where the document is not open.
  const OpenDocument* find(const std::string& uri) const;
  // Every open document but this one, for snippets; most recently touched last.
  std::vector<const OpenDocument*> others(const std::string& uri) const;

 private:
  void apply(OpenDocument& open, const ContentChange& change, std::int64_t version,
             std::vector<context::AppliedEdit>& edits);

  PositionEncoding encoding_;
  Log log_;
  std::unordered_map<std::string, OpenDocument> open_;
  std::vector<std::string> recent_;  // URIs, most recently touched last
  std::unordered_map<std::string, std::size_t> left_at_;  // the last edit in files that were closed
  ParseWorker parser_;
};

}  // namespace lsp
