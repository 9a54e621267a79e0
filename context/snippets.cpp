// Ranks windows of other files by the identifiers they share with the text around the cursor.
#include "context/snippets.h"

#include <algorithm>
#include <cstdint>

#include "context/lex.h"

namespace context {

namespace {

constexpr std::size_t window_lines = 32;
constexpr std::size_t stride_lines = 16;
constexpr std::size_t lines_around_cursor = 40;
constexpr std::size_t lines_per_file_max = 4000;
// Below this share the window only has common words with the cursor.
constexpr double similarity_min = 0.08;

using Words = std::vector<std::uint64_t>;  // hashes, sorted, each once

// Appends the hashes (FNV-1a) of the identifiers in `text`; words of one or two letters and numbers say nothing.
void append_words(std::string_view text, Words& words) {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t start = i;
    std::uint64_t hash = 14695981039346656037ull;
    for (; i < text.size() && is_word(text[i]); ++i) {
      hash = (hash ^ static_cast<unsigned char>(text[i])) * 1099511628211ull;
    }
    const bool number = i > start && text[start] >= '0' && text[start] <= '9';
    if (i - start >= 3 && !number) {
      words.push_back(hash);
    }
    i += i == start ? 1 : 0;
  }
}

void make_set(Words& words) {
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
}

std::string_view lines(const Document& document, std::size_t first, std::size_t last) {
  const std::size_t start = document.line_start(first);
  return std::string_view(document.text()).substr(start, document.line_start(last) - start);
}

double jaccard(const Words& a, const Words& b) {
  std::size_t common = 0;
  for (auto i = a.begin(), j = b.begin(); i != a.end() && j != b.end();) {
    common += *i == *j ? 1 : 0;
    const bool advance_i = *i <= *j;
    const bool advance_j = *j <= *i;
    i += advance_i ? 1 : 0;
    j += advance_j ? 1 : 0;
  }
  const std::size_t all = a.size() + b.size() - common;
  return all == 0 ? 0.0 : static_cast<double>(common) / static_cast<double>(all);
}

// The cursor's own line is left out: it changes with every keystroke, and a snippet that comes and goes with it would
// cost the whole prompt's cache.
Words words_around(const Document& document, std::size_t offset) {
  const std::size_t line = document.line_of(offset);
  const std::size_t first = line > lines_around_cursor / 2 ? line - lines_around_cursor / 2 : 0;
  Words words;
  append_words(lines(document, first, line), words);
  append_words(lines(document, line + 1, line + 1 + lines_around_cursor / 2), words);
  make_set(words);
  return words;
}

struct Window {
  std::size_t file = 0;
  std::size_t first = 0;
  std::size_t last = 0;  // exclusive
  double similarity = 0;
};

bool overlap(const Window& a, const Window& b) { return a.file == b.file && a.first < b.last && b.first < a.last; }

void rank_file(const Document& document, std::size_t file, const Words& wanted, std::vector<Window>& windows) {
  const std::size_t count = std::min(document.line_count(), lines_per_file_max);
  for (std::size_t first = 0; first < count; first += stride_lines) {
    const std::size_t last = std::min(first + window_lines, count);
    Words words;
    append_words(lines(document, first, last), words);
    make_set(words);
    const double similarity = jaccard(wanted, words);
    if (similarity >= similarity_min) {
      windows.push_back({file, first, last, similarity});
    }
    if (last == count) {
      return;
    }
  }
}

}  // namespace

std::vector<Snippet> similar_snippets(const Document& document, std::size_t offset,
                                      const std::vector<OtherFile>& others, std::size_t count) {
  const Words wanted = words_around(document, std::min(offset, document.text().size()));
  std::vector<Window> windows;
  for (std::size_t file = 0; file < others.size(); ++file) {
    rank_file(*others[file].document, file, wanted, windows);
  }
  // Equal ones keep the order of `others`, so that the choice does not flicker.
  std::stable_sort(windows.begin(), windows.end(),
                   [](const Window& a, const Window& b) { return a.similarity > b.similarity; });
  std::vector<Window> chosen;
  for (const Window& window : windows) {
    const bool taken = std::any_of(chosen.begin(), chosen.end(), [&](const Window& other) { return overlap(window, other); });
    if (chosen.size() < count && !taken) {
      chosen.push_back(window);
    }
  }
  std::vector<Snippet> snippets;
  for (auto window = chosen.rbegin(); window != chosen.rend(); ++window) {
    const OtherFile& other = others[window->file];
    snippets.push_back({other.path, std::string(lines(*other.document, window->first, window->last))});
  }
  return snippets;
}

}  // namespace context
