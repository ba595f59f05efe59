// Safetensors headers: what is right is read, and each lie has one error that names it.
#include "io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

namespace minke {
namespace {

using testing::HasSubstr;

std::vector<std::byte> file_of(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::vector<std::byte> bytes(sizeof length + header.size() + data_bytes);
  std::memcpy(bytes.data(), &length, sizeof length);
  std::memcpy(bytes.data() + sizeof length, header.data(), header.size());
  return bytes;
}

std::string error_of(const std::string& header, size_t data_bytes) {
  const std::vector<std::byte> bytes = file_of(header, data_bytes);
  const auto parsed = Safetensors::parse(bytes, "a.safetensors");
  return parsed ? "no error" : parsed.error().message;
}

TEST(Safetensors, ReadsTensorsInPlace) {
  const std::vector<std::byte> bytes = file_of(
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},
         "b":{"dtype":"BF16","shape":[5],"data_offsets":[24,34]}})",
      34);
  const auto parsed = Safetensors::parse(bytes, "a.safetensors");
  ASSERT_TRUE(parsed) << parsed.error().message;
  ASSERT_EQ(parsed->tensors().size(), 2u);
  const Safetensor* b = parsed->find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->type, SafetensorType::kBF16);
  EXPECT_EQ(b->shape, Shape{5});
  EXPECT_EQ(b->data, bytes.data() + bytes.size() - 10);
  EXPECT_EQ(parsed->find("c"), nullptr);
}

TEST(Safetensors, EachLieHasItsError) {
  const auto one = [](const std::string& entry) { return "{\"a\":" + entry + "}"; };
  EXPECT_THAT(error_of("[]", 0), HasSubstr("is of JSON's type array, expected an object"));
  EXPECT_THAT(error_of("{\"a\"", 0), HasSubstr("is no JSON: line 1, column 5: "));
  EXPECT_THAT(error_of(std::string(200, '['), 0), HasSubstr("nested deeper"));
  EXPECT_THAT(error_of(one("7"), 0), HasSubstr("tensor 'a': expected dtype"));
  EXPECT_THAT(error_of(one(R"({"dtype":"I64","shape":[1],"data_offsets":[0,8]})"), 8),
              HasSubstr("of type \"I64\""));
  EXPECT_THAT(error_of(one(R"({"dtype":"F32","shape":[],"data_offsets":[0,4]})"), 4),
              HasSubstr("one to three dimensions"));
  EXPECT_THAT(error_of(one(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})"), 4),
              HasSubstr("more than the file's"));
  EXPECT_THAT(
      error_of(one(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]})"), 4),
      HasSubstr("more than the file's"));
  EXPECT_THAT(error_of(one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})"), 8),
              HasSubstr("expected 8 bytes"));
  EXPECT_THAT(error_of(one(R"({"dtype":"F32","shape":[2],"data_offsets":[4,12]})"), 8),
              HasSubstr("is the download complete?"));
  EXPECT_THAT(
      error_of(one(R"({"dtype":"F32","shape":[2],"data_offsets":[18446744073709551612,4]})"), 8),
      HasSubstr("expected 8 bytes"));
  EXPECT_THAT(error_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
                           "b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
                       12),
              HasSubstr("share the bytes at 4"));
}

TEST(Safetensors, AHeaderLongerThanTheFileIsNotBelieved) {
  std::vector<std::byte> bytes(20);
  const uint64_t length = uint64_t{1} << 60;
  std::memcpy(bytes.data(), &length, sizeof length);
  const auto parsed = Safetensors::parse(bytes, "a.safetensors");
  ASSERT_FALSE(parsed);
  EXPECT_THAT(parsed.error().message, HasSubstr("the header has 1152921504606846976 bytes"));
  EXPECT_FALSE(Safetensors::parse({}, "a.safetensors"));
}

}  // namespace
}  // namespace minke
