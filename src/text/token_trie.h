// The tokens of a vocabulary as a tree of their bytes, so that tokens with a common beginning are
// looked at together.
//
// Tokens without bytes (control tokens, ids that are not used) are not in it. Beside the tree, the
// tokens that are whole plain characters (GrammarAutomaton::next_plain) and at most kPlainMax of
// them are kept as sets: inside a string nearly the whole vocabulary may follow, and no tree need
// be walked to find that out. Immutable: any thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace minke {

class TokenTrie {
 public:
  // `pieces[id]` are the token's bytes; they are copied.
  explicit TokenTrie(std::span<const std::string_view> pieces);

  // Depth first: a node's first child is the next one, and `end` is the first behind all below it.
  struct Node {
    uint32_t end = 0;
    uint32_t first_token = 0;  // of tokens(); as far as the next node's
    uint16_t depth = 0;        // bytes from the root; the root's children have 1
    uint8_t byte = 0;
  };
  struct Tree {
    std::vector<Node> nodes;  // without the root; one more behind the last, for first_token
    std::vector<int32_t> tokens;
    size_t depth_max = 0;
  };
  const Tree& all() const { return all_; }
  // Those that are not in plain(kPlainMax).
  const Tree& not_plain() const { return not_plain_; }

  static constexpr int kPlainMax = 24;
  // A bit a token: those of at most `characters` plain characters.
  std::span<const uint64_t> plain(int characters) const {
    return plain_[static_cast<size_t>(characters)];
  }
  // The tokens that `text` begins with, and those that begin with `text`.
  std::vector<int32_t> along(std::string_view text) const;
  int32_t vocab_size() const { return vocab_size_; }
  static constexpr size_t kBytesMax = 4096;  // longer tokens are left out

 private:
  int32_t vocab_size_ = 0;
  Tree all_;
  Tree not_plain_;
  std::array<std::vector<uint64_t>, kPlainMax + 1> plain_;
};

}  // namespace minke
