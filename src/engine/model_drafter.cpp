#include "engine/model_drafter.h"

#include <algorithm>
#include <utility>

#include "core/check.h"

namespace minke {
namespace {

// A pass over more rows says nothing about one over few.
constexpr size_t kRowsFew = 4;

void add_rows(const DraftRequest& request, int64_t from, int64_t count, Batch& batch) {
  const auto first_row = std::ssize(batch.tokens);
  batch.sequences.push_back(
      {.first_row = first_row, .row_count = count, .first_position = from, .pages = request.pages});
  const auto size = std::ssize(request.tokens);
  for (int64_t position = from; position < from + count; ++position) {
    batch.tokens.push_back(position < size ? request.tokens[static_cast<size_t>(position)]
                                           : request.guesses[static_cast<size_t>(position - size)]);
    batch.positions.push_back(static_cast<int32_t>(position));
  }
  if (from + count == size + std::ssize(request.guesses)) {
    batch.logit_rows.push_back(static_cast<int32_t>(first_row + count - 1));
  }
}

}  // namespace

ModelDrafter::ModelDrafter(Ops& ops, Model& model, KvStore kv, Guessed guessed)
    : ops_(ops), model_(model), kv_(std::move(kv)), guessed_(guessed) {
  read_.resize(static_cast<size_t>(kv_.pages()));
}

// How many of the first `tokens` tokens have been read, without a gap.
int64_t ModelDrafter::read(std::span<const int32_t> pages, int64_t tokens) const {
  int64_t count = 0;
  for (const int32_t page : pages) {
    count += read_[static_cast<size_t>(page)];
    if (count >= tokens) return tokens;
    if (read_[static_cast<size_t>(page)] < kKvPageTokens) break;
  }
  return count;
}

void ModelDrafter::note_read(std::span<const int32_t> pages, int64_t from, int64_t to) {
  for (int64_t index = from / kKvPageTokens; index * kKvPageTokens < to; ++index) {
    const int64_t end = std::min(to - index * kKvPageTokens, kKvPageTokens);
    read_[static_cast<size_t>(pages[static_cast<size_t>(index)])] = static_cast<int32_t>(end);
  }
}

int64_t ModelDrafter::unread(std::span<const int32_t> tokens,
                             std::span<const int32_t> pages) const {
  const auto known = std::ssize(tokens) - 1;
  if (known >= model_.config().context_max) return -1;
  const int64_t begin = read(pages, known);
  // Its table of embeddings may be shorter than the model's: the rest are ids without a text.
  const auto foreign = [&](int32_t token) { return token >= model_.config().vocab_size; };
  if (std::ranges::any_of(tokens.subspan(static_cast<size_t>(begin)), foreign)) return -1;
  return known - begin;
}

std::vector<ModelDrafter::Chain> ModelDrafter::run(const Batch& batch,
                                                   const std::vector<Chain>& chains) {
  const auto began = std::chrono::steady_clock::now();
  const Tensor logits = ops_.run_step(batch, [&] { return model_.forward(ops_, batch, kv_); });
  CHECK_EQ(batch.logit_rows.size(), chains.size());
  if (chains.empty()) return {};
  const Result<std::span<float>> values = ops_.read(logits);
  if (!values) return {};  // a fault of the device: the model's own pass will tell
  if (batch.tokens.size() <= kRowsFew) note_pass(began);
  const auto vocab = static_cast<size_t>(model_.config().vocab_size);
  const size_t shared = std::min(vocab, static_cast<size_t>(guessed_.vocab_size));
  std::vector<Chain> going;
  for (size_t i = 0; i < chains.size(); ++i) {
    Chain chain = chains[i];
    if (guesser_.guess(values->subspan(i * vocab, shared), *chain.request, chain.confidence)) {
      going.push_back(chain);
    }
  }
  return going;
}

std::vector<ModelDrafter::Chain> ModelDrafter::read_and_guess(std::span<DraftRequest> requests) {
  Batch batch;
  std::vector<Chain> chains;
  int64_t rows_left = kRowsMax;
  for (DraftRequest& request : requests) {
    const int64_t unread_tokens = unread(request.tokens, request.pages);
    if (unread_tokens < 0) continue;
    const auto size = std::ssize(request.tokens);
    const int64_t from = size - 1 - unread_tokens;
    const int64_t count = std::min(size - from, rows_left);
    if (count == 0) break;
    rows_left -= count;
    add_rows(request, from, count, batch);
    note_read(request.pages, from, from + count);
    if (from + count == size) chains.push_back({.request = &request});
  }
  if (batch.tokens.empty()) return {};
  return run(batch, chains);
}

std::vector<ModelDrafter::Chain> ModelDrafter::guess_again(const std::vector<Chain>& chains) {
  Batch batch;
  std::vector<Chain> able;
  for (const Chain& chain : chains) {
    const DraftRequest& request = *chain.request;
    if (request.guesses.back() >= model_.config().vocab_size) continue;
    const int64_t position = std::ssize(request.tokens) + std::ssize(request.guesses) - 1;
    if (position >= model_.config().context_max) continue;
    add_rows(request, position, 1, batch);
    note_read(request.pages, position, position + 1);
    able.push_back(chain);
  }
  if (able.empty()) return {};
  return run(batch, able);
}

void ModelDrafter::draft(std::span<DraftRequest> requests) {
  std::vector<Chain> chains = read_and_guess(requests);
  while (!chains.empty()) chains = guess_again(chains);
}

void ModelDrafter::settle(std::span<const int32_t> pages, int64_t computed) {
  for (int64_t index = computed / kKvPageTokens; index < std::ssize(pages); ++index) {
    int32_t& count = read_[static_cast<size_t>(pages[static_cast<size_t>(index)])];
    const int64_t kept = std::max<int64_t>(0, computed - index * kKvPageTokens);
    count = static_cast<int32_t>(std::min<int64_t>(count, kept));
  }
}

void ModelDrafter::apply(std::span<const PageAction> actions) {
  for (const PageAction& action : actions) {
    int32_t& count = read_[static_cast<size_t>(action.to)];
    count = 0;
    if (action.kind == PageAction::Kind::kCopy) {
      kv_.copy_page(action.from, action.to);
      count = std::min<int32_t>(read_[static_cast<size_t>(action.from)],
                                static_cast<int32_t>(action.tokens));
    } else {
      kv_.clear_page(action.to);
    }
  }
}

}  // namespace minke
