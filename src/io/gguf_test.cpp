#include "io/gguf.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "io/gguf_writer.h"

namespace minke {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// Assembles a GGUF file byte by byte, so that any field can lie.
class Builder {
 public:
  std::vector<std::byte> bytes;

  template <typename T>
  Builder& put(T value) {
    const auto* first = reinterpret_cast<const std::byte*>(&value);
    bytes.insert(bytes.end(), first, first + sizeof value);
    return *this;
  }
  Builder& raw(std::string_view text) {
    const auto* first = reinterpret_cast<const std::byte*>(text.data());
    bytes.insert(bytes.end(), first, first + text.size());
    return *this;
  }
  Builder& text(std::string_view value) { return put(uint64_t{value.size()}).raw(value); }
  Builder& start(uint64_t tensors, uint64_t entries, uint32_t version = 3) {
    return raw("GGUF").put(version).put(tensors).put(entries);
  }
  Builder& key(std::string_view name, GgufType type) {
    return text(name).put(static_cast<uint32_t>(type));
  }
  Builder& tensor(std::string_view name, std::vector<uint64_t> ne, uint32_t type, uint64_t offset) {
    text(name).put(static_cast<uint32_t>(ne.size()));
    for (const uint64_t dim : ne) put(dim);
    return put(type).put(offset);
  }
  Builder& pad(size_t alignment = 32) {
    bytes.resize((bytes.size() + alignment - 1) / alignment * alignment);
    return *this;
  }
  Builder& data(size_t count) {
    bytes.resize(bytes.size() + count, std::byte{0x3c});
    return *this;
  }
  Result<GgufFile> parse(GgufOptions options = {}) const {
    return GgufFile::parse(bytes, "model.gguf", options);
  }
  std::string error(GgufOptions options = {}) const {
    const auto file = parse(options);
    return file ? "no error" : file.error().message;
  }
};

class Folder {
 public:
  Folder() {
    std::string pattern = testing::TempDir() + "minke_gguf_XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

std::string open_error(const std::string& path, GgufOptions options = {}) {
  const auto file = GgufFile::open(path, options);
  return file ? "no error" : file.error().message;
}

Builder small() {
  Builder b;
  b.start(2, 2).key("general.architecture", GgufType::kString).text("llama");
  b.key("llama.block_count", GgufType::kUint32).put(uint32_t{7});
  b.tensor("a.weight", {4, 3}, 0, 0).tensor("b.weight", {64}, 8, 64).pad().data(64 + 68);
  return b;
}

TEST(Gguf, ReadsMetadataAndTensors) {
  const Builder b = small();
  const auto file = b.parse();
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->version(), 3u);
  EXPECT_EQ(file->metadata().size(), 2u);
  EXPECT_EQ(file->text("general.architecture").value(), "llama");
  EXPECT_EQ(file->integer("llama.block_count").value(), 7);
  ASSERT_EQ(file->tensors().size(), 2u);
  const GgufTensor* a = file->find("a.weight");
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(a->shape, (Shape{3, 4}));
  EXPECT_EQ(a->bytes, 48u);
  EXPECT_EQ(a->data, b.bytes.data() + a->offset);
  const GgufTensor* second = file->find("b.weight");
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->type, QuantType::kQ8_0);
  EXPECT_EQ(second->bytes, 68u);
  EXPECT_EQ(second->offset, a->offset + 64);
  EXPECT_EQ(file->find("c.weight"), nullptr);
}

TEST(Gguf, ReadsVersionTwo) {
  Builder b;
  b.start(1, 0, 2).tensor("x", {1}, 0, 0).pad().data(4);
  const auto file = b.parse();
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->version(), 2u);
}

