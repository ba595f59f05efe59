#include "server/history/search_terms.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>

#include "text/unicode.h"

namespace minke::history {
namespace {

uint32_t folded(uint32_t code) {
  if (code == kStrayByte) return code;
  return static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code)));
}

bool has_case(uint32_t code) {
  const auto character = static_cast<utf8proc_int32_t>(code);
  return utf8proc_tolower(character) != character || utf8proc_toupper(character) != character;
}

char folded_ascii(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

}  // namespace

SearchTerm::SearchTerm(std::string_view text) : text_(text) {
  for (size_t at = 0; at < text.size();) {
    const Glyph glyph = decode_utf8(text, at);
    folded_.push_back(folded(glyph.code));
    has_case_ = has_case_ || has_case(glyph.code);
    is_ascii_ = is_ascii_ && glyph.code < 0x80;
    at += glyph.length;
  }
}

std::string SearchTerm::lower_case() const {
  std::string text;
  for (const uint32_t code : folded_) append_utf8(text, code);
  return text;
}

std::optional<SearchTerm::Range> SearchTerm::find(std::string_view text, size_t from) const {
  if (from > text.size() || text_.empty()) return std::nullopt;
  if (has_case_) return is_ascii_ ? find_ascii(text, from) : find_folded(text, from);
  const void* place = memmem(text.data() + from, text.size() - from, text_.data(), text_.size());
  if (place == nullptr) return std::nullopt;
  const auto begin = static_cast<size_t>(static_cast<const char*>(place) - text.data());
  return Range{.begin = begin, .end = begin + text_.size()};
}

std::optional<SearchTerm::Range> SearchTerm::find_ascii(std::string_view text, size_t from) const {
  const auto matches = [](char a, char b) { return folded_ascii(a) == folded_ascii(b); };
  const auto place = std::search(text.begin() + static_cast<ptrdiff_t>(from), text.end(),
                                 text_.begin(), text_.end(), matches);
  if (place == text.end()) return std::nullopt;
  const auto begin = static_cast<size_t>(place - text.begin());
  return Range{.begin = begin, .end = begin + text_.size()};
}

std::optional<SearchTerm::Range> SearchTerm::find_folded(std::string_view text, size_t from) const {
  while (from < text.size()) {
    size_t at = from;
    size_t matched = 0;
    while (matched < folded_.size() && at < text.size()) {
      const Glyph glyph = decode_utf8(text, at);
      if (folded(glyph.code) != folded_[matched]) break;
      at += glyph.length;
      ++matched;
    }
    if (matched == folded_.size()) return Range{.begin = from, .end = at};
    from += decode_utf8(text, from).length;
  }
  return std::nullopt;
}

bool SearchTerms::short_terms_are_in(std::string_view text) const {
  return std::all_of(short_terms.begin(), short_terms.end(),
                     [&](const SearchTerm* term) { return term->find(text, 0).has_value(); });
}

std::vector<SearchTerm> search_terms(std::string_view query) {
  constexpr size_t kTermsMax = 16;
  std::vector<SearchTerm> terms;
  std::string word;
  bool quoted = false;
  const auto end_word = [&] {
    if (!word.empty() && terms.size() < kTermsMax) terms.emplace_back(word);
    word.clear();
  };
  for (size_t at = 0; at < query.size();) {
    const Glyph glyph = glyph_at(query, at);
    const bool is_space = (glyph.classes & char_class::kSpace) != 0;
    if (glyph.code == '"') {
      end_word();
      quoted = !quoted;
    } else if ((is_space && !quoted) || glyph.code == 0 || glyph.code == kStrayByte) {
      end_word();
    } else {
      word += query.substr(at, glyph.length);
    }
    at += glyph.length;
  }
  end_word();
  return terms;
}

namespace {

using Range = SearchTerm::Range;

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80; }

// `count` characters further on, or back.
size_t ahead(std::string_view text, size_t at, int count) {
  while (count-- > 0 && at < text.size()) {
    ++at;
    while (at < text.size() && is_continuation(text[at])) ++at;
  }
  return at;
}
size_t back(std::string_view text, size_t at, int count) {
  while (count-- > 0 && at > 0) {
    --at;
    while (at > 0 && is_continuation(text[at])) --at;
  }
  return at;
}

// All places in the window, joined where they overlap, in order.
std::vector<Range> hits_within(std::string_view window, const std::vector<SearchTerm>& terms) {
  std::vector<Range> hits;
  for (const SearchTerm& term : terms)
    for (auto hit = term.find(window, 0); hit; hit = term.find(window, hit->end))
      hits.push_back(*hit);
  std::sort(hits.begin(), hits.end(),
            [](const Range& a, const Range& b) { return a.begin < b.begin; });
  std::vector<Range> joined;
  for (const Range& hit : hits) {
    if (!joined.empty() && hit.begin <= joined.back().end) {
      joined.back().end = std::max(joined.back().end, hit.end);
    } else {
      joined.push_back(hit);
    }
  }
  return joined;
}

std::string on_one_line(std::string_view text) {
  std::string line(text);
  std::replace_if(
      line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return line;
}

}  // namespace

std::vector<SnippetPart> snippet_of(std::string_view text, const std::vector<SearchTerm>& terms) {
  constexpr int kCharsBefore = 40;
  constexpr int kCharsBehind = 120;
  std::optional<Range> first;
  for (const SearchTerm& term : terms) {
    const auto hit = term.find(text, 0);
    if (hit && (!first || hit->begin < first->begin)) first = hit;
  }
  const size_t centre = first ? first->begin : 0;
  const size_t begin = back(text, centre, kCharsBefore);
  const size_t end = ahead(text, centre, kCharsBehind);
  const std::string_view window = text.substr(begin, end - begin);
  std::vector<SnippetPart> parts;
  const auto add = [&](std::string_view part, bool hit) {
    if (!part.empty()) parts.push_back({.text = on_one_line(part), .hit = hit});
  };
  if (begin > 0) add("…", false);
  size_t at = 0;
  for (const Range& hit : hits_within(window, terms)) {
    add(window.substr(at, hit.begin - at), false);
    add(window.substr(hit.begin, hit.end - hit.begin), true);
    at = hit.end;
  }
  add(window.substr(at), false);
  if (end < text.size()) add("…", false);
  return parts;
}

}  // namespace minke::history
