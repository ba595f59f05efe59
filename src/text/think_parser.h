// Splits a streamed answer into thinking and content at the model's thinking tags.
//
// Feed it the answer as it comes, cut anywhere, also inside a tag. It keeps back nothing but bytes
// that may be the beginning of the next tag, at most one byte less than that tag. Every byte fed
// comes out again in order, in events of three kinds; joined, they are the input. What a reader
// should not see (the tags, and the newlines directly behind them) comes out as kMarker.
//
// Which newlines those are: all \n and \r between a tag and the first other byte, since models
// write
// "<think>\n...\n</think>\n\nanswer"; and those at the very start where the prompt already held the
// opening tag. Newlines before a tag stay, because keeping them back would delay the text. A
// closing tag outside of thinking is content: what was sent before it cannot be taken back.
//
// A turn may think several times. An answer cut in its thinking ends with is_inside() still true.
// One parser belongs to one answer; no threads.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace minke {

enum class ThinkKind { kReasoning, kContent, kMarker };

struct ThinkEvent {
  ThinkKind kind;
  std::string text;  // never empty
  friend bool operator==(const ThinkEvent&, const ThinkEvent&) = default;
};

struct ThinkOptions {
  std::string open = "<think>";
  std::string close = "</think>";
  bool starts_inside = false;  // RenderedChat::ends_inside_thinking of the prompt
  // The answer thinks before its first content or not at all: from there on a tag is content like
  // any other, as it may be in an answer of a given form (minke/engine.h: AnswerForm).
  bool only_first = false;
};

class ThinkParser {
 public:
  // Tags must have 1 to 64 bytes.
  static Result<ThinkParser> create(ThinkOptions options);
  // With the tags <think> and </think>.
  explicit ThinkParser(bool starts_inside = false);

  std::vector<ThinkEvent> feed(std::string_view chunk);
  // The end of the answer: what was kept back was no tag after all.
  std::vector<ThinkEvent> finish();

  bool is_inside() const { return is_inside_; }

 private:
  explicit ThinkParser(ThinkOptions options);
  const std::string& next_tag() const { return is_inside_ ? options_.close : options_.open; }

  ThinkOptions options_;
  bool is_inside_;
  bool skips_newlines_;   // no byte but newlines since the last tag
  bool is_done_ = false;  // the rest is content
  std::string held_;      // a proper prefix of the next tag
};

// A whole answer at once.
struct SplitAnswer {
  std::string reasoning;  // the segments joined
  std::string content;
  bool is_cut = false;  // it ended inside the thinking
};
SplitAnswer split_thinking(std::string_view answer, bool starts_inside);

}  // namespace minke
