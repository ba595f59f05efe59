#include <algorithm>
#include <utility>

#include "server/history/search_terms.h"
#include "server/history/store.h"

namespace minke::history {
namespace {

// The latest first; the caller stops when it has enough.
constexpr std::string_view kMessagesByIndex =
    "SELECT m.key, m.id, m.role, m.created_at_ms, m.conversation, m.content FROM message_search s "
    "JOIN messages m ON m.key = s.rowid WHERE message_search MATCH ?1 ORDER BY s.rowid DESC";
constexpr std::string_view kLatestMessages =
    "SELECT m.key, m.id, m.role, m.created_at_ms, m.conversation, m.content FROM messages m "
    "ORDER BY m.key DESC LIMIT 2000";
constexpr std::string_view kMessagesByTerm =
    "SELECT m.key, m.id, m.role, m.created_at_ms, m.conversation, m.content FROM messages m "
    "WHERE m.key IN (SELECT doc FROM message_terms WHERE term >= ?1 AND term < ?2) AND m.key < ?3 "
    "ORDER BY m.key DESC";
// A title made from the first message is found there.
constexpr std::string_view kTitlesByIndex =
    "SELECT c.id, c.updated_at_ms, c.title FROM title_search s "
    "JOIN conversations c ON c.key = s.rowid WHERE title_search MATCH ?1 AND c.title_is_own "
    "ORDER BY s.rowid DESC";
constexpr std::string_view kTitles =
    "SELECT c.id, c.updated_at_ms, c.title FROM conversations c WHERE c.title_is_own "
    "ORDER BY c.key DESC";

class Search {
 public:
  Search(Database& database, const SearchTerms& terms, int64_t limit)
      : database_(database), terms_(terms), limit_(limit) {}

  Status titles() {
    MINKE_ASSIGN(Statement rows, terms_.match.empty()
                                     ? database_.query(kTitles)
                                     : database_.query(kTitlesByIndex, terms_.match));
    while (!is_full()) {
      MINKE_ASSIGN(const bool row, rows.step());
      if (!row) return {};
      if (!terms_.short_terms_are_in(rows.text(2))) continue;
      hits.push_back({.conversation_id = rows.string(0),
                      .title = rows.string(2),
                      .snippet = snippet_of(rows.text(2), terms_.all),
                      .created_at_ms = rows.integer(1)});
    }
    return {};
  }

  // Short terms that are common are soon found in the latest messages. What is not, is rare, and
  // the index has few entries that begin with it.
  Status messages() {
    if (!terms_.match.empty()) {
      MINKE_ASSIGN(Statement rows, database_.query(kMessagesByIndex, terms_.match));
      return take(rows);
    }
    {
      MINKE_ASSIGN(Statement rows, database_.query(kLatestMessages));
      MINKE_TRY(take(rows));
    }
    if (is_full()) return {};
    const auto longest = std::max_element(
        terms_.short_terms.begin(), terms_.short_terms.end(),
        [](const auto* a, const auto* b) { return a->text().size() < b->text().size(); });
    const std::string term = (*longest)->lower_case();
    MINKE_ASSIGN(Statement rows,
                 database_.query(kMessagesByTerm, term, term + "\U0010FFFF", last_));
    return take(rows);
  }

  std::vector<SearchHit> hits;

 private:
  bool is_full() const { return std::ssize(hits) >= limit_; }

  Status take(Statement& rows) {
    while (!is_full()) {
      MINKE_ASSIGN(const bool row, rows.step());
      if (!row) return {};
      last_ = rows.integer(0);
      if (!terms_.short_terms_are_in(rows.text(5))) continue;
      MINKE_ASSIGN(
          Statement conversation,
          database_.query("SELECT id, title FROM conversations WHERE key = ?1", rows.integer(4)));
      MINKE_ASSIGN(const bool found, conversation.step());
      if (!found) continue;
      hits.push_back({.conversation_id = conversation.string(0),
                      .message_id = rows.string(1),
                      .role = role_of(rows.text(2)),
                      .title = conversation.string(1),
                      .snippet = snippet_of(rows.text(5), terms_.all),
                      .created_at_ms = rows.integer(3)});
    }
    return {};
  }

  Database& database_;
  const SearchTerms& terms_;
  int64_t limit_;
  int64_t last_ = 0;  // the key of the message that was looked at last
};

}  // namespace

Result<std::vector<SearchHit>> Store::search(std::string_view query, int64_t limit) {
  if (query.size() > kLimits.query_bytes_max) query = query.substr(0, kLimits.query_bytes_max);
  SearchTerms terms{.all = search_terms(query)};
  if (terms.all.empty()) return std::vector<SearchHit>();
  for (const SearchTerm& term : terms.all) {
    if (!term.is_indexed()) {
      terms.short_terms.push_back(&term);
      continue;
    }
    // A quoted string of FTS5, in which nothing is syntax: search_terms() leaves no quotes.
    if (!terms.match.empty()) terms.match += " AND ";
    terms.match += '"' + term.text() + '"';
  }
  Search search(*database_, terms, std::clamp<int64_t>(limit, 1, 200));
  MINKE_TRY(search.titles());
  MINKE_TRY(search.messages());
  return std::move(search.hits);
}

}  // namespace minke::history
