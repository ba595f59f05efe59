#include "train/run/reject_stage.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <span>
#include <utility>

#include "io/file.h"

namespace minke {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Json batch_json(int64_t number, const SampledBatch& batch, double seconds, double flops) {
  Json problems = Json::array();
  for (const SampledProblem& problem : batch.problems) {
    Json answers = Json::array();
    for (const SampledAnswer& answer : problem.answers) {
      answers.push_back({{"thinking", answer.thinking},
                         {"answer", answer.answer},
                         {"tokens", answer.tokens},
                         {"closed", answer.thinking_closed},
                         {"truncated", answer.truncated},
                         {"correct", answer.correct}});
    }
    problems.push_back({{"index", problem.index}, {"answers", std::move(answers)}});
  }
  return {{"batch", number},
          {"seconds", seconds},
          {"tokens", batch.tokens},
          {"flops", flops},
          {"problems", std::move(problems)}};
}

SampledBatch batch_of(const Json& line) {
  SampledBatch batch;
  batch.tokens = line.at("tokens");
  for (const Json& one : line.at("problems")) {
    SampledProblem& problem = batch.problems.emplace_back();
    problem.index = one.at("index");
    for (const Json& answer : one.at("answers")) {
      problem.answers.push_back({.thinking = answer.at("thinking"),
                                 .answer = answer.at("answer"),
                                 .tokens = answer.at("tokens"),
                                 .thinking_closed = answer.at("closed"),
                                 .truncated = answer.at("truncated"),
                                 .correct = answer.at("correct")});
    }
  }
  return batch;
}

Json message_json(const KeptAnswer& kept, const std::string& system) {
  Json messages = Json::array();
  if (!system.empty()) messages.push_back({{"role", "system"}, {"content", system}});
  messages.push_back({{"role", "user"}, {"content", kept.prompt}});
  Json answer = {{"role", "assistant"}};
  if (!kept.thinking.empty()) answer["reasoning"] = kept.thinking;
  answer["content"] = kept.answer;
  messages.push_back(std::move(answer));
  return {{"messages", std::move(messages)}, {"problem", kept.problem}};
}

std::string line_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

fs::path stage_data_path(const fs::path& run, const std::string& stage) {
  return run / "data" / (stage + ".jsonl");
}

// All that decides what is asked and answered.
Json RejectStage::heading(const StagePlan& stage, int64_t run_step) {
  const AskOptions& ask = stage.reject.ask;
  return {{"stage", stage.name},
          {"task", stage.task->name()},
          {"model",
           stage.reject.model.empty() ? fmt::format("of step {}", run_step) : stage.reject.model},
          {"seed", ask.seed},
          {"prompts", ask.prompts},
          {"samples", ask.samples},
          {"count", stage.reject.problems},
          {"tokens", ask.tokens_max},
          {"temperature", ask.temperature},
          {"system", ask.system},
          {"hint", ask.hint}};
}

// Nothing where the line is not that batch's, whole.
std::optional<RejectStage::Batch> RejectStage::read_batch(const std::string& line, int64_t number) {
  try {
    const Json entry = Json::parse(line);
    if (entry.at("batch") != number) return std::nullopt;
    return Batch{
        .sampled = batch_of(entry), .seconds = entry.at("seconds"), .flops = entry.at("flops")};
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

Result<RejectStage> RejectStage::open(const fs::path& run, const StagePlan& stage,
                                      int64_t run_step) {
  const fs::path folder = run / "data";
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return fail(fmt::format("cannot make {}: {}", folder.string(), error.message()));
  const std::string path = (folder / (stage.name + ".samples.jsonl")).string();
  const Json expected = heading(stage, run_step);
  std::vector<Batch> batches;
  bool is_known = false;
  {
    std::ifstream file(path);
    std::string line;
    is_known = std::getline(file, line) && line + "\n" == line_of(expected);
    while (is_known && std::getline(file, line)) {
      std::optional<Batch> batch = read_batch(line, std::ssize(batches));
      if (!batch) break;
      batches.push_back(*std::move(batch));
    }
  }
  // What is half written is cut off; of another question nothing stays.
  if (!is_known) fs::remove(path, error);
  MINKE_ASSIGN(RunLog log, RunLog::open(path, INT64_MAX));
  if (!is_known) MINKE_TRY(log.append(expected));
  RejectStage made(run, stage, std::move(log));
  made.batches_ = std::move(batches);
  return made;
}

Result<std::optional<RejectStage::Step>> RejectStage::step(
    int64_t number, const Source* source, const std::function<bool()>& is_stopped) {
  Batch asked;
  if (!knows(number)) {
    CHECK(source != nullptr);
    const auto begin = std::chrono::steady_clock::now();
    AskOptions ask = stage_.reject.ask;
    ask.is_stopped = is_stopped;
    MINKE_ASSIGN(asked.sampled, sample_answers(source->model, source->ops, source->text,
                                               *stage_.task, ask, number, stage_.reject.problems));
    if (asked.sampled.problems.empty()) return std::nullopt;
    asked.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    asked.flops = forward_work(source->model.config()).of(asked.sampled.passes);
    const Json line = batch_json(number, asked.sampled, asked.seconds, asked.flops);
    MINKE_TRY(log_.append(line));
    // What is remembered is what was read: a text that is no UTF-8 is another one in a file.
    asked.sampled = batch_of(Json::parse(line_of(line)));
  }
  const Batch& batch = knows(number) ? batches_[static_cast<size_t>(number)] : asked;
  Step step = {.tokens = batch.sampled.tokens,
               .flops = batch.flops,
               .seconds = batch.seconds,
               .samples = {}};
  constexpr size_t kShown = 4;
  for (const SampledProblem& problem : batch.sampled.problems) {
    bool solved = false;
    for (const SampledAnswer& answer : problem.answers) {
      ++step.answers;
      step.right += answer.correct ? 1.0 : 0.0;
      step.truncated += answer.truncated ? 1.0 : 0.0;
      solved |= answer.correct;
    }
    step.solved += solved ? 1.0 / static_cast<double>(batch.sampled.problems.size()) : 0.0;
    std::vector<KeptAnswer> kept = filter_.choose(problem);
    if (!kept.empty() && step.samples.size() < kShown) {
      const KeptAnswer& one = kept.front();
      step.samples.push_back(
          {.prompt = one.prompt,
           .text = one.thinking.empty()
                       ? one.answer
                       : fmt::format("<think>\n{}\n</think>\n\n{}", one.thinking, one.answer),
           .reward = 1.0,
           .correct = true});
    }
    std::ranges::move(kept, std::back_inserter(kept_));
  }
  const auto answers = static_cast<double>(std::max<int64_t>(step.answers, 1));
  step.right /= answers;
  step.truncated /= answers;
  step.tokens_mean = static_cast<double>(step.tokens) / answers;
  step.kept = std::ssize(kept_);
  return step;
}

Status RejectStage::finish() {
  const AnswerFilter::Counts& counts = filter_.counts();
  if (kept_.empty()) {
    return fail(fmt::format(
        "stage '{}': nothing is left of {} answers to learn from: {} were right, and of these {} "
        "too short or too long, {} in another language, {} without a way that leads to a final "
        "answer, {} said before. A task that the model can do, more samples, more tokens or looser "
        "rules are the way out; {}.samples.jsonl has the answers",
        stage_.name, counts.answers, counts.right, counts.of_wrong_length, counts.of_other_language,
        counts.without_a_way, counts.twice, stage_.name));
  }
  MINKE_ASSIGN(OutputFile file, OutputFile::create(stage_data_path(run_, stage_.name).string()));
  for (const KeptAnswer& kept : kept_) {
    const std::string line = line_of(message_json(kept, stage_.reject.ask.system));
    MINKE_TRY(file.write(std::as_bytes(std::span(line))));
  }
  return file.commit();
}

}  // namespace minke
