// Bytes as text of letters, digits, + and /, padded (RFC 4648). Pure functions, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace minke::history {

std::string to_base64(std::string_view bytes);
// Nothing where the text is not what to_base64() writes.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace minke::history
