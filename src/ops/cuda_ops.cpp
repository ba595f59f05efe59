#include "ops/cuda_ops.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/check.h"
#include "kernels/activation.h"
#include "kernels/panels.h"
#include "ops/cuda_ops_parts.h"

namespace minke {
namespace {

using cuda::kTileRows;

// Sequences of at most so many rows attend page by page, each page a block.
constexpr int32_t kRowsFew = 4;
constexpr int64_t kRowsRecordedMax = 256;
constexpr size_t kRecordedMax = 24;
constexpr size_t kSplitBytesMax = size_t{512} << 20;

int64_t pages_seen(const Batch& batch) {
  int64_t pages = 1;
  for (const BatchSequence& sequence : batch.sequences) {
    pages = std::max(pages, (sequence.first_position + sequence.row_count - 1) / kKvPageTokens + 1);
  }
  return pages;
}

int64_t rows_most(const Batch& batch) {
  int64_t rows = 0;
  for (const BatchSequence& sequence : batch.sequences) rows = std::max(rows, sequence.row_count);
  return rows;
}

}  // namespace

Result<std::unique_ptr<CudaOps>> CudaOps::create(int threads) {
  MINKE_ASSIGN(std::shared_ptr<CudaDevice> device, CudaDevice::open());
  return std::make_unique<CudaOps>(std::move(device), threads);
}

CudaOps::CudaOps(std::shared_ptr<CudaDevice> device, int threads)
    : device_(std::move(device)),
      threads_(threads),
      storage_(device_->memory()),
      inputs_(std::make_unique<StepInputs>()) {}

CudaOps::~CudaOps() {
  fault_ = device_->wait();
  put_off_ = {};
  uploaded_.clear();
  recorded_.clear();
}

CudaOps::Node& CudaOps::node(const Tensor& x) {
  std::shared_ptr<void>& slot = x.storage()->derived;
  if (!slot) slot = std::make_shared<Node>();
  return *static_cast<Node*>(slot.get());
}

Tensor CudaOps::empty(Shape shape) {
  const size_t count = static_cast<size_t>(shape.count()) * dtype_bytes(Dtype::kF32);
  return Tensor(pool_->acquire(count), shape, Dtype::kF32);
}

Tensor CudaOps::bytes(size_t count) { return empty({static_cast<int64_t>((count + 3) / 4)}); }

void CudaOps::launch(const std::string& name, CudaGrid grid, uint32_t threads,
                     uint32_t shared_bytes, std::initializer_list<const void*> arguments) {
  KnownKernel& known = kernels_[name];
  if (known.kernel.function == nullptr || shared_bytes > known.shared_bytes_max) {
    known = {device_->kernel(name.c_str(), shared_bytes), shared_bytes};
  }
  std::vector<void*> pointers;
  for (const void* argument : arguments) pointers.push_back(const_cast<void*>(argument));
  device_->launch(known.kernel, {.grid = grid, .threads = threads, .shared_bytes = shared_bytes},
                  pointers);
}

// --- Weights -------------------------------------------------------------------------------------

Status CudaOps::prepare(Weight& weight, bool keep_rows) {
  if (weight.shape.rank() == 1) return prepare_vector(weight);
  if (!weight.multiplied) return {};
  Arena scratch;
  MINKE_ASSIGN(const std::shared_ptr<PackedMatrix> packed,
               PackedMatrix::pack(weight, threads_, scratch));
  auto matrix = std::make_shared<Matrix>();
  matrix->format = packed->format();
  matrix->panel_count = packed->panels();
  matrix->panel_bytes = packed->panel_bytes();
  MINKE_ASSIGN(matrix->data,
               Buffer::allocate(packed->bytes(), weight.name.c_str(), device_->memory()));
  device_->upload(matrix->data.data(), packed->panel(0), packed->bytes());
  MINKE_TRY(device_->wait());
  quantises_ |= is_quantised(matrix->format);
  weight.packed = std::move(matrix);
  if (!keep_rows && weight.storage.data() == nullptr) weight.rows = nullptr;
  return {};
}

Status CudaOps::prepare_vector(Weight& weight) {
  const size_t size = static_cast<size_t>(weight.shape.count()) * sizeof(float);
  auto vector = std::make_shared<Matrix>();
  MINKE_ASSIGN(vector->data, Buffer::allocate(size, weight.name.c_str(), device_->memory()));
  device_->upload(vector->data.data(), weight.f32(), size);
  MINKE_TRY(device_->wait());
  weight.packed = std::move(vector);
  return {};
}

const float* CudaOps::on_device(const Weight& vector) {
  CHECK(vector.packed != nullptr);
  return reinterpret_cast<const float*>(static_cast<const Matrix&>(*vector.packed).data.data());
}

// --- Steps ---------------------------------------------------------------------------------------

void CudaOps::begin_step() {
  put_off_ = {};
  if (current_ != nullptr) return;  // run_step has staged this step's inputs
  inputs_->batch = nullptr;
  uploaded_.clear();
}

void CudaOps::wait_for_staging() {
  if (!staged_) return;
  if (Status status = device_->wait(); !status && fault_) fault_ = std::move(status);
  staged_ = false;
}

Tensor CudaOps::run_step(const Batch& batch, FunctionRef<Tensor()> forward) {
  wait_for_staging();
  uploaded_.clear();
  ++step_count_;
  const auto rows = static_cast<int64_t>(batch.tokens.size());
  const auto last = std::ranges::max_element(batch.positions);
  for (auto& [spec, table] : rope_tables_) rope_table(*spec, int64_t{*last} + 1);
  stage_batch(batch);
  if (rows > kRowsRecordedMax || rows_most(batch) > kRowsFew) {
    pool_ = &storage_;
    const Tensor logits = forward();
    if (!logits.empty()) settle(logits);
    return logits;
  }
  std::vector<int32_t> key = {
      static_cast<int32_t>(std::bit_ceil(static_cast<uint64_t>(pages_seen(batch)))),
      static_cast<int32_t>(batch.logit_rows.size())};
  for (const BatchSequence& sequence : batch.sequences) {
    key.push_back(static_cast<int32_t>(sequence.row_count));
  }
  std::unique_ptr<Recorded>& entry = recorded_[key];
  const bool first = !entry;
  if (first) entry = std::make_unique<Recorded>(device_->memory());
  Recorded& step = *entry;
  step.last_used = step_count_;
  current_ = &step;
  pool_ = &step.pool;
  const auto run = [&] {
    step.logits = {};
    step.logits = forward();
    if (!step.logits.empty()) settle(step.logits);
  };
  if (step.embedded.empty()) {
    run();
  } else {
    stage_embeddings(batch.tokens, *step.table, step.embedded.storage()->data);
    if (!step.graph) {
      Result<std::unique_ptr<CudaGraph>> graph = device_->record(run);
      if (graph) {
        step.graph = *std::move(graph);
      } else if (fault_) {
        fault_ = std::unexpected(std::move(graph).error());
      }
    }
    if (step.graph) device_->replay(*step.graph);
  }
  current_ = nullptr;
  pool_ = &storage_;
  if (batch.is_abandoned()) {  // what was asked for may be half a step
    if (Status status = device_->wait(); !status && fault_) fault_ = std::move(status);
    put_off_ = {};
    uploaded_.clear();
    recorded_.erase(key);
    return {};
  }
  const Tensor logits = step.logits;
  if (first && recorded_.size() > kRecordedMax) {
    // The graph may still run; nothing of it may go before it is over.
    if (Status status = device_->wait(); !status && fault_) fault_ = std::move(status);
    const auto oldest = std::ranges::min_element(
        recorded_, {}, [](const auto& other) { return other.second->last_used; });
    recorded_.erase(oldest);
  }
  return logits;
}

Result<std::span<float>> CudaOps::read(const Tensor& x) {
  settle(x);
  const size_t size = static_cast<size_t>(x.shape().count()) * sizeof(float);
  if (!read_back_ || read_back_->size() < size) {
    MINKE_ASSIGN(read_back_, device_->pinned(size));
  }
  device_->download(read_back_->data(), x.storage()->data, size);
  MINKE_TRY(device_->wait());
  staged_ = false;
  MINKE_TRY(fault_);
  return std::span(reinterpret_cast<float*>(read_back_->data()), size / sizeof(float));
}

// --- What a batch is made of ---------------------------------------------------------------------

void CudaOps::stage_batch(const Batch& batch) {
  const size_t rows = batch.tokens.size();
  size_t page_count = 0;
  for (const BatchSequence& sequence : batch.sequences) page_count += sequence.pages.size();
  // Places that depend on the make-up of the batch alone come first: graphs hold their addresses.
  const size_t at_rows = rows;
  const size_t at_sequences = (2 * rows + 3) / 4 * 4;
  const size_t at_logits = at_sequences + 4 * batch.sequences.size();
  const size_t at_pages = at_logits + batch.logit_rows.size();
  const size_t count = at_pages + page_count;
  StepInputs& inputs = *inputs_;
  if (inputs.device.size() < count * 4) {
    recorded_.clear();
    const size_t size = std::max<size_t>(std::bit_ceil(count * 4), size_t{1} << 18);
    inputs.device = Buffer::allocate_or_die(size, "a batch", device_->memory());
    Result<std::unique_ptr<PinnedBuffer>> host = device_->pinned(size);
    CHECK(host.has_value());
    inputs.host = *std::move(host);
  }
  auto* ints = reinterpret_cast<int32_t*>(inputs.host->data());
  std::ranges::copy(batch.positions, ints);
  size_t page = at_pages;
  for (size_t s = 0; s < batch.sequences.size(); ++s) {
    const BatchSequence& sequence = batch.sequences[s];
    std::fill_n(ints + at_rows + sequence.first_row, sequence.row_count, static_cast<int32_t>(s));
    const cuda::SequenceShare share = {
        .first_row = static_cast<int32_t>(sequence.first_row),
        .row_count = static_cast<int32_t>(sequence.row_count),
        .first_position = static_cast<int32_t>(sequence.first_position),
        .first_page = static_cast<int32_t>(page - at_pages)};
    std::memcpy(ints + at_sequences + 4 * s, &share, sizeof share);
    std::ranges::copy(sequence.pages, ints + page);
    page += sequence.pages.size();
  }
  std::ranges::copy(batch.logit_rows, ints + at_logits);
  device_->upload(inputs.device.data(), ints, count * 4);
  staged_ = true;
  const auto* base = reinterpret_cast<const int32_t*>(inputs.device.data());
  inputs.batch = &batch;
  inputs.layout = {.positions = base,
                   .row_sequences = base + at_rows,
                   .sequences = reinterpret_cast<const cuda::SequenceShare*>(base + at_sequences),
                   .pages = base + at_pages};
  inputs.logit_rows = base + at_logits;
}

const cuda::BatchLayout& CudaOps::layout_of(const Batch& batch) {
  if (inputs_->batch != &batch) {
    wait_for_staging();
    stage_batch(batch);
  }
  return inputs_->layout;
}

// Integers that a batch holds are there already; others are sent.
const int32_t* CudaOps::on_device(std::span<const int32_t> values) {
  if (const Batch* batch = inputs_->batch; batch != nullptr) {
    if (values.data() == batch->positions.data()) return inputs_->layout.positions;
    if (values.data() == batch->logit_rows.data()) return inputs_->logit_rows;
  }
  for (const auto& [known, tensor] : uploaded_) {
    if (known.data() == values.data() && known.size() == values.size()) {
      return reinterpret_cast<const int32_t*>(tensor.storage()->data);
    }
  }
  const Tensor tensor = bytes(values.size() * 4);
  device_->upload(tensor.storage()->data, values.data(), values.size() * 4);
  uploaded_.emplace_back(values, tensor);
  return reinterpret_cast<const int32_t*>(tensor.storage()->data);
}

void CudaOps::stage_embeddings(std::span<const int32_t> tokens, const Weight& table,
                               std::byte* to) {
  const int64_t dim = table.in_dim();
  const size_t size = tokens.size() * static_cast<size_t>(dim) * sizeof(float);
  CHECK(table.rows != nullptr);
  if (!staging_ || staging_->size() < size) {
    if (Status status = device_->wait(); !status && fault_) fault_ = std::move(status);
    Result<std::unique_ptr<PinnedBuffer>> host = device_->pinned(size);
    CHECK(host.has_value());
    staging_ = *std::move(host);
  }
  auto* rows = reinterpret_cast<float*>(staging_->data());
  threads_.parallel_for(static_cast<int64_t>(tokens.size()), 8, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t token = tokens[static_cast<size_t>(row)];
      CHECK(token >= 0 && token < table.out_dim());
      quant_format(table.type)
          .decode(table.rows + static_cast<size_t>(token) * row_bytes(table.type, dim),
                  rows + row * dim, dim);
    }
  });
  device_->upload(to, rows, size);
  staged_ = true;
}

