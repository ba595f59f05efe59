// A model for tests that is a function of its whole history and cheats nowhere: it finds the tokens
// before a row only by reading the pages that the scheduler gave it, so a wrong page, a missing
// copy, a skipped token or a stale guess shows in its logits. Not part of the library.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "core/check.h"
#include "engine/loop.h"

namespace minke {

class FakeModel {
 public:
  static constexpr int32_t kVocab = 61;
  static constexpr int32_t kEnd = 0;

  // Peaked at the token 11 places back, so that look-up often guesses right; otherwise noise that
  // depends on every token before.
  static void logits(std::span<const int32_t> history, std::span<float> out) {
    uint64_t hash = 1469598103934665603u;
    for (const int32_t token : history) {
      hash = (hash ^ static_cast<uint64_t>(token + 1)) * 1099511628211u;
    }
    for (int32_t token = 0; token < kVocab; ++token) {
      uint64_t x = hash + static_cast<uint64_t>(token) * 0x9e3779b97f4a7c15u;
      x = (x ^ (x >> 31)) * 0xd6e8feb86659fd93u;
      x ^= x >> 29;
      out[static_cast<size_t>(token)] = static_cast<float>(x & 0xffff) / 16384.0F;
    }
    out[kEnd] -= 2.5F;
    if (history.size() >= 11) {
      out[static_cast<size_t>(history[history.size() - 11])] += 4.0F;
    }
  }
};

class FakeRunner final : public StepRunner {
 public:
  explicit FakeRunner(int32_t pages) : pages_(static_cast<size_t>(pages)) {
    for (auto& page : pages_) page.fill(kPoison);
  }

  void apply(std::span<const PageAction> actions) override {
    for (const PageAction& action : actions) {
      auto& to = pages_.at(static_cast<size_t>(action.to));
      if (action.kind == PageAction::Kind::kCopy) {
        to = pages_.at(static_cast<size_t>(action.from));
      } else {
        to.fill(kCleared);
      }
    }
  }

  // Of each row its token and the sum of the tokens up to it, as the pages have them.
  Result<std::span<const float>> states(const Batch& batch) override {
    ++steps_begun;
    if (fails) return fail("the fake model fails");
    write(batch);
    states_.clear();
    wait_out(batch);
    if (batch.is_abandoned()) {
      forget(batch);
      return std::span<const float>();
    }
    for (const BatchSequence& sequence : batch.sequences) {
      float sum = 0;
      const int64_t end = sequence.first_position + sequence.row_count;
      for (int64_t position = 0; position < end; ++position) {
        const int32_t token = at(sequence, position);
        CHECK_GE(token, 0);
        sum += static_cast<float>(token);
        if (position < sequence.first_position) continue;
        states_.push_back(static_cast<float>(token));
        states_.push_back(sum);
      }
    }
    return std::span<const float>(states_);
  }
  size_t page_bytes() const override { return sizeof(pages_.front()); }
  void read_page(int32_t page, std::span<std::byte> bytes) override {
    std::memcpy(bytes.data(), pages_.at(static_cast<size_t>(page)).data(), bytes.size());
  }
  void write_page(int32_t page, std::span<const std::byte> bytes) override {
    std::memcpy(pages_.at(static_cast<size_t>(page)).data(), bytes.data(), bytes.size());
  }

  Result<std::span<float>> run(const Batch& batch) override {
    ++steps_begun;
    if (fails) return fail("the fake model fails");
    write(batch);
    wait_out(batch);
    if (batch.is_abandoned()) {
      forget(batch);
      return std::span<float>();
    }
    logits_.assign(batch.logit_rows.size() * FakeModel::kVocab, 0.0F);
    size_t next = 0;
    for (const BatchSequence& sequence : batch.sequences) {
      std::vector<int32_t> history;
      const int64_t end = sequence.first_position + sequence.row_count;
      for (int64_t position = 0; position < end; ++position) {
        history.push_back(at(sequence, position));
        CHECK_GE(history.back(), 0);  // never written, or cleared
        if (position < sequence.first_position || next == batch.logit_rows.size()) continue;
        const int64_t row = sequence.first_row + position - sequence.first_position;
        if (row != batch.logit_rows[next]) continue;
        FakeModel::logits(history,
                          std::span(logits_).subspan(next * FakeModel::kVocab, FakeModel::kVocab));
        ++next;
      }
    }
    CHECK_EQ(next, batch.logit_rows.size());
    rows_max = std::max(rows_max, batch.tokens.size());
    return std::span<float>(logits_);
  }

  void wait_for_step(int number) const {
    while (steps_begun < number) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  size_t rows_max = 0;
  std::atomic<bool> fails = false;
  std::atomic<int> steps_begun = 0;
  std::chrono::microseconds step_time{0};

 private:
  static constexpr int32_t kPoison = -7;
  static constexpr int32_t kCleared = -1;

  int32_t& at(const BatchSequence& sequence, int64_t position) {
    const int32_t page = sequence.pages[static_cast<size_t>(position / kKvPageTokens)];
    return pages_.at(static_cast<size_t>(page))[static_cast<size_t>(position % kKvPageTokens)];
  }

  void wait_out(const Batch& batch) const {
    const auto step_end = std::chrono::steady_clock::now() + step_time;
    while (!batch.is_abandoned() && std::chrono::steady_clock::now() < step_end) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }

  // What an abandoned step leaves behind must never be read.
  void forget(const Batch& batch) {
    for (const BatchSequence& sequence : batch.sequences) {
      for (int64_t i = 0; i < sequence.row_count; ++i) {
        at(sequence, sequence.first_position + i) = kPoison;
      }
    }
  }

  void write(const Batch& batch) {
    std::map<int32_t, const BatchSequence*> writers;
    for (const BatchSequence& sequence : batch.sequences) {
      for (int64_t i = 0; i < sequence.row_count; ++i) {
        const int64_t position = sequence.first_position + i;
        const auto row = static_cast<size_t>(sequence.first_row + i);
        CHECK_EQ(batch.positions[row], position);
        at(sequence, position) = batch.tokens[row];
        writers[sequence.pages[static_cast<size_t>(position / kKvPageTokens)]] = &sequence;
      }
    }
    for (const BatchSequence& sequence : batch.sequences) {
      for (const int32_t page : sequence.pages) {
        const auto writer = writers.find(page);
        CHECK(writer == writers.end() || writer->second == &sequence);
      }
    }
  }

  std::vector<std::array<int32_t, kKvPageTokens>> pages_;
  std::vector<float> logits_;
  std::vector<float> states_;
};

// What a request must give, computed the plain way: one token after the other, nothing shared.
inline std::vector<int32_t> plain_answer(std::vector<int32_t> tokens,
                                         const SamplingOptions& sampling, int64_t context_tokens) {
  Sampler sampler;
  std::vector<int32_t> answer;
  std::vector<float> logits(FakeModel::kVocab);
  const SamplerOptions options = SamplerOptions::from(sampling, sampling.seed.value_or(0));
  while (std::ssize(tokens) < context_tokens &&
         (sampling.tokens_max < 0 || std::ssize(answer) < sampling.tokens_max)) {
    FakeModel::logits(tokens, logits);
    const int32_t token = sampler.sample(logits, tokens, options).value();
    answer.push_back(token);
    tokens.push_back(token);
    if (token == FakeModel::kEnd) break;
  }
  return answer;
}

}  // namespace minke
