// What a person typed into the search box, and where a text has it. Pure functions, any thread.
//
// Nothing in a query is syntax but double quotes around words that belong together. Case does not
// matter. The index knows each three characters that follow each other: a term of three or more is
// looked up there, a shorter one (most words of Chinese have two) is what entries begin with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/history/store.h"

namespace minke::history {

class SearchTerm {
 public:
  explicit SearchTerm(std::string_view text);

  const std::string& text() const { return text_; }
  std::string lower_case() const;
  bool is_indexed() const { return folded_.size() >= 3; }

  struct Range {
    size_t begin = 0;
    size_t end = 0;
  };
  // The first place at or behind `from`, in bytes.
  std::optional<Range> find(std::string_view text, size_t from) const;

 private:
  std::optional<Range> find_folded(std::string_view text, size_t from) const;
  std::optional<Range> find_ascii(std::string_view text, size_t from) const;

  std::string text_;
  std::vector<uint32_t> folded_;  // its characters in lower case
  bool has_case_ = false;
  bool is_ascii_ = true;
};

struct SearchTerms {
  std::vector<SearchTerm> all;
  std::string match;  // FTS5's expression of the indexed ones; may be empty
  std::vector<const SearchTerm*> short_terms;  // that the index does not know

  bool short_terms_are_in(std::string_view text) const;
};

// No terms where there is nothing to look for.
std::vector<SearchTerm> search_terms(std::string_view query);

// About 160 characters of a text around the first of the terms, each place of each marked.
std::vector<SnippetPart> snippet_of(std::string_view text, const std::vector<SearchTerm>& terms);

}  // namespace minke::history
