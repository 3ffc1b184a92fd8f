// SPDX-License-Identifier: Apache-2.0
// Archives: what the writer lays out, and every way in which a directory can be wrong.
#include "athanor/checkpoint/zip_index.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "athanor/checkpoint/zip_writer.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::testing::zip_index_test {
namespace {

using ::testing::HasSubstr;

using Contents = std::vector<std::pair<std::string, std::string>>;

std::string archive_of(const Contents& contents) {
  std::string file;
  ZipWriter writer([&](std::span<const std::byte> bytes) {
    file.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  });
  for (const auto& [name, content] : contents) writer.add(name, content);
  writer.finish();
  return file;
}

ZipIndex parse(const std::string& file) { return parse_zip(std::as_bytes(std::span(file)), "net.pt"); }

Error::Parts refusal(const std::string& file) {
  return error_of([&] { return parse(file); });
}

template <class T>
T read(const std::string& file, std::size_t place) {
  T value{};
  std::memcpy(&value, file.data() + place, sizeof(T));
  return value;
}

template <class T>
std::string with(std::string file, std::size_t place, T value) {
  std::memcpy(file.data() + place, &value, sizeof(T));
  return file;
}

/// Where the directory line of the n-th file begins.
std::size_t line_of(const std::string& file, int number) {
  std::size_t place = file.find("PK\x01\x02");
  while (number-- > 0) place = file.find("PK\x01\x02", place + 4);
  return place;
}

std::size_t end_of(const std::string& file) { return file.size() - 22; }
std::size_t extension_of(const std::string& file) { return file.size() - 22 - 20 - 56; }

const std::string& two_files() {
  static const std::string file = archive_of({{"a/data.pkl", "first"}, {"a/data/0", std::string(100, 'x')}});
  return file;
}

TEST(ZipIndex, ContentsAreFoundAtMultiplesOf64WithTheirChecksums) {
  const std::string file = archive_of({{"a/one", "hello"}, {"a/é", ""}, {"a/three", std::string(1000, 'z')}});
  const ZipIndex index = parse(file);
  ASSERT_EQ(index.entries.size(), 3U);
  EXPECT_EQ(index.entries[1].name, "a/é");
  EXPECT_EQ(index.entries[1].bytes, 0U);
  for (const ZipEntry& each : index.entries) {
    EXPECT_EQ(each.begin % 64, 0U) << each.name;
    EXPECT_EQ(each.crc32, crc32_of(std::as_bytes(std::span(file)).subspan(each.begin, each.bytes)));
  }
  EXPECT_EQ(file.substr(index.find("a/one")->begin, 5), "hello");
  EXPECT_EQ(index.find("a/one")->crc32, 0x3610A686U);  // of "hello", as any CRC-32 tells
  EXPECT_EQ(index.find("a/two"), nullptr);
  EXPECT_TRUE(parse(archive_of({})).entries.empty());
}

TEST(ZipIndex, LargeContentsAndOffsetsTakeThe64BitExtension) {
  constexpr std::uint64_t large = 0xFFFFFFFF;
  const auto extra_of = [](const std::string& header) { return header.substr(30 + 1); };
  for (const auto& [bytes, offset, field] :
       {std::tuple(large, std::uint64_t{0}, 16),  // both lengths
        std::tuple(std::uint64_t{5}, large + 7, 8), std::tuple(large + 1, large + 7, 24)}) {
    const std::string header = zip_header("n", bytes, offset);
    EXPECT_EQ((offset + header.size()) % 64, 0U);
    const std::string extra = extra_of(header);
    EXPECT_EQ(read<std::uint16_t>(extra, 0), 1);
    EXPECT_EQ(read<std::uint16_t>(extra, 2), field);
    if (bytes >= large) {
      EXPECT_EQ(read<std::uint64_t>(extra, 4), bytes);
    }
    if (offset >= large) {
      EXPECT_EQ(read<std::uint64_t>(extra, 4 + field - 8), offset);
    }
  }
  EXPECT_EQ(extra_of(zip_header("n", large - 1, large - 1)).substr(0, 2), "FB");
}

TEST(ZipIndex, NumbersOfThe64BitExtensionAreRead) {
  // The line of the second file again, with all its numbers moved into the extension.
  std::string file = two_files();
  const std::size_t line = line_of(file, 1);
  const auto bytes = std::uint64_t{read<std::uint32_t>(file, line + 24)};
  const auto header = std::uint64_t{read<std::uint32_t>(file, line + 42)};
  std::string extension("\x01\x00\x18\x00", 4);
  for (const std::uint64_t number : {bytes, bytes, header}) {
    extension.append(reinterpret_cast<const char*>(&number), sizeof number);
  }
  for (const std::size_t field : {20, 24, 42}) file = with(file, line + field, std::uint32_t{0xFFFFFFFF});
  file = with(file, line + 30, static_cast<std::uint16_t>(extension.size()));
  const std::size_t directory_end = extension_of(file);
  file.insert(directory_end, extension);
  const auto grow = [&](std::size_t place, auto number) {
    file = with(file, place, static_cast<decltype(number)>(read<decltype(number)>(file, place) + extension.size()));
  };
  grow(extension_of(file) + 40, std::uint64_t{});
  grow(end_of(file) + 12, std::uint32_t{});
  grow(end_of(file) - 20 + 8, std::uint64_t{});
  const ZipIndex index = parse(file);
  EXPECT_EQ(index.entries[1].bytes, 100U);
  EXPECT_EQ(file.substr(index.entries[1].begin, 100), std::string(100, 'x'));
  EXPECT_EQ(refusal(with(file, directory_end + 2, std::uint16_t{8})).what, "the directory of an archive is damaged");
}

TEST(ZipIndex, AnArchiveWithoutItsEndIsRefused) {
  EXPECT_EQ(refusal("").what, "the file is not a zip archive, or its end is missing");
  EXPECT_EQ(refusal(std::string(100000, 'P')).where, "net.pt");
  for (std::size_t length = 0; length < two_files().size(); ++length) {
    EXPECT_THROW((void)parse(two_files().substr(0, length)), Error) << length;
  }
}

TEST(ZipIndex, NamesThatLeadOutOfTheArchiveAreRefused) {
  for (const std::string name :
       {"../etc/passwd", "/etc/passwd", "a/../../b", "a//b", "a/./b", "..", "a\\b", "a/..", "\xff\xfe", ""}) {
    const auto parts = refusal(archive_of({{name, "x"}}));
    EXPECT_EQ(parts.what, "a file in an archive has a name that leads out of it or is no path") << name;
  }
  EXPECT_THROW((void)parse(archive_of({{std::string("a\0b", 3), "x"}})), Error);
  EXPECT_EQ(parse(archive_of({{"a..b/..c", "x"}})).entries.size(), 1U);
}

TEST(ZipIndex, ANameThatOccursTwiceIsRefused) {
  const auto parts = refusal(archive_of({{"a/b", "x"}, {"a/b", "y"}}));
  EXPECT_EQ(parts.what, "two files in an archive have the same name");
  EXPECT_EQ(parts.where, "net.pt, file 'a/b' in it");
}

TEST(ZipIndex, FilesThatOverlapAreRefused) {
  // Both lines name the first file, as an archive bomb does; the names have the same length.
  std::string file = archive_of({{"a/0", std::string(200, 'x')}, {"a/1", std::string(200, 'y')}});
  const std::size_t first = line_of(file, 0);
  const std::size_t second = line_of(file, 1);
  const auto parts = refusal(with(file, second + 42, read<std::uint32_t>(file, first + 42)));
  EXPECT_EQ(parts.what, "the directory of an archive and the header of a file contradict each other");
  // A second header within the content of the first file.
  std::string inner = zip_header("a/1", 10, 0);
  std::string outer = archive_of(
      {{"a/0", std::string(64 - inner.size() % 64, '.') + inner + std::string(100, 'x')}, {"a/1", "0123456789"}});
  const std::size_t place = outer.find("PK\x03\x04", 4);
  const auto overlap = refusal(with(outer, line_of(outer, 1) + 42, static_cast<std::uint32_t>(place)));
  EXPECT_EQ(overlap.what, "two files in an archive overlap");
  EXPECT_EQ(overlap.where, "net.pt, file 'a/1' in it");
}

TEST(ZipIndex, LengthsAndPlacesMustFitTheArchive) {
  const std::size_t line = line_of(two_files(), 1);
  auto longer = with(two_files(), line + 20, std::uint32_t{100000});
  EXPECT_THAT(refusal(longer).what, HasSubstr("has another length"));
  EXPECT_EQ(refusal(with(longer, line + 24, std::uint32_t{100000})).what,
            "the content of a file in an archive lies outside it");
  EXPECT_EQ(refusal(with(two_files(), line + 42, std::uint32_t{3})).what,
            "a file in an archive has no header where the directory says");
  EXPECT_EQ(refusal(with(two_files(), line + 8, std::uint16_t{1})).what, "a file in an archive is encrypted");
  auto compressed = with(two_files(), line + 10, std::uint16_t{8});
  EXPECT_THAT(refusal(compressed).what, HasSubstr("contradict each other"));
  compressed = with(compressed, read<std::uint32_t>(compressed, line + 42) + 8, std::uint16_t{8});
  EXPECT_TRUE(parse(compressed).entries[1].is_compressed);
  EXPECT_FALSE(parse(compressed).entries[0].is_compressed);
}

TEST(ZipIndex, TheTwoEndsMustAgree) {
  const std::string& file = two_files();
  EXPECT_EQ(refusal(with(file, extension_of(file) + 48, std::uint64_t{1})).what,
            "the two ends of an archive contradict each other");
  EXPECT_EQ(refusal(with(file, extension_of(file), std::uint32_t{0})).what, "the 64-bit end of an archive is damaged");
  EXPECT_EQ(refusal(with(file, end_of(file) + 4, std::uint32_t{1})).what, "an archive in several parts can't be read");
  auto many = with(file, extension_of(file) + 32, std::uint64_t{1} << 60U);
  many = with(many, extension_of(file) + 24, std::uint64_t{1} << 60U);
  EXPECT_EQ(refusal(with(many, end_of(file) + 10, std::uint16_t{0xFFFF})).what,
            "the directory of an archive does not lie at its end");
  EXPECT_THROW((void)parse(file + "behind"), Error);
  EXPECT_THROW((void)parse("before" + file), Error);
}

TEST(ZipIndex, AnyChangedByteIsAnErrorOrStaysWithinBounds) {
  for (std::size_t place = 0; place < two_files().size(); ++place) {
    for (int value = 0; value < 256; value += value < 8 ? 1 : 13) {
      const std::string changed = with(two_files(), place, static_cast<char>(value));
      try {
        for (const ZipEntry& each : parse(changed).entries) ASSERT_LE(each.begin + each.bytes, changed.size());
      } catch (const Error& error) {
        ASSERT_TRUE(error.parts().where.starts_with("net.pt"));
      }
    }
  }
}

}  // namespace
}  // namespace athanor::testing::zip_index_test