Tensor CudaOps::embed(std::span<const int32_t> tokens, const Weight& table) {
  if (current_ != nullptr && !current_->embedded.empty()) return current_->embedded;
  if (current_ == nullptr) wait_for_staging();
  Tensor out = empty({static_cast<int64_t>(tokens.size()), table.in_dim()});
  stage_embeddings(tokens, table, out.storage()->data);
  if (current_ != nullptr) {
    current_->embedded = out;
    current_->table = &table;
  }
  return out;
}

// --- The other operations ------------------------------------------------------------------------

Tensor CudaOps::rms_norm(const Tensor& x, const Weight& w, float epsilon) {
  CHECK_EQ(w.shape.count(), x.dim());
  const Tensor out = empty(x.shape());
  cuda::NormArguments arguments = {.a = x.f32(),
                                   .w = on_device(w),
                                   .out = out.f32(),
                                   .rows = x.rows(),
                                   .dim = x.dim(),
                                   .epsilon = epsilon};
  if (x.storage()->derived && node(x).waits == Node::Waits::kSum) {
    Node& sum = node(x);
    settle(sum.a);
    settle(sum.b);
    arguments.a = sum.a.f32();
    arguments.b = sum.b.f32();
    arguments.sum = x.f32();
    sum.settled();
  } else {
    settle(x);
  }
  // Of many rows the int8 form is made on its own, a tile at a time.
  if (x.rows() <= kTileRows) arguments.quant = quant_of_output(out);
  CHECK_LE(x.dim(), 16384);
  const bool short_row = x.dim() <= 2048;
  launch(short_row ? "norm_rows_4" : "norm_rows_16", {unsigned_of(x.rows())},
         short_row ? 512 : 1024, unsigned_of(x.dim() * 4), {argument(arguments)});
  return out;
}

