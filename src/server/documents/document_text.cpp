#include "server/documents/document_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "server/documents/pdf_text.h"
#include "text/unicode.h"

namespace minke::documents {
namespace {

std::string shortened(std::string_view text, size_t bytes_max) {
  if (text.size() <= bytes_max) return std::string(text);
  size_t end = bytes_max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80) --end;
  return std::string(text.substr(0, end));
}

std::string shown_name(std::string_view name) {
  return name.empty() || !is_valid_utf8(name) ? "the file" : shortened(name, 100);
}

// A PDF may have other bytes before its mark.
bool is_pdf(std::string_view bytes) {
  constexpr size_t kMarkWithin = 1024;
  return bytes.substr(0, kMarkWithin).find("%PDF-") != std::string_view::npos;
}

std::optional<std::string> image_type(std::string_view bytes) {
  if (bytes.starts_with("\x89PNG")) return "image/png";
  if (bytes.starts_with("\xFF\xD8\xFF")) return "image/jpeg";
  if (bytes.starts_with("GIF87a") || bytes.starts_with("GIF89a")) return "image/gif";
  if (bytes.starts_with("RIFF") && bytes.substr(8).starts_with("WEBP")) return "image/webp";
  return std::nullopt;
}

// UTF-16 with its mark before it; a lone half of a pair becomes U+FFFD.
std::optional<std::string> from_utf16(std::string_view bytes) {
  const bool is_little = bytes.starts_with("\xFF\xFE");
  if (!is_little && !bytes.starts_with("\xFE\xFF")) return std::nullopt;
  const auto unit_at = [&](size_t at) -> uint32_t {
    if (at + 1 >= bytes.size()) return 0;
    const auto first = static_cast<unsigned char>(bytes[at]);
    const auto second = static_cast<unsigned char>(bytes[at + 1]);
    return is_little ? second * 256U + first : first * 256U + second;
  };
  std::string text;
  for (size_t at = 2; at + 1 < bytes.size(); at += 2) {
    uint32_t code = unit_at(at);
    if (code >= 0xD800 && code <= 0xDBFF) {
      const uint32_t low = unit_at(at + 2);
      if (low >= 0xDC00 && low <= 0xDFFF) {
        code = 0x10000 + ((code - 0xD800) << 10U) + (low - 0xDC00);
        at += 2;
      }
    }
    append_utf8(text, code >= 0xD800 && code <= 0xDFFF ? 0xFFFD : code);
  }
  return text;
}

// Bytes that no encoding has for text: but for those that move the cursor or colour a terminal.
bool is_no_text(char c) {
  constexpr std::string_view kTaken = "\t\n\v\f\r\b\x1B";
  return static_cast<unsigned char>(c) < 0x20 && kTaken.find(c) == std::string_view::npos;
}

Result<std::string> plain_text(std::string_view name, std::string_view bytes) {
  if (auto text = from_utf16(bytes)) return *std::move(text);
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  if (bytes.starts_with(kMark)) bytes.remove_prefix(kMark.size());
  if (std::ranges::any_of(bytes, is_no_text)) {
    return misuse(
        fmt::format("{} is neither text nor a PDF: attach it as one of them", shown_name(name)));
  }
  if (!is_valid_utf8(bytes)) {
    return misuse(
        fmt::format("{} is text in another encoding than UTF-8, or no text at all: save "
                    "it as UTF-8 and attach that",
                    shown_name(name)));
  }
  return std::string(bytes);
}

}  // namespace

Result<Document> read_document(std::string_view name, std::string_view bytes,
                               const Limits& limits) {
  if (bytes.empty()) return misuse(fmt::format("{} is empty", shown_name(name)));
  if (auto type = image_type(bytes))
    return Document{.kind = Kind::kImage, .media_type = *std::move(type)};
  Document document;
  if (is_pdf(bytes)) {
    document.kind = Kind::kPdf;
    document.media_type = "application/pdf";
    auto read = pdf_text(bytes, limits);
    if (!read) {
      return std::unexpected(
          Error{fmt::format("{}: {}", shown_name(name), read.error().message), read.error().kind});
    }
    document.text = std::move(read->text);
    document.truncated = read->truncated;
  } else {
    document.media_type = "text/plain; charset=utf-8";
    MINKE_ASSIGN(document.text, plain_text(name, bytes));
  }
  if (document.text.size() > limits.text_bytes_max) {
    document.text = shortened(document.text, limits.text_bytes_max);
    document.truncated = true;
  }
  return document;
}

}  // namespace minke::documents
