// What a model is told of a file that somebody attached: the text of a text file or of a PDF.
//
// Files are hostile. PDFs are read by poppler's pdftotext in a process of its own with little
// memory, little time and no way to write; a file that kills it costs an error and nothing else.
// Plain functions, safe from any thread; a PDF may keep its thread for `seconds_max`.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "core/result.h"

namespace minke::documents {

enum class Kind { kText, kPdf, kImage };

struct Limits {
  size_t text_bytes_max = size_t{2} << 20;  // what is beyond is cut off, and said to be
  int seconds_max = 20;
  size_t memory_bytes_max = size_t{1} << 30;
};

struct Document {
  Kind kind = Kind::kText;
  std::string media_type;  // found in the bytes, never believed of the sender
  std::string text;        // UTF-8; empty for images
  bool truncated = false;
};

// Fails, with the way out, for what is neither text, nor a PDF with text in it, nor an image of a
// known kind.
Result<Document> read_document(std::string_view name, std::string_view bytes,
                               const Limits& limits = {});

}  // namespace minke::documents
