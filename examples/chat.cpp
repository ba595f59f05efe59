// A chat in the terminal, on minke's public API:  example_chat MODEL.gguf [SYSTEM PROMPT]
//
// Reasoning is shown dim; statistics follow each answer. An empty line or Ctrl-D ends it.
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <string>

#include "minke/engine.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s MODEL.gguf [SYSTEM PROMPT]\n", argv[0]);
    return 2;
  }
  minke::EngineOptions options;
  options.model = argv[1];
  const bool person_looks = isatty(STDERR_FILENO) == 1;
  if (person_looks) {
    options.progress = [](std::string_view what, double fraction) {
      std::fprintf(stderr, "\r%.*s %3.0f%%", static_cast<int>(what.size()), what.data(),
                   100 * fraction);
    };
  }
  const auto engine = minke::Engine::load(std::move(options));
  if (person_looks) std::fprintf(stderr, "\n");
  if (!engine) {
    std::fprintf(stderr, "%s\n", engine.error().message.c_str());
    return 1;
  }
  const auto session = (*engine)->new_session({.system = argc > 2 ? argv[2] : ""});
  const minke::SamplingOptions sampling = (*engine)->default_sampling();

  std::string line;
  while (std::cout << "> " << std::flush && std::getline(std::cin, line) && !line.empty()) {
    const auto answer = session->ask(line, sampling, [](const minke::Piece& piece) {
      const bool dim = piece.kind == minke::PieceKind::kReasoning;
      std::cout << (dim ? "\033[2m" : "") << piece.text << (dim ? "\033[0m" : "") << std::flush;
      return true;  // false would end the answer here
    });
    if (!answer) {
      std::fprintf(stderr, "%s\n", answer.error().message.c_str());
      continue;
    }
    const minke::Usage& usage = answer->usage;
    std::printf("\n");
    std::fprintf(stderr, "[%lld tokens, %.1f a second; prompt %lld, of which %lld cached; %s]\n",
                 static_cast<long long>(usage.answer_tokens),
                 static_cast<double>(usage.answer_tokens - 1) / (usage.answer_seconds + 1e-9),
                 static_cast<long long>(usage.prompt_tokens),
                 static_cast<long long>(usage.cached_tokens),
                 minke::finish_reason_name(answer->finish));
  }
  return 0;
}