TEST(Gguf, ReadsEveryValueType) {
  Builder b;
  b.start(0, 16);
  b.key("u8", GgufType::kUint8).put(uint8_t{200});
  b.key("i8", GgufType::kInt8).put(int8_t{-100});
  b.key("u16", GgufType::kUint16).put(uint16_t{60000});
  b.key("i16", GgufType::kInt16).put(int16_t{-30000});
  b.key("u32", GgufType::kUint32).put(uint32_t{4000000000});
  b.key("i32", GgufType::kInt32).put(int32_t{-2000000000});
  b.key("u64", GgufType::kUint64).put(uint64_t{1} << 63);
  b.key("i64", GgufType::kInt64).put(int64_t{-1});
  b.key("f32", GgufType::kFloat32).put(1e-6f);
  b.key("f64", GgufType::kFloat64).put(2.5);
  b.key("yes", GgufType::kBool).put(uint8_t{1});
  b.key("s", GgufType::kString).text("a\"b\n\x01");
  b.key("as", GgufType::kArray).put(uint32_t{8}).put(uint64_t{2}).text("x").text("");
  b.key("ai", GgufType::kArray).put(uint32_t{3}).put(uint64_t{2});
  b.put(int16_t{-5}).put(int16_t{9});
  b.key("af", GgufType::kArray).put(uint32_t{6}).put(uint64_t{1}).put(0.5f);
  b.key("aa", GgufType::kArray).put(uint32_t{9}).put(uint64_t{1});
  b.put(uint32_t{0}).put(uint64_t{2}).put(uint16_t{0});
  const auto file = b.parse();
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->integer("u8").value(), 200);
  EXPECT_EQ(file->integer("i8").value(), -100);
  EXPECT_EQ(file->integer("u16").value(), 60000);
  EXPECT_EQ(file->integer("i16").value(), -30000);
  EXPECT_EQ(file->integer("u32").value(), 4000000000);
  EXPECT_EQ(file->integer("i32").value(), -2000000000);
  EXPECT_FALSE(file->integer("u64"));
  EXPECT_EQ(file->number("u64").value(), 9223372036854775808.0);
  EXPECT_EQ(file->integer("i64").value(), -1);
  EXPECT_EQ(static_cast<float>(file->number("f32").value()), 1e-6f);
  EXPECT_EQ(file->number("f64").value(), 2.5);
  EXPECT_TRUE(file->boolean("yes").value());
  EXPECT_THAT(file->strings("as").value(), testing::ElementsAre("x", ""));
  EXPECT_THAT(file->integers("ai").value(), testing::ElementsAre(-5, 9));
  EXPECT_THAT(file->floats("af").value(), testing::ElementsAre(0.5f));
  EXPECT_THAT(file->floats("ai").value(), testing::ElementsAre(-5.0f, 9.0f));
  EXPECT_EQ(file->find_value("s")->str(), "\"a\\\"b\\n\\x01\"");
  EXPECT_EQ(file->find_value("as")->str(), "[string x 2: \"x\", \"\"]");
  EXPECT_EQ(file->find_value("ai")->str(), "[int16 x 2: -5, 9]");
  EXPECT_EQ(file->find_value("aa")->str(), "[array x 1]");
  EXPECT_EQ(file->find_value("f32")->str(), "1e-06");
  EXPECT_EQ(file->find_value("yes")->str(), "true");
}

TEST(Gguf, GettersSayWhatIsMissingOrOfAnotherKind) {
  const Builder b = small();
  const auto file = b.parse();
  ASSERT_TRUE(file);
  EXPECT_EQ(file->integer("llama.head_count").error().message,
            "model.gguf: the metadata lacks llama.head_count");
  EXPECT_EQ(file->integer("general.architecture").error().message,
            "model.gguf: general.architecture is \"llama\" (string), expected an integer");
  EXPECT_EQ(file->text("llama.block_count").error().message,
            "model.gguf: llama.block_count is 7 (uint32), expected a string");
  EXPECT_FALSE(file->boolean("llama.block_count"));
  EXPECT_FALSE(file->number("general.architecture"));
  EXPECT_FALSE(file->strings("llama.block_count"));
  EXPECT_FALSE(file->integers("llama.block_count"));
  EXPECT_FALSE(file->floats("llama.block_count"));
  EXPECT_EQ(file->integer_or("nope", 5).value(), 5);
  EXPECT_EQ(file->number_or("nope", 0.5).value(), 0.5);
  EXPECT_EQ(file->text_or("nope", "x").value(), "x");
  EXPECT_TRUE(file->boolean_or("nope", true).value());
  EXPECT_FALSE(file->integer_or("general.architecture", 5));
}

