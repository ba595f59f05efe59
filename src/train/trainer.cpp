#include "train/trainer.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace minke {

TrainBatch make_train_batch(std::span<const TrainSequence> sequences) {
  TrainBatch made;
  int64_t page_count = 0;
  for (const TrainSequence& sequence : sequences) {
    CHECK_GE(sequence.tokens.size(), size_t{2});
    const auto rows = static_cast<int64_t>(sequence.tokens.size()) - 1;
    page_count += (rows + kKvPageTokens - 1) / kKvPageTokens;
  }
  // All pages first: sequences point into this array.
  for (int32_t page = 0; page < page_count; ++page) made.pages.push_back(page);
  size_t next_page = 0;
  for (const TrainSequence& sequence : sequences) {
    const auto rows = static_cast<int64_t>(sequence.tokens.size()) - 1;
    const auto own_pages = static_cast<size_t>((rows + kKvPageTokens - 1) / kKvPageTokens);
    made.batch.sequences.push_back({.first_row = made.rows(),
                                    .row_count = rows,
                                    .pages = std::span(made.pages).subspan(next_page, own_pages)});
    next_page += own_pages;
    for (int64_t i = 0; i < rows; ++i) {
      if (sequence.learns(i + 1)) {
        made.batch.logit_rows.push_back(static_cast<int32_t>(made.rows()));
        made.targets.push_back(sequence.tokens[static_cast<size_t>(i + 1)]);
      }
      made.batch.tokens.push_back(sequence.tokens[static_cast<size_t>(i)]);
      made.batch.positions.push_back(static_cast<int32_t>(i));
    }
  }
  return made;
}

Trainer::Trainer(Model& model, Ops& ops, ThreadPool& pool, TrainerOptions options)
    : model_(model),
      ops_(ops),
      pool_(pool),
      options_(std::move(options)),
      gradients_(options_.adapter ? Gradients(options_.adapter->weights())
                                  : Gradients(model, {}, options_.masters)),
      tape_(ops, pool, gradients_, options_.compute),
      optimiser_(gradients_, ops, pool, options_.optimiser) {
  if (options_.adapter == nullptr) return;
  policy_ops_.emplace(ops_, options_.adapter->pairs());
  taped_ops_.emplace(tape_, options_.adapter->pairs());
}

Result<KvStore*> Trainer::pages_for(const TrainBatch& batch) {
  const auto wanted = static_cast<int32_t>(batch.pages.size());
  if (!kv_ || kv_->pages() < wanted) {
    kv_.reset();  // before the larger one is there
    MINKE_ASSIGN(kv_, KvStore::create(model_.kv_spec(KvDtype::kBF16), wanted));
  }
  return &*kv_;
}

Result<TokenLoss> Trainer::accumulate(std::span<const TrainSequence> sequences, const Loss& loss,
                                      double share) {
  const TrainBatch batch = make_train_batch(sequences);
  MINKE_ASSIGN(KvStore* const kv, pages_for(batch));
  tape_.set_balance_weight(static_cast<float>(options_.balance_weight * share));
  const bool predicts_further = model_.config().mtp.present && options_.mtp_weight > 0.0;
  StatesAndLogits out;
  if (predicts_further) {
    out = model_.forward_with_states(taped(), batch.batch, *kv);
  } else {
    out.logits = model_.forward(taped(), batch.batch, *kv);
  }
  MINKE_ASSIGN(TokenLoss result, loss(batch, out.logits));
  std::vector<Tape::Output> outputs = {{.result = out.logits, .gradient = result.dlogits}};
  if (predicts_further) {
    MINKE_ASSIGN(Tape::Output output, further(batch, out.states, *kv, share));
    if (!output.result.empty()) outputs.push_back(std::move(output));
  }
  tape_.backward(outputs);
  note_loads();
  return result;
}

