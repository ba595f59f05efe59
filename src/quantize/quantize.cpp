#include "quantize/quantize.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "io/file.h"
#include "io/partial_file.h"
#include "io/sha256.h"

namespace minke {
namespace fs = std::filesystem;
namespace {

// Changes whenever an encoder may give other bytes: old beginnings are of no use then.
constexpr std::string_view kEncoders = "encoders of 2026-11-27";
constexpr int64_t kSliceValues = int64_t{1} << 22;  // 16 MiB as fp32
constexpr int64_t kShareValues = int64_t{1} << 15;  // that one thread takes at a time
constexpr size_t kReadAheadBytesMax = size_t{256} << 20;
constexpr auto kCheckpointEvery = std::chrono::seconds(5);

// What tells this file from another of its name.
void add_file(Sha256& hash, const fs::path& path) {
  struct stat info{};
  if (stat(path.c_str(), &info) != 0) return;
  const std::string line =
      fmt::format("{} {} {}.{:09}\n", path.filename().string(), info.st_size,
                  static_cast<int64_t>(info.st_mtim.tv_sec), info.st_mtim.tv_nsec);
  hash.update(std::as_bytes(std::span(line)));
}

// Of everything that the new file's bytes follow from.
std::string fingerprint(const GgufFile& from, const QuantizePlan& plan,
                        const ImportanceMatrix* importance) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(kEncoders)));
  hash.update(plan.header);
  for (const std::string& path : from.paths()) {
    std::error_code ignored;
    if (!fs::is_directory(path, ignored)) {
      add_file(hash, path);
      continue;
    }
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(path, ignored)) files.push_back(entry.path());
    std::ranges::sort(files);
    for (const fs::path& file : files) add_file(hash, file);
  }
  if (importance != nullptr) hash.update(std::as_bytes(std::span(importance->sha256())));
  return hash.finish_hex();
}

// OUT.partial and OUT.partial.state.
class Output {
 public:
  static Result<Output> open(const std::string& out) {
    const fs::path path = fs::absolute(out);
    std::error_code ignored;
    if (!fs::is_directory(path.parent_path(), ignored)) {
      return fail(fmt::format("{} is no folder that {} could be written to",
                              path.parent_path().string(), path.filename().string()));
    }
    MINKE_ASSIGN(PartialFile file, PartialFile::open(path.string() + ".partial"));
    MINKE_TRY(file.lock());
    return Output(path, std::move(file));
  }

  // Bytes that an earlier run of the same work has left; 0 when there are none.
  uint64_t done_before(const std::string& print) const {
    std::ifstream state(state_path());
    std::string found;
    uint64_t done = 0;
    if (!(state >> found >> done) || found != print) return 0;
    return static_cast<int64_t>(done) <= file_.size() ? done : 0;
  }

  Status begin(const QuantizePlan& plan, const std::string& print, uint64_t done) {
    print_ = print;
    const uint64_t left = plan.bytes_total - done;
    MINKE_TRY(check_disk_space(path_.parent_path(), static_cast<int64_t>(left)));
    MINKE_TRY(file_.truncate(static_cast<int64_t>(done)));
    return done == 0 ? file_.write_at(0, plan.header) : Status();
  }
  Status write(uint64_t offset, std::span<const std::byte> bytes) {
    return file_.write_at(static_cast<int64_t>(offset), bytes);
  }

  // All bytes before `done` are written.
  Status checkpoint(uint64_t done) {
    MINKE_TRY(file_.sync());
    MINKE_ASSIGN(OutputFile state, OutputFile::create(state_path()));
    const std::string line = fmt::format("{} {}\n", print_, done);
    MINKE_TRY(state.write(std::as_bytes(std::span(line))));
    return state.commit();
  }

  Status publish(uint64_t bytes_total) {
    MINKE_TRY(file_.truncate(static_cast<int64_t>(bytes_total)));
    MINKE_TRY(file_.publish(path_));
    std::error_code ignored;
    fs::remove(state_path(), ignored);
    return {};
  }
  void remove() {
    std::error_code ignored;
    fs::remove(partial_path(), ignored);
    fs::remove(state_path(), ignored);
  }

