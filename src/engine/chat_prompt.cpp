#include "engine/chat_prompt.h"

#include <algorithm>
#include <optional>

namespace minke {
namespace {

struct Control {
  size_t begin = 0;
  size_t end = 0;
  int32_t token = 0;
};

// Control tokens in the template's own text, at their places in the whole.
std::vector<Control> controls_of(const Tokenizer& tokenizer, const RenderedChat& chat) {
  std::vector<Control> controls;
  size_t offset = 0;
  for (const ChatSegment& segment : chat.segments) {
    if (!segment.from_user_data) {
      for (const auto& match : tokenizer.find_control(segment.text)) {
        controls.push_back({offset + match.begin, offset + match.end, match.token});
      }
    }
    offset += segment.text.size();
  }
  return controls;
}

// The last cut of `before` that `text` shares, and that falls between two pieces of `text`: at the
// start or the end of one of its control tokens.
std::optional<ChatTimeline::Cut> last_shared_cut(const ChatTimeline& before,
                                                 const std::string& text,
                                                 const std::vector<Control>& controls) {
  const auto shared =
      static_cast<size_t>(std::ranges::mismatch(before.text, text).in1 - before.text.begin());
  for (size_t i = before.cuts.size(); i-- > 0;) {
    const ChatTimeline::Cut& cut = before.cuts[i];
    if (cut.bytes > shared) continue;
    const auto next = std::ranges::lower_bound(controls, cut.bytes, {}, &Control::begin);
    const bool starts = next != controls.end() && next->begin == cut.bytes;
    const bool ends = next != controls.begin() && std::prev(next)->end == cut.bytes;
    if (starts || ends) return cut;
  }
  return std::nullopt;
}

}  // namespace

ChatTimeline chat_timeline(const Tokenizer& tokenizer, const RenderedChat& chat,
                           const ChatTimeline& before) {
  ChatTimeline timeline;
  timeline.text = chat.text();
  const std::vector<Control> controls = controls_of(tokenizer, chat);
  size_t at = 0;
  if (const auto cut = last_shared_cut(before, timeline.text, controls)) {
    at = cut->bytes;
    timeline.tokens.assign(before.tokens.begin(),
                           before.tokens.begin() + static_cast<std::ptrdiff_t>(cut->tokens));
    for (const ChatTimeline::Cut& earlier : before.cuts) {
      if (earlier.tokens <= cut->tokens) timeline.cuts.push_back(earlier);
    }
  }
  const std::string_view text = timeline.text;
  const auto read_plain = [&](size_t end) {
    const std::vector<int32_t> tokens =
        tokenizer.encode(text.substr(at, end - at), SpecialText::kAsText);
    timeline.tokens.insert(timeline.tokens.end(), tokens.begin(), tokens.end());
  };
  for (const Control& control : controls) {
    if (control.begin < at) continue;
    read_plain(control.begin);
    timeline.tokens.push_back(control.token);
    at = control.end;
    timeline.cuts.push_back({at, timeline.tokens.size()});
  }
  read_plain(text.size());
  // A template may have written BOS already; two of them confuse models.
  const std::optional<int32_t> bos = tokenizer.bos();
  if (tokenizer.adds_bos() && bos && (timeline.tokens.empty() || timeline.tokens.front() != *bos)) {
    timeline.tokens.insert(timeline.tokens.begin(), *bos);
    for (ChatTimeline::Cut& cut : timeline.cuts) ++cut.tokens;
  }
  return timeline;
}

void add_answer(const Tokenizer& tokenizer, std::span<const int32_t> tokens,
                std::span<const std::string_view> markers, ChatTimeline& timeline) {
  if (!tokens.empty() && tokenizer.is_end_of_generation(tokens.back())) {
    tokens = tokens.first(tokens.size() - 1);
  }
  const auto is_marker = [&](int32_t token) {
    return std::ranges::find(markers, tokenizer.piece(token, true)) != markers.end();
  };
  const auto has_text = [&](int32_t token) {
    return !tokenizer.piece(token).empty() || is_marker(token);
  };
  if (!std::ranges::all_of(tokens, has_text)) return;
  for (const int32_t token : tokens) {
    timeline.text += tokenizer.piece(token, true);
    timeline.tokens.push_back(token);
    if (!tokenizer.is_control(token)) continue;
    timeline.cuts.push_back({timeline.text.size(), timeline.tokens.size()});
  }
  timeline.cuts.push_back({timeline.text.size(), timeline.tokens.size()});
}

}  // namespace minke
