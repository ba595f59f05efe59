#include "io/hf_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <system_error>
#include <thread>

#include "io/https.h"
#include "io/sha256.h"

namespace minke {
namespace fs = std::filesystem;
namespace {

constexpr int kIdleAttemptsMax = 5;
constexpr int64_t kFileBytesMin = 24;                 // a GGUF header
constexpr int64_t kFileBytesMax = int64_t{16} << 40;  // nothing so large is a model

std::optional<int64_t> parse_count(std::string_view text) {
  int64_t value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

std::string unquoted(std::string text) {
  if (text.starts_with("W/")) text.erase(0, 2);
  std::erase(text, '"');
  return text;
}

Error refusal(const HubFile& file, const HttpAnswer& answer, const std::string& base) {
  const std::string what = fmt::format("{}:{}", file.repo, file.file);
  switch (answer.status) {
    case 401:
    case 403:
      return {
          fmt::format("{} answers {} for {}: the repository does not exist or wants an account; "
                      "check the name, or fetch the file with a browser",
                      base, answer.status, what)};
    case 404:
      return {fmt::format("{} has no {}: check owner, repo and file name", base, what)};
    case 429:
      return {
          fmt::format("{} answers 429, too many requests: wait some minutes and run the same "
                      "command again",
                      base)};
    default:
      return {fmt::format("{} answers {} for {}: try again later", base, answer.status, what)};
  }
}

Result<HubStatement> read_statement(const HubFile& file, const std::string& base,
                                    const HttpAnswer& answer) {
  const std::string what = fmt::format("{}:{}", file.repo, file.file);
  const bool linked = !answer.header("x-linked-size").empty();
  const std::string size_text = answer.header(linked ? "x-linked-size" : "content-length");
  const auto size = parse_count(size_text);
  if (!size || *size < kFileBytesMin || *size > kFileBytesMax) {
    return fail(fmt::format("{} states a size of '{}' for {}: expected {} to {} bytes", base,
                            size_text.substr(0, 40), what, kFileBytesMin, kFileBytesMax));
  }
  std::string etag = unquoted(answer.header("x-linked-etag"));
  if (etag.empty()) etag = unquoted(answer.header("etag"));
  if (!is_sha256_hex(etag)) {
    return fail(
        fmt::format("{} states no SHA-256 for {} (its tag is '{}'), so the file could not "
                    "be checked: fetch it yourself if you trust it",
                    base, what, etag.substr(0, 80)));
  }
  return HubStatement{.bytes = *size, .sha256 = etag};
}

std::string file_url(const HubFile& file, const std::string& base) {
  // parse_hub_name allows only characters that need no escaping.
  return fmt::format("{}/{}/resolve/main/{}", base, file.repo, file.file);
}

// "bytes FIRST-LAST/TOTAL" as asked for.
Status check_range(const HttpAnswer& answer, int64_t from, int64_t total) {
  const std::string expected = fmt::format("bytes {}-{}/{}", from, total - 1, total);
  const std::string got = answer.header("content-range");
  if (got == expected) return {};
  return fail(fmt::format("the server sends the range '{}' but '{}' was asked for",
                          got.substr(0, 80), expected));
}

// The body of one GET, written behind what is there. A server that ignores the range starts anew.
class BodySink {
 public:
  BodySink(PartialFile& whole, int64_t from, int64_t total, ProgressMeter& meter)
      : whole_(whole), from_(from), at_(from), total_(total), meter_(meter) {}

  Status operator()(const HttpAnswer& answer, std::span<const std::byte> bytes) {
    if (!begun_) MINKE_TRY(begin(answer));
    if (static_cast<int64_t>(bytes.size()) > total_ - at_) {
      return fail(fmt::format("the server sends more than the {} bytes that it stated", total_));
    }
    MINKE_TRY(whole_.write_at(at_, bytes));
    at_ += static_cast<int64_t>(bytes.size());
    meter_.update(at_);
    return {};
  }

 private:
  Status begin(const HttpAnswer& answer) {
    begun_ = true;
    if (answer.status == 206) return check_range(answer, from_, total_);
    if (from_ > 0) {
      at_ = 0;
      return whole_.truncate(0);
    }
    return {};
  }

  PartialFile& whole_;
  int64_t from_, at_, total_;
  ProgressMeter& meter_;
  bool begun_ = false;
};

// One GET through its redirects.
Result<HttpOutcome> get_once(const HubFile& file, const std::string& base, int64_t from,
                             BodySink& sink, PullObserver& observer) {
  std::string url = file_url(file, base);
  const bool loopback = is_loopback_address(base);
  for (int hop = 0; hop <= kRedirectsMax; ++hop) {
    HttpOutcome outcome =
        perform({.url = url,
                 .head_only = false,
                 .from = from,
                 .loopback = loopback,
                 .sink = [&](const HttpAnswer& answer,
                             std::span<const std::byte> bytes) { return sink(answer, bytes); }},
                observer);
    const bool moved = outcome.trouble.empty() && is_http_redirect(outcome.answer.status);
    if (!moved) return outcome;
    MINKE_ASSIGN(url, redirect_target(url, outcome.answer, loopback));
  }
  return fail(fmt::format("{} redirects more than {} times", base, kRedirectsMax));
}

Error stopped_at(const PartialFile& whole, int64_t total) {
  return {fmt::format("stopped: {} of {} are kept, and the same command goes on from there",
                      human_bytes(whole.size()), human_bytes(total))};
}

// True when the bytes in `whole` belong to this very statement; remembers it from now on.
Result<bool> same_statement_as_before(const fs::path& folder, const HubStatement& stated) {
  const fs::path path = folder / "stated";
  const std::string now = fmt::format("{} {}\n", stated.sha256, stated.bytes);
  std::string before;
  if (std::ifstream in(path); in) std::getline(in, before);
  if (before + "\n" == now) return true;
  std::ofstream out(path, std::ios::trunc);
  out << now << std::flush;
  if (!out) return fail(fmt::format("cannot write {}: is the disk full?", path.string()));
  return false;
}

bool wait_before_retry(int64_t milliseconds, PullObserver& observer) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
  while (std::chrono::steady_clock::now() < until) {
    if (observer.stop_wanted()) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

}  // namespace

Result<std::string> hub_base_address(const std::string& option) {
  std::string base = option;
  std::string_view from = "--hub";
  if (base.empty()) {
    from = "HF_ENDPOINT";
    if (const char* value = std::getenv("HF_ENDPOINT")) base = value;
  }
  if (base.empty()) return std::string("https://huggingface.co");
  while (base.ends_with('/')) base.pop_back();
  if (is_plain_address(base)) return base;
  return misuse(
      fmt::format("{} is '{}': expected an address like https://huggingface.co (http is "
                  "allowed for this machine only, and nothing may follow a '?' or '#')",
                  from, base.substr(0, 200)));
}

Result<HubStatement> ask_hub(const HubFile& file, const std::string& base, PullObserver& observer) {
  std::string url = file_url(file, base);
  const bool loopback = is_loopback_address(base);
  for (int hop = 0; hop <= kRedirectsMax; ++hop) {
    const HttpOutcome outcome = perform(
        {.url = url, .head_only = true, .from = 0, .loopback = loopback, .sink = {}}, observer);
    if (outcome.stopped) return fail("stopped before anything was fetched");
    if (!outcome.trouble.empty()) {
      return fail(
          fmt::format("{} could not be reached: {}: check the network and run the same "
                      "command again",
                      base, outcome.trouble));
    }
    const HttpAnswer& answer = outcome.answer;
    // The hub states size and hash beside the redirect to wherever the bytes lie, so there is no
    // need to ask that place.
    const bool states = !answer.header("x-linked-size").empty();
    if (answer.status == 200 || (is_http_redirect(answer.status) && states)) {
      return read_statement(file, base, answer);
    }
    if (!is_http_redirect(answer.status)) return std::unexpected(refusal(file, answer, base));
    MINKE_ASSIGN(url, redirect_target(url, answer, loopback));
  }
  return fail(fmt::format("{} redirects more than {} times", base, kRedirectsMax));
}

Status fetch_hub_file(const HubFile& file, const std::string& base, const HubStatement& stated,
                      const fs::path& folder, PartialFile& whole, const PullOptions& options,
                      PullObserver& observer) {
  MINKE_ASSIGN(const bool same, same_statement_as_before(folder, stated));
  if (!same || whole.size() > stated.bytes) MINKE_TRY(whole.truncate(0));
  ProgressMeter meter(observer, "fetching", stated.bytes);
  int64_t delay_ms = options.retry_delay_ms;
  for (int idle_attempts = 0; whole.size() < stated.bytes;) {
    const int64_t from = whole.size();
    BodySink sink(whole, from, stated.bytes, meter);
    MINKE_ASSIGN(const HttpOutcome outcome, get_once(file, base, from, sink, observer));
    if (outcome.stopped) return std::unexpected(stopped_at(whole, stated.bytes));
    MINKE_TRY(outcome.fault);
    const long status = outcome.answer.status;
    if (outcome.trouble.empty() && status == 416) MINKE_TRY(whole.truncate(0));
    const bool passing = !outcome.trouble.empty() || status == 206 || status == 200 ||
                         status == 416 || status >= 500;
    if (!passing) return std::unexpected(refusal(file, outcome.answer, base));
    if (whole.size() >= stated.bytes) break;
    idle_attempts = whole.size() > from ? 0 : idle_attempts + 1;
    delay_ms = whole.size() > from ? options.retry_delay_ms : delay_ms * 2;
    if (idle_attempts >= kIdleAttemptsMax) {
      const std::string why =
          outcome.trouble.empty() ? fmt::format("status {}", status) : outcome.trouble;
      return fail(fmt::format(
          "the download of {}:{} breaks off again and again ({}): {} of {} are "
          "kept, and the same command goes on from there",
          file.repo, file.file, why, human_bytes(whole.size()), human_bytes(stated.bytes)));
    }
    if (!wait_before_retry(delay_ms, observer)) {
      return std::unexpected(stopped_at(whole, stated.bytes));
    }
  }
  meter.finish(stated.bytes);
  return {};
}

}  // namespace minke