 private:
  Output(fs::path path, PartialFile file) : path_(std::move(path)), file_(std::move(file)) {}
  std::string partial_path() const { return path_.string() + ".partial"; }
  std::string state_path() const { return partial_path() + ".state"; }

  fs::path path_;
  PartialFile file_;
  std::string print_;
};

// Encodes rows of one tensor.
class TensorEncoder {
 public:
  TensorEncoder(const GgufFile& from, const PlannedTensor& tensor, std::vector<float> importance)
      : from_(from), tensor_(tensor), importance_(std::move(importance)) {
    const Shape& shape = tensor.source->shape;
    dim_ = shape.back();
    rows_ = shape.rows();
    matrix_rows_ = shape.rank() == 3 ? shape[1] : rows_;
    source_row_ = row_bytes(tensor.source->type, dim_);
    target_row_ = row_bytes(tensor.type, dim_);
  }

  int64_t rows() const { return rows_; }
  size_t row() const { return target_row_; }
  int64_t slice_rows() const { return std::max<int64_t>(1, kSliceValues / dim_); }

  // Rows [begin, begin + count) into `out`.
  Status encode(int64_t begin, int64_t count, std::byte* out, ThreadPool& threads) {
    std::mutex mutex;
    Status status;
    const int64_t grain = std::max<int64_t>(1, kShareValues / dim_);
    threads.parallel_for(count, grain, [&](int64_t first, int64_t last) {
      // Runs may be long: what a thread holds at a time is not.
      for (int64_t at = first; at < last; at += grain) {
        const int64_t rows = std::min(grain, last - at);
        Status done = encode_share(begin + at, rows, out + static_cast<size_t>(at) * target_row_);
        if (done) continue;
        const std::lock_guard lock(mutex);
        if (status) status = std::move(done);
        return;
      }
    });
    if (const std::byte* data = tensor_.source->data) {
      from_.drop_pages(*tensor_.source, data + static_cast<size_t>(begin) * source_row_,
                       static_cast<size_t>(count) * source_row_);
    }
    return status;
  }

 private:
  Status encode_share(int64_t row, int64_t rows, std::byte* out) const {
    const GgufTensor& source = *tensor_.source;
    std::vector<std::byte> made;
    const std::byte* from = nullptr;
    if (source.data != nullptr) {
      from = source.data + static_cast<size_t>(row) * source_row_;
    } else {
      made.resize(static_cast<size_t>(rows) * source_row_);
      MINKE_TRY(source.make(row, made));
      from = made.data();
    }
    const int64_t bad = find_non_finite(source.type, from, rows * dim_);
    if (bad >= 0) {
      return fail(
          fmt::format("{}: tensor '{}' holds a number that is not finite, in row {} at {}; "
                      "the file is damaged",
                      from_.path(), source.name, row + bad / dim_, bad % dim_));
    }
    if (source.type == tensor_.type) {
      std::copy_n(from, static_cast<size_t>(rows) * source_row_, out);
      return {};
    }
    std::vector<float> values(static_cast<size_t>(dim_));
    std::byte* to = out;
    for (int64_t i = 0; i < rows; ++i, from += source_row_, to += target_row_) {
      quant_format(source.type).decode(from, values.data(), dim_);
      const float* importance =
          importance_.empty() ? nullptr : importance_.data() + (row + i) / matrix_rows_ * dim_;
      quant_format(tensor_.type).encode(values.data(), to, dim_, importance);
    }
    if (find_non_finite(tensor_.type, out, rows * dim_) >= 0) {
      return fail(fmt::format("{}: tensor '{}' has numbers too large for {}; BF16 holds them",
                              from_.path(), source.name, quant_name(tensor_.type)));
    }
    return {};
  }

