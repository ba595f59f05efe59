// A model that another one learns from: its answers, and what it thought likely at each token.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/result.h"
#include "models/model.h"
#include "train/chat_text.h"
#include "train/loss.h"
#include "train/trainer.h"

namespace minke {

// The model as it is served, from its file, whatever the formats of its weights. Owns what it has;
// the Ops outlives it. One thread.
class Teacher {
 public:
  static Result<Teacher> load(const std::string& path, Ops& ops);

  Model& model() { return *model_; }
  const ChatText& text() const { return text_; }

  // Fails unless the student reads the same pieces under the same ids. Either may have more of them
  // behind (some families pad their tables): those are no tokens of a text.
  Status check_vocabulary(const ChatText& student) const;
  // The likeliest tokens of each row of `batch` that has a target, among those that both know.
  Result<TeacherRows> likeliest(const BackwardContext& context, const TrainBatch& batch,
                                int64_t top_k, double temperature, int64_t vocab_size);

 private:
  Teacher(std::unique_ptr<GgufFile> file, std::unique_ptr<Model> model, ChatText text)
      : file_(std::move(file)), model_(std::move(model)), text_(std::move(text)) {}

  std::unique_ptr<GgufFile> file_;  // the model may point into it
  std::unique_ptr<Model> model_;
  ChatText text_;
  std::optional<KvStore> kv_;  // reused from batch to batch
};

}  // namespace minke