Tensor CudaOps::add(const Tensor& a, const Tensor& b) {
  CHECK(a.shape() == b.shape());
  const Tensor out = empty(a.shape());
  Node& at = node(out);
  at.waits = Node::Waits::kSum;
  at.a = a;
  at.b = b;
  return out;
}

Tensor CudaOps::gather_rows(const Tensor& x, std::span<const int32_t> indices) {
  const Tensor out = empty({static_cast<int64_t>(indices.size()), x.dim()});
  cuda::GatherArguments arguments = {.x = x.f32(),
                                     .indices = on_device(indices),
                                     .out = out.f32(),
                                     .rows = out.rows(),
                                     .dim = x.dim()};
  if (x.storage()->derived && node(x).waits == Node::Waits::kSum) {
    const Node& sum = node(x);
    settle(sum.a);
    settle(sum.b);
    arguments.x = sum.a.f32();
    arguments.b = sum.b.f32();
  } else {
    settle(x);
  }
  launch("gather_rows", {cuda_blocks(x.dim(), 1024), unsigned_of(out.rows())}, 256, 0,
         {argument(arguments)});
  return out;
}

Tensor CudaOps::swiglu(const Tensor& gate, const Tensor& up) {
  CHECK(gate.shape() == up.shape());
  settle(gate);
  settle(up);
  const Tensor out = empty(gate.shape());
  const cuda::SwigluArguments arguments = {.gate = gate.f32(),
                                           .up = up.f32(),
                                           .out = out.f32(),
                                           .quant = quant_of_output(out),
                                           .rows = out.rows(),
                                           .dim = out.dim()};
  if (arguments.quant.tiles != nullptr && out.rows() > kTileRows) {
    launch("swiglu_tiles",
           {unsigned_of(groups_of(out.dim())), unsigned_of(cuda::tiles_of(out.rows()))}, 256, 0,
           {argument(arguments)});
  } else {
    launch("swiglu_rows", {cuda_blocks(groups_of(out.dim()), 4), unsigned_of(out.rows())}, 128, 0,
           {argument(arguments)});
  }
  return out;
}

