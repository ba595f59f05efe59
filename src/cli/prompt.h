// From what a person typed or piped to what the model is asked.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "cli/console.h"
#include "core/result.h"

namespace minke::cli {

// Words like @notes.txt or @src/main.cpp that name a readable text file become the file's name and
// contents, fenced. A word that names no file stays as it is (`note` hears of those that look like
// a path); a file that is too large or no text is an error. Only for what a person wrote: text that
// was piped in is never searched for names.
Result<std::string> with_files(std::string_view prompt,
                               const std::function<void(const std::string&)>& note);

// All of stdin. Fails on what is not UTF-8 and on more than 64 MiB.
Result<std::string> read_stdin_text();
// All of a file, a pipe or a device, or of stdin where there is no path or it is "-": whatever it
// is, up to 1 GiB. Waits for who writes a pipe.
Result<std::string> read_input_bytes(const std::optional<std::string>& path);
// What messages call it.
std::string input_name(const std::optional<std::string>& path);
// All of a plain file, and of nothing else.
Result<std::string> read_file_bytes(const std::string& path, size_t bytes_max);

// Whether stdin is a pipe or a file that somebody means to be read: a terminal and /dev/null are
// not, and neither is a socket that a parent left behind.
bool stdin_was_given();

}  // namespace minke::cli
