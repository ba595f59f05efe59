#include "engine/mtp_drafter.h"

#include <algorithm>

#include "core/check.h"

namespace minke {

MtpDrafter::MtpDrafter(Ops& ops, Model& model, KvStore& kv)
    : ops_(ops), model_(model), kv_(kv), dim_(model.config().dim) {
  CHECK(model.config().mtp.present);
  CHECK(&ops.memory() == &host_memory());
  states_.resize(static_cast<size_t>(kv.pages()));
}

uint64_t MtpDrafter::page_bytes(const ModelConfig& config) {
  return config.mtp.present ? static_cast<uint64_t>(config.dim) * sizeof(float) : 0;
}

// One block of many, its projection, and the head.
double MtpDrafter::cost_prior() const {
  return std::min(1.0, 2.0 / static_cast<double>(model_.config().layers) + 0.02);
}

const float* MtpDrafter::state_at(std::span<const int32_t> pages, int64_t position) const {
  if (position < 0) return nullptr;
  const int32_t page = pages[static_cast<size_t>(position / kKvPageTokens)];
  const PageState& state = states_[static_cast<size_t>(page)];
  return state.offset == position % kKvPageTokens ? state.values.data() : nullptr;
}

int64_t MtpDrafter::unread(std::span<const int32_t> tokens, std::span<const int32_t> pages) const {
  return state_at(pages, std::ssize(tokens) - 2) == nullptr ? -1 : 0;
}

void MtpDrafter::draft(std::span<DraftRequest> requests) {
  std::vector<DraftRequest*> active;
  std::vector<double> confidence;
  for (DraftRequest& request : requests) {
    if (unread(request.tokens, request.pages) < 0) continue;
    active.push_back(&request);
    confidence.push_back(1.0);
  }
  std::vector<float> previous;  // [active, dim]
  for (const DraftRequest* request : active) {
    const float* state = state_at(request->pages, std::ssize(request->tokens) - 2);
    previous.insert(previous.end(), state, state + dim_);
  }
  while (!active.empty()) {
    Batch batch;
    for (const DraftRequest* request : active) {
      const auto row = static_cast<int32_t>(batch.tokens.size());
      const int64_t position = std::ssize(request->tokens) - 1 + std::ssize(request->guesses);
      batch.sequences.push_back(
          {.first_row = row, .row_count = 1, .first_position = position, .pages = request->pages});
      batch.tokens.push_back(request->guesses.empty() ? request->tokens.back()
                                                      : request->guesses.back());
      batch.positions.push_back(static_cast<int32_t>(position));
      batch.logit_rows.push_back(row);
    }
    const auto began = std::chrono::steady_clock::now();
    const Tensor states = ops_.empty({std::ssize(active), dim_});
    std::ranges::copy(previous, states.f32());
    const StatesAndLogits made = model_.predict_further(ops_, batch, states, kv_);
    note_pass(began);
    std::vector<DraftRequest*> still;
    std::vector<double> still_confidence;
    previous.clear();
    for (size_t i = 0; i < active.size(); ++i) {
      const std::span logits(made.logits.row(static_cast<int64_t>(i)),
                             static_cast<size_t>(made.logits.dim()));
      if (!guesser_.guess(logits, *active[i], confidence[i])) continue;
      still.push_back(active[i]);
      still_confidence.push_back(confidence[i]);
      const float* state = made.states.row(static_cast<int64_t>(i));
      previous.insert(previous.end(), state, state + dim_);
    }
    active = std::move(still);
    confidence = std::move(still_confidence);
  }
}

void MtpDrafter::follow(const Batch& batch, const Tensor& states) {
  last_pass_.clear();
  last_states_ = states;
  if (states.empty()) return;
  const auto rows = std::ssize(batch.tokens);
  const Tensor previous = ops_.empty({rows, dim_});
  for (const BatchSequence& sequence : batch.sequences) {
    const int64_t first = sequence.first_row;
    // Before a row comes the row before it, or what an earlier step has left, or nothing.
    const float* state = state_at(sequence.pages, sequence.first_position - 1);
    std::copy_n(state != nullptr ? state : states.row(first), dim_, previous.row(first));
    std::copy_n(states.row(first), (sequence.row_count - 1) * dim_, previous.row(first + 1));
    const auto pages =
        sequence.pages.subspan(static_cast<size_t>(sequence.first_position / kKvPageTokens));
    last_pass_.push_back({.first_row = first,
                          .row_count = sequence.row_count,
                          .first_position = sequence.first_position,
                          .pages = {pages.begin(), pages.end()}});
  }
  Batch behind = batch;
  behind.logit_rows.clear();
  model_.predict_further(ops_, behind, previous, kv_);
}

const float* MtpDrafter::state_in_last_pass(int32_t page, int64_t position) const {
  for (const Share& share : last_pass_) {
    const int64_t row = position - share.first_position;
    if (row < 0 || row >= share.row_count) continue;
    const int64_t index = position / kKvPageTokens - share.first_position / kKvPageTokens;
    if (share.pages[static_cast<size_t>(index)] == page) {
      return last_states_.row(share.first_row + row);
    }
  }
  return nullptr;
}

void MtpDrafter::settle(std::span<const int32_t> pages, int64_t computed) {
  // Backwards from the last token, to the pages that the last pass filled.
  for (int64_t position = computed - 1; position >= 0;
       position = position / kKvPageTokens * kKvPageTokens - 1) {
    const int32_t page = pages[static_cast<size_t>(position / kKvPageTokens)];
    const float* state = state_in_last_pass(page, position);
    if (state == nullptr) return;
    PageState& kept = states_[static_cast<size_t>(page)];
    kept.offset = position % kKvPageTokens;
    kept.values.assign(state, state + dim_);
  }
}

void MtpDrafter::apply(std::span<const PageAction> actions) {
  for (const PageAction& action : actions) {
    PageState& to = states_[static_cast<size_t>(action.to)];
    to.offset = -1;
    if (action.kind != PageAction::Kind::kCopy) continue;
    const PageState& from = states_[static_cast<size_t>(action.from)];
    if (from.offset == action.tokens - 1) to = from;
  }
}

}  // namespace minke