CudaOps::RopeTable& CudaOps::rope_table(const RopeSpec& spec, int64_t positions) {
  std::unique_ptr<RopeTable>& table = rope_tables_[&spec];
  if (table && table->positions >= positions) return *table;
  if (table) {  // graphs hold its address; run_step sees to it that none is being made
    CHECK(current_ == nullptr);
    recorded_.clear();
  }
  table = std::make_unique<RopeTable>();
  table->positions = std::max<int64_t>(
      4096, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(positions))));
  const size_t pairs = spec.frequencies.size();
  const size_t count = static_cast<size_t>(table->positions) * pairs;
  std::vector<float> cos(count);
  std::vector<float> sin(count);
  // As CpuOps::angles makes them.
  threads_.parallel_for(table->positions, 64, [&](int64_t begin, int64_t end) {
    for (int64_t position = begin; position < end; ++position) {
      for (size_t i = 0; i < pairs; ++i) {
        const double angle =
            static_cast<double>(position) * static_cast<double>(spec.frequencies[i]);
        const size_t at = static_cast<size_t>(position) * pairs + i;
        cos[at] = static_cast<float>(std::cos(angle)) * spec.magnitude;
        sin[at] = static_cast<float>(std::sin(angle)) * spec.magnitude;
      }
    }
  });
  table->cos = Buffer::allocate_or_die(count * 4, "rotary positions", device_->memory());
  table->sin = Buffer::allocate_or_die(count * 4, "rotary positions", device_->memory());
  device_->upload(table->cos.data(), cos.data(), count * 4);
  device_->upload(table->sin.data(), sin.data(), count * 4);
  if (Status status = device_->wait(); !status && fault_) fault_ = std::move(status);
  return *table;
}