TEST(Gguf, TheNameOfAModelDoesNotSayWhatFormatItsFileHas) {
  const auto name_of = [](std::string_view said) {
    Builder b;
    b.start(0, 1).key("general.name", GgufType::kString).text(said);
    return GgufFile::parse(b.bytes, "models/tiny-1b.gguf")->model_name().value();
  };
  EXPECT_EQ(name_of("Tiny 1B Instruct GGUF"), "Tiny 1B Instruct");
  EXPECT_EQ(name_of("Tiny-1B-GGUF"), "Tiny-1B");
  EXPECT_EQ(name_of("Tiny 1B AWQ"), "Tiny 1B");
  EXPECT_EQ(name_of("Tiny GGUFier"), "Tiny GGUFier");
  EXPECT_EQ(name_of("GGUF"), "GGUF");
  EXPECT_EQ(name_of(""), "tiny-1b");
}

TEST(GgufHostile, EveryPrefixIsRefused) {
  const Builder whole = small();
  for (size_t length = 0; length < whole.bytes.size(); ++length) {
    // A copy of exactly that size, so that a sanitizer sees any read past the end.
    const std::vector<std::byte> cut(whole.bytes.begin(),
                                     whole.bytes.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_FALSE(GgufFile::parse(cut, "model.gguf")) << length;
  }
}

TEST(GgufHostile, EveryFlippedByteIsSurvived) {
  const Builder whole = small();
  for (size_t at = 0; at < whole.bytes.size(); ++at) {
    for (const int bits : {0x01, 0x80, 0xff}) {
      Builder b = whole;
      b.bytes[at] ^= static_cast<std::byte>(bits);
      const auto file = b.parse();
      EXPECT_TRUE(file || file.error().message.starts_with("model.gguf: ")) << at;
    }
  }
}

TEST(GgufHostile, SaysWhatOtherFilesLookLike) {
  const auto error = [](std::string_view text) { return Builder().raw(text).error(); };
  EXPECT_THAT(error(""), HasSubstr("the file is empty"));
  EXPECT_THAT(error("PK\x03\x04zip"), HasSubstr("a zip archive"));
  EXPECT_THAT(error(std::string_view("\x40\0\0\0\0\0\0\0{\"a\":1}", 15)),
              HasSubstr("a safetensors file; give the folder that it lies in"));
  EXPECT_THAT(error("<!DOCTYPE html><html>"), HasSubstr("a web page"));
  EXPECT_THAT(error("version https://git-lfs.github.com/spec/v1"), HasSubstr("Git LFS pointer"));
  EXPECT_THAT(error("{\"error\": 404}"), HasSubstr("JSON"));
  EXPECT_THAT(error(std::string(100, '\0')), HasSubstr("zeros"));
  EXPECT_THAT(error("lmgg...."), HasSubstr("GGML file"));
  EXPECT_THAT(error("hello world"), HasSubstr("not a GGUF file"));
  EXPECT_THAT(error("FUGG"), HasSubstr("big-endian"));
}

TEST(GgufHostile, VersionsAreRecognised) {
  EXPECT_THAT(Builder().start(0, 0, 1).error(), HasSubstr("GGUF version 1"));
  EXPECT_THAT(Builder().start(0, 0, 4).error(), HasSubstr("GGUF version 4"));
  EXPECT_THAT(Builder().start(0, 0, 3u << 24).error(), HasSubstr("big-endian"));
}

TEST(GgufHostile, CountsAreHeldAgainstTheFile) {
  EXPECT_THAT(Builder().start(1ull << 60, 0).error(),
              AllOf(HasSubstr("1152921504606846976 tensors"), HasSubstr("0 bytes left")));
  EXPECT_THAT(Builder().start(0, ~0ull).error(), HasSubstr("metadata entries"));
  EXPECT_THAT(Builder().start(0, 1).put(~0ull).data(20).error(), HasSubstr("claims a length"));
  EXPECT_THAT(Builder().start(0, 1).key("k", GgufType::kString).put(1ull << 40).data(8).error(),
              HasSubstr("claims a length of 1099511627776"));
  Builder array;
  array.start(0, 1).key("k", GgufType::kArray).put(uint32_t{10}).put(1ull << 61).data(64);
  EXPECT_THAT(array.error(), HasSubstr("the array \"k\" claims 2305843009213693952 values"));
  Builder texts;
  texts.start(0, 1).key("k", GgufType::kArray).put(uint32_t{8}).put(uint64_t{9}).data(64);
  EXPECT_THAT(texts.error(), HasSubstr("claims 9 values of type string"));
}

TEST(GgufHostile, ArraysNestWithinBounds) {
  Builder b;
  b.start(0, 1).key("k", GgufType::kArray);
  for (int depth = 0; depth < 1000; ++depth) b.put(uint32_t{9}).put(uint64_t{1});
  b.put(uint32_t{0}).put(uint64_t{0});
  EXPECT_THAT(b.error(), HasSubstr("nests arrays deeper"));
}

TEST(GgufHostile, BadTypesAndFlags) {
  EXPECT_THAT(Builder().start(0, 1).text("k").put(uint32_t{13}).data(16).error(),
              HasSubstr("has type 13"));
  EXPECT_THAT(Builder().start(0, 1).key("flag", GgufType::kBool).put(uint8_t{2}).error(),
              HasSubstr("the boolean \"flag\" has the value 2"));
  EXPECT_THAT(Builder().start(0, 1).text("").put(uint32_t{0}).data(9).error(),
              HasSubstr("key of 0 bytes"));
}

std::string tensor_error(std::vector<uint64_t> ne, uint32_t type, uint64_t offset,
                         size_t data = 256) {
  return Builder().start(1, 0).tensor("w", std::move(ne), type, offset).pad().data(data).error();
}

TEST(GgufHostile, DimensionsAreChecked) {
  EXPECT_THAT(tensor_error({}, 0, 0), HasSubstr("has 0 dimensions"));
  EXPECT_THAT(tensor_error({1, 1, 1, 1, 1}, 0, 0), HasSubstr("has 5 dimensions"));
  EXPECT_THAT(tensor_error({4, 0}, 0, 0), HasSubstr("dimension 1 of tensor \"w\" is 0"));
  EXPECT_THAT(tensor_error({~0ull}, 0, 0), HasSubstr("is -1"));
  EXPECT_THAT(tensor_error({1ull << 32, 1ull << 32}, 0, 0), HasSubstr("makes no sense"));
  EXPECT_THAT(tensor_error({1ull << 62}, 0, 0), HasSubstr("makes no sense"));
  EXPECT_THAT(tensor_error({100}, 12, 0), HasSubstr("rows of 100 values, but Q4_K stores 256"));
}

TEST(GgufHostile, OffsetsAreChecked) {
  EXPECT_THAT(tensor_error({4}, 0, 7), HasSubstr("no multiple of the alignment 32"));
  EXPECT_THAT(tensor_error({4}, 0, ~0ull & ~31ull), HasSubstr("beyond any file"));
  EXPECT_THAT(tensor_error({4}, 0, 1ull << 40), HasSubstr("is the download complete?"));
  EXPECT_EQ(tensor_error({4}, 0, 0), "no error");
  Builder overlap;
  overlap.start(2, 0).tensor("a", {16}, 0, 0).tensor("b", {16}, 0, 32).pad().data(256);
  EXPECT_THAT(overlap.error(), HasSubstr("tensors \"a\" and \"b\" overlap"));
}

TEST(GgufHostile, TruncatedDataNamesTheTensorAndBothSizes) {
  Builder b = small();
  const size_t whole = b.bytes.size();
  b.bytes.resize(whole - 1);
  EXPECT_EQ(b.error(), "model.gguf: tensor \"b.weight\" ends at byte " + std::to_string(whole) +
                           ", but the file has " + std::to_string(whole - 1) +
                           "; is the download complete?");
  const auto file = b.parse({.allow_truncated_data = true});
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_NE(file->find("a.weight")->data, nullptr);
  EXPECT_EQ(file->find("b.weight")->data, nullptr);
}

TEST(GgufHostile, UnreadableTypesAreNamed) {
  EXPECT_THAT(tensor_error({256}, 16, 0),
              AllOf(HasSubstr("tensor \"w\""), HasSubstr("IQ2_XXS (type 16)"), HasSubstr("Q4_K")));
  EXPECT_THAT(tensor_error({256}, 4711, 0), HasSubstr("stored as type 4711"));
}

TEST(GgufHostile, AlignmentIsBounded) {
  for (const uint32_t alignment : {0u, 3u, 48u, 1u << 31}) {
    Builder b;
    b.start(0, 1).key("general.alignment", GgufType::kUint32).put(alignment);
    EXPECT_THAT(b.error(), HasSubstr("expected a power of two")) << alignment;
  }
  Builder text;
  text.start(0, 1).key("general.alignment", GgufType::kString).text("32");
  EXPECT_THAT(text.error(), HasSubstr("expected a power of two"));
  Builder wide;
  wide.start(1, 1).key("general.alignment", GgufType::kUint32).put(uint32_t{128});
  wide.tensor("w", {4}, 0, 128).pad(128).data(144);
  const auto file = wide.parse();
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->find("w")->offset % 128, 0u);
}

