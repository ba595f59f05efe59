#include "quantize/quantize.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <utility>

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

std::string partial_of(const std::string& out) { return out + ".partial"; }
std::string state_of(const std::string& out) { return partial_of(out) + ".state"; }

// The files that the tensors and keys come from. In a folder lies other matter too, perhaps OUT.
std::vector<fs::path> input_files(const GgufFile& from) {
  std::vector<fs::path> files;
  for (const std::string& path : from.paths()) {
    std::error_code ignored;
    if (!fs::is_directory(path, ignored)) {
      files.emplace_back(path);
      continue;
    }
    for (const auto& entry : fs::directory_iterator(path, ignored)) {
      const fs::path kind = entry.path().extension();
      if (kind == ".json" || kind == ".jinja" || kind == ".safetensors") {
        files.push_back(entry.path());
      }
    }
  }
  std::ranges::sort(files);
  return files;
}

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
  for (const fs::path& file : input_files(from)) add_file(hash, file);
  if (importance != nullptr) hash.update(std::as_bytes(std::span(importance->sha256())));
  return hash.finish_hex();
}

std::unexpected<Error> not_ours(const std::string& path) {
  return fail(fmt::format(
      "{} is there, and not from an earlier run of this command: remove or rename it, or "
      "choose another name for OUT",
      path));
}

// What OUT.partial.state says.
struct State {
  std::string print;
  uint64_t done = 0;  // bytes of OUT.partial that are safely on the disk
};

// Nothing when there is no such file. Fails when there is one that we have not written.
Result<std::optional<State>> read_state(const std::string& path) {
  std::error_code ignored;
  if (!fs::exists(fs::symlink_status(path, ignored))) return std::nullopt;
  std::ifstream file(path);
  State state;
  const bool ours = (file >> state.print >> state.done) && state.print.size() == 64 &&
                    state.print.find_first_not_of("0123456789abcdef") == std::string::npos &&
                    (file >> std::ws).eof();
  if (!ours) return not_ours(path);
  return state;
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
    MINKE_ASSIGN(PartialFile file, PartialFile::open(partial_of(path.string())));
    MINKE_TRY(file.lock());
    Result<std::optional<State>> state = read_state(state_of(path.string()));
    if (state && !*state && file.size() > 0) return not_ours(partial_of(path.string()));
    if (!state) {
      if (file.size() == 0) fs::remove(partial_of(path.string()), ignored);
      return std::unexpected(state.error());
    }
    return Output(path, std::move(file), *std::move(state));
  }

  // Bytes that an earlier run of the same work has left; 0 when there are none.
  uint64_t done_before(const std::string& print) const {
    if (!found_ || found_->print != print) return 0;
    return std::cmp_less_equal(found_->done, file_.size()) ? found_->done : 0;
  }

  // Where there is no room, what another command has left stays as it is.
  Status begin(const QuantizePlan& plan, const std::string& print, uint64_t done) {
    print_ = print;
    saved_ = done;
    // What the file has already is room as well, of whatever command it was.
    const int64_t more = static_cast<int64_t>(plan.bytes_total) - file_.size();
    Status room = check_disk_space(path_.parent_path(), std::max<int64_t>(0, more));
    if (!room) {
      if (file_.size() == 0) remove();
      return room;
    }
    // The state comes first: without one, a file that has bytes is not ours.
    if (done == 0) MINKE_TRY(checkpoint(0));
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
    MINKE_TRY(state.commit());
    saved_ = done;
    return {};
  }

  Status publish(uint64_t bytes_total) {
    MINKE_TRY(file_.truncate(static_cast<int64_t>(bytes_total)));
    MINKE_TRY(file_.publish(path_));
    std::error_code ignored;
    fs::remove(state_path(), ignored);
    return {};
  }

  // After a fault of the input: work that is safe on the disk stays, and `error` says so.
  Error give_up(Error error) {
    if (saved_ == 0) {
      remove();
      return error;
    }
    error.message += fmt::format("; {} is kept, and the same command goes on from there",
                                 partial_of(path_.string()));
    return error;
  }

 private:
  Output(fs::path path, PartialFile file, std::optional<State> found)
      : path_(std::move(path)), file_(std::move(file)), found_(std::move(found)) {}
  std::string state_path() const { return state_of(path_.string()); }
  void remove() {
    std::error_code ignored;
    fs::remove(partial_of(path_.string()), ignored);
    fs::remove(state_path(), ignored);
  }

  fs::path path_;
  PartialFile file_;
  std::optional<State> found_;  // of an earlier run
  std::string print_;
  uint64_t saved_ = 0;  // bytes that the state promises to the next run of this command
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

Status check_output_names(const GgufFile& from, const ImportanceMatrix* importance,
                          const std::string& out) {
  const auto check = [&](const fs::path& input, std::string_view role) -> Status {
    const std::pair<std::string, std::string_view> written[] = {
        {out, "OUT"},
        {partial_of(out), "OUT.partial"},
        {state_of(out), "OUT.partial.state"},
        {partial_of(state_of(out)), "OUT.partial.state.partial"}};
    for (const auto& [path, name] : written) {
      std::error_code ignored;
      if (!fs::equivalent(input, path, ignored)) continue;
      return misuse(
          fmt::format("{} cannot be both {} and {}; choose another name", path, role, name));
    }
    return {};
  };
  for (const fs::path& file : input_files(from)) MINKE_TRY(check(file, "IN"));
  return importance == nullptr ? Status() : check(importance->path(), "the importance matrix");
}

Result<QuantizeEnd> quantize(const GgufFile& from, const QuantizePlan& plan,
                             const ImportanceMatrix* importance, const std::string& out,
                             ThreadPool& threads,
                             const std::function<bool(const QuantizeProgress&)>& progress) {
  MINKE_TRY(check_output_names(from, importance, out));
  MINKE_ASSIGN(Output output, Output::open(out));
  const std::string print = fingerprint(from, plan, importance);
  const uint64_t before = output.done_before(print);
  MINKE_TRY(output.begin(plan, print, before));
  Job job = {.from = from,
             .plan = plan,
             .importance = importance,
             .threads = threads,
             .progress = progress,
             .output = output,
             .at = {.done = before, .resumed = before, .total = plan.bytes_total}};
  const Result<QuantizeEnd> end = write_tensors(job);
  if (!end && !job.write_failed) return std::unexpected(output.give_up(end.error()));
  if (!end || *end == QuantizeEnd::kStopped) return end;
  MINKE_TRY(output.publish(plan.bytes_total));
  return end;
}

}  // namespace minke
