// SPDX-License-Identifier: Apache-2.0
// The header of safetensors files: every way in which one can be wrong, then the layout that is written.
#include "athanor/checkpoint/safetensors_index.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>

#include "athanor/core/error.hpp"

namespace athanor::safetensors_index_test {
namespace {

std::string file_of(const std::string& header, std::size_t data_bytes) {
  std::string file(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(file.data(), &length, sizeof(length));
  return file + header + std::string(data_bytes, 'd');
}

SafetensorsIndex parse(const std::string& file) {
  return parse_safetensors(std::as_bytes(std::span(file)), "net.safetensors");
}

Error::Parts error_of(const std::string& file) {
  try {
    (void)parse(file);
  } catch (const Error& error) {
    return error.parts();
  }
  ADD_FAILURE() << "no Error was thrown";
  return {};
}

Error::Parts error_of(const std::string& header, std::size_t data_bytes) {
  return error_of(file_of(header, data_bytes));
}

Error::Parts error_of_entries(std::vector<TensorEntry> entries, SafetensorsMetadata metadata = {}) {
  try {
    (void)arrange_safetensors(std::move(entries), std::move(metadata));
  } catch (const Error& error) {
    return error.parts();
  }
  ADD_FAILURE() << "no Error was thrown";
  return {};
}

std::string tensor(const std::string& name, const std::string& shape, const std::string& offsets,
                   const std::string& dtype = "F32") {
  return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":[)" + shape + R"(],"data_offsets":[)" + offsets + "]}";
}

TEST(SafetensorsIndex, AFileWithoutRoomForTheLengthIsTooShort) {
  for (std::size_t size = 0; size < 8; ++size) {
    const auto parts = error_of(std::string(size, '\0'));
    EXPECT_EQ(parts.what, "the file is too short to be a safetensors file");
    EXPECT_EQ(parts.where, "net.safetensors");
    EXPECT_EQ(parts.got, std::to_string(size) + " bytes");
  }
}

TEST(SafetensorsIndex, AHeaderLongerThanTheFileOrTheLimitIsRefused) {
  auto parts = error_of(file_of("{}", 0).substr(0, 9));
  EXPECT_EQ(parts.what, "the file ends within its header");
  EXPECT_EQ(parts.got, "a header of 2 bytes");
  parts = error_of("PK\x03\x04 another format");
  EXPECT_EQ(parts.what, "the file is not a safetensors file, or its header is too long");
  EXPECT_EQ(parts.expected, "at most 100000000 bytes");
  EXPECT_EQ(error_of(std::string(100, '\xff')).got, "a header of 18446744073709551615 bytes");
}

TEST(SafetensorsIndex, AHeaderThatIsNotOneJsonObjectIsRefused) {
  EXPECT_EQ(error_of("", 0).got, "an empty header");
  for (const char* header : {"[]", "3", "null", "\"text\"", " {}", "\xEF\xBB\xBF{}"}) {
    EXPECT_EQ(error_of(header, 0).got, "a header that does not begin with '{'") << header;
  }
  EXPECT_EQ(error_of(std::string("{}\0 ", 4), 0).got, "a header with a zero byte");
  for (const char* header : {"{", "{}}", "{} {}", "{\"a\"}", "{\"a\":}", "{'a':1}", "{\"a\":1,}"}) {
    const auto parts = error_of(header, 0);
    EXPECT_FALSE(parts.what.empty()) << header;
    EXPECT_TRUE(parts.where.starts_with("net.safetensors")) << header;
  }
  EXPECT_EQ(error_of("{\"\xC3\x28\":1}", 0).what, "the header of a safetensors file is not JSON in UTF-8");
}

TEST(SafetensorsIndex, ValuesOfAnotherKindAreNamed) {
  EXPECT_EQ(error_of(R"({"w":3})", 0).expected, "an object under 'w'");
  EXPECT_EQ(error_of(R"({"w":[]})", 0).got, "a list");
  EXPECT_EQ(error_of(R"({"w":{"dtype":3}})", 0).expected, "a string under 'dtype'");
  EXPECT_EQ(error_of(R"({"w":{"dtype":["F32"]}})", 0).got, "a list");
  EXPECT_EQ(error_of(R"({"w":{"shape":"3"}})", 0).expected, "a list of whole numbers under 'shape'");
  EXPECT_EQ(error_of(R"({"w":{"shape":[[3]]}})", 0).where, "net.safetensors, tensor 'w'");
  EXPECT_EQ(error_of(R"({"w":{"shape":{}}})", 0).got, "an object");
  EXPECT_EQ(error_of(R"({"__metadata__":{"k":1}})", 0).expected, "a string under 'k'");
  EXPECT_EQ(error_of(R"({"__metadata__":{"k":{}}})", 0).where, "net.safetensors, metadata");
  EXPECT_EQ(error_of(R"({"w":null})", 0).got, "null");
  EXPECT_EQ(error_of("{" + tensor("w", "1.5", "0,4") + "}", 4).got, "1.5");
}

TEST(SafetensorsIndex, DeepNestingIsRefusedAtItsFirstLevel) {
  EXPECT_EQ(error_of(R"({"w":)" + std::string(1'000'000, '['), 0).got, "a list");
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += R"({"a":)";
  EXPECT_FALSE(error_of(objects, 0).what.empty());
}

TEST(SafetensorsIndex, MissingUnknownAndRepeatedFieldsAreNamed) {
  EXPECT_EQ(error_of(R"({"w":{"dtype":"F32","shape":[1]}})", 4).got, "no data_offsets");
  EXPECT_EQ(error_of(R"({"w":{"dtype":"F32","data_offsets":[0,4]}})", 4).got, "no shape");
  EXPECT_EQ(error_of(R"({"w":{}})", 4).got, "no dtype");
  EXPECT_EQ(error_of(R"({"w":{"stride":1}})", 4).got, "'stride'");
  EXPECT_EQ(error_of(R"({"w":{"dtype":"F32","dtype":"F32"}})", 4).got, "'dtype' twice");
  EXPECT_EQ(error_of("{" + tensor("w", "1", "0,4") + "," + tensor("w", "1", "4,8") + "}", 8).got, "'w' twice");
  EXPECT_EQ(error_of(R"({"__metadata__":{"k":"1","k":"2"}})", 0).where, "net.safetensors, metadata");
}

TEST(SafetensorsIndex, AnUnknownTypeIsToldWithTheKnownOnes) {
  const auto parts = error_of("{" + tensor("w", "1", "0,4", "F31") + "}", 4);
  EXPECT_EQ(parts.what, "a tensor has a type that is not known here");
  EXPECT_EQ(parts.where, "net.safetensors, tensor 'w'");
  EXPECT_EQ(parts.got, "F31");
  EXPECT_NE(parts.expected.find("F32"), std::string::npos);
}

TEST(SafetensorsIndex, ShapesThatAreNegativeOrTooLargeAreRefused) {
  EXPECT_EQ(error_of("{" + tensor("w", "-1", "0,4") + "}", 4).got, "-1");
  EXPECT_EQ(error_of("{" + tensor("w", "9223372036854775808", "0,4") + "}", 4).got, "9223372036854775808");
  EXPECT_EQ(error_of("{" + tensor("w", "99999999999999999999", "0,4") + "}", 4).got, "99999999999999999999");
  for (const char* shape :
       {"4294967296,4294967296", "4611686018427387904,2", "9223372036854775807,9223372036854775807,0"}) {
    const auto parts = error_of("{" + tensor("w", shape, "0,0") + "}", 0);
    EXPECT_EQ(parts.what, "a tensor is larger than any memory") << shape;
    EXPECT_EQ(parts.expected, "less than 2^63 bytes");
  }
  std::string ones = "1";
  for (int i = 0; i < 64; ++i) ones += ",1";
  EXPECT_EQ(error_of("{" + tensor("w", ones, "0,4") + "}", 4).got, "more than 64 dimensions");
}

TEST(SafetensorsIndex, RangesMustLieInTheFileAndFitTheShape) {
  auto parts = error_of("{" + tensor("w", "2", "0,8") + "}", 7);
  EXPECT_EQ(parts.what, "the data of a tensor lies outside the file");
  EXPECT_EQ(parts.got, "bytes 0 to 8");
  EXPECT_EQ(error_of("{" + tensor("w", "2", "8,0") + "}", 8).what, "the data of a tensor lies outside the file");
  EXPECT_EQ(error_of("{" + tensor("w", "2", "0,18446744073709551615") + "}", 8).where, "net.safetensors, tensor 'w'");
  EXPECT_EQ(error_of("{" + tensor("w", "2", "0,8,8") + "}", 8).got, "more than two numbers");
  EXPECT_EQ(error_of("{" + tensor("w", "2", "0") + "}", 8).got, "1 numbers");
  parts = error_of("{" + tensor("w", "3", "0,8") + "}", 8);
  EXPECT_EQ(parts.what, "the data of a tensor has another length than its type and shape ask for");
  EXPECT_EQ(parts.got, "bytes 0 to 8, which are 8");
  EXPECT_EQ(parts.expected, "12 bytes for F32 [3]");
}

TEST(SafetensorsIndex, OverlapsHolesAndRestsAreRefused) {
  auto parts = error_of("{" + tensor("a", "2", "0,8") + "," + tensor("b", "2", "4,12") + "}", 12);
  EXPECT_EQ(parts.what, "two tensors overlap");
  EXPECT_EQ(parts.where, "net.safetensors, tensor 'b' and tensor 'a'");
  parts = error_of("{" + tensor("b", "1", "8,12") + "," + tensor("a", "1", "0,4") + "}", 12);
  EXPECT_EQ(parts.what, "there is a hole before the data of a tensor");
  EXPECT_EQ(parts.where, "net.safetensors, tensor 'b'");
  EXPECT_EQ(parts.expected, "data from byte 4");
  parts = error_of("{" + tensor("a", "1", "0,4") + "}", 5);
  EXPECT_EQ(parts.what, "the file goes on after its last tensor");
  EXPECT_EQ(parts.got, "5 bytes of data");
  EXPECT_EQ(error_of("{" + tensor("a", "0", "4,4") + "}", 8).what, "there is a hole before the data of a tensor");
  EXPECT_EQ(error_of("{}", 1).what, "the file goes on after its last tensor");
}

TEST(SafetensorsIndex, VeryLongNamesAreCutInMessages) {
  const auto parts = error_of("{" + tensor(std::string(10'000, 'n'), "3", "0,8") + "}", 8);
  EXPECT_LT(parts.where.size(), 300U);
  EXPECT_NE(parts.where.find("nnn..."), std::string::npos);
}

TEST(SafetensorsIndex, NamesThatCannotBeWrittenAreRefused) {
  EXPECT_EQ(error_of_entries({{.name = "__metadata__"}}).what, "this name is reserved in safetensors files");
  EXPECT_EQ(error_of_entries({{.name = "w"}, {.name = "w"}}).where, "tensor 'w'");
  EXPECT_EQ(error_of_entries({{.name = "\xff"}}).what, "a name or a metadata string is not UTF-8");
  EXPECT_EQ(error_of_entries({}, {{"k", "\xff"}}).what, "a name or a metadata string is not UTF-8");
  EXPECT_EQ(error_of_entries({{.name = "w", .shape = {-1}}}).what, "a tensor has a negative size");
  constexpr std::int64_t huge = std::int64_t{1} << 60;
  EXPECT_EQ(error_of_entries({{.name = "w", .shape = {huge, huge}}}).what, "a tensor is larger than any memory");
  EXPECT_EQ(error_of_entries({{.name = "v", .shape = {huge}}, {.name = "w", .shape = {huge}}}).what,
            "the tensors together are larger than any file");
}

TEST(SafetensorsIndex, ReadsTensorsInTheOrderOfTheHeaderWithMetadata) {
  const auto index =
      parse(file_of(R"({"b\u00e9":{"data_offsets":[8,12],"shape":[],"dtype":"F32"},"__metadata__":{"k":"v"},)" +
                        tensor("a", "2,2", "0,8", "F16") + "," + tensor("none", "0,5", "12,12") + "}   ",
                    12));
  ASSERT_EQ(index.entries.size(), 3U);
  EXPECT_EQ(index.entries[0].name, "b\xC3\xA9");
  EXPECT_TRUE(index.entries[0].shape.empty());
  EXPECT_EQ(index.entries[1].dtype, SafetensorsType::float16);
  EXPECT_EQ(index.entries[1].shape, (std::vector<std::int64_t>{2, 2}));
  EXPECT_EQ(index.entries[2].begin, 12U);
  EXPECT_EQ(index.metadata, (SafetensorsMetadata{{"k", "v"}}));
  EXPECT_TRUE(parse(file_of("{}", 0)).entries.empty());
}

TEST(SafetensorsIndex, WritesWidestTypesFirstAndPadsTheHeader) {
  const auto index = arrange_safetensors({{.name = "flags", .dtype = SafetensorsType::boolean, .shape = {3}},
                                          {.name = "b", .dtype = SafetensorsType::float32, .shape = {2}},
                                          {.name = "a", .dtype = SafetensorsType::float32, .shape = {}},
                                          {.name = "count", .dtype = SafetensorsType::int64, .shape = {1}}},
                                         {{"format", "pt"}});
  const std::string header = safetensors_header(index);
  EXPECT_EQ(header.size() % 8, 0U);
  EXPECT_EQ(index.data_begin, header.size());
  EXPECT_EQ(
      header.substr(8, header.find_last_not_of(' ') - 7),
      R"({"__metadata__":{"format":"pt"},"count":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
      R"("a":{"dtype":"F32","shape":[],"data_offsets":[8,12]},"b":{"dtype":"F32","shape":[2],"data_offsets":[12,20]},)"
      R"("flags":{"dtype":"BOOL","shape":[3],"data_offsets":[20,23]}})");
  const auto again = parse(header + std::string(23, '\1'));
  ASSERT_EQ(again.entries.size(), 4U);
  EXPECT_EQ(again.entries[3].name, "flags");
  EXPECT_EQ(again.entries[3].end, 23U);
  EXPECT_EQ(again.data_begin, index.data_begin);
}

void expect_error_or_bounds(const std::string& file) {
  try {
    const auto index = parse(file);
    ASSERT_LE(index.data_begin, file.size());
    for (const auto& entry : index.entries) {
      ASSERT_LE(entry.begin, entry.end);
      ASSERT_LE(entry.end, file.size() - index.data_begin);
    }
  } catch (const Error& error) {
    ASSERT_FALSE(error.parts().what.empty());
  }
}

const std::string& small_file() {
  static const std::string file = [] {
    const auto index = arrange_safetensors({{.name = "weight", .dtype = SafetensorsType::float32, .shape = {2, 3}},
                                            {.name = "count", .dtype = SafetensorsType::int64, .shape = {}},
                                            {.name = "mask", .dtype = SafetensorsType::boolean, .shape = {5}}},
                                           {{"written by", "a test"}});
    return safetensors_header(index) + std::string(index.entries.back().end, '\1');
  }();
  return file;
}

TEST(SafetensorsIndexRandom, AFileCutShortAtAnyByteIsAnError) {
  ASSERT_EQ(parse(small_file()).entries.size(), 3U);
  for (std::size_t length = 0; length < small_file().size(); ++length) {
    EXPECT_THROW((void)parse(small_file().substr(0, length)), Error) << length;
  }
}

TEST(SafetensorsIndexRandom, AnyChangedByteIsAnErrorOrStaysWithinBounds) {
  const std::size_t header_end = parse(small_file()).data_begin;
  for (std::size_t place = 0; place < header_end; ++place) {
    for (int value = 0; value < 256; ++value) {
      std::string changed = small_file();
      changed[place] = static_cast<char>(value);
      expect_error_or_bounds(changed);
    }
  }
}

TEST(SafetensorsIndexRandom, ShuffledPiecesOfHeadersAreAnErrorOrStayWithinBounds) {
  const std::vector<std::string> pieces{"{",
                                        "}",
                                        "[",
                                        "]",
                                        ",",
                                        ":",
                                        "\"a\"",
                                        "\"b\"",
                                        "\"__metadata__\"",
                                        "\"dtype\"",
                                        "\"shape\"",
                                        "\"data_offsets\"",
                                        "\"F32\"",
                                        "\"BOOL\"",
                                        "0",
                                        "4",
                                        "-1",
                                        "1e9",
                                        "18446744073709551615",
                                        "null",
                                        "true",
                                        " ",
                                        tensor("a", "1", "0,4"),
                                        tensor("b", "1", "4,8"),
                                        tensor("c", "0", "4,4")};
  std::mt19937 random(7);
  for (int round = 0; round < 50'000; ++round) {
    std::string header = "{";
    const unsigned count = random() % 8;
    for (unsigned i = 0; i < count; ++i) header += pieces[random() % pieces.size()];
    if (random() % 2 == 0) header += "}";
    expect_error_or_bounds(file_of(header, 4 * (random() % 4)));
  }
}

}  // namespace
}  // namespace athanor::safetensors_index_test
