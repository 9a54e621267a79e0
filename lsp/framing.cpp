// Incremental header parsing with resynchronisation.
#include "lsp/framing.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace lsp {
namespace {

constexpr std::string_view length_name = "content-length";

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }
bool blank(char c) { return c == ' ' || c == '\t'; }
bool digit(char c) { return c >= '0' && c <= '9'; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

bool same_name(std::string_view name, std::string_view lower_case) {
  return std::equal(name.begin(), name.end(), lower_case.begin(), lower_case.end(),
                    [](char a, char b) { return lower(a) == b; });
}

// RFC 9110's field names, which is what a header line must start with.
bool is_field_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

// Decimal digits only; nothing where the value is another thing or beyond what a message may hold.
std::optional<std::size_t> read_length(std::string_view value) {
  if (value.empty() || !std::all_of(value.begin(), value.end(), digit)) return std::nullopt;
  std::size_t length = 0;
  for (const char c : value) {
    length = length * 10 + static_cast<std::size_t>(c - '0');
    if (length > Framer::max_body) return Framer::max_body + 1;
  }
  return length;
}

enum class Plausible { no, yes, unknown };

// Whether a `Content-Length: N` line starts at `at`; unknown where the bytes end before it can be told.
Plausible header_at(std::string_view bytes, std::size_t at) {
  std::size_t i = 0;
  for (; i < length_name.size(); ++i) {
    if (at + i == bytes.size()) return Plausible::unknown;
    if (lower(bytes[at + i]) != length_name[i]) return Plausible::no;
  }
  std::size_t p = at + i;
  const std::size_t limit = std::min(bytes.size(), at + 64);
  const auto skip = [&](auto accepted) {
    const std::size_t from = p;
    while (p < limit && accepted(bytes[p])) ++p;
    return p - from;
  };
  skip(blank);
  if (p < limit && bytes[p] != ':') return Plausible::no;
  if (p < limit) ++p;
  skip(blank);
  const std::size_t digits = skip(digit);
  skip(blank);
  if (p == limit) return limit == at + 64 ? Plausible::no : Plausible::unknown;
  return digits > 0 && (bytes[p] == '\r' || bytes[p] == '\n') ? Plausible::yes : Plausible::no;
}

}  // namespace

void Framer::feed(std::string_view bytes) { buffer_.append(bytes); }

std::optional<Frame> Framer::next() {
  // What was given out may go, except that reject_last() wants the last body; so it goes one call later, and only when
  // there is enough of it to be worth moving the rest.
  last_body_ = at_;
  if (at_ > 64 * 1024 && at_ > buffer_.size() / 2) {
    buffer_.erase(0, at_);
    last_body_ = at_ = 0;
  }
  if (lost_ && !skip_to_header()) return std::nullopt;
  const auto header = read_header();
  if (!header) return std::nullopt;
  if (!header->error.empty()) return fail(header->error, header->body);
  if (buffer_.size() - header->body < header->length) return std::nullopt;
  last_body_ = header->body;
  at_ = header->body + header->length;
  return Frame{true, buffer_.substr(last_body_, header->length)};
}

void Framer::reject_last() {
  at_ = last_body_;
  lost_ = true;
}

// Reads header lines from at_; nothing while the blank line that ends them has not arrived. In an error `body` is where
// the search for the next header may start.
std::optional<Framer::Header> Framer::read_header() const {
  const std::string_view bytes(buffer_);
  std::optional<std::size_t> length;
  std::size_t line = at_;
  while (true) {
    const std::size_t newline = bytes.find('\n', line);
    const std::size_t seen = (newline == std::string_view::npos ? bytes.size() : newline) - at_;
    if (seen > max_header) return Header{at_ + 1, 0, "a header of more than 8 KiB"};
    if (newline == std::string_view::npos) return std::nullopt;
    std::string_view text = bytes.substr(line, newline - line);
    if (!text.empty() && text.back() == '\r') text.remove_suffix(1);
    const std::size_t after = newline + 1;
    if (text.empty()) {
      // A stray blank line between messages does no harm.
      const bool only_blank = line == at_ || bytes.substr(at_, line - at_).find_first_not_of("\r\n") == std::string_view::npos;
      if (length) return Header{after, *length, ""};
      if (!only_blank) return Header{after, 0, "a header without Content-Length"};
      line = after;
      continue;
    }
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos || !is_field_name(trimmed(text.substr(0, colon)))) {
      return Header{at_ + 1, 0, "bytes that are no header"};
    }
    if (same_name(trimmed(text.substr(0, colon)), length_name)) {
      const auto value = read_length(trimmed(text.substr(colon + 1)));
      if (length) return Header{after, 0, "a header with two Content-Length lines"};
      if (!value) return Header{after, 0, "a Content-Length that is no number"};
      if (*value > max_body) return Header{after, 0, "a message of more than 64 MiB"};
      length = value;
    }
    line = after;
  }
}

// Drops bytes up to the next plausible header; false where there is none yet.
bool Framer::skip_to_header() {
  for (std::size_t i = at_; i < buffer_.size(); ++i) {
    const char c = buffer_[i];
    if (c != 'C' && c != 'c') continue;
    const Plausible plausible = header_at(buffer_, i);
    if (plausible == Plausible::no) continue;
    at_ = last_body_ = i;
    if (plausible == Plausible::unknown) return false;
    lost_ = false;
    return true;
  }
  buffer_.clear();
  at_ = last_body_ = 0;
  return false;
}

Frame Framer::fail(std::string why, std::size_t resume) {
  at_ = last_body_ = resume;
  lost_ = true;
  return Frame{false, "the input has " + std::move(why)};
}

std::string frame(std::string_view body) {
  std::string text = "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  text.append(body);
  return text;
}

}  // namespace lsp
