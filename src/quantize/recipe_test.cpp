#include "quantize/recipe.h"

#include <gtest/gtest.h>

namespace minke {
namespace {

using enum QuantType;

QuantType chosen(std::string_view recipe, std::string_view tensor, RecipeModel model = {}) {
  if (model.layers == 0) model.layers = 32;
  if (model.dense_layers == 0) model.dense_layers = model.layers;
  const auto parsed = Recipe::parse(recipe);
  EXPECT_TRUE(parsed.has_value()) << recipe;
  return parsed->choose(tensor, model);
}

TEST(Recipe, NamesAreFoundInAnyCaseAndAllOfThemParse) {
  for (const std::string& name : Recipe::names()) {
    const auto recipe = Recipe::parse(name);
    ASSERT_TRUE(recipe.has_value()) << name;
    EXPECT_EQ(recipe->name(), name);
  }
  EXPECT_EQ(Recipe::parse("q4_k_m")->name(), "Q4_K_M");
  EXPECT_EQ(Recipe::parse("Q3_K")->name(), "Q3_K_M");
  const auto unknown = Recipe::parse("Q9");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().kind, ErrorKind::kUsage);
  EXPECT_NE(unknown.error().message.find("Q4_K_M"), std::string::npos);
}

TEST(Recipe, EveryFormatThatMinkeReadsIsTheBaseOfSome) {
  for (const QuantFormat& format : quant_formats()) {
    bool found = false;
    for (const std::string& name : Recipe::names()) {
      found =
          found || (!Recipe::parse(name)->copies() && Recipe::parse(name)->base() == format.type);
    }
    EXPECT_TRUE(found) << format.name;
  }
}

// 32 layers, 4 queries a key unless it says otherwise. What llama.cpp chooses, read off its files.
TEST(Recipe, MixturesSpendMoreWhereItMatters) {
  const RecipeModel grouped = {.layers = 32, .queries_per_key = 4};
  EXPECT_EQ(chosen("Q4_K_M", "blk.0.attn_v.weight"), kQ6_K);
  EXPECT_EQ(chosen("Q4_K_M", "blk.4.attn_v.weight"), kQ4_K);
  EXPECT_EQ(chosen("Q4_K_M", "blk.6.ffn_down.weight"), kQ6_K);
  EXPECT_EQ(chosen("Q4_K_M", "blk.7.ffn_down.weight"), kQ4_K);
  EXPECT_EQ(chosen("Q4_K_M", "blk.28.ffn_down.weight"), kQ6_K);
  EXPECT_EQ(chosen("Q4_K_M", "blk.0.attn_q.weight"), kQ4_K);
  EXPECT_EQ(chosen("Q4_K_S", "blk.3.attn_v.weight"), kQ5_K);
  EXPECT_EQ(chosen("Q4_K_S", "blk.4.attn_v.weight"), kQ4_K);
  EXPECT_EQ(chosen("Q4_K_S", "blk.3.ffn_down.weight"), kQ5_K);
  EXPECT_EQ(chosen("Q4_K_S", "blk.4.ffn_down.weight"), kQ4_K);
  EXPECT_EQ(chosen("Q3_K_M", "blk.1.attn_v.weight"), kQ5_K);
  EXPECT_EQ(chosen("Q3_K_M", "blk.2.attn_v.weight"), kQ4_K);
  EXPECT_EQ(chosen("Q3_K_M", "blk.1.ffn_down.weight"), kQ5_K);
  EXPECT_EQ(chosen("Q3_K_M", "blk.2.ffn_down.weight"), kQ4_K);
  EXPECT_EQ(chosen("Q3_K_M", "blk.9.attn_output.weight"), kQ4_K);
  EXPECT_EQ(chosen("Q3_K_L", "blk.9.ffn_down.weight"), kQ5_K);
  EXPECT_EQ(chosen("Q2_K", "blk.9.attn_v.weight"), kQ3_K);
  EXPECT_EQ(chosen("Q2_K", "blk.9.attn_v.weight", grouped), kQ4_K);
  EXPECT_EQ(chosen("Q2_K", "blk.9.ffn_down.weight"), kQ3_K);
  EXPECT_EQ(chosen("Q2_K", "blk.9.ffn_up.weight"), kQ2_K);
  EXPECT_EQ(chosen("IQ4_XS", "blk.9.attn_v.weight", grouped), kQ5_K);
  EXPECT_EQ(chosen("IQ4_XS", "blk.3.ffn_down.weight"), kQ5_K);
}

TEST(Recipe, WithAMeasureSomeLayersNeedLessOrOthersMore) {
  const RecipeModel measured = {.layers = 32, .measured = true};
  EXPECT_EQ(chosen("IQ4_XS", "blk.3.ffn_down.weight", measured), kIQ4_XS);
  EXPECT_EQ(chosen("Q4_0", "blk.3.ffn_down.weight", measured), kQ4_1);
  EXPECT_EQ(chosen("Q4_0", "blk.3.ffn_down.weight"), kQ4_0);
  EXPECT_EQ(chosen("Q5_0", "blk.3.ffn_down.weight", measured), kQ5_1);
}

TEST(Recipe, TheOutputMatrixIsFine) {
  EXPECT_EQ(chosen("Q4_0", "output.weight"), kQ6_K);
  EXPECT_EQ(chosen("Q2_K", "output.weight"), kQ6_K);
  EXPECT_EQ(chosen("Q8_0", "output.weight"), kQ8_0);
  EXPECT_EQ(chosen("F16", "output.weight"), kF16);
  EXPECT_EQ(chosen("Q4_0", "token_embd.weight"), kQ4_0);
  EXPECT_EQ(chosen("Q4_0", "token_embd.weight", {.layers = 32, .tied = true}), kQ6_K);
}

TEST(Recipe, OfAMixtureTheRoutedExpertsAreLow) {
  const RecipeModel v3 = {.layers = 61, .dense_layers = 3, .queries_per_key = 128};
  const auto type = [&](std::string_view tensor) { return chosen("MOE_Q2_K", tensor, v3); };
  EXPECT_EQ(type("blk.3.ffn_gate_exps.weight"), kQ2_K);
  EXPECT_EQ(type("blk.60.ffn_up_exps.weight"), kQ2_K);
  EXPECT_EQ(type("blk.9.ffn_down_exps.weight"), kQ3_K);  // of the first eighth that has experts
  EXPECT_EQ(type("blk.10.ffn_down_exps.weight"), kQ2_K);
  EXPECT_EQ(type("blk.3.ffn_down_shexp.weight"), kQ6_K);
  EXPECT_EQ(type("blk.0.ffn_down.weight"), kQ6_K);
  EXPECT_EQ(type("blk.5.attn_q_a.weight"), kQ8_0);
  EXPECT_EQ(type("blk.5.attn_q_b.weight"), kQ6_K);
  EXPECT_EQ(type("blk.5.attn_kv_a_mqa.weight"), kQ8_0);
  EXPECT_EQ(type("blk.5.attn_kv_b.weight"), kQ8_0);
  EXPECT_EQ(type("blk.5.attn_k_b.weight"), kQ8_0);
  EXPECT_EQ(type("blk.5.attn_v_b.weight"), kQ8_0);
  EXPECT_EQ(type("blk.5.attn_output.weight"), kQ6_K);
  EXPECT_EQ(type("blk.61.nextn.eh_proj.weight"), kQ8_0);
  EXPECT_EQ(type("token_embd.weight"), kQ6_K);
  EXPECT_EQ(type("output.weight"), kQ6_K);
  EXPECT_EQ(chosen("MOE_Q4_K", "blk.9.ffn_down_exps.weight", v3), kQ6_K);
  EXPECT_EQ(chosen("MOE_Q3_K", "blk.30.ffn_up_exps.weight", v3), kQ3_K);
}

TEST(Recipe, WhatIsSmallStaysAsItIs) {
  EXPECT_TRUE(is_quantisable("blk.0.attn_q.weight", {64, 64}));
  EXPECT_TRUE(is_quantisable("blk.0.ffn_up_exps.weight", {8, 64, 64}));
  EXPECT_TRUE(is_quantisable("blk.61.nextn.eh_proj.weight", {64, 128}));
  EXPECT_FALSE(is_quantisable("blk.0.attn_norm.weight", {64}));
  EXPECT_FALSE(is_quantisable("blk.0.ffn_gate_inp.weight", {8, 64}));
  EXPECT_FALSE(is_quantisable("blk.0.exp_probs_b.bias", {8}));
}

TEST(Recipe, RowsThatFitNoBlockTakeAnotherFormat) {
  EXPECT_EQ(fitting_type(kQ4_K, 896), kQ5_0);
  EXPECT_EQ(fitting_type(kQ5_K, 896), kQ5_1);
  EXPECT_EQ(fitting_type(kQ6_K, 896), kQ8_0);
  EXPECT_EQ(fitting_type(kQ3_K, 896), kQ4_0);
  EXPECT_EQ(fitting_type(kQ2_K, 896), kQ4_0);
  EXPECT_EQ(fitting_type(kIQ4_XS, 896), kIQ4_NL);
  EXPECT_EQ(fitting_type(kQ4_K, 1024), kQ4_K);
  EXPECT_EQ(fitting_type(kQ4_0, 48), kF16);
  EXPECT_EQ(fitting_type(kQ6_K, 40), kF16);
  EXPECT_EQ(fitting_type(kF16, 7), kF16);
}

}  // namespace
}  // namespace minke
