#include "server/documents/pdf_text.h"

#include <fmt/format.h>

#include "core/child_process.h"
#include "text/unicode.h"

namespace minke::documents {
namespace {

// Bytes that are no UTF-8 become U+FFFD; the program promises UTF-8, the file does not.
std::string valid(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const Glyph glyph = decode_utf8(text, at);
    if (glyph.code == kStrayByte) {
      out += "\xEF\xBF\xBD";
    } else if (glyph.code != 0) {
      out += text.substr(at, glyph.length);
    }
    at += glyph.length;
  }
  return out;
}

}  // namespace

Result<PdfText> pdf_text(std::string_view bytes, const Limits& limits) {
  // Beyond the bound, for what is cut there to end in a whole letter.
  constexpr size_t kMore = size_t{64} << 10;
  const auto outcome =
      run_child({.command = {"pdftotext", "-q", "-enc", "UTF-8", "-nopgbrk", "-", "-"},
                 .environment = {"LC_ALL=C.UTF-8"},
                 .input = bytes,
                 .time_ms_max = int64_t{1000} * limits.seconds_max,
                 .output_bytes_max = limits.text_bytes_max + kMore,
                 .ends_when_full = true,
                 .bounds = {.memory_bytes_max = limits.memory_bytes_max,
                            .cpu_seconds_max = static_cast<uint64_t>(limits.seconds_max),
                            .may_write_files = false}});
  if (!outcome) {
    return fail(
        fmt::format("PDFs are read by pdftotext ({}): install poppler-utils, or attach the text",
                    outcome.error().message));
  }
  if (outcome->timed_out) {
    return misuse(fmt::format("this PDF could not be read within {} seconds: attach its text",
                              limits.seconds_max));
  }
  if (!outcome->is_full && outcome->exit_status != 0) {
    return misuse(
        "this PDF is damaged, protected by a password, or too large to be read: attach "
        "its text");
  }
  if (outcome->output.find_first_not_of(" \t\r\n\f") == std::string::npos) {
    return misuse("this PDF has no text in it (it may be a scan): attach its text");
  }
  return PdfText{.text = valid(outcome->output), .truncated = outcome->is_full};
}

}  // namespace minke::documents