cuda::RopeArguments CudaOps::rope_arguments(const Tensor& x, const int32_t* positions,
                                            const RopeSpec& spec, const Tensor& out) {
  const RopeTable& table = rope_table(spec, 1);
  CHECK_LE(static_cast<int64_t>(2 * spec.frequencies.size()), x.dim());
  return {.x = x.f32(),
          .out = out.f32(),
          .cos = reinterpret_cast<const float*>(table.cos.data()),
          .sin = reinterpret_cast<const float*>(table.sin.data()),
          .positions = positions,
          .rows = x.shape()[0],
          .heads = static_cast<int32_t>(x.shape()[1]),
          .head_dim = static_cast<int32_t>(x.dim()),
          .pairs = static_cast<int32_t>(spec.frequencies.size()),
          .adjacent = spec.pairs == RopePairs::kAdjacent};
}

Tensor CudaOps::rope(const Tensor& x, std::span<const int32_t> positions, const RopeSpec& spec) {
  CHECK_EQ(static_cast<int64_t>(positions.size()), x.shape()[0]);
  rope_table(spec, positions.empty() ? 1 : int64_t{*std::ranges::max_element(positions)} + 1);
  const Tensor out = empty(x.shape());
  Node& at = node(out);
  at.waits = Node::Waits::kRope;
  at.a = x;
  at.rope = &spec;
  at.positions = on_device(positions);
  return out;
}

// k and v into their pages; q and k are turned on the way where that was put off.
void CudaOps::store_kv(const Tensor& q, const Tensor& k, const Tensor& v, const Batch& batch,
                       const cuda::KvLayer& kv) {
  cuda::RopeStoreArguments arguments;
  arguments.batch = layout_of(batch);
  arguments.kv = kv;
  settle(v);
  arguments.v = v.f32();
  const auto waits = [](const Tensor& x) {
    return x.storage()->derived && node(x).waits == Node::Waits::kRope;
  };
  arguments.turn = waits(q) && waits(k);
  if (arguments.turn) {
    settle(node(q).a);
    settle(node(k).a);
    arguments.q = rope_arguments(node(q).a, node(q).positions, *node(q).rope, q);
    arguments.k = rope_arguments(node(k).a, node(k).positions, *node(k).rope, k);
  } else {
    settle(q);
    settle(k);
    arguments.k = {.x = k.f32(),
                   .rows = k.shape()[0],
                   .heads = static_cast<int32_t>(k.shape()[1]),
                   .head_dim = static_cast<int32_t>(k.dim())};
    arguments.q = arguments.k;
    arguments.q.heads = 0;
  }
  launch("rope_store_rows",
         {unsigned_of(arguments.q.heads + arguments.k.heads), unsigned_of(k.shape()[0])}, 64, 0,
         {argument(arguments)});
  if (arguments.turn) node(q).settled();
}

