#include <fmt/format.h>

#include <cstdlib>

#include "kernels/kernels.h"

namespace minke {

std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> sets = {&reference_kernels()};
  if (const Kernels* avx2 = avx2_kernels()) sets.push_back(avx2);
  if (const Kernels* avx512 = avx512_kernels()) sets.push_back(avx512);
  if (const Kernels* amx = amx_kernels()) sets.push_back(amx);
  return sets;
}

Result<const Kernels*> select_kernels() {
  const std::vector<const Kernels*> sets = available_kernels();
  const char* wanted = std::getenv("MINKE_ISA");
  if (wanted == nullptr || *wanted == '\0') return sets.back();
  std::string names;
  for (const Kernels* set : sets) {
    if (std::string_view(set->name) == wanted) return set;
    names += names.empty() ? set->name : fmt::format(", {}", set->name);
  }
  return misuse(
      fmt::format("MINKE_ISA is '{}', but this processor and build have {}; unset it to "
                  "take the best",
                  wanted, names));
}

const Kernels& chosen_kernels() {
  static const Kernels& set = *select_kernels().value_or(&reference_kernels());
  return set;
}

}  // namespace minke
