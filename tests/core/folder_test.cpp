// SPDX-License-Identifier: Apache-2.0
// Folders that are whole or not there, and the lock of a run folder.
#include "athanor/core/folder.hpp"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "athanor/core/file.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::testing::folder_test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class Folder : public ::testing::Test {
 protected:
  Folder() : root_(fs::temp_directory_path() / ("athanor-folder-" + std::to_string(::getpid()))) {
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  ~Folder() override { fs::remove_all(root_); }
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(root_)) found.push_back(entry.path().filename().string());
    return found;
  }
  fs::path root_;
};

TEST_F(Folder, IsThereWithAllItsFilesOrNotAtAll) {
  write_folder_atomically(root_ / "whole", [&](const fs::path& beside) {
    write_file_atomically(beside / "a", std::string_view("1"));
    EXPECT_FALSE(fs::exists(root_ / "whole"));
    write_file_atomically(beside / "b", std::string_view("2"));
  });
  EXPECT_TRUE(fs::is_regular_file(root_ / "whole" / "a"));
  EXPECT_TRUE(fs::is_regular_file(root_ / "whole" / "b"));
  EXPECT_THROW(write_folder_atomically(root_ / "failed",
                                       [](const fs::path& beside) {
                                         write_file_atomically(beside / "a", std::string_view("1"));
                                         throw std::runtime_error("stop");
                                       }),
               std::runtime_error);
  EXPECT_THAT(names(), ::testing::ElementsAre("whole"));
}

TEST_F(Folder, ThatIsThereAlreadyIsNotWrittenOver) {
  fs::create_directory(root_ / "taken");
  const Error::Parts parts = error_of([&] { write_folder_atomically(root_ / "taken", [](const fs::path&) {}); });
  EXPECT_EQ(parts.what, "a folder is there already");
  EXPECT_EQ(parts.where, (root_ / "taken").string());
}

TEST_F(Folder, UnderAMissingOneIsRefused) {
  const Error::Parts parts = error_of([&] { write_folder_atomically(root_ / "no" / "one", [](const fs::path&) {}); });
  EXPECT_EQ(parts.got, "No such file or directory");
  EXPECT_THAT(parts.todo, HasSubstr("renamed or removed"));
}

TEST_F(Folder, IsRemovedWithWhatIsInIt) {
  fs::create_directories(root_ / "old" / "inner");
  std::ofstream(root_ / "old" / "file") << "x";
  remove_folder(root_ / "old");
  EXPECT_THAT(names(), ::testing::IsEmpty());
  remove_folder(root_ / "old");
}

TEST_F(Folder, LeftoversOfKilledProcessesGoAndNothingElse) {
  fs::create_directories(root_ / ".athanor-77-folder-0.tmp");
  std::ofstream(root_ / ".athanor-77-1.tmp") << "x";
  std::ofstream(root_ / ".hidden") << "x";
  std::ofstream(root_ / "athanor.tmp") << "x";
  remove_leftovers(root_);
  EXPECT_THAT(names(), ::testing::UnorderedElementsAre(".hidden", "athanor.tmp"));
  remove_leftovers(root_ / "missing");
}

TEST_F(Folder, LockHoldsAgainstASecondProcessUntilTheFirstIsGone) {
  int to_child[2], to_parent[2];
  ASSERT_EQ(::pipe(to_child), 0);
  ASSERT_EQ(::pipe(to_parent), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto lock = FolderLock::try_lock(root_);
    char byte = lock ? 'y' : 'n';
    if (::write(to_parent[1], &byte, 1) != 1 || ::read(to_child[0], &byte, 1) != 1) ::_exit(2);
    ::_exit(0);  // without unlocking
  }
  char byte = 0;
  ASSERT_EQ(::read(to_parent[0], &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
  EXPECT_FALSE(FolderLock::try_lock(root_));
  const Error::Parts parts = error_of([&] { static_cast<void>(FolderLock::lock(root_)); });
  EXPECT_EQ(parts.what, "another run writes to this folder");
  EXPECT_EQ(parts.got, "process " + std::to_string(child) + " holds its lock");
  ASSERT_EQ(::write(to_child[1], &byte, 1), 1);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  auto ours = FolderLock::try_lock(root_);
  EXPECT_TRUE(ours);
  EXPECT_FALSE(FolderLock::try_lock(root_)) << "two objects of one process";
  ours.reset();
  EXPECT_TRUE(FolderLock::try_lock(root_));
  for (const int descriptor : {to_child[0], to_child[1], to_parent[0], to_parent[1]}) ::close(descriptor);
}

}  // namespace
}  // namespace athanor::testing::folder_test
