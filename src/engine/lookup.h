// Speculation by look-up: guesses the next tokens of a sequence from an earlier place in it that
// ends like its end. Answers that quote their prompt (an edited file, a summary, code) are guessed
// well, and a forward pass of a few rows costs about what one of a single row costs; a wrong guess
// costs little and changes nothing, because each guess is checked against what is sampled anyway.
//
// It says how likely its guesses are, from how they fared so far; how far to guess is a question of
// cost (step_cost.h).
//
// Not thread-safe: owned by the engine's thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace minke {

class LookupDrafter {
 public:
  static constexpr int kDraftMax = 15;

  // Tells the drafter all tokens of the sequence; those it knows already are not read again.
  void extend(std::span<const int32_t> tokens);

  // Guesses of a kind have matches of about the same length, and fare alike.
  enum class Kind : uint8_t {
    kNone,
    kReplaced,
    kMatch1,
    kMatch2,
    kMatch3,
    kMatch4,
    kMatch8,
    kMatch16
  };
  struct Guess {
    Kind kind = Kind::kNone;
    int64_t source = 0;     // the guess repeats the sequence from here
    int64_t distance = 0;   // from the source to the sequence's end
    double acceptance = 0;  // chance of each further token, given the one before was right
  };
  // The best place to copy from, if there is one.
  Guess look_up(std::span<const int32_t> tokens) const;
  // The guess's first `count` tokens. It may run into its own beginning: repetition repeats.
  static void copy(std::span<const int32_t> tokens, const Guess& guess, int64_t count,
                   std::vector<int32_t>& out);
  // How a guess fared: `accepted` of `drafted` tokens were sampled, too.
  void observe(const Guess& guess, int64_t drafted, int64_t accepted);
  // A guess was not worth trying. Its kind is slowly forgiven, so that it is tried again.
  void skipped(const Guess& guess);

 private:
  static constexpr int kKinds = 8;
  static const std::array<double, kKinds> kPrior;

  struct Slot {
    uint64_t key = 0;  // 0: free
    int32_t end = 0;   // the n-gram's latest occurrence ends before this index
  };
  Slot& slot(uint64_t key);
  int32_t find(uint64_t key) const;
  void insert(uint64_t key, int32_t end);
  void rehash();

  std::vector<Slot> slots_;  // open addressing; a power of two
  size_t used_ = 0;
  std::vector<int32_t> previous_;  // of the 3-gram that ends before i: where it ended before, or 0
  size_t indexed_ = 0;             // n-grams that end before an index below this are known
  std::array<double, kKinds> acceptance_ = kPrior;
  int64_t distance_ = 0;  // of the last guess
};

}  // namespace minke
