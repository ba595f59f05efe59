#include "server/history/json_slices.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/value.h"

namespace minke::history {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

class Slicer {
 public:
  Slicer(std::string_view text, const JsonSliceLimits& limits) : text_(text), limits_(limits) {}

  Result<std::vector<JsonSlice>> slices() {
    skip_space();
    const bool is_object = accept('{');
    if (!is_object && !accept('[')) return error("'[' or '{'");
    const char closing = is_object ? '}' : ']';
    std::vector<JsonSlice> slices;
    skip_space();
    if (!accept(closing)) {
      do {
        if (slices.size() == limits_.slices_max)
          return fail(fmt::format("more than {} entries", limits_.slices_max));
        JsonSlice slice;
        if (is_object) MINKE_TRY(key(slice.key));
        MINKE_TRY(value(slice));
        slices.push_back(std::move(slice));
        skip_space();
      } while (accept(','));
      if (!accept(closing)) return error(fmt::format("',' or '{}'", closing));
    }
    skip_space();
    if (at_ != text_.size()) return error("the end of the document");
    return slices;
  }

 private:
  std::unexpected<Error> error(std::string_view expected) const {
    return fail(fmt::format("no JSON: expected {} at byte {} of {}", expected, at_, text_.size()));
  }

  void skip_space() { at_ = std::min(text_.find_first_not_of(kSpace, at_), text_.size()); }

  bool accept(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  Status key(std::string& key) {
    skip_space();
    const size_t begin = at_;
    if (!accept('"')) return error("a key in double quotes");
    MINKE_TRY(end_string());
    MINKE_ASSIGN(const Value value, parse_json(text_.substr(begin, at_ - begin)));
    key = *value.as_string();
    skip_space();
    if (!accept(':')) return error("':'");
    return {};
  }

  // From behind the opening quote to behind the closing one.
  Status end_string() {
    while (true) {
      at_ = text_.find_first_of("\"\\", at_);
      if (at_ >= text_.size()) {
        at_ = text_.size();
        return error("the closing '\"' of a string");
      }
      if (text_[at_++] == '"') return {};
      ++at_;  // what a backslash stands before
    }
  }

  Status value(JsonSlice& slice) {
    skip_space();
    const size_t begin = at_;
    slice.values = 1;
    for (int depth = 0; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '"') {
        ++at_;
        MINKE_TRY(end_string());
        --at_;
      } else if (c == '[' || c == '{') {
        if (++depth > limits_.depth_max)
          return error(fmt::format("at most {} levels of nesting", limits_.depth_max));
        ++slice.values;
      } else if (c == ']' || c == '}') {
        if (depth == 0) break;
        --depth;
      } else if (c == ',') {
        if (depth == 0) break;
        ++slice.values;
      }
    }
    if (at_ == begin) return error("a value");
    slice.text = text_.substr(begin, at_ - begin);
    return {};
  }

  std::string_view text_;
  const JsonSliceLimits& limits_;
  size_t at_ = 0;
};

}  // namespace

Result<std::vector<JsonSlice>> json_slices(std::string_view text, const JsonSliceLimits& limits) {
  return Slicer(text, limits).slices();
}

}  // namespace minke::history
