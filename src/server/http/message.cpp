#include "server/http/message.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "text/unicode.h"

namespace minke::http {
namespace {

bool equal_without_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) ==
           std::tolower(static_cast<unsigned char>(y));
  });
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

const std::string* find_field(const Fields& fields, std::string_view name) {
  const auto found = std::ranges::find_if(
      fields, [&](const auto& field) { return equal_without_case(field.first, name); });
  return found == fields.end() ? nullptr : &found->second;
}

const std::string* Request::parameter(std::string_view name) const {
  const auto found =
      std::ranges::find_if(query, [&](const auto& field) { return field.first == name; });
  return found == query.end() ? nullptr : &found->second;
}

SentFile::~SentFile() { ::close(descriptor_); }

Response text_response(int status, std::string_view media_type, std::string body) {
  return {.status = status,
          .headers = {{"Content-Type", std::string(media_type)}},
          .body = std::move(body)};
}

bool percent_decode(std::string_view text, bool is_query, std::string& out) {
  out.clear();
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && is_query) {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      if (i + 2 >= text.size()) return false;
      const int high = hex_value(text[i + 1]);
      const int low = hex_value(text[i + 2]);
      if (high < 0 || low < 0) return false;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return is_valid_utf8(out);
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

const char* status_text(int status) {
  struct Named {
    int status;
    const char* text;
  };
  static constexpr std::array kNames = std::to_array<Named>({
      {200, "OK"},
      {201, "Created"},
      {202, "Accepted"},
      {204, "No Content"},
      {206, "Partial Content"},
      {304, "Not Modified"},
      {400, "Bad Request"},
      {401, "Unauthorized"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {408, "Request Timeout"},
      {409, "Conflict"},
      {411, "Length Required"},
      {413, "Content Too Large"},
      {414, "URI Too Long"},
      {415, "Unsupported Media Type"},
      {421, "Misdirected Request"},
      {422, "Unprocessable Content"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {500, "Internal Server Error"},
      {501, "Not Implemented"},
      {503, "Service Unavailable"},
      {505, "HTTP Version Not Supported"},
      {507, "Insufficient Storage"},
  });
  const auto found = std::ranges::find(kNames, status, &Named::status);
  return found == kNames.end() ? "Unknown" : found->text;
}

}  // namespace minke::http
