#include "engine/engine_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <utility>

#include "core/system_limits.h"
#include "engine/model_drafter.h"
#include "engine/model_fingerprint.h"
#include "engine/model_runner.h"
#include "engine/mtp_drafter.h"
#include "engine/recommended_sampling.h"
#include "models/gguf_tokenizer.h"
#include "models/hf_folder.h"
#include "models/registry.h"
#include "ops/cpu_ops.h"
#include "ops/cuda_ops.h"

namespace minke {

std::unexpected<Error> without_template(const std::string& model, Error fault) {
  fault.message =
      fmt::format("{}: {} (`minke run --raw` does without a template)", model, fault.message);
  return std::unexpected(std::move(fault));
}

namespace {

constexpr int64_t kPrefillChunkMax = 16'384;
constexpr int64_t kSequencesMax = 1024;
constexpr int kThreadsMax = 1024;
constexpr int64_t kLogitRowsMax = 64;
constexpr int64_t kDraftTokensMax = 32;

Status check_options(const EngineOptions& options) {
  const auto range = [](const char* name, int64_t value, int64_t low, int64_t high) -> Status {
    if (value >= low && value <= high) return {};
    return misuse(fmt::format("{} must be in [{}, {}], got {}", name, low, high, value));
  };
  MINKE_TRY(range("threads (--threads)", options.threads, 0, kThreadsMax));
  MINKE_TRY(range("prefill_chunk (--prefill-chunk)", options.prefill_chunk, 1, kPrefillChunkMax));
  MINKE_TRY(range("batch_sequences_max", options.batch_sequences_max, 1, kSequencesMax));
  MINKE_TRY(range("draft_tokens (--draft-tokens)", options.draft_tokens, -1, kDraftTokensMax));
  if (options.device == Device::kCuda && options.kv == KvFormat::kQ8) {
    return misuse("the GPU keeps its cache in bf16 only: leave out --kv q8, or take --device cpu");
  }
  if (options.context_tokens < 0) {
    return misuse(
        fmt::format("the context (--ctx) must be at least 1 token, or 0 for the model's "
                    "own, got {}",
                    options.context_tokens));
  }
  return {};
}

// A latent is small and kept in bf16 only (check_model).
KvDtype kv_dtype(const EngineOptions& options, const ModelConfig& config) {
  return options.kv == KvFormat::kQ8 && config.latent.kv_rank == 0 ? KvDtype::kQ8 : KvDtype::kBF16;
}

uint64_t page_bytes(const EngineOptions& options, const ModelConfig& config) {
  return make_model(config)->kv_spec(kv_dtype(options, config)).page_bytes() +
         MtpDrafter::page_bytes(config);
}

// What a step of `rows` rows holds at its widest place, and its logits. An estimate: a
// prompt's rows are counted once for each of the widest tensors that live together.
uint64_t activation_bytes(const ModelConfig& config, const EngineOptions& options) {
  const int64_t heads = config.head_dim * (config.heads + 2 * config.kv_heads);
  const MixtureConfig& m = config.mixture;
  const int64_t mixture = m.route.used * (2 * config.dim + 4 * m.expert_dim);
  const int64_t row_floats = 6 * config.dim + std::max(3 * config.ffn_dim, mixture) + 3 * heads;
  const int64_t rows = options.prefill_chunk + options.batch_sequences_max;
  const int64_t logit_rows = std::max(kLogitRowsMax, options.batch_sequences_max);
  constexpr uint64_t kTables = uint64_t{48} << 20;  // tokenizer, scratch of samplers, threads
  return static_cast<uint64_t>(rows * row_floats + logit_rows * config.vocab_size) * sizeof(float) +
         kTables;
}

// What the file says of text: tokenizer, chat template, sampling.
Status read_text_side(EngineParts& parts, const ModelConfig& config) {
  MINKE_ASSIGN(parts.tokenizer, load_tokenizer(*parts.file));
  if (parts.tokenizer->vocab_size() > config.vocab_size) {
    return fail(
        fmt::format("{}: the tokenizer has {} tokens and the model {}: they do not belong "
                    "together",
                    parts.options.model, parts.tokenizer->vocab_size(), config.vocab_size));
  }
  // A template that does not parse spoils chats, and only them.
  MINKE_ASSIGN(const std::string_view source,
               parts.file->text_or("tokenizer.chat_template", std::string_view()));
  // What the caller gives comes first, then the adapter's: it was trained to answer that.
  std::string chosen = parts.options.chat_template;
  if (chosen.empty() && !parts.options.adapter.empty()) {
    MINKE_ASSIGN(const GgufFile adapter, GgufFile::open(parts.options.adapter));
    MINKE_ASSIGN(chosen, adapter.text_or("tokenizer.chat_template", std::string_view()));
  }
  if (chosen.empty()) chosen = source;
  if (!chosen.empty()) parts.chat_template = ChatTemplate::parse(std::move(chosen));
  if (!parts.chat_template) {
    parts.chat_template =
        without_template(parts.options.model, std::move(parts.chat_template).error());
  }
  MINKE_ASSIGN(RecommendedSampling sampling, recommended_sampling(*parts.file));
  parts.sampling = std::move(sampling.options);
  return {};
}

// What this model cannot do of what was asked for.
Status check_model(const EngineOptions& options, const ModelConfig& config) {
  if (options.kv == KvFormat::kQ8 && config.latent.kv_rank > 0) {
    return misuse(
        fmt::format("a model of architecture '{}' keeps one small latent a token, in bf16 "
                    "only: leave out --kv q8",
                    config.architecture));
  }
  return {};
}

// What is to lie in memory. Where all weights do not fit and some are experts, those that the plan
// has no room for stay in the file, if they may.
Status plan(EngineParts& parts, const ModelConfig& config, const PackedSize& size,
            uint64_t available, bool may_stream = false) {
  uint64_t pages = page_bytes(parts.options, config);
  uint64_t activations = activation_bytes(config, parts.options);
  if (const DraftParts& draft = parts.draft; draft.file != nullptr) {
    pages += page_bytes(parts.options, draft.config);
    activations = std::max(activations, activation_bytes(draft.config, parts.options));
  }
  MemoryDemand demand = {.budget = parts.options.memory_bytes,
                         .available = available,
                         .weights = size.all(),
                         .activations = activations,
                         .kv_page_bytes = pages,
                         .context_tokens = parts.options.context_tokens,
                         .context_max = config.context_max,
                         .cache_tokens = parts.options.cache_tokens};
  parts.memory = {};
  Result<MemoryPlan> whole = plan_memory(demand);
  // Safetensors hold experts in another form, and a GPU has no file.
  const bool streams =
      may_stream && size.experts > 0 && !parts.file->is_assembled() && parts.device_name.empty();
  if (!whole && streams && whole.error().kind == ErrorKind::kFailure) {
    demand.weights = size.resident;
    demand.activations += ExpertStore::scratch_bytes(size.piece_bytes);
    const StreamDemand partly = {.fixed = demand,
                                 .expert_bytes = size.expert_bytes,
                                 .experts_least = 2 * config.mixture.route.used,
                                 .experts_count = size.experts_count};
    MINKE_ASSIGN(const StreamPlan plan, plan_streaming(partly));
    whole = plan.memory;
    parts.memory = {.expert_cache = static_cast<uint64_t>(plan.experts) * size.expert_bytes,
                    .experts_cached = plan.experts,
                    .experts = size.experts_count};
  }
  if (!whole && may_stream && size.experts > 0 && parts.file->is_assembled() &&
      whole.error().kind == ErrorKind::kFailure) {
    whole.error().message += fmt::format(
        "; the experts of a folder cannot stay on the disk, those of a file can: `minke quantize "
        "{} OUT.gguf --type MOE_Q4_K` makes one",
        parts.file->path());
  }
  MINKE_ASSIGN(parts.plan, std::move(whole));
  parts.memory.budget = parts.plan.budget;
  parts.memory.weights = demand.weights;
  parts.memory.kv_cache = pages * static_cast<uint64_t>(parts.plan.kv_pages);
  parts.memory.activations = demand.activations;
  parts.memory.kv_cache_tokens = int64_t{parts.plan.kv_pages} * kKvPageTokens;
  parts.memory.kv_token_bytes = pages / kKvPageTokens;
  return {};
}

// The Ops that the options ask for; returns the memory that is free where it computes.
Result<uint64_t> open_device(EngineParts& parts, const ModelConfig& config) {
  const EngineOptions& options = parts.options;
  // `auto` takes the processor for what the GPU lacks; when the GPU was asked for, load_model()
  // says what that is.
  const bool wanted = options.device == Device::kCuda ||
                      (options.device == Device::kAuto && !config.needs_mixtures());
  if (wanted && options.kv == KvFormat::kBf16) {
    Result<std::unique_ptr<CudaOps>> cuda = CudaOps::create(options.threads);
    if (cuda) {
      CudaDevice& device = (*cuda)->device();
      parts.device_name = device.info().name;
      MINKE_ASSIGN(const size_t available, device.free_memory());
      parts.ops = *std::move(cuda);
      return available;
    }
    if (options.device == Device::kCuda) return std::unexpected(std::move(cuda).error());
  }
  MINKE_ASSIGN(parts.ops, CpuOps::create(options.threads));
  return static_cast<uint64_t>(available_memory_bytes());
}

// Where the draft model computes, and the memory that its weights will take.
Result<uint64_t> open_draft_device(EngineParts& parts) {
  DraftParts& draft = parts.draft;
  if (draft.file == nullptr) return uint64_t{0};
  draft.ops = parts.ops.get();
  if (!parts.device_name.empty()) {
    MINKE_ASSIGN(draft.own_ops, CudaOps::create(parts.options.threads));
    draft.ops = draft.own_ops.get();
  }
  MINKE_ASSIGN(const PackedSize size, packed_size(*draft.file));
  return size.all();
}

// The memory that everything takes, weights of a draft model included. Where not all fits, the
// model's layer that predicts further is what goes first; where that does not do, experts stay in
// the file.
Result<PackedSize> plan_weights(EngineParts& parts, ModelConfig& config, uint64_t draft_weights,
                                uint64_t available) {
  MINKE_ASSIGN(PackedSize size, packed_size(*parts.file, {.mtp = config.mtp.present}));
  size.resident += draft_weights;
  if (config.mtp.present && !plan(parts, config, size, available)) {
    ModelConfig without = config;
    without.mtp = {};
    MINKE_ASSIGN(PackedSize smaller, packed_size(*parts.file));
    smaller.resident += draft_weights;
    if (plan(parts, without, smaller, available)) {
      config.mtp = {};
      return smaller;
    }
  }
  MINKE_TRY(plan(parts, config, size, available, /*may_stream=*/true));
  return size;
}

// Over the weights that are loaded.
Status load_adapter(EngineParts& parts) {
  if (parts.options.adapter.empty()) return {};
  MINKE_ASSIGN(const GgufFile file, GgufFile::open(parts.options.adapter));
  MINKE_ASSIGN(Adapter adapter, Adapter::read(file, *parts.model, *parts.ops));
  parts.adapter = std::make_unique<Adapter>(std::move(adapter));
  parts.adapted_ops = std::make_unique<AdapterOps>(*parts.ops, parts.adapter->pairs());
  return {};
}

// Packs the weights for `parts.ops` and plans the memory. Stops soon after `is_given_up`.
Status load_weights(EngineParts& parts, ModelConfig& config, const std::atomic<bool>& is_given_up) {
  const EngineOptions& options = parts.options;
  MINKE_TRY(check_model(options, config));
  MINKE_ASSIGN(const uint64_t available, open_device(parts, config));
  MINKE_ASSIGN(const uint64_t draft_weights, open_draft_device(parts));
  MINKE_ASSIGN(const PackedSize size, plan_weights(parts, config, draft_weights, available));
  if (parts.memory.expert_cache > 0) {
    MINKE_ASSIGN(parts.experts, ExpertStore::create({.slots = parts.memory.experts_cached,
                                                     .slot_bytes = size.expert_bytes,
                                                     .piece_bytes = size.piece_bytes}));
  }
  const double share = 1.0 - static_cast<double>(draft_weights) / static_cast<double>(size.all());
  const auto progress = [&](double fraction) {
    if (options.progress) options.progress("loading the model", share * fraction);
    return !is_given_up;
  };
  MINKE_ASSIGN(parts.model,
               load_model(*parts.file, *parts.ops, progress,
                          {.mtp = config.mtp.present, .experts = parts.experts.get()}));
  MINKE_TRY(load_adapter(parts));
  PackedSize taken = {.resident = parts.model->weight_bytes()};
  if (parts.adapter) taken.resident += parts.adapter->bytes();
  if (DraftParts& draft = parts.draft; draft.file != nullptr) {
    const auto rest = [&](double fraction) {
      if (options.progress) {
        options.progress("loading the draft model", share + (1 - share) * fraction);
      }
      return !is_given_up;
    };
    MINKE_ASSIGN(draft.model, load_model(*draft.file, *draft.ops, rest));
    taken.resident += draft.model->weight_bytes();
  }
  if (options.progress) options.progress("loading the model", 1.0);
  if (parts.experts) return {};
  // Again with what the weights really took.
  return plan(parts, config, taken, available);
}

// What guesses for the model besides its own layer; null: nothing.
Result<std::unique_ptr<DraftModel>> make_drafter(EngineParts& parts) {
  DraftParts& draft = parts.draft;
  if (draft.model == nullptr) return nullptr;
  MINKE_ASSIGN(KvStore kv,
               KvStore::create(draft.model->kv_spec(kv_dtype(parts.options, draft.config)),
                               parts.plan.kv_pages, draft.ops->memory()));
  const auto bytes = [](Model& model) { return static_cast<double>(model.weight_bytes()); };
  return std::make_unique<ModelDrafter>(
      *draft.ops, *draft.model, std::move(kv),
      ModelDrafter::Guessed{.vocab_size = parts.model->config().vocab_size,
                            .cost = bytes(*draft.model) / bytes(*parts.model)});
}

// Where pages outlive the process; null where they are not to.
Result<std::unique_ptr<PageFile>> open_page_file(const EngineParts& parts,
                                                 const ModelConfig& config) {
  const EngineOptions& options = parts.options;
  if (options.page_file.empty() || !parts.device_name.empty()) return nullptr;
  const KvSpec spec = parts.model->kv_spec(kv_dtype(options, config));
  MINKE_ASSIGN(const std::string fingerprint,
               model_fingerprint(options.model, options.adapter, spec));
  return PageFile::open({.path = options.page_file,
                         .fingerprint = fingerprint,
                         .page_bytes = spec.page_bytes(),
                         .bytes_max = options.page_file_bytes});
}

Status load_parts(EngineParts& parts) {
  EngineOptions& options = parts.options;
  MINKE_TRY(check_options(options));
  MINKE_ASSIGN(GgufFile file, open_checkpoint(options.model));
  parts.file = std::make_unique<GgufFile>(std::move(file));
  MINKE_ASSIGN(ModelConfig config, read_config(*parts.file));
  if (!options.draft_model.empty()) {
    MINKE_ASSIGN(parts.draft, open_draft(options.draft_model, *parts.file));
  }
  if (!options.mtp || parts.draft.file != nullptr) config.mtp = {};
  // The vocabulary's tables take a tenth of a second of one processor: beside the weights, whose
  // packing waits for memory. A fault in them ends the loading, and is the one that is told.
  std::atomic<bool> is_given_up = false;
  std::future<Status> text_side = std::async(std::launch::async, [&] {
    Status status = read_text_side(parts, config);
    is_given_up = !status;
    return status;
  });
  const Status weights = load_weights(parts, config, is_given_up);
  MINKE_TRY(text_side.get());
  MINKE_TRY(weights);
  MINKE_ASSIGN(KvStore kv, KvStore::create(parts.model->kv_spec(kv_dtype(options, config)),
                                           parts.plan.kv_pages, parts.ops->memory()));
  MINKE_ASSIGN(std::unique_ptr<DraftModel> drafter, make_drafter(parts));

  LoopOptions loop;
  loop.scheduler.prefill_chunk = options.prefill_chunk;
  loop.scheduler.prefill_chunk_shared =
      std::min(options.prefill_chunk, loop.scheduler.prefill_chunk_shared);
  loop.scheduler.sequences_max = options.batch_sequences_max;
  loop.scheduler.logit_rows_max = kLogitRowsMax;
  loop.scheduler.draft_tokens = options.draft_tokens;
  loop.context_tokens = parts.plan.context_tokens;
  loop.context_max = config.context_max;
  loop.vocab_size = config.vocab_size;
  for (int32_t token = 0; token < parts.tokenizer->vocab_size(); ++token) {
    if (parts.tokenizer->is_end_of_generation(token)) loop.end_tokens.push_back(token);
  }
  // An engine does without: another process may have it.
  Result<std::unique_ptr<PageFile>> page_file = open_page_file(parts, config);
  parts.loop =
      std::make_unique<Loop>(std::move(loop), parts.plan.kv_pages,
                             std::make_unique<ModelRunner>(
                                 parts.model_ops(), *parts.model, std::move(kv),
                                 [&file = *parts.file, experts = parts.experts.get()]() -> Status {
                                   if (experts != nullptr) {
                                     if (auto fault = experts->take_fault())
                                       return std::unexpected(*std::move(fault));
                                   }
                                   return file.check_intact();
                                 },
                                 std::move(drafter)),
                             page_file ? *std::move(page_file) : nullptr);
  if (!page_file) {
    parts.loop->note(page_file.error().message + "; prompts are not kept on the disk");
  }
  return {};
}

}  // namespace

Result<EngineParts> load_engine_parts(EngineOptions options) {
  EngineParts parts;
  parts.options = std::move(options);
  const Status loaded = load_parts(parts);
  // Zeros in place of what is gone may have led to any other complaint.
  if (parts.file) MINKE_TRY(parts.file->check_intact());
  if (parts.draft.file) MINKE_TRY(parts.draft.file->check_intact());
  MINKE_TRY(loaded);
  return parts;
}

}  // namespace minke
