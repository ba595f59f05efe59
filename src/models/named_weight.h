// Weights of a model before they are loaded: the checkpoint's names (GGUF's), and shapes.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "quant/weight.h"

namespace minke {

inline Weight named_matrix(std::string name, int64_t out_dim, int64_t in_dim) {
  return {.name = std::move(name), .shape = {out_dim, in_dim}};
}
inline Weight named_vector(std::string name, int64_t dim) {
  return {.name = std::move(name), .shape = {dim}};
}

// Of one block: "blk.3.ffn_down.weight".
class BlockNames {
 public:
  explicit BlockNames(int64_t layer) : layer_(layer) {}

  std::string operator()(std::string_view part) const {
    return fmt::format("blk.{}.{}", layer_, part);
  }
  Weight matrix(std::string_view part, int64_t out_dim, int64_t in_dim) const {
    return named_matrix((*this)(part), out_dim, in_dim);
  }
  Weight stack(std::string_view part, int64_t count, int64_t out_dim, int64_t in_dim) const {
    return {.name = (*this)(part), .shape = {count, out_dim, in_dim}};
  }
  Weight vector(std::string_view part, int64_t dim) const {
    return named_vector((*this)(part), dim);
  }

 private:
  int64_t layer_;
};

}  // namespace minke
