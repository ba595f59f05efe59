#include "text/token_trie.h"

#include <algorithm>

#include "core/check.h"
#include "text/unicode.h"

namespace minke {
namespace {

// How many plain characters a text is made of; -1 when it is made of anything else.
int plain_characters(std::string_view text) {
  int count = 0;
  for (size_t at = 0; at < text.size(); ++count) {
    const Glyph glyph = decode_utf8(text, at);
    if (glyph.code == kStrayByte || glyph.code < 0x20 || glyph.code == '"' || glyph.code == '\\') {
      return -1;
    }
    at += glyph.length;
  }
  return count;
}

// `ids` by the bytes of their pieces.
TokenTrie::Tree make_tree(std::span<const std::string_view> pieces, std::span<const int32_t> ids) {
  TokenTrie::Tree tree;
  std::vector<uint32_t> path;  // the nodes above the next one
  const auto close_to = [&](size_t depth) {
    while (path.size() > depth) {
      tree.nodes[path.back()].end = static_cast<uint32_t>(tree.nodes.size());
      path.pop_back();
    }
  };
  std::string_view last;
  for (const int32_t id : ids) {
    const std::string_view piece = pieces[static_cast<size_t>(id)];
    const auto common = static_cast<size_t>(std::ranges::mismatch(piece, last).in1 - piece.begin());
    close_to(common);
    for (size_t depth = common; depth < piece.size(); ++depth) {
      path.push_back(static_cast<uint32_t>(tree.nodes.size()));
      tree.nodes.push_back({.first_token = static_cast<uint32_t>(tree.tokens.size()),
                            .depth = static_cast<uint16_t>(depth + 1),
                            .byte = static_cast<uint8_t>(piece[depth])});
    }
    tree.depth_max = std::max(tree.depth_max, piece.size());
    tree.tokens.push_back(id);
    last = piece;
  }
  close_to(0);
  tree.nodes.push_back({.end = static_cast<uint32_t>(tree.nodes.size() + 1),
                        .first_token = static_cast<uint32_t>(tree.tokens.size())});
  return tree;
}

}  // namespace

TokenTrie::TokenTrie(std::span<const std::string_view> pieces)
    : vocab_size_(static_cast<int32_t>(pieces.size())) {
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < vocab_size_; ++id) {
    const size_t size = pieces[static_cast<size_t>(id)].size();
    if (size > 0 && size <= kBytesMax) ids.push_back(id);
  }
  std::ranges::sort(ids, [&](int32_t a, int32_t b) {
    const int order = pieces[static_cast<size_t>(a)].compare(pieces[static_cast<size_t>(b)]);
    return order != 0 ? order < 0 : a < b;
  });
  for (auto& set : plain_) set.assign((pieces.size() + 63) / 64, 0);
  std::vector<int32_t> others;
  for (const int32_t id : ids) {
    const int count = plain_characters(pieces[static_cast<size_t>(id)]);
    if (count < 0 || count > kPlainMax) others.push_back(id);
    for (int i = std::max(count, 0); i <= kPlainMax && count >= 0; ++i) {
      plain_[static_cast<size_t>(i)][static_cast<size_t>(id) / 64] |= uint64_t{1} << (id % 64);
    }
  }
  all_ = make_tree(pieces, ids);
  not_plain_ = make_tree(pieces, others);
}

std::vector<int32_t> TokenTrie::along(std::string_view text) const {
  const std::vector<Node>& nodes = all_.nodes;
  std::vector<int32_t> out;
  const auto add = [&](uint32_t begin_token, uint32_t end_token) {
    out.insert(out.end(), all_.tokens.begin() + begin_token, all_.tokens.begin() + end_token);
  };
  size_t at = 0;
  size_t end = nodes.size() - 1;  // behind the nodes to choose from
  for (size_t depth = 0; depth < text.size(); ++depth) {
    while (at < end && nodes[at].byte != static_cast<uint8_t>(text[depth])) at = nodes[at].end;
    if (at >= end) break;
    const bool is_last = depth + 1 == text.size();
    add(nodes[at].first_token, nodes[is_last ? nodes[at].end : at + 1].first_token);
    end = nodes[at].end;
    ++at;
  }
  return out;
}

}  // namespace minke