  const GgufFile& from_;
  const PlannedTensor& tensor_;
  std::vector<float> importance_;  // [matrices, dim]; empty: none
  int64_t dim_ = 0, rows_ = 0, matrix_rows_ = 0;
  size_t source_row_ = 0, target_row_ = 0;
};

struct Job {
  const GgufFile& from;
  const QuantizePlan& plan;
  const ImportanceMatrix* importance;
  ThreadPool& threads;
  const std::function<bool(const QuantizeProgress&)>& progress;
  Output& output;
  QuantizeProgress at;
  std::chrono::steady_clock::time_point saved = std::chrono::steady_clock::now();
  bool write_failed = false;
};

// The rest of one tensor, from at.done on.
Result<QuantizeEnd> write_tensor(Job& job, const PlannedTensor& tensor) {
  std::vector<float> importance;
  if (job.importance != nullptr && quant_format(tensor.type).quantised) {
    MINKE_ASSIGN(importance, job.importance->means(tensor.source->name, tensor.source->shape));
  }
  TensorEncoder encoder(job.from, tensor, std::move(importance));
  const uint64_t before = std::max(job.at.done, tensor.offset) - tensor.offset;
  std::vector<std::byte> bytes;
  for (auto row = static_cast<int64_t>(before / encoder.row()); row < encoder.rows();) {
    const int64_t count = std::min(encoder.slice_rows(), encoder.rows() - row);
    bytes.resize(static_cast<size_t>(count) * encoder.row());
    MINKE_TRY(encoder.encode(row, count, bytes.data(), job.threads));
    MINKE_TRY(job.from.check_intact());
    const uint64_t offset = tensor.offset + static_cast<uint64_t>(row) * encoder.row();
    job.write_failed = true;
    MINKE_TRY(job.output.write(offset, bytes));
    row += count;
    job.at.done = offset + bytes.size();
    const bool go_on = !job.progress || job.progress(job.at);
    const auto now = std::chrono::steady_clock::now();
    if (!go_on || now - job.saved > kCheckpointEvery) {
      MINKE_TRY(job.output.checkpoint(job.at.done));
      job.saved = now;
    }
    job.write_failed = false;
    if (!go_on) return QuantizeEnd::kStopped;
  }
  return QuantizeEnd::kFinished;
}

Result<QuantizeEnd> write_tensors(Job& job) {
  for (size_t i = 0; i < job.plan.tensors.size(); ++i) {
    const PlannedTensor& tensor = job.plan.tensors[i];
    if (tensor.offset + tensor.bytes <= job.at.done) continue;
    // The kernel would read all of a stack of gigabytes before it returns.
    if (tensor.source->bytes <= kReadAheadBytesMax) job.from.will_need(*tensor.source);
    MINKE_ASSIGN(const QuantizeEnd end, write_tensor(job, tensor));
    if (end == QuantizeEnd::kStopped) return end;
  }
  return QuantizeEnd::kFinished;
}

}  // namespace

Result<QuantizeEnd> quantize(const GgufFile& from, const QuantizePlan& plan,
                             const ImportanceMatrix* importance, const std::string& out,
                             ThreadPool& threads,
                             const std::function<bool(const QuantizeProgress&)>& progress) {
  MINKE_ASSIGN(Output output, Output::open(out));
  const std::string print = fingerprint(from, plan, importance);
  const uint64_t before = output.done_before(print);
  if (Status begun = output.begin(plan, print, before); !begun) {
    if (before == 0) output.remove();
    return std::unexpected(begun.error());
  }
  Job job = {.from = from,
             .plan = plan,
             .importance = importance,
             .threads = threads,
             .progress = progress,
             .output = output,
             .at = {.done = before, .resumed = before, .total = plan.bytes_total}};
  const Result<QuantizeEnd> end = write_tensors(job);
  if (!end && !job.write_failed) output.remove();
  if (!end || *end == QuantizeEnd::kStopped) return end;
  MINKE_TRY(output.publish(plan.bytes_total));
  return end;
}

}  // namespace minke
