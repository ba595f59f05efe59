#include "text/schema_format.h"

#include <fmt/format.h>

#include <string>

namespace minke {
namespace {

// Years from 1000 on, and 29 February in leap years only.
std::string date() {
  const std::string days =
      "[1-9]\\d{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|"
      "(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))";
  const std::string leap_years =
      "[1-9]\\d(?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00";
  return "(?:" + days + "|(?:" + leap_years + ")-02-29)";
}

std::string time() {
  return "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,6})?(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]"
         "\\d)";
}

std::string duration() {
  const std::string time =
      "T(?:\\d{1,4}H(?:\\d{1,4}M(?:\\d{1,4}S)?)?|\\d{1,4}M(?:\\d{1,4}S)?|\\d{1,4}S)";
  const std::string date =
      "(?:\\d{1,4}Y(?:\\d{1,4}M(?:\\d{1,4}D)?)?|\\d{1,4}M(?:\\d{1,4}D)?|\\d{1,4}D)";
  return "P(?:\\d{1,4}W|" + date + "(?:" + time + ")?|" + time + ")";
}

std::string host() {
  const std::string label = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,40}[A-Za-z0-9])?";
  return label + "(?:\\." + label + "){0,4}";
}

std::string email() { return "[A-Za-z0-9_+-]{1,40}(?:\\.[A-Za-z0-9_+-]{1,40}){0,4}@" + host(); }

std::string ipv4() {
  const std::string octet = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
  return octet + "(?:\\." + octet + "){3}";
}

std::string ipv6() { return "[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7}"; }

std::string uuid() { return "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"; }

std::string uri() {
  const std::string common = "A-Za-z0-9._~!$&'()*+,;=:@/";
  return "(?:https?|ftp)://" + host() + "(?::[1-9]\\d{0,3})?(?:/[" + common + "-]*)?(?:\\?[" +
         common + "?-]*)?(?:#[" + common + "?-]*)?";
}

struct Format {
  std::string_view name;
  std::string (*pattern)();
};

constexpr Format kFormats[] = {
    {"date", date},         {"time", time},   {"date-time", [] { return date() + "T" + time(); }},
    {"duration", duration}, {"email", email}, {"hostname", host},
    {"ipv4", ipv4},         {"ipv6", ipv6},   {"uuid", uuid},
    {"uri", uri},
};

}  // namespace

std::optional<std::string> schema_format_pattern(std::string_view name) {
  for (const Format& format : kFormats) {
    if (format.name == name) return format.pattern();
  }
  return std::nullopt;
}

std::string schema_format_names() {
  std::string out;
  for (const Format& format : kFormats) {
    if (!out.empty()) out += ", ";
    out += format.name;
  }
  return out;
}

}  // namespace minke
