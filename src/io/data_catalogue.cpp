#include "io/data_catalogue.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <utility>

#include "io/catalogue.h"
#include "io/file.h"
#include "io/https.h"
#include "io/model_cache.h"
#include "io/sha256.h"

namespace minke {
namespace fs = std::filesystem;
namespace {

std::vector<DataSet> make_catalogue() {
  const std::string github = "https://raw.githubusercontent.com/";
  const std::string gsm8k = github +
                            "openai/grade-school-math/3101c7d5072418e28b9008a6636bde82a006892c/"
                            "grade_school_math/data/";
  const std::string deepscaler = github + "agentica-project/deepscaler/95ef74f/deepscaler/data/";
  return {
      {.name = "gsm8k",
       .licence = "MIT",
       .description = "Word problems of grade school, 7,473 to train on and 1,319 to test",
       .files = {{"math/gsm8k_train.jsonl", gsm8k + "train.jsonl", 4'166'206,
                  "17f347dc51477c50d4efb83959dbb7c56297aba886e5544ee2aaed3024813465"},
                 {"math/gsm8k_test.jsonl", gsm8k + "test.jsonl", 749'738,
                  "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14"}}},
      {.name = "math",
       .licence = "MIT",
       .description = "Problems of mathematics competitions with their answers, 7,474 to train on",
       .files = {{"math/math_train.json", deepscaler + "train/math.json", 2'385'902,
                  "569230b362fd501e1a33d8f29aae3b4b989d32e2b91b07c3f48493528c3bf6d2"}}},
      {.name = "math500",
       .licence = "MIT",
       .description = "500 problems of the same competitions, to test",
       .files = {{"math/math500.jsonl",
                  "https://huggingface.co/datasets/HuggingFaceH4/MATH-500/resolve/"
                  "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be/test.jsonl",
                  446'564, "35dc41080a3680858b27fa7e0533d2d547825316fc5dafe5d316f4ccc5a06132"}}},
      {.name = "aime24",
       .licence = "MIT",
       .description = "The 30 problems of AIME 2024, to test",
       .files = {{"math/aime24.json", deepscaler + "test/aime.json", 38'011,
                  "03fd341fee10fb71cf906be4eb3042081f314c4d16077489e41f9375085d20d2"}}},
      {.name = "humaneval",
       .licence = "MIT",
       .description = "164 Python functions to complete, with tests, to test",
       .files = {{"code/humaneval.jsonl",
                  github + "openai/human-eval/6d43fb980f9fee3c892a914eda09951f772ad10d/data/"
                           "HumanEval.jsonl.gz",
                  214'438, "1d49078ba3e2b196b9344535bef34a43021f038fad9561d6ee7c53450609a6a2"}}},
      {.name = "mbpp",
       .licence = "CC-BY-4.0",
       .description = "974 small Python tasks with tests: task_id 11 to 510 to test",
       .files = {{"code/mbpp.jsonl",
                  github + "google-research/google-research/"
                           "1fa17414f56c3703d5adb3818338b6e35e0fd550/mbpp/mbpp.jsonl",
                  564'715, "143559fa164408d45cab058238471288b0e447507ce55db3057c56113d9dccb4"}}},
      {.name = "tinyshakespeare",
       .licence = "public domain",
       .description = "A megabyte of Shakespeare's plays",
       .files = {{"text/tinyshakespeare.txt",
                  github + "karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/"
                           "tinyshakespeare/input.txt",
                  1'115'394, "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"}}},
      {.name = "names",
       .licence = "MIT",
       .description = "32,033 first names, one a line",
       .files = {{"text/names.txt", github + "karpathy/makemore/988aa59/names.txt", 228'145,
                  "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d"}}},
      {.name = "books",
       .licence = "public domain",
       .description = "Prose of the 19th century and before, put together from many files",
       .files = {{"text/books.txt.gz", "", 18'422'916,
                  "76465a0ae102d0e95be746bfb0b4a0006ff897d4be56e8d4c20b295513ac679c"}}},
  };
}

// In MINKE_DATA, if that names a folder which has it.
std::optional<std::string> own_file(std::string_view file) {
  const char* folder = std::getenv("MINKE_DATA");
  if (folder == nullptr || *folder == '\0') return std::nullopt;
  const fs::path path = fs::path(folder) / file;
  std::error_code error;
  return fs::is_regular_file(path, error) ? std::optional(path.string()) : std::nullopt;
}

bool is_whole(const fs::path& path, const DataSetFile& file) {
  std::error_code error;
  return fs::is_regular_file(path, error) &&
         fs::file_size(path, error) == static_cast<uintmax_t>(file.bytes);
}

std::string sha256_of(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish_hex();
}

// What a server sends, at most `bytes_max` of it.
Result<std::vector<std::byte>> fetch(const std::string& address, int64_t bytes_max,
                                     PullObserver& observer) {
  if (!is_plain_address(address)) return misuse(address + ": is no https address");
  const bool loopback = is_loopback_address(address);
  std::string url = address;
  for (int hop = 0; hop <= kRedirectsMax; ++hop) {
    std::vector<std::byte> body;
    ProgressMeter meter(observer, "fetching", bytes_max);
    const auto sink = [&](const HttpAnswer&, std::span<const std::byte> bytes) -> Status {
      if (body.size() + bytes.size() > static_cast<size_t>(bytes_max)) {
        return fail(fmt::format("{} sends more than the {} that were expected", address,
                                human_bytes(bytes_max)));
      }
      body.insert(body.end(), bytes.begin(), bytes.end());
      meter.update(static_cast<int64_t>(body.size()));
      return {};
    };
    const HttpOutcome outcome = perform({.url = url, .loopback = loopback, .sink = sink}, observer);
    if (outcome.stopped) return fail("stopped: what came is thrown away");
    MINKE_TRY(outcome.fault);
    if (!outcome.trouble.empty()) {
      return fail(fmt::format(
          "{} could not be fetched: {}: check the network and run the same command again", address,
          outcome.trouble));
    }
    if (outcome.answer.status == 200) return body;
    if (!is_http_redirect(outcome.answer.status)) {
      return fail(fmt::format("{} answers {}", address, outcome.answer.status));
    }
    MINKE_ASSIGN(url, redirect_target(url, outcome.answer, loopback));
  }
  return fail(fmt::format("{} redirects more than {} times", address, kRedirectsMax));
}

Result<std::vector<std::byte>> unpack(std::span<const std::byte> packed, int64_t bytes) {
  std::vector<std::byte> made(static_cast<size_t>(bytes));
  z_stream stream = {};
  constexpr int kGzip = 16 + MAX_WBITS;
  if (inflateInit2(&stream, kGzip) != Z_OK) return fail("zlib would not start");
  // zlib's interface has no const.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(made.data());
  stream.avail_out = static_cast<uInt>(made.size());
  const int ended = inflate(&stream, Z_FINISH);
  inflateEnd(&stream);
  if (ended == Z_STREAM_END && stream.avail_out == 0) return made;
  return fail(fmt::format("what came does not unpack to the {} bytes that were expected", bytes));
}

Status pull_file(const DataSetFile& file, const fs::path& target, PullObserver& observer) {
  if (file.address.empty()) {
    return fail(
        fmt::format("{} cannot be fetched from one place: put it into the folder that "
                    "MINKE_DATA names",
                    file.file));
  }
  observer.say(fmt::format("{}: {} from {}", file.file, human_bytes(file.bytes), file.address));
  MINKE_ASSIGN(std::vector<std::byte> bytes, fetch(file.address, file.bytes, observer));
  if (file.address.ends_with(".gz") && !file.file.ends_with(".gz")) {
    auto unpacked = unpack(bytes, file.bytes);
    if (!unpacked) return fail(fmt::format("{}: {}", file.address, unpacked.error().message));
    bytes = *std::move(unpacked);
  }
  const std::string hash = sha256_of(bytes);
  if (hash != file.sha256) {
    return fail(
        fmt::format("{}: what came has {} bytes and SHA-256 {}, expected {} and {}; it is "
                    "thrown away",
                    file.address, bytes.size(), hash, file.bytes, file.sha256));
  }
  std::error_code error;
  fs::create_directories(target.parent_path(), error);
  if (error) {
    return fail(fmt::format("cannot make {}: {}", target.parent_path().string(), error.message()));
  }
  MINKE_ASSIGN(OutputFile out, OutputFile::create(target.string()));
  MINKE_TRY(out.write(bytes));
  return out.commit();
}

}  // namespace

std::span<const DataSet> data_catalogue() {
  static const std::vector<DataSet> sets = make_catalogue();
  return sets;
}

Result<const DataSet*> find_data_set(std::string_view name) {
  std::vector<std::string> names;
  for (const DataSet& set : data_catalogue()) {
    if (set.name == name) return &set;
    names.push_back(set.name);
  }
  const std::vector<std::string> nearest = nearest_names(name, names);
  return misuse(fmt::format("there is no data set '{}'; {} {}", name.substr(0, 100),
                            nearest.empty() ? "there are" : "did you mean",
                            fmt::join(nearest.empty() ? names : nearest, ", ")));
}

Result<fs::path> data_sets_dir() {
  MINKE_ASSIGN(const fs::path models, models_dir());
  return models.parent_path() / "data";
}

Result<std::string> data_set_file(std::string_view name, std::string_view file) {
  if (auto found = own_file(file)) return *std::move(found);
  MINKE_ASSIGN(const fs::path folder, data_sets_dir());
  const fs::path path = folder / file;
  std::error_code error;
  if (fs::is_regular_file(path, error)) return path.string();
  const char* own = std::getenv("MINKE_DATA");
  const bool named = own != nullptr && *own != '\0';
  return fail(fmt::format(
      "the data set {} is not on this machine (no {} in {}): fetch it with minke data pull {}",
      name, file,
      named ? fmt::format("{} or in {}", own, folder.string())
            : folder.string() + ", and MINKE_DATA is not set",
      name));
}

Result<std::vector<std::string>> pull_data_set(const DataSet& set, const DataPull& options,
                                               PullObserver& observer) {
  fs::path folder = options.folder;
  if (folder.empty()) {
    MINKE_ASSIGN(folder, data_sets_dir());
  }
  std::vector<std::string> paths;
  for (const DataSetFile& file : set.files) {
    if (auto own = own_file(file.file)) {
      paths.push_back(*std::move(own));
      continue;
    }
    const fs::path target = folder / file.file;
    if (!is_whole(target, file)) MINKE_TRY(pull_file(file, target, observer));
    paths.push_back(target.string());
  }
  return paths;
}

}  // namespace minke