TEST(GgufHostile, DuplicatesAreRefused) {
  Builder keys;
  keys.start(0, 2).key("k", GgufType::kUint8).put(uint8_t{1});
  keys.key("k", GgufType::kUint8).put(uint8_t{2});
  EXPECT_THAT(keys.error(), HasSubstr("has \"k\" twice"));
  Builder tensors;
  tensors.start(2, 0).tensor("w", {4}, 0, 0).tensor("w", {4}, 0, 32).pad().data(64);
  EXPECT_THAT(tensors.error(), HasSubstr("two tensors \"w\""));
}

TEST(GgufHostile, NamesAreShownWithoutControlCharacters) {
  Builder b;
  b.start(1, 0).tensor("\x1b[31m\n" + std::string(200, 'x'), {4}, 99, 0).pad().data(64);
  EXPECT_THAT(b.error(), HasSubstr("\"\\x1b[31m\\n"));
  EXPECT_THAT(b.error(), testing::Not(HasSubstr("\x1b")));
  Builder long_name;
  long_name.start(1, 0).tensor(std::string(300, 'x'), {4}, 0, 0).pad().data(64);
  EXPECT_THAT(long_name.error(), HasSubstr("a name of 300 bytes"));
}

TEST(GgufFiles, MissingFoldersAndPipesAreErrors) {
  Folder folder;
  EXPECT_THAT(open_error(folder / "none.gguf"), HasSubstr("No such file"));
  EXPECT_THAT(open_error(testing::TempDir()), HasSubstr("is a folder"));
  EXPECT_THAT(open_error("/dev/null"), HasSubstr("not a regular file"));
  std::ofstream(folder / "empty.gguf").close();
  EXPECT_THAT(open_error(folder / "empty.gguf"), HasSubstr("the file is empty"));
}

