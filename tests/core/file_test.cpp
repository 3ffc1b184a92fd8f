// SPDX-License-Identifier: Apache-2.0
// Files: what is said when they can't be used, that a failed write leaves nothing behind, and what a mapping shows.
#include "athanor/core/file.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/core/error_of.hpp"

namespace athanor::file_test {
namespace {

namespace fs = std::filesystem;

class FileTest : public ::testing::Test {
 protected:
  FileTest() {
    std::string name = (fs::temp_directory_path() / "athanor-file-test-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~FileTest() override { fs::remove_all(folder_); }

  [[nodiscard]] std::size_t files_in_folder() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  static std::string content(const fs::path& path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  fs::path folder_;
};

std::string text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

TEST_F(FileTest, MappingAMissingFileNamesItAndTheReason) {
  const auto parts = error_of([&] { MappedFile(folder_ / "absent"); });
  EXPECT_EQ(parts.what, "a file can't be opened for reading");
  EXPECT_EQ(parts.where, (folder_ / "absent").string());
  EXPECT_EQ(parts.got, "No such file or directory");
}

TEST_F(FileTest, MappingAFolderOrAPipeIsRefusedAndDoesNotWait) {
  EXPECT_EQ(error_of([&] { MappedFile file(folder_); }).got, "a folder");
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(error_of([&] { MappedFile(folder_ / "pipe"); }).got, "a device, pipe or socket");
}

TEST_F(FileTest, WritingIntoAMissingFolderSaysWhichOne) {
  const auto parts = error_of([&] { write_file_atomically(folder_ / "none" / "file", "text"); });
  EXPECT_EQ(parts.what, "a file can't be created in this folder");
  EXPECT_EQ(parts.where, (folder_ / "none").string());
  EXPECT_EQ(parts.got, "No such file or directory");
  EXPECT_EQ(parts.todo, "create the folder, or correct the path");
}

TEST_F(FileTest, WritingBelowAFileSaysThatItIsNoFolder) {
  write_file_atomically(folder_ / "file", "text");
  const auto parts = error_of([&] { write_file_atomically(folder_ / "file" / "inner", "text"); });
  EXPECT_EQ(parts.got, "Not a directory");
  EXPECT_EQ(parts.where, (folder_ / "file").string());
}

TEST_F(FileTest, WritingOverAFolderIsRefusedAndLeavesNoTemporaryFile) {
  fs::create_directory(folder_ / "taken");
  const auto parts = error_of([&] { write_file_atomically(folder_ / "taken", "text"); });
  EXPECT_EQ(parts.what, "a file can't be put in its place");
  EXPECT_EQ(parts.where, (folder_ / "taken").string());
  EXPECT_EQ(files_in_folder(), 1U);
  EXPECT_FALSE(error_of([&] { write_file_atomically(folder_ / "", "text"); }).what.empty());
}

TEST_F(FileTest, AnExceptionWhileWritingPassesThroughAndKeepsTheOldFile) {
  const auto path = folder_ / "file";
  write_file_atomically(path, "old");
  const auto fail_half_way = [](FileWriter& writer) {
    writer.write("half of the new");
    throw std::runtime_error("stop");
  };
  EXPECT_THROW(write_file_atomically(path, fail_half_way), std::runtime_error);
  EXPECT_EQ(content(path), "old");
  EXPECT_EQ(files_in_folder(), 1U);
}

TEST_F(FileTest, WithoutRoomForTheWholeFileTheOldOneStays) {
  const auto path = folder_ / "file";
  write_file_atomically(path, "old");
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = 1000, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto parts = error_of([&] { write_file_atomically(path, std::string(5000, 'x')); });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(parts.what, "a file can't be written to its end");
  EXPECT_EQ(parts.where, path.string());
  EXPECT_EQ(parts.got, "File too large");
  EXPECT_EQ(content(path), "old");
  EXPECT_EQ(files_in_folder(), 1U);
}

TEST_F(FileTest, ADirectoryBelowAFileCannotBeMade) {
  write_file_atomically(folder_ / "file", "text");
  const auto parts = error_of([&] { require_writable_directory(folder_ / "file" / "run"); });
  EXPECT_EQ(parts.what, "a folder can't be created");
  EXPECT_EQ(parts.where, (folder_ / "file" / "run").string());
  EXPECT_EQ(parts.got, "Not a directory");
  EXPECT_FALSE(parts.todo.empty());
  EXPECT_FALSE(error_of([&] { require_writable_directory(folder_ / "file"); }).got.empty());
  EXPECT_EQ(error_of([] { require_writable_directory(""); }).todo, "name a folder");
}

TEST_F(FileTest, ADirectoryWithoutWritePermissionIsFoundByTrying) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  fs::permissions(folder_, fs::perms::owner_read | fs::perms::owner_exec);
  const auto parts = error_of([&] { require_writable_directory(folder_); });
  fs::permissions(folder_, fs::perms::owner_all);
  EXPECT_EQ(parts.what, "files can't be created in this folder");
  EXPECT_EQ(parts.got, "Permission denied");
}

TEST_F(FileTest, AFileSystemThatRefusesFilesIsFoundByTrying) {
  const auto parts = error_of([] { require_writable_directory("/proc/self"); });
  EXPECT_EQ(parts.what, "files can't be created in this folder");
  EXPECT_EQ(parts.where, "/proc/self");
}

TEST_F(FileTest, ADirectoryIsMadeWithAllAboveItAndLeftEmpty) {
  const auto deep = folder_ / "a" / "b" / "c";
  require_writable_directory(deep);
  require_writable_directory(deep);
  EXPECT_TRUE(fs::is_directory(deep));
  EXPECT_TRUE(fs::is_empty(deep));
}

TEST_F(FileTest, WritesInPiecesAndReplacesAsAWhole) {
  const auto path = folder_ / "file";
  write_file_atomically(path, "a longer old content");
  const MappedFile old(path);
  write_file_atomically(path, [](FileWriter& writer) {
    writer.write("new");
    writer.write("");
    writer.write(std::as_bytes(std::span(" content", 8)));
  });
  EXPECT_EQ(content(path), "new content");
  EXPECT_EQ(text_of(old), "a longer old content");
  EXPECT_EQ(files_in_folder(), 1U);
}

TEST_F(FileTest, AnExistingFileKeepsItsPermissionsAndANewOneFollowsTheMask) {
  const auto path = folder_ / "file";
  const mode_t mask = ::umask(027);
  write_file_atomically(path, "old");
  ::umask(mask);
  EXPECT_EQ(fs::status(path).permissions(), static_cast<fs::perms>(0640));
  fs::permissions(path, static_cast<fs::perms>(0604));
  write_file_atomically(path, "new");
  EXPECT_EQ(fs::status(path).permissions(), static_cast<fs::perms>(0604));
}

TEST_F(FileTest, ManyWritersOfOnePathLeaveOneWholeFile) {
  const auto path = folder_ / "file";
  std::vector<std::thread> writers;
  for (char letter = 'a'; letter < 'e'; ++letter) {
    writers.emplace_back([&path, letter] {
      for (int i = 0; i < 20; ++i) write_file_atomically(path, std::string(10000, letter));
    });
  }
  for (auto& writer : writers) writer.join();
  const std::string last = content(path);
  EXPECT_EQ(last, std::string(10000, last.at(0)));
  EXPECT_EQ(files_in_folder(), 1U);
}

TEST_F(FileTest, AMappingShowsTheContentAndIsPrivate) {
  const auto path = folder_ / "file";
  write_file_atomically(path, "content");
  MappedFile file(path);
  file.advise_sequential();
  EXPECT_EQ(text_of(file), "content");
  file.mutable_bytes()[0] = std::byte{'C'};
  EXPECT_EQ(text_of(file), "Content");
  EXPECT_EQ(content(path), "content");
}

TEST_F(FileTest, AnEmptyFileMapsToNoBytes) {
  write_file_atomically(folder_ / "empty", "");
  const MappedFile file(folder_ / "empty");
  file.advise_sequential();
  EXPECT_TRUE(file.bytes().empty());
}

TEST_F(FileTest, AMappingMovesWithItsBytes) {
  write_file_atomically(folder_ / "one", "one");
  write_file_atomically(folder_ / "two", "two");
  MappedFile first(folder_ / "one");
  MappedFile second(std::move(first));
  EXPECT_EQ(text_of(second), "one");
  second = MappedFile(folder_ / "two");
  EXPECT_EQ(text_of(second), "two");
}

}  // namespace
}  // namespace athanor::file_test
