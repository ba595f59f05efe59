#include "train/run/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "tasks/mixture.h"
#include "tasks/registry.h"
#include "train/number_tokenizer.h"

namespace minke {
namespace {

std::shared_ptr<const Task> read_task(const RecipeTable& table) {
  const std::string spec = table.text("task");
  if (spec.empty()) return nullptr;  // a missing key waits for finish()
  auto task = find_task(spec);
  if (task) return *std::move(task);
  table.refuse("task", task.error().message);
  return nullptr;
}

// A task, or several with their weights: task = "...", or [[stage.problems]] task and weight.
std::shared_ptr<const Task> read_problems(const RecipeTable& table) {
  if (!table.has("problems") || table.has("task")) {
    if (table.has("problems")) {
      table.refuse("problems", "a stage has a task or [[stage.problems]], not both");
    }
    return read_task(table);
  }
  std::vector<MixturePart> parts;
  double total = 0.0;
  for (const RecipeTable& part : table.tables("problems")) {
    MixturePart one = {.task = read_task(part),
                       .weight = part.number("weight", 1.0, {.min = 0.0, .max = 1e9})};
    if (one.task && one.task->size(Split::kTrain) == 0) {
      part.refuse("task", fmt::format("'{}' has no problems to train on", one.task->name()));
    }
    total += one.weight;
    if (one.task) parts.push_back(std::move(one));
  }
  if (total <= 0.0)
    table.refuse("problems", "the weights' sum is 0: there is nothing to draw from");
  if (parts.empty() || total <= 0.0) return nullptr;
  return mix_tasks(std::move(parts));
}

LearningRate read_rate(const RecipeTable& table, int64_t steps) {
  LearningRate rate;
  rate.peak = table.number("learning_rate", 1e-3, {.min = 0.0, .max = 1.0});
  rate.warmup_steps = std::min(table.integer("warmup", 0, {.min = 0}), steps);
  rate.total_steps = steps;
  const std::string decay = table.choice("decay", {"cosine", "constant", "wsd"});
  if (decay == "constant") rate.decay = Decay::kConstant;
  if (decay == "wsd") rate.decay = Decay::kWsd;
  rate.final_share = table.number("final_share", 0.1, {.min = 0.0, .max = 1.0});
  rate.decay_share = table.number("decay_share", 0.2, {.min = 0.001, .max = 1.0});
  return rate;
}

OptimiserOptions read_optimiser(const RecipeTable& table) {
  OptimiserOptions options;
  if (table.choice("kind", {"adamw", "muon"}) == "muon") options.uses_muon = is_inner_matrix;
  options.muon_momentum = table.number("momentum", 0.95, {.min = 0.0, .max = 0.9999});
  options.beta1 = table.number("beta1", 0.9, {.min = 0.0, .max = 0.9999});
  options.beta2 = table.number("beta2", 0.95, {.min = 0.0, .max = 0.999999});
  options.epsilon = table.number("epsilon", 1e-8, {.min = 1e-20, .max = 1.0});
  options.weight_decay = table.number("weight_decay", 0.0, {.min = 0.0, .max = 10.0});
  options.clip_norm = table.number("clip_norm", 1.0, {.min = 0.0});
  return options;
}

EvaluationPlan read_evaluation(const RecipeTable& table, const std::string& system) {
  EvaluationPlan plan;
  plan.task = read_task(table);
  plan.system = system;
  if (plan.task && plan.task->size(Split::kTest) == 0) {
    table.refuse("task", fmt::format("'{}' has no test problems", plan.task->name()));
  }
  plan.problems = table.integer("problems", plan.problems, {.min = 1, .max = 100'000});
  plan.samples = table.integer("samples", plan.samples, {.min = 1, .max = 1024});
  plan.tokens_max = table.integer("tokens", plan.tokens_max, {.min = 1, .max = 1 << 20});
  plan.temperature = table.number("temperature", 1.0, {.min = 0.01, .max = 5.0});
  return plan;
}

// The stages whose answers are data: they are behind and of the right kind.
void read_data_stages(const RecipeTable& data, std::span<const StagePlan> before,
                      StagePlan& stage) {
  stage.data_stages = data.texts("from_stage");
  for (const std::string& name : stage.data_stages) {
    const auto found = std::ranges::find(before, name, &StagePlan::name);
    if (found == before.end()) {
      data.refuse("from_stage", fmt::format("no stage before this one is called '{}'", name));
    } else if (found->kind != StagePlan::Kind::kReject) {
      data.refuse("from_stage",
                  fmt::format("the stage '{}' is of kind \"{}\" and keeps no answers; expected one "
                              "of kind \"reject\"",
                              name, found->kind_name()));
    }
  }
}

void read_texts(const RecipeTable& table, std::span<const StagePlan> before, StagePlan& stage) {
  stage.update_tokens = table.integer("update_tokens", 4096, {.min = 16, .max = 1 << 24});
  stage.pass_tokens = table.integer("pass_tokens", 4096, {.min = 16, .max = 1 << 20});
  for (const RecipeTable& part : table.tables("text")) {
    TextPart text;
    text.task = read_task(part);
    text.weight = part.number("weight", 1.0, {.min = 0.0});
    text.from = part.number("from", 0.0, {.min = 0.0, .max = 1.0});
    text.to = part.number("to", 1.0, {.min = 0.0, .max = 1.0});
    stage.texts.push_back(std::move(text));
  }
  const RecipeTable data = table.table("data");
  stage.data.files = data.texts("files");
  stage.data.shuffled = data.flag("shuffled", true);
  stage.data.seed = stage.seed;
  stage.data.form.text_key = data.text("text_key", stage.data.form.text_key);
  stage.data.form.prompt_key = data.text("prompt_key", stage.data.form.prompt_key);
  stage.data.form.completion_key = data.text("completion_key", stage.data.form.completion_key);
  stage.data.form.prompts_are_chat = data.flag("prompts_are_chat", false);
  read_data_stages(data, before, stage);
  const bool has_files = stage.learns_files();
  if (stage.texts.empty() && !has_files) {
    table.refuse("text",
                 fmt::format("a {} stage learns from [[stage.text]] tasks, from [stage.data] "
                             "(files, or from_stage), or from both",
                             stage.kind_name()));
  }
  if (data.has("share") && (stage.texts.empty() || !has_files)) {
    data.refuse("share",
                "is the files' part of each update beside [[stage.text]]; this stage has "
                "one of the two alone");
  } else if (has_files && !stage.texts.empty()) {
    stage.data_share = data.number("share", 0.5, {.min = 0.01, .max = 0.99});
  }
}

void read_distil(const RecipeTable& table, StagePlan& stage) {
  stage.distil.model = table.text("from");
  stage.distil.top_k = table.integer("top_k", 64, {.min = 1, .max = 4096});
  stage.distil.options.temperature = table.number("temperature", 1.0, {.min = 0.01, .max = 100.0});
  stage.distil.options.text_weight = table.number("text_weight", 0.0, {.min = 0.0, .max = 1.0});
}

// A name that is a file's in RUN/data.
void check_file_name(const RecipeTable& table, const std::string& name) {
  const bool plain = std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
  if (plain && !name.empty() && name.front() != '.') return;
  table.refuse("name",
               fmt::format("'{}' names a file; letters, digits, '-', '_' and '.' can", name));
}

void read_reject(const RecipeTable& table, StagePlan& stage) {
  stage.task = read_problems(table);
  check_file_name(table, stage.name);
  RejectPlan& reject = stage.reject;
  reject.model = table.text("from", "");
  const uint64_t size = stage.task ? stage.task->size(Split::kTrain) : Task::kEndless;
  if (size == 0) table.refuse("task", "the task has no problems to train on");
  constexpr int64_t kProblemsMax = int64_t{1} << 30;
  reject.problems = table.integer("count", size > kProblemsMax ? 1000 : static_cast<int64_t>(size),
                                  {.min = 1, .max = kProblemsMax});
  reject.problems = static_cast<int64_t>(
      std::min(static_cast<uint64_t>(reject.problems), std::max<uint64_t>(size, 1)));
  AskOptions& ask = reject.ask;
  ask.prompts = table.integer("prompts", ask.prompts, {.min = 1, .max = 65'536});
  ask.samples = table.integer("samples", ask.samples, {.min = 1, .max = 65'535});
  ask.temperature = table.number("temperature", 1.0, {.min = 0.01, .max = 5.0});
  ask.tokens_max = table.integer("tokens", ask.tokens_max, {.min = 1, .max = 1 << 20});
  ask.sequences_max = table.integer("at_once", ask.sequences_max, {.min = 1, .max = 4096});
  ask.system = stage.system;
  ask.hint = table.text("hint", "");
  ask.seed = stage.seed;
  KeepRules& keep = reject.keep;
  keep.each_max = table.integer("keep", keep.each_max, {.min = 1, .max = 65'535});
  const std::string prefer = table.choice("prefer", {"shorter", "diverse", "first"});
  if (prefer == "diverse") keep.prefer = KeepRules::Prefer::kDiverse;
  if (prefer == "first") keep.prefer = KeepRules::Prefer::kFirst;
  keep.tokens_min = table.integer("shortest", keep.tokens_min, {.min = 1, .max = 1 << 20});
  keep.tokens_max = table.integer("longest", ask.tokens_max, {.min = 1, .max = 1 << 20});
  keep.language = table.number("language", 0.0, {.min = 0.0, .max = 1.0});
  keep.as_thinking = table.choice("form", {"as_is", "thinking"}) == "thinking";
  keep.thought = table.text("thought", "");
  stage.steps = (reject.problems + ask.prompts - 1) / ask.prompts;
}

void read_grpo(const RecipeTable& table, StagePlan& stage) {
  stage.task = read_problems(table);
  auto rule = RewardRule::parse(table.text("reward", "accuracy=1"));
  if (rule) {
    stage.rule = *std::move(rule);
  } else {
    table.refuse("reward", rule.error().message);
  }
  GrpoOptions& grpo = stage.grpo;
  auto policy =
      PolicyOptions::named(table.choice("algorithm", {"dapo", "grpo", "dr_grpo", "gspo"}));
  if (policy) grpo.policy = *policy;
  grpo.policy.clip_low = table.number("clip_low", grpo.policy.clip_low, {.min = 0.0, .max = 1.0});
  grpo.policy.clip_high =
      table.number("clip_high", grpo.policy.clip_high, {.min = 0.0, .max = 100.0});
  grpo.policy.kl = table.number("kl", 0.0, {.min = 0.0, .max = 100.0});
  grpo.prompts = table.integer("prompts", grpo.prompts, {.min = 1, .max = 65'536});
  grpo.samples = table.integer("samples", grpo.samples, {.min = 2, .max = 65'535});
  grpo.temperature = table.number("temperature", 1.0, {.min = 0.01, .max = 5.0});
  grpo.tokens_max = table.integer("tokens", 256, {.min = 1, .max = 1 << 20});
  grpo.minibatches = table.integer("minibatches", 1, {.min = 1, .max = 1024});
  grpo.epochs = table.integer("epochs", 1, {.min = 1, .max = 64});
  grpo.batch_tokens = table.integer("pass_tokens", 8192, {.min = 16, .max = 1 << 20});
  grpo.sequences_max = table.integer("at_once", 256, {.min = 1, .max = 4096});
  grpo.refill_rounds = table.integer("refill_rounds", 0, {.min = 0, .max = 64});
  grpo.skip_truncated = table.flag("skip_truncated", false);
  stage.reference_every = table.integer("reference_every", 0, {.min = 0});
  grpo.system = stage.system;
  grpo.seed = stage.seed;
}

constexpr std::pair<std::string_view, StagePlan::Kind> kKinds[] = {
    {"supervised", StagePlan::Kind::kSupervised},
    {"distil", StagePlan::Kind::kDistil},
    {"grpo", StagePlan::Kind::kGrpo},
    {"reject", StagePlan::Kind::kReject}};

void read_training(const RecipeTable& table, StagePlan& stage) {
  stage.steps = table.integer("steps", {.min = 1, .max = int64_t{1} << 40});
  const RecipeTable optimiser = table.table("optimizer");
  stage.trainer.optimiser = read_optimiser(optimiser);
  stage.rate = read_rate(optimiser, std::max<int64_t>(stage.steps, 1));
  stage.trainer.mtp_weight = table.number("mtp_weight", 0.0, {.min = 0.0, .max = 10.0});
  stage.trainer.bias_speed = table.number("bias_speed", 0.0, {.min = 0.0, .max = 1.0});
  stage.trainer.balance_weight = table.number("balance_weight", 0.0, {.min = 0.0, .max = 1.0});
}

StagePlan read_stage(const RecipeTable& table, std::span<const StagePlan> before, uint64_t seed) {
  StagePlan stage;
  std::vector<std::string_view> names;
  for (const auto& [name, kind] : kKinds) names.push_back(name);
  const std::string kind = table.choice("kind", names);
  stage.kind = std::ranges::find(kKinds, std::string_view(kind),
                                 &std::pair<std::string_view, StagePlan::Kind>::first)
                   ->second;
  stage.name = table.text("name", kind);
  // What a stage keeps is named after it.
  const auto namesake = std::ranges::find(before, stage.name, &StagePlan::name);
  if (namesake != before.end() &&
      (stage.kind == StagePlan::Kind::kReject || namesake->kind == StagePlan::Kind::kReject)) {
    table.refuse("name", fmt::format("there is a stage '{}' already", stage.name));
  }
  stage.system = table.text("system", "");
  // Stages draw from streams of their own.
  stage.seed = seed * 1'000'003 + before.size();
  if (stage.kind != StagePlan::Kind::kReject) read_training(table, stage);
  switch (stage.kind) {
    case StagePlan::Kind::kDistil:
      read_distil(table, stage);
      [[fallthrough]];
    case StagePlan::Kind::kSupervised:
      read_texts(table, before, stage);
      break;
    case StagePlan::Kind::kGrpo:
      read_grpo(table, stage);
      break;
    case StagePlan::Kind::kReject:
      read_reject(table, stage);
      break;
  }
  if (table.has("evaluate")) {
    const RecipeTable evaluate = table.table("evaluate");
    stage.evaluation = read_evaluation(evaluate, stage.system);
    stage.evaluation->every = evaluate.integer("every", 0, {.min = 0});
  }
  return stage;
}

// A new model in DeepSeek V3's architecture (or dense, as llama's, without experts and latents).
NewModel read_new_model(const RecipeTable& table, const std::string& name, uint64_t seed) {
  NewModel made;
  made.name = name;
  made.seed = seed;
  ModelShape& shape = made.shape;
  const bool dense = table.choice("architecture", {"deepseek2", "llama"}) == "llama";
  shape.architecture = dense ? "llama" : "deepseek2";
  shape.name = "new";
  shape.about = "";
  shape.pre_tokenizer = "";
  const IntegerRange size = {.min = 1, .max = 1 << 20};
  shape.layers = table.integer("layers", size);
  shape.dim = table.integer("dim", size);
  shape.heads = table.integer("heads", size);
  shape.ffn_dim = table.integer("ffn_dim", size);
  shape.context_max = table.integer("context", 1024, {.min = 16, .max = 1 << 20});
  shape.rope_base = static_cast<float>(table.number("rope_base", 10'000.0, {.min = 1.0}));
  shape.norm_epsilon = 1e-6F;
  shape.tied_embeddings = table.flag("tied_embeddings", true);
  if (dense) {
    shape.kv_heads = table.integer("kv_heads", shape.heads, size);
    shape.head_dim = table.integer("head_dim", shape.dim / std::max<int64_t>(shape.heads, 1), size);
  } else {
    shape.kv_heads = 1;
    shape.latent = {.q_rank = table.integer("q_rank", 0, {.min = 0, .max = 1 << 20}),
                    .kv_rank = table.integer("kv_rank", size),
                    .nope_dim = table.integer("nope_dim", size),
                    .rope_dim = table.integer("rope_dim", size),
                    .value_dim = table.integer("value_dim", size)};
    shape.head_dim = shape.latent.kv_rank + shape.latent.rope_dim;
    RouteSpec& route = shape.mixture.route;
    route.experts = table.integer("experts", size);
    route.used = table.integer("experts_used", size);
    route.groups = table.integer("groups", 1, size);
    route.groups_used = table.integer("groups_used", 1, size);
    route.normalise = true;
    route.score = ExpertScore::kSigmoid;
    route.scale = static_cast<float>(table.number("route_scale", 2.5, {.min = 0.01, .max = 100.0}));
    shape.mixture.expert_dim = table.integer("expert_dim", size);
    shape.mixture.shared = table.integer("experts_shared", 1, {.min = 0, .max = 64});
    shape.mixture.dense_layers = table.integer("dense_layers", 1, {.min = 0, .max = 1 << 20});
    shape.mixture.has_bias = true;
    shape.mtp = table.flag("mtp", false);
  }
  made.tokenizer = number_tokenizer(table.texts("words"));
  made.chat_template = number_chat_template();
  shape.vocab_size = std::ssize(made.tokenizer.tokens);
  return made;
}

}  // namespace

std::string_view StagePlan::kind_name() const {
  return std::ranges::find(kKinds, kind, &std::pair<std::string_view, Kind>::second)->first;
}

int64_t RunPlan::steps() const {
  int64_t sum = 0;
  for (const StagePlan& stage : stages) sum += stage.steps;
  return sum;
}

Result<RunPlan> RunPlan::read(const RecipeFile& recipe) {
  const RecipeTable root = recipe.root();
  RunPlan plan;
  plan.name = root.text("name");
  if (plan.name.empty() || plan.name.starts_with('.') || plan.name.contains('/')) {
    root.refuse("name",
                "must be a name without slashes that does not begin with a dot: the run "
                "goes to runs/NAME");
  }
  plan.seed = static_cast<uint64_t>(root.integer("seed", 1, {.min = 0}));
  plan.threads = static_cast<int>(root.integer("threads", 0, {.min = 0, .max = 1024}));
  const RecipeTable model = root.table("model");
  if (model.has("from")) {
    for (const char* key : {"architecture", "layers", "dim", "heads", "words", "context"}) {
      if (!model.has(key)) continue;
      model.refuse(key,
                   "is of a new model, and `from` takes one that has its shape: one of the two");
    }
    plan.model = model.text("from");
    plan.adapter_rank = model.integer("adapter_rank", 0, {.min = 0, .max = 4096});
    plan.thinks = model.flag("thinking", false);
  } else {
    plan.made = read_new_model(model, plan.name, plan.seed);
  }
  const bool adapts = plan.adapter_rank > 0;
  const std::string compute = adapts ? model.choice("compute", {"bf16", "fp32"})
                                     : model.choice("compute", {"fp32", "bf16"});
  plan.compute = compute == "bf16" ? Compute::kBF16 : Compute::kF32;
  const std::string output = root.text("output", adapts ? "F32" : "Q8_0");
  const QuantFormat* const format = find_quant_format(output);
  if (format != nullptr && adapts && format->block_size != 1) {
    root.refuse("output",
                fmt::format("an adapter is stored in F32, F16 or BF16: its rows are too short for "
                            "blocks of {}",
                            output));
  } else if (format != nullptr) {
    plan.output = format->type;
  } else {
    root.refuse("output", fmt::format("'{}' is no format to store a model in; there are {}", output,
                                      supported_quant_names()));
  }
  const RecipeTable checkpoints = root.table("checkpoints");
  plan.checkpoint_every = checkpoints.integer("every", 100, {.min = 1});
  plan.checkpoints_kept = checkpoints.integer("keep", 2, {.min = 1, .max = 1000});
  const RecipeTable cost = root.table("cost");
  plan.price_per_hour = cost.number("per_hour", 0.0, {.min = 0.0});
  plan.watts = cost.number("watts", 0.0, {.min = 0.0});
  plan.currency = cost.text("currency", "");
  const std::vector<RecipeTable> stages = root.tables("stage");
  if (stages.empty()) root.refuse("stage", "a recipe has [[stage]]s, and this one has none");
  for (const RecipeTable& stage : stages) {
    plan.stages.push_back(read_stage(stage, plan.stages, plan.seed));
  }
  for (const RecipeTable& table : root.tables("evaluate")) {
    plan.evaluations.push_back(read_evaluation(table, table.text("system", "")));
  }
  MINKE_TRY(recipe.finish());
  return plan;
}

}  // namespace minke