Tensor CudaOps::attention(const Tensor& q, const Tensor& k, const Tensor& v, const Batch& batch,
                          KvStore& kv, int64_t layer, const AttentionSpec& spec) {
  CHECK_EQ(q.shape()[1], spec.heads);
  CHECK_EQ(k.shape()[1], spec.kv_heads);
  CHECK_EQ(spec.heads % spec.kv_heads, 0);
  CHECK_EQ(kv.spec().head_dim, spec.head_dim);
  CHECK(kv.spec().dtype == KvDtype::kBF16 && kv.spec().shared_values == 0);
  CHECK_GE(spec.head_dim, 8);
  const cuda::KvLayer pages = {
      .base = reinterpret_cast<uint16_t*>(kv.head_page(layer, 0, 0)),
      .page_halves = static_cast<int64_t>(kv.spec().page_bytes() / 2),
      .head_page_halves = static_cast<int64_t>(kv.spec().head_page_bytes() / 2),
      .kv_heads = static_cast<int32_t>(spec.kv_heads)};
  store_kv(q, k, v, batch, pages);

  const int64_t rows = q.shape()[0];
  const Tensor out = empty({rows, spec.heads * spec.head_dim});
  cuda::AttentionArguments arguments = {
      .q = q.f32(),
      .batch = layout_of(batch),
      .kv = pages,
      .heads = static_cast<int32_t>(spec.heads),
      .head_dim = static_cast<int32_t>(spec.head_dim),
      .scale = spec.scale,
      .rows = rows,
      .pages_max = static_cast<int32_t>(std::bit_ceil(static_cast<uint64_t>(pages_seen(batch)))),
      .out = out.f32(),
      .quant = {}};
  const int64_t longest = rows_most(batch);
  const bool tiled = spec.head_dim == 64 || spec.head_dim == 128;
  const int32_t few = tiled ? kRowsFew : INT32_MAX;
  if (longest > few) {
    const int64_t queries = longest * (spec.heads / spec.kv_heads);
    launch(
        spec.head_dim == 64 ? "attention_many_64" : "attention_many_128",
        {cuda_blocks(queries, 64), unsigned_of(spec.kv_heads), unsigned_of(batch.sequences.size())},
        256, unsigned_of(cuda::attention_many_shared_bytes(static_cast<int>(spec.head_dim))),
        {argument(arguments), argument(few)});
  } else {
    arguments.quant = quant_of_output(out);
  }
  const bool any_few = std::ranges::any_of(
      batch.sequences, [&](const BatchSequence& s) { return s.row_count <= few; });
  if (!any_few) return out;
  // As many rows at a time as the memory for their splits allows.
  const int64_t group = spec.heads / spec.kv_heads;
  const size_t row_bytes = static_cast<size_t>(spec.heads * arguments.pages_max) *
                           static_cast<size_t>(spec.head_dim + 2) * 4;
  const int64_t at_once =
      std::clamp<int64_t>(static_cast<int64_t>(kSplitBytesMax / row_bytes), 1, rows);
  const Tensor states = empty({at_once * spec.heads * arguments.pages_max * 2});
  const Tensor values = empty({at_once * spec.heads * arguments.pages_max, spec.head_dim});
  arguments.split_states = states.f32();
  arguments.split_values = values.f32();
  const auto shared = unsigned_of((group + 3) / 4 * 4 * (spec.head_dim + 64) * 4);
  CHECK_LE(shared, kCudaSharedMax);
  for (int64_t first = 0; first < rows; first += at_once) {
    const auto count = unsigned_of(std::min(at_once, rows - first));
    launch("attention_few", {unsigned_of(arguments.pages_max), unsigned_of(spec.kv_heads), count},
           256, shared, {argument(arguments), argument(first), argument(few)});
    launch("attention_join", {cuda_blocks(spec.heads * spec.head_dim, 256), count}, 256, 0,
           {argument(arguments), argument(first), argument(few)});
  }
  return out;
}

}  // namespace minke
