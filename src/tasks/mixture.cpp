#include "tasks/mixture.h"

#include <numeric>
#include <string>
#include <utility>

#include "core/check.h"
#include "core/random.h"

namespace minke {

namespace {

constexpr uint64_t kPartStream = 0x6d697874;

class TaskMixture : public Task {
 public:
  explicit TaskMixture(std::vector<MixturePart> parts) : parts_(std::move(parts)) {
    for (const MixturePart& part : parts_) {
      total_ += part.weight;
      name_ += name_.empty() ? "" : " + ";
      name_ += part.task->name();
    }
    CHECK_GT(total_, 0.0);
  }

  std::string_view name() const override { return name_; }
  uint64_t size(Split split) const override {
    for (const MixturePart& part : parts_) {
      if (part.weight > 0.0 && part.task->size(split) > 0) return kEndless;
    }
    return 0;
  }
  Problem problem(Split split, uint64_t index) const override {
    const MixturePart& part = draw(split, index);
    return part.task->problem(split, place_in(part.task->size(split), index));
  }
  Verdict check(const Problem& problem, std::string_view answer) const override {
    return part_of(problem).check(problem, answer);
  }
  Result<SolvedProblem> solve(const Problem& problem, uint64_t seed) const override {
    return part_of(problem).solve(problem, seed);
  }

 private:
  // Of the parts that have problems in this split.
  const MixturePart& draw(Split split, uint64_t index) const {
    double total = 0.0;
    const auto weight_of = [&](const MixturePart& part) {
      return part.task->size(split) > 0 ? part.weight : 0.0;
    };
    for (const MixturePart& part : parts_) total += weight_of(part);
    double left = uniform(0, kPartStream, index) * total;
    const MixturePart* last = nullptr;
    for (const MixturePart& part : parts_) {
      const double weight = weight_of(part);
      if (weight <= 0.0) continue;
      last = &part;
      if (left < weight) break;
      left -= weight;
    }
    CHECK(last != nullptr);
    return *last;
  }

  static uint64_t place_in(uint64_t size, uint64_t index) {
    if (size == kEndless) return index;
    // A walk with a stride that shares no factor with the size meets each once a round.
    uint64_t stride = size / 2 + size / 8 + 1;
    while (std::gcd(stride, size) != 1) ++stride;
    CHECK_LE(size, uint64_t{UINT32_MAX});  // of a file in memory
    return index % size * stride % size;
  }

  // By the beginning of its id, which is its task's name: of several that fit, the longest.
  const Task& part_of(const Problem& problem) const {
    const Task* found = nullptr;
    for (const MixturePart& part : parts_) {
      const std::string begin = std::string(part.task->name()) + "/";
      if (!problem.id.starts_with(begin)) continue;
      if (found == nullptr || part.task->name().size() > found->name().size()) {
        found = part.task.get();
      }
    }
    CHECK(found != nullptr);
    return *found;
  }

  std::vector<MixturePart> parts_;
  double total_ = 0.0;
  std::string name_;
};

}  // namespace

std::shared_ptr<const Task> mix_tasks(std::vector<MixturePart> parts) {
  if (parts.size() == 1) return std::move(parts.front().task);
  return std::make_shared<TaskMixture>(std::move(parts));
}

}  // namespace minke
