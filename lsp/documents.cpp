// Applies edits to snapshots and hands them to the parse worker.
#include "lsp/documents.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <iterator>
#include <mutex>
#include <thread>
#include <utility>

namespace lsp {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string show(const Range& range) {
  const auto at = [](Position p) { return std::to_string(p.line) + ":" + std::to_string(p.character); };
  return at(range.start) + "-" + at(range.end);
}

// No client says where the cursor is when it opens a file. In a text this short it is probably at the end.
constexpr std::size_t small_text = 1500;
constexpr std::size_t most_remembered = 1000;  // closed files whose last edit is known

// Where in `text`, which was just inserted, the cursor stands: behind it, but in front of what the editor added to it by
// itself: a closing bracket or quote, or the line that such a bracket was pushed to.
std::size_t cursor_in(std::string_view text) {
  constexpr std::string_view pairs[] = {"()", "[]", "{}", "\"\"", "''", "``"};
  if (std::find(std::begin(pairs), std::end(pairs), text) != std::end(pairs)) return 1;
  const std::size_t last = text.rfind('\n');
  const bool blank = text.find_first_not_of(" \t\r\n") == std::string_view::npos;
  if (!blank || last == std::string_view::npos || last == 0 || text.find('\n') == last) return text.size();
  return text[last - 1] == '\r' ? last - 1 : last;
}

}  // namespace

std::string path_of(const std::string& uri) {
  constexpr std::string_view scheme = "file://";
  if (uri.compare(0, scheme.size(), scheme) != 0) return uri;
  const std::size_t start = uri.find('/', scheme.size());  // an authority, usually empty, ends here
  if (start == std::string::npos) return uri;
  std::string path;
  for (std::size_t i = start; i < uri.size(); ++i) {
    const int high = uri[i] == '%' && i + 2 < uri.size() ? hex_digit(uri[i + 1]) : -1;
    const int low = high >= 0 ? hex_digit(uri[i + 2]) : -1;
    if (low >= 0) {
      path += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      path += uri[i];
    }
  }
  return path;
}

struct ParseWorker::State {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::weak_ptr<context::SyntaxTracker>> waiting;
  bool stopping = false;
  std::jthread thread;

  void run() {
    while (true) {
      std::shared_ptr<context::SyntaxTracker> syntax;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return stopping || !waiting.empty(); });
        if (stopping) return;
        syntax = waiting.front().lock();
        waiting.pop_front();
      }
      // Closed documents are gone from the queue by then. Two entries for one document cost one parse: the second finds
      // nothing outstanding.
      if (syntax) syntax->parsed();
    }
  }
};

ParseWorker::ParseWorker() : state_(std::make_unique<State>()) {
  state_->thread = std::jthread([state = state_.get()] { state->run(); });
}

ParseWorker::~ParseWorker() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->changed.notify_one();
}

void ParseWorker::parse_later(const std::shared_ptr<context::SyntaxTracker>& syntax) {
  {
    const std::lock_guard lock(state_->mutex);
    const bool queued = !state_->waiting.empty() && state_->waiting.back().lock() == syntax;
    if (!queued) state_->waiting.push_back(syntax);
  }
  state_->changed.notify_one();
}

Documents::Documents(PositionEncoding encoding, Log log) : encoding_(encoding), log_(std::move(log)) {}

void Documents::open(const OpenParams& params) {
  if (open_.contains(params.uri)) log_(params.uri + " was opened twice; its text is taken from the second time");
  OpenDocument opened;
  opened.uri = params.uri;
  opened.path = path_of(params.uri);
  opened.language = context::detect_language(params.language_id, opened.path);
  opened.document = std::make_shared<const context::Document>(params.text, params.version);
  opened.syntax = std::make_shared<context::SyntaxTracker>(opened.language, opened.document);
  opened.anchors = std::make_shared<context::Anchors>();
  const auto left = left_at_.find(params.uri);
  if (left != left_at_.end()) {
    opened.last_edit = std::min(left->second, params.text.size());
  } else if (params.text.size() <= small_text) {
    opened.last_edit = params.text.size();
  }
  parser_.parse_later(opened.syntax);
  open_[params.uri] = std::move(opened);
  std::erase(recent_, params.uri);
  recent_.push_back(params.uri);
}

void Documents::change(const ChangeParams& params) {
  const auto found = open_.find(params.uri);
  if (found == open_.end()) return log_("ignored a change of " + params.uri + ", which is not open");
  OpenDocument& open = found->second;
  const std::int64_t before = open.document->version();
  const std::int64_t version = params.version.value_or(before + 1);
  if (version <= before) {
    log_(params.uri + " goes from version " + std::to_string(before) + " to " + std::to_string(version) +
         "; its changes are applied all the same");
  }
  std::vector<context::AppliedEdit> edits;
  for (const ContentChange& change : params.changes) apply(open, change, version, edits);
  if (!edits.empty()) open.syntax->edited(open.document, edits);
  parser_.parse_later(open.syntax);
  std::erase(recent_, params.uri);
  recent_.push_back(params.uri);
}

void Documents::apply(OpenDocument& open, const ContentChange& change, std::int64_t version,
                      std::vector<context::AppliedEdit>& edits) {
  std::size_t start = 0;
  std::size_t end = open.document->text().size();
  if (change.range) {
    start = to_offset(*open.document, change.range->start, encoding_);
    end = to_offset(*open.document, change.range->end, encoding_);
    if (change.range->end.line >= open.document->line_count() && change.range->end.character > 0) {
      log_(open.uri + ": an edit at " + show(*change.range) + " lies outside the text and is clamped to it");
    }
    if (end < start) {
      log_(open.uri + ": an edit at " + show(*change.range) + " ends before it starts; its ends are swapped");
      std::swap(start, end);
    }
  }
  context::AppliedEdit applied;
  open.document = open.document->with_edit(start, end, change.text, version, &applied);
  open.last_edit = applied.start + cursor_in(change.text);
  edits.push_back(applied);
}

void Documents::close(const std::string& uri) {
  const auto found = open_.find(uri);
  if (found != open_.end() && (left_at_.size() < most_remembered || left_at_.contains(uri))) left_at_[uri] = found->second.last_edit;
  if (open_.erase(uri) == 0) log_("ignored the closing of " + uri + ", which is not open");
  std::erase(recent_, uri);
}

const OpenDocument* Documents::find(const std::string& uri) const {
  const auto found = open_.find(uri);
  return found == open_.end() ? nullptr : &found->second;
}

std::vector<const OpenDocument*> Documents::others(const std::string& uri) const {
  std::vector<const OpenDocument*> found;
  for (const std::string& other : recent_) {
    if (other != uri) found.push_back(&open_.at(other));
  }
  return found;
}

}  // namespace lsp
