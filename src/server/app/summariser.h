// A summary of what was said, in place of an answer: asked for at once where the conversation fits
// the model's context, with room for the summary. One that has outgrown the context is read passage
// by passage, each summarised together with the summary of those before it.
//
// Any thread. Whatever it waits for keeps it alive.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "server/app/prompt.h"
#include "server/chat/chat_service.h"

namespace minke::server {

class Summariser final : public Asking,
                         public AnswerSink,
                         public std::enable_shared_from_this<Summariser> {
 public:
  // `ask` is what an answer behind the same branch would be asked with, and `told` the branch. The
  // sink hears of the reading of all, and of the last summary alone.
  static std::shared_ptr<Asking> begin(ChatService& chat, Ask ask, Told told,
                                       std::shared_ptr<AnswerSink> sink);
  Summariser(ChatService& chat, Ask ask, Told told, std::shared_ptr<AnswerSink> sink);

  void cancel() override;

  void on_refused(const ApiError& error) override;
  void on_prepared(const Prepared& prepared) override;
  void on_waiting(int64_t index, int64_t position) override;
  void on_reading(int64_t index, int64_t tokens) override;
  void on_token(int64_t index, const TokenEvent& event) override;
  void on_piece(int64_t index, const Piece& piece) override;
  void on_answer(int64_t index, std::expected<Answer, ApiError> answer) override;

 private:
  struct Passage {
    std::string text;
    int64_t tokens = 0;
  };

  void counted(const Counted& counted);
  // Cuts the conversation into passages, each of which fits beside a summary as long as may be.
  void divide(const LocalEngine& engine);
  void add_passage(const LocalEngine& engine, std::string text);
  void keep(std::string summary);
  void ask_next();
  void start(Ask ask);
  Ask question(std::string text) const;
  void end(std::expected<Answer, ApiError> answer);

  ChatService& chat_;
  const std::shared_ptr<AnswerSink> sink_;
  Ask ask_;
  Told told_;

  // One step follows another, each on the thread that ended the one before.
  std::vector<Passage> passages_;  // empty: all of it is asked at once
  size_t next_ = 0;                // the first passage that was not asked yet
  bool is_last_ = false;           // what is asked gives the summary
  std::string summary_;            // of the passages before
  int64_t summary_tokens_ = 0;
  int64_t summary_tokens_max_ = 0;
  int64_t room_ = 0;          // tokens of context for passages and the summary before them
  int64_t passage_max_ = 0;   // tokens
  int64_t tokens_ = 0;        // of all passages
  int64_t tokens_done_ = 0;   // of those that are summarised
  int64_t tokens_asked_ = 0;  // of those that are asked
  int64_t prompt_tokens_ = 0;

  std::mutex mutex_;  // for what follows
  std::shared_ptr<Asking> asking_;
  uint64_t round_ = 0;
  bool is_cancelled_ = false;
};

}  // namespace minke::server
