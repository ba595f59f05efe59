#include "train/teacher.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "models/registry.h"

namespace minke {

Result<Teacher> Teacher::load(const std::string& path, Ops& ops) {
  MINKE_ASSIGN(GgufFile opened, GgufFile::open(path));
  auto file = std::make_unique<GgufFile>(std::move(opened));
  MINKE_ASSIGN(std::unique_ptr<Model> model, load_model(*file, ops, {}, {}));
  MINKE_ASSIGN(ChatText text, ChatText::load(*file));
  return Teacher(std::move(file), std::move(model), std::move(text));
}

Status Teacher::check_vocabulary(const ChatText& student) const {
  const Tokenizer& own = text_.tokenizer();
  const Tokenizer& other = student.tokenizer();
  const int32_t shared = std::min(own.vocab_size(), other.vocab_size());
  for (int32_t id = 0; id < shared; ++id) {
    const std::string_view mine = own.piece(id, /*show_control=*/true);
    const std::string_view theirs = other.piece(id, /*show_control=*/true);
    if (mine == theirs) continue;
    return misuse(
        fmt::format("the teacher {} and the student have other vocabularies: token {} is '{}' to "
                    "the one and '{}' to the other. Likelihoods can be learnt only from a model of "
                    "the same family; answers from any: a stage of kind \"reject\" with from",
                    file_->path(), id, mine, theirs));
  }
  return {};
}

Result<TeacherRows> Teacher::likeliest(const BackwardContext& context, const TrainBatch& batch,
                                       int64_t top_k, double temperature, int64_t vocab_size) {
  const auto pages = static_cast<int32_t>(batch.pages.size());
  if (!kv_ || kv_->pages() < pages) {
    kv_.reset();  // before the larger one is there
    MINKE_ASSIGN(kv_, KvStore::create(model_->kv_spec(KvDtype::kBF16), pages));
  }
  const Tensor logits = model_->forward(context.ops, batch.batch, *kv_);
  return likeliest_tokens(context, logits, top_k, temperature, std::min(vocab_size, logits.dim()));
}

}  // namespace minke
