#include "models/forward_work.h"

namespace minke {

ForwardWork forward_work(const ModelConfig& config) {
  const auto product = [](int64_t in, int64_t out) {
    return 2.0 * static_cast<double>(in) * static_cast<double>(out);
  };
  const int64_t dim = config.dim, heads = config.heads;
  const LatentConfig& latent = config.latent;
  double attention = 0.0, key = 0.0;
  if (latent.kv_rank > 0) {
    const int64_t queries = heads * (latent.nope_dim + latent.rope_dim);
    attention += latent.q_rank > 0 ? product(dim, latent.q_rank) + product(latent.q_rank, queries)
                                   : product(dim, queries);
    attention += product(dim, latent.kv_rank + latent.rope_dim);
    // The absorbed form: queries into the latent space, and values out of it.
    attention += product(latent.kv_rank, heads * (latent.nope_dim + latent.value_dim));
    attention += product(heads * latent.value_dim, dim);
    key = product(heads, 2 * latent.kv_rank + latent.rope_dim);
  } else {
    attention += product(dim, (heads + 2 * config.kv_heads) * config.head_dim);
    attention += product(heads * config.head_dim, dim);
    key = product(heads, 2 * config.head_dim);
  }
  const MixtureConfig& mixture = config.mixture;
  const bool is_mixed = mixture.route.experts > 0;
  const int64_t dense_layers = is_mixed ? mixture.dense_layers : config.layers;
  const double dense = 3.0 * product(dim, config.ffn_dim);
  const double mixed =
      is_mixed ? product(dim, mixture.route.experts) +
                     3.0 * product(dim, (mixture.route.used + mixture.shared) * mixture.expert_dim)
               : 0.0;
  const auto layers = static_cast<double>(config.layers);
  return {.row = layers * attention + static_cast<double>(dense_layers) * dense +
                 (layers - static_cast<double>(dense_layers)) * mixed,
          .key = layers * key,
          .logit = product(dim, config.vocab_size)};
}

}  // namespace minke
