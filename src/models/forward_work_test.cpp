#include "models/forward_work.h"

#include <gtest/gtest.h>

namespace minke {
namespace {

// By hand, so that a change of the formula shows.
TEST(ForwardWork, CountsTwoOperationsAWeight) {
  ModelConfig config = {.architecture = "llama",
                        .layers = 3,
                        .dim = 10,
                        .heads = 4,
                        .kv_heads = 2,
                        .head_dim = 5,
                        .ffn_dim = 30,
                        .vocab_size = 100};
  const ForwardWork dense = forward_work(config);
  // q 10x20, k and v 10x10 each, out 20x10, gate, up and down 10x30 each.
  EXPECT_DOUBLE_EQ(dense.row, 3 * 2.0 * (200 + 2 * 100 + 200 + 3 * 300));
  EXPECT_DOUBLE_EQ(dense.key, 3 * 2.0 * (20 + 20));
  EXPECT_DOUBLE_EQ(dense.logit, 2.0 * 1000);

  config.mixture = {
      .route = {.experts = 8, .used = 2}, .expert_dim = 6, .shared = 1, .dense_layers = 1};
  config.latent = {.q_rank = 7, .kv_rank = 8, .nope_dim = 3, .rope_dim = 2, .value_dim = 4};
  const ForwardWork mixed = forward_work(config);
  const double attention = 10 * 7 + 7 * 4 * 5 + 10 * 10 + 8 * 4 * (3 + 4) + 4 * 4 * 10;
  EXPECT_DOUBLE_EQ(mixed.row, 2 * (3 * attention + 900 + 2 * (10 * 8 + 3 * 3 * 10 * 6)));
  EXPECT_DOUBLE_EQ(mixed.key, 3 * 2.0 * 4 * (8 + 2 + 8));
}

TEST(ForwardWork, ASequenceInPartsIsTheSequence) {
  PassSize whole, parts;
  whole.add_rows(0, 9);
  parts.add_rows(0, 4);
  parts.add_rows(4, 5);
  EXPECT_EQ(whole.keys, 45);
  EXPECT_EQ(parts.keys, whole.keys);
  EXPECT_EQ(parts.rows, 9);
}

}  // namespace
}  // namespace minke
