#include "server/documents/document_text.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>

namespace minke::documents {
namespace {

using testing::HasSubstr;

// A PDF of one page for each text.
std::string make_pdf(const std::vector<std::string>& pages) {
  std::string pdf = "%PDF-1.4\n";
  std::vector<size_t> places;
  const auto add = [&](const std::string& object) {
    places.push_back(pdf.size());
    pdf += fmt::format("{} 0 obj\n{}\nendobj\n", places.size(), object);
  };
  std::string kids;
  for (size_t i = 0; i < pages.size(); ++i) kids += fmt::format("{} 0 R ", 4 + 2 * i);
  add("<< /Type /Catalog /Pages 2 0 R >>");
  add(fmt::format("<< /Type /Pages /Kids [{}] /Count {} >>", kids, pages.size()));
  add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
  for (const std::string& page : pages) {
    add(
        fmt::format("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {} 0 R "
                    "/Resources << /Font << /F1 3 0 R >> >> >>",
                    places.size() + 2));
    const std::string stream = page.empty() ? "" : "BT /F1 12 Tf 72 720 Td (" + page + ") Tj ET";
    add(fmt::format("<< /Length {} >>\nstream\n{}\nendstream", stream.size(), stream));
  }
  const size_t table = pdf.size();
  pdf += fmt::format("xref\n0 {}\n0000000000 65535 f \n", places.size() + 1);
  for (const size_t place : places) pdf += fmt::format("{:010} 00000 n \n", place);
  pdf += fmt::format("trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{}\n%%EOF\n",
                     places.size() + 1, table);
  return pdf;
}

bool has_pdftotext() { return std::system("pdftotext -v >/dev/null 2>&1") == 0; }

std::string refusal(std::string_view bytes, const Limits& limits = {}) {
  const auto read = read_document("notes.xyz", bytes, limits);
  return read ? "read: " + read->text : read.error().message;
}

TEST(DocumentText, OfTextIsTheTextInUtf8) {
  const auto text = [](std::string_view bytes) {
    const auto read = read_document("a", bytes);
    return read ? read->text : read.error().message;
  };
  EXPECT_EQ(text("plain\n"), "plain\n");
  EXPECT_EQ(text("\xEF\xBB\xBFwith a mark, 鯨"), "with a mark, 鯨");
  EXPECT_EQ(text(std::string_view("\xFF\xFE"
                                  "a\0\x3D\xD8\x0B\xDC",
                                  8)),
            "a🐋");
  EXPECT_EQ(text(std::string_view("\xFE\xFF\0a\xD8\x3D\xDC\x0B", 8)), "a🐋");
  EXPECT_EQ(text(std::string_view("\xFE\xFF\xD8\x3D\0a\0", 7)),
            "\xEF\xBF\xBD"
            "a");
}

TEST(DocumentText, ThatIsLongIsCutAtACharacterAndSaidToBe) {
  std::string whales;
  for (int i = 0; i < 100; ++i) whales += "鯨";
  const auto read = read_document("a", whales, {.text_bytes_max = 100});
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->text, whales.substr(0, 99));
  EXPECT_TRUE(read->truncated);
}

TEST(DocumentText, OfOtherFilesIsRefusedWithTheWayOut) {
  EXPECT_THAT(refusal("caf\xE9"), HasSubstr("notes.xyz is text in another encoding than UTF-8"));
  EXPECT_THAT(refusal("\x7F\x45LF\x02\x01\xE9"), HasSubstr("neither text nor a PDF"));
  EXPECT_THAT(refusal(std::string_view("PK\x03\x04\0\0", 6)), HasSubstr("neither text nor a PDF"));
  EXPECT_THAT(refusal(""), HasSubstr("is empty"));
}

TEST(DocumentText, OfImagesIsNoneButTheirKindIsKnown) {
  EXPECT_EQ(read_document("a.txt", "\x89PNG\r\n\x1A\n....")->media_type, "image/png");
  EXPECT_EQ(read_document("a.png", "\x89PNG\r\nhalf")->media_type, "image/png");
  EXPECT_EQ(read_document("a", "\xFF\xD8\xFF\xE0")->media_type, "image/jpeg");
  EXPECT_EQ(read_document("a", "RIFF1234WEBPVP8")->kind, Kind::kImage);
}

TEST(PdfText, IsWhatThePagesSay) {
  if (!has_pdftotext()) GTEST_SKIP() << "pdftotext is not installed";
  const auto read = read_document("a.pdf", make_pdf({"Whales sing.", "Krill does not."}));
  ASSERT_TRUE(read.has_value()) << read.error().message;
  EXPECT_EQ(read->kind, Kind::kPdf);
  EXPECT_EQ(read->media_type, "application/pdf");
  EXPECT_THAT(read->text, HasSubstr("Whales sing."));
  EXPECT_THAT(read->text, HasSubstr("Krill does not."));
  EXPECT_FALSE(read->truncated);
}

TEST(PdfText, ThatIsLongIsCutOffWithoutWaitingForTheRest) {
  if (!has_pdftotext()) GTEST_SKIP() << "pdftotext is not installed";
  const auto read =
      read_document("a.pdf", make_pdf(std::vector<std::string>(2000, "Again and again.")),
                    {.text_bytes_max = 1000});
  ASSERT_TRUE(read.has_value()) << read.error().message;
  EXPECT_TRUE(read->truncated);
  EXPECT_LE(read->text.size(), 1000);
}

TEST(PdfText, OfABrokenOrEmptyFileIsASentence) {
  if (!has_pdftotext()) GTEST_SKIP() << "pdftotext is not installed";
  EXPECT_THAT(refusal("%PDF-1.4\nrubbish"), HasSubstr("notes.xyz: this PDF is damaged"));
  EXPECT_THAT(refusal(make_pdf({"x"}).substr(0, 200)), HasSubstr("this PDF"));
  EXPECT_THAT(refusal(make_pdf({""})), HasSubstr("has no text in it"));
  // Large, and nothing that the program wants to read to its end.
  EXPECT_THAT(refusal("%PDF-1.4\n" + std::string(1'000'000, 'x')), HasSubstr("this PDF"));
}

TEST(PdfText, ThatNeedsTooMuchIsASentence) {
  if (!has_pdftotext()) GTEST_SKIP() << "pdftotext is not installed";
  const std::string pdf = make_pdf({"Whales sing."});
  EXPECT_THAT(refusal(pdf, {.memory_bytes_max = size_t{1} << 20}), HasSubstr("too large"));
  EXPECT_THAT(refusal(pdf, {.seconds_max = 0}), HasSubstr("within 0 seconds"));
}

TEST(PdfText, WithoutTheProgramSaysWhatToInstall) {
  const std::string path = std::getenv("PATH");
  setenv("PATH", "/nowhere", 1);
  EXPECT_THAT(refusal(make_pdf({"x"})), HasSubstr("install poppler-utils"));
  setenv("PATH", path.c_str(), 1);
}

}  // namespace
}  // namespace minke::documents