Result<Tape::Output> Trainer::further(const TrainBatch& batch, const Tensor& states, KvStore& kv,
                                      double share) {
  // Row t holds token t and reads the state at t - 1 (its own, where there is none before it). So
  // its logits predict what the model's own row t predicts, with less to go on.
  std::vector<int32_t> before(static_cast<size_t>(batch.rows()));
  for (const BatchSequence& sequence : batch.batch.sequences) {
    for (int64_t i = 0; i < sequence.row_count; ++i) {
      const int64_t row = sequence.first_row + i;
      before[static_cast<size_t>(row)] = static_cast<int32_t>(i > 0 ? row - 1 : row);
    }
  }
  // Behind the first token it would predict from nothing but that token's own state.
  std::vector<int32_t> targets = batch.targets;
  for (size_t i = 0; i < targets.size(); ++i) {
    const auto row = static_cast<size_t>(batch.batch.logit_rows[i]);
    if (batch.batch.positions[row] == 0) targets[i] = kIgnoreTarget;
  }
  const auto counted = std::ssize(targets) - std::ranges::count(targets, kIgnoreTarget);
  if (counted == 0) return Tape::Output();
  tape_.continue_step();
  const Tensor previous = tape_.gather_rows(states, before);
  StatesAndLogits out = model_.predict_further(taped(), batch.batch, previous, kv);
  const auto weight =
      static_cast<float>(options_.mtp_weight * share / static_cast<double>(counted));
  const std::vector<float> weights(targets.size(), weight);
  MINKE_ASSIGN(TokenLoss loss, softmax_cross_entropy(context(), out.logits, targets, weights));
  return Tape::Output{.result = out.logits, .gradient = loss.dlogits};
}

void Trainer::note_loads() {
  for (const auto& [bias, rows] : tape_.loads()) {
    std::vector<int64_t>& sum = loads_[bias];
    sum.resize(rows.size());
    for (size_t i = 0; i < rows.size(); ++i) sum[i] += rows[i];
  }
}

Status Trainer::move_biases() {
  if (options_.bias_speed <= 0.0 || options_.adapter != nullptr) return {};
  Status status;
  model_.visit([&](Weight& weight) {
    const auto found = loads_.find(&weight);
    if (found == loads_.end() || !weight.present() || !status) return;
    const std::vector<int64_t>& rows = found->second;
    const double mean = static_cast<double>(std::accumulate(rows.begin(), rows.end(), int64_t{0})) /
                        static_cast<double>(rows.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      const double error = mean - static_cast<double>(rows[i]);
      const double step = error > 0.0 ? 1.0 : (error < 0.0 ? -1.0 : 0.0);
      weight.mutable_f32()[i] += static_cast<float>(options_.bias_speed * step);
    }
    status = ops_.prepare(weight, /*keep_rows=*/true);
  });
  return status;
}

Result<OptimiserReport> Trainer::update(double learning_rate) {
  MINKE_ASSIGN(const OptimiserReport report, optimiser_.step(gradients_, learning_rate));
  if (report.applied) MINKE_TRY(move_biases());
  gradients_.zero();
  loads_.clear();
  return report;
}

Result<TrainReport> Trainer::step(std::span<const TrainSequence> sequences, double learning_rate) {
  MINKE_ASSIGN(const TokenLoss loss,
               accumulate(sequences, [this](const TrainBatch& batch, const Tensor& logits) {
                 return softmax_cross_entropy(context(), logits, batch.targets);
               }));
  TrainReport report = {.loss = loss.loss, .targets = std::ssize(loss.logprobs)};
  MINKE_ASSIGN(report.optimiser, update(learning_rate));
  return report;
}

Result<double> Trainer::evaluate(std::span<const TrainSequence> sequences) {
  MINKE_ASSIGN(const std::vector<double> logprobs,
               this->logprobs(model_, policy_ops(), sequences, /*temperature=*/1.0));
  double sum = 0.0;
  const float weight = 1.0F / static_cast<float>(logprobs.size());
  for (const double logprob : logprobs) sum += -static_cast<double>(weight) * logprob;
  return sum;
}

Result<std::vector<double>> Trainer::logprobs(Model& model, Ops& ops,
                                              std::span<const TrainSequence> sequences,
                                              double temperature) {
  const TrainBatch batch = make_train_batch(sequences);
  MINKE_ASSIGN(KvStore* const kv, pages_for(batch));
  const Tensor logits = model.forward(ops, batch.batch, *kv);
  return token_logprobs(context(), logits, batch.targets, temperature);
}

}  // namespace minke