// One split part with one tensor named after it.
void write_part(const std::string& path, uint16_t part, uint16_t parts, int32_t tensors) {
  auto writer = GgufWriter::create(path);
  ASSERT_TRUE(writer) << writer.error().message;
  Builder value;
  writer->set_value("split.no", {GgufType::kUint16, uint64_t{part}});
  writer->set_value("split.count", {GgufType::kUint16, uint64_t{parts}});
  writer->set_int32("split.tensors.count", tensors);
  writer->add_tensor("t" + std::to_string(part), QuantType::kF32, {2});
  ASSERT_TRUE(writer->begin_data());
  const float data[2] = {static_cast<float>(part), 0.5f};
  ASSERT_TRUE(writer->write(std::as_bytes(std::span(data))));
  ASSERT_TRUE(writer->finish());
}

TEST(GgufFiles, AnyPartOpensTheSplit) {
  Folder folder;
  for (uint16_t part = 0; part < 3; ++part) {
    write_part(folder / ("m-0000" + std::to_string(part + 1) + "-of-00003.gguf"), part, 3, 3);
  }
  for (const char* name : {"m-00001-of-00003.gguf", "m-00003-of-00003.gguf"}) {
    const auto file = GgufFile::open(folder / name);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->paths().size(), 3u);
    EXPECT_EQ(file->tensors().size(), 3u);
    const GgufTensor* last = file->find("t2");
    ASSERT_NE(last, nullptr);
    EXPECT_EQ(last->part, 2);
    float value = 0.0f;
    std::memcpy(&value, last->data, sizeof value);
    EXPECT_EQ(value, 2.0f);
    file->will_need(*last);
    file->drop_pages(*last);
    std::memcpy(&value, last->data, sizeof value);
    EXPECT_EQ(value, 2.0f);
  }
}

