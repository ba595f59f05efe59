// What an engine is made of, and how that is loaded: the file, the text side, the plan of memory,
// the weights, the loop. Internal to src/engine.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/result.h"
#include "engine/draft_loading.h"
#include "engine/loop.h"
#include "engine/memory_budget.h"
#include "io/gguf.h"
#include "minke/engine.h"
#include "models/adapter.h"
#include "models/model.h"
#include "ops/adapter_ops.h"
#include "ops/expert_store.h"
#include "ops/ops.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace minke {

// All that an engine is made of, in the order in which it is built.
struct EngineParts {
  EngineOptions options;
  std::unique_ptr<GgufFile> file;
  std::unique_ptr<Tokenizer> tokenizer;
  Result<ChatTemplate> chat_template = ChatTemplate::builtin_chatml();
  SamplingOptions sampling;
  MemoryPlan plan;
  MemoryReport memory;
  std::unique_ptr<Ops> ops;
  std::string device_name;
  std::unique_ptr<ExpertStore> experts;  // only where they do not all fit
  std::unique_ptr<Model> model;
  std::unique_ptr<Adapter> adapter;
  std::unique_ptr<AdapterOps> adapted_ops;  // what the model runs on, where there is an adapter
  Ops& model_ops() { return adapted_ops ? static_cast<Ops&>(*adapted_ops) : *ops; }
  DraftParts draft;
  std::unique_ptr<Loop> loop;  // last, so that its thread ends first
};

Result<EngineParts> load_engine_parts(EngineOptions options);

// A fault of a model's chat template, with the way out.
std::unexpected<Error> without_template(const std::string& model, Error fault);

}  // namespace minke
