#include "io/https.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <utility>

#include "core/check.h"

namespace minke {
namespace {

constexpr int64_t kErrorBodyMax = 1 << 20;
constexpr size_t kHeadersMax = 200;

struct FreeCurl {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};
struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using UrlHandle = std::unique_ptr<CURLU, FreeUrl>;

void start_curl_once() {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  CHECK_EQ(static_cast<int>(started), static_cast<int>(CURLE_OK));
}

std::string url_part(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, 0) != CURLUE_OK || text == nullptr) return "";
  std::string copy = text;
  curl_free(text);
  return copy;
}

bool is_loopback(std::string_view host) {
  if (host == "localhost" || host == "[::1]") return true;
  // Only four plain numbers, so that no name that merely begins with 127 passes.
  if (!host.starts_with("127.")) return false;
  return std::ranges::all_of(host, [](char c) { return c == '.' || (c >= '0' && c <= '9'); }) &&
         std::ranges::count(host, '.') == 3;
}

bool is_loopback_http(CURLU* url) {
  return url_part(url, CURLUPART_SCHEME) == "http" && is_loopback(url_part(url, CURLUPART_HOST));
}

// A request in progress: what its callbacks need. The sink gets the body of 200 and 206 only.
struct Transfer {
  CURL* curl = nullptr;
  HttpAnswer answer;
  std::function<Status(const HttpAnswer&, std::span<const std::byte>)> sink;
  PullObserver* observer = nullptr;
  Status fault;  // what a callback of ours found wrong
  bool stopped = false;
};

size_t on_header(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::string_view line(data, size * count);
  if (line.starts_with("HTTP/")) {
    // A new answer begins (after a 100, or after a proxy's own).
    transfer.answer = HttpAnswer{};
    return line.size();
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || transfer.answer.headers.size() >= kHeadersMax) {
    return line.size();
  }
  std::string name(line.substr(0, colon));
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  std::string_view value = line.substr(colon + 1);
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!value.empty() && blank(value.front())) value.remove_prefix(1);
  while (!value.empty() && blank(value.back())) value.remove_suffix(1);
  transfer.answer.headers[name] = value;
  return line.size();
}

size_t on_body(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const size_t bytes = size * count;
  curl_easy_getinfo(transfer.curl, CURLINFO_RESPONSE_CODE, &transfer.answer.status);
  const bool wanted = transfer.answer.status == 200 || transfer.answer.status == 206;
  transfer.answer.body_bytes += static_cast<int64_t>(bytes);
  if (!wanted) return transfer.answer.body_bytes > kErrorBodyMax ? 0 : bytes;
  transfer.fault =
      transfer.sink(transfer.answer, std::as_bytes(std::span<const char>(data, bytes)));
  return transfer.fault ? bytes : 0;
}

int on_tick(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  auto& transfer = *static_cast<Transfer*>(user);
  transfer.stopped = transfer.observer->stop_wanted();
  return transfer.stopped ? 1 : 0;
}

}  // namespace

HttpOutcome perform(const HttpRequest& request, PullObserver& observer) {
  start_curl_once();
  const std::unique_ptr<CURL, FreeCurl> handle(curl_easy_init());
  CHECK(handle != nullptr);
  CURL* curl = handle.get();
  Transfer transfer;
  transfer.curl = curl;
  transfer.sink = request.sink;
  transfer.observer = &observer;
  const std::string range = fmt::format("{}-", request.from);
  char error_text[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, request.loopback ? "http,https" : "https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_NOBODY, request.head_only ? 1L : 0L);
  if (request.from > 0) curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  if (request.loopback) curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "minke/0.1");
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 30L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, 60L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 256L << 10);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error_text);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_tick);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
  const CURLcode code = curl_easy_perform(curl);
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &transfer.answer.status);
  HttpOutcome outcome{.answer = std::move(transfer.answer),
                      .trouble = "",
                      .fault = std::move(transfer.fault),
                      .stopped = transfer.stopped};
  if (code != CURLE_OK)
    outcome.trouble = error_text[0] != 0 ? error_text : curl_easy_strerror(code);
  return outcome;
}

// Where a redirect leads; an error when it leaves https (or, from a base on this machine, this
// machine).
Result<std::string> redirect_target(const std::string& from, const HttpAnswer& answer,
                                    bool loopback) {
  const UrlHandle url(curl_url());
  const std::string location = answer.header("location");
  if (curl_url_set(url.get(), CURLUPART_URL, from.c_str(), 0) != CURLUE_OK || location.empty() ||
      curl_url_set(url.get(), CURLUPART_URL, location.c_str(), 0) != CURLUE_OK) {
    return fail(
        fmt::format("{} redirects to '{}', which is no address", from, location.substr(0, 200)));
  }
  const bool safe =
      url_part(url.get(), CURLUPART_SCHEME) == "https" || (loopback && is_loopback_http(url.get()));
  if (!safe || !url_part(url.get(), CURLUPART_USER).empty()) {
    return fail(fmt::format("{} redirects to {}, which is not https: refused", from,
                            location.substr(0, 200)));
  }
  return url_part(url.get(), CURLUPART_URL);
}

bool is_http_redirect(long status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool is_loopback_address(const std::string& address) {
  const UrlHandle url(curl_url());
  return curl_url_set(url.get(), CURLUPART_URL, address.c_str(), 0) == CURLUE_OK &&
         is_loopback_http(url.get());
}

bool is_plain_address(const std::string& address) {
  const UrlHandle url(curl_url());
  return curl_url_set(url.get(), CURLUPART_URL, address.c_str(), 0) == CURLUE_OK &&
         (url_part(url.get(), CURLUPART_SCHEME) == "https" || is_loopback_http(url.get())) &&
         url_part(url.get(), CURLUPART_QUERY).empty() &&
         url_part(url.get(), CURLUPART_FRAGMENT).empty() &&
         url_part(url.get(), CURLUPART_USER).empty();
}

}  // namespace minke