TEST(GgufFiles, DamagedSplitsAreExplained) {
  Folder folder;
  write_part(folder / "m-00001-of-00002.gguf", 0, 2, 2);
  EXPECT_THAT(open_error(folder / "m-00001-of-00002.gguf"),
              AllOf(HasSubstr("m-00002-of-00002.gguf"), HasSubstr("must lie in one folder")));
  write_part(folder / "m-00002-of-00002.gguf", 0, 2, 2);
  EXPECT_THAT(open_error(folder / "m-00001-of-00002.gguf"),
              HasSubstr("claims to be part 1 of 2, expected part 2 of 2"));
  write_part(folder / "m-00002-of-00002.gguf", 1, 2, 2);
  EXPECT_EQ(open_error(folder / "m-00001-of-00002.gguf"), "no error");
  write_part(folder / "m-00001-of-00002.gguf", 0, 2, 5);
  EXPECT_THAT(open_error(folder / "m-00001-of-00002.gguf"),
              HasSubstr("hold 2 tensors, but split.tensors.count is 5"));
  write_part(folder / "renamed.gguf", 1, 2, 2);
  EXPECT_THAT(open_error(folder / "renamed.gguf"), HasSubstr("-00002-of-00002.gguf"));
  write_part(folder / "m-00009-of-00002.gguf", 8, 2, 2);
  EXPECT_THAT(open_error(folder / "m-00009-of-00002.gguf"), HasSubstr("part 9 of 2"));
}

TEST(GgufWriter, WhatIsWrittenIsRead) {
  Folder folder;
  const std::string path = folder / "out.gguf";
  const std::vector<std::string> texts = {"a", "", "ü"};
  const std::vector<int32_t> numbers = {1, -2};
  const std::vector<float> floats = {0.25f, -1.0f};
  std::vector<std::byte> q8(34 * 3), f16(10);
  for (size_t i = 0; i < q8.size(); ++i) q8[i] = static_cast<std::byte>(i);
  for (size_t i = 0; i < f16.size(); ++i) f16[i] = static_cast<std::byte>(7 * i);
  {
    auto writer = GgufWriter::create(path);
    ASSERT_TRUE(writer) << writer.error().message;
    writer->set_text("general.architecture", "llama");
    writer->set_uint32("u", 5);
    writer->set_int32("i", -5);
    writer->set_uint64("u64", 1ull << 40);
    writer->set_float32("f", 0.1f);
    writer->set_boolean("b", true);
    writer->set_texts("ts", texts);
    writer->set_int32s("is", numbers);
    writer->set_float32s("fs", floats);
    writer->add_tensor("x", QuantType::kQ8_0, {3, 32});
    writer->add_tensor("y", QuantType::kF16, {5});
    ASSERT_TRUE(writer->begin_data());
    ASSERT_TRUE(writer->write(std::span(q8).first(50)));
    ASSERT_TRUE(writer->write(std::span(q8).subspan(50)));
    ASSERT_TRUE(writer->write(f16));
    EXPECT_FALSE(std::filesystem::exists(path));
    ASSERT_TRUE(writer->finish());
    EXPECT_EQ(writer->bytes_total(), std::filesystem::file_size(path));
  }
  EXPECT_FALSE(std::filesystem::exists(path + ".partial"));
  const auto file = GgufFile::open(path);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->text("general.architecture").value(), "llama");
  EXPECT_EQ(file->integer("u").value(), 5);
  EXPECT_EQ(file->integer("i").value(), -5);
  EXPECT_EQ(file->integer("u64").value(), 1ll << 40);
  EXPECT_EQ(static_cast<float>(file->number("f").value()), 0.1f);
  EXPECT_TRUE(file->boolean("b").value());
  EXPECT_THAT(file->strings("ts").value(), testing::ElementsAreArray(texts));
  EXPECT_THAT(file->integers("is").value(), testing::ElementsAre(1, -2));
  EXPECT_THAT(file->floats("fs").value(), testing::ElementsAre(0.25f, -1.0f));
  EXPECT_EQ(file->find("x")->shape, (Shape{3, 32}));
  EXPECT_EQ(std::memcmp(file->find("x")->data, q8.data(), q8.size()), 0);
  EXPECT_EQ(std::memcmp(file->find("y")->data, f16.data(), f16.size()), 0);
  EXPECT_EQ(file->find("y")->offset % 32, 0u);
}

