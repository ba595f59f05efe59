#include "engine/session.h"

#include <utility>

#include "engine/chat_prompt.h"

namespace minke {
namespace {

class ChatSession final : public Session {
 public:
  ChatSession(std::shared_ptr<LocalEngine> engine, Engine::SessionOptions options)
      : engine_(std::move(engine)), options_(std::move(options)), ahead_(*engine_) {
    forget();
  }

  Result<Answer> ask(std::string_view prompt, const SamplingOptions& sampling,
                     const OnPiece& on_piece, const std::stop_token& cancel) override {
    turns_.push_back({.role = "user", .content = std::string(prompt), .reasoning = {}});
    Result<Answer> answer = engine_->chat_on(turns_, {}, sampling, on_piece, timeline_, cancel);
    const bool nothing_came = !answer || (answer->finish == FinishReason::kCancelled &&
                                          answer->content.empty() && answer->reasoning.empty());
    if (nothing_came) {
      turns_.pop_back();
    } else {
      turns_.push_back(
          {.role = "assistant", .content = answer->content, .reasoning = answer->reasoning});
      ahead_.begin(turns_, sampling, timeline_);
    }
    return answer;
  }

  const std::vector<ChatTurn>& turns() const override { return turns_; }

  void forget() override {
    ahead_.end();
    turns_.clear();
    timeline_ = {};
    if (!options_.system.empty()) {
      turns_.push_back({.role = "system", .content = options_.system, .reasoning = {}});
    }
  }

 private:
  std::shared_ptr<LocalEngine> engine_;
  Engine::SessionOptions options_;
  std::vector<ChatTurn> turns_;
  ChatTimeline timeline_;
  ReadAhead ahead_;  // refers to the engine: last
};

}  // namespace

std::unique_ptr<Session> make_session(std::shared_ptr<LocalEngine> engine,
                                      Engine::SessionOptions options) {
  return std::make_unique<ChatSession>(std::move(engine), std::move(options));
}

}  // namespace minke
