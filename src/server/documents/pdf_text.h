// The text of a PDF, read by pdftotext (Debian's poppler-utils) in a process of its own.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"
#include "server/documents/document_text.h"

namespace minke::documents {

struct PdfText {
  std::string text;
  bool truncated = false;
};

// Blocks, for Limits::seconds_max at most. Usage errors are the file's (no text in it, not readable
// within the limits), others the machine's (pdftotext is not installed).
Result<PdfText> pdf_text(std::string_view bytes, const Limits& limits);

}  // namespace minke::documents