TEST(GgufWriter, CopiesMetadataByteForByte) {
  Folder folder;
  const Builder b = small();
  const auto source = b.parse();
  ASSERT_TRUE(source);
  auto writer = GgufWriter::create(folder / "copy.gguf");
  ASSERT_TRUE(writer);
  for (const GgufEntry& entry : source->metadata()) writer->set_value(entry.key, entry.value);
  for (const GgufTensor& tensor : source->tensors()) {
    writer->add_tensor(tensor.name, tensor.type, tensor.shape);
  }
  ASSERT_TRUE(writer->begin_data());
  for (const GgufTensor& tensor : source->tensors()) {
    ASSERT_TRUE(writer->write({tensor.data, tensor.bytes}));
  }
  ASSERT_TRUE(writer->finish());
  std::ifstream in(folder / "copy.gguf", std::ios::binary);
  const std::string copy((std::istreambuf_iterator<char>(in)), {});
  ASSERT_GE(copy.size(), b.bytes.size());  // the copy pads its last tensor
  EXPECT_EQ(std::memcmp(copy.data(), b.bytes.data(), 200), 0);
}

TEST(GgufWriter, AnUnfinishedFileLeavesNothingBehind) {
  Folder folder;
  const std::string path = folder / "out.gguf";
  {
    auto writer = GgufWriter::create(path);
    ASSERT_TRUE(writer);
    writer->add_tensor("x", QuantType::kF32, {1000});
    ASSERT_TRUE(writer->begin_data());
    EXPECT_TRUE(std::filesystem::exists(path + ".partial"));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_FALSE(std::filesystem::exists(path + ".partial"));
  EXPECT_THAT(GgufWriter::create(folder / "no/such/folder.gguf").error().message,
              HasSubstr("cannot create"));
}

TEST(GgufWriter, AFullDiskIsCalledByItsName) {
  Folder folder;
  const std::string path = folder / "full.gguf";
  // Every write to /dev/full fails as on a full disk.
  std::error_code error;
  std::filesystem::create_symlink("/dev/full", path + ".partial", error);
  if (error || !std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  auto writer = GgufWriter::create(path);
  ASSERT_TRUE(writer) << writer.error().message;
  const auto status = writer->begin_data();
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("the disk is full"));
}

std::string model_path(const std::string& name) {
  const char* folder = std::getenv("MINKE_TEST_MODELS");
  if (folder == nullptr) return "";
  const std::string path = std::string(folder) + "/" + name;
  return std::filesystem::exists(path) ? path : "";
}

TEST(GgufModels, ReadsTheDefaultModel) {
  const std::string path = model_path("qwen2.5-coder-1.5b.gguf");
  if (path.empty()) GTEST_SKIP() << "needs qwen2.5-coder-1.5b.gguf in $MINKE_TEST_MODELS";
  const auto file = GgufFile::open(path);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->text("general.architecture").value(), "qwen2");
  EXPECT_EQ(file->integer("qwen2.block_count").value(), 28);
  EXPECT_EQ(file->strings("tokenizer.ggml.tokens").value().size(), 151936u);
  const GgufTensor* output = file->find("output.weight");
  ASSERT_NE(output, nullptr);
  EXPECT_EQ(output->shape, (Shape{151936, 1536}));
  EXPECT_EQ(output->type, QuantType::kQ6_K);
}

TEST(GgufModels, ReadsTheHeaderOfAPartialDownload) {
  const std::string path = model_path("r1-7b-part.gguf");
  if (path.empty()) GTEST_SKIP() << "needs r1-7b-part.gguf in $MINKE_TEST_MODELS";
  EXPECT_THAT(open_error(path), HasSubstr("is the download complete?"));
  const auto file = GgufFile::open(path, {.allow_truncated_data = true});
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->text("general.architecture").value(), "qwen2");
  EXPECT_EQ(file->text("tokenizer.ggml.pre").value(), "deepseek-r1-qwen");
  EXPECT_EQ(file->integer("qwen2.embedding_length").value(), 3584);
  EXPECT_EQ(file->tensors().size(), 339u);
}

}  // namespace
}  // namespace minke
