#include "server/chat/effort.h"

#include <algorithm>
#include <array>

#include "core/check.h"

namespace minke::server {

std::span<const Effort> efforts() {
  static constexpr std::array<Effort, 7> kEfforts = {{{.name = "none", .thinks = false},
                                                      {.name = "minimal", .think_budget = 256},
                                                      {.name = "low", .think_budget = 1024},
                                                      {.name = "medium", .think_budget = 8192},
                                                      {.name = "high"},
                                                      {.name = "xhigh", .is_synonym = true},
                                                      {.name = "max", .is_synonym = true}}};
  return kEfforts;
}

Shape effort_shape() {
  std::vector<std::string> names;
  for (const Effort& one : efforts()) names.emplace_back(one.name);
  return Shape::choice(std::move(names));
}

void read_effort(std::string_view name, SamplingWish& wish) {
  const auto effort = std::ranges::find(efforts(), name, &Effort::name);
  CHECK(effort != efforts().end());
  if (!effort->thinks) wish.think = false;
  if (!wish.think_budget) wish.think_budget = effort->think_budget;
}

}  // namespace minke::server
