// SPDX-License-Identifier: Apache-2.0
// The state of a working tree, against the real git where there is one, and against files made by hand.
#include "athanor/core/git_state.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

#include "athanor/core/sha1.hpp"

namespace athanor::testing::git_state_test {
namespace {

namespace fs = std::filesystem;

void write(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

std::string sha1_of(std::string_view text) { return sha1_text(std::as_bytes(std::span(text))); }

class GitStates : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "athanor-git-XXXXXX").string();
    root_ = ::mkdtemp(name.data());
    tree_ = root_ / "tree";
    fs::create_directories(tree_);
  }
  void TearDown() override { fs::remove_all(root_); }

  [[nodiscard]] bool git(const std::string& arguments, const fs::path& folder) const {
    const std::string command = "cd '" + folder.string() +
                                "' && GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null HOME='" + root_.string() +
                                "' git -c user.name=a -c user.email=a@b -c init.defaultBranch=main " + arguments +
                                " >/dev/null 2>&1";
    return std::system(command.c_str()) == 0;
  }
  [[nodiscard]] bool git(const std::string& arguments) const { return git(arguments, tree_); }

  /// A repository with two commits of three files; false where there is no git.
  bool make_repository() {
    if (std::system("git --version >/dev/null 2>&1") != 0) return false;
    write(tree_ / "a.txt", "first\n");
    write(tree_ / "folder/b.txt", "second\n");
    fs::create_symlink("a.txt", tree_ / "link");
    EXPECT_TRUE(git("init -q") && git("add -A") && git("commit -qm one"));
    write(tree_ / "folder/b.txt", "third\n");
    EXPECT_TRUE(git("commit -qam two"));
    return true;
  }

  fs::path root_;
  fs::path tree_;
};

TEST(Sha1, IsThatOfTheStandard) {
  EXPECT_EQ(sha1_of(""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  EXPECT_EQ(sha1_of("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(sha1_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
  EXPECT_EQ(sha1_of(std::string(1'000'000, 'a')), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

TEST_F(GitStates, NoneOutsideOfAWorkingTree) { EXPECT_FALSE(git_state(tree_).has_value()); }

TEST_F(GitStates, HeadRefsAndPackedRefsAreReadWithoutGit) {
  const std::string commit(40, 'a'), packed(40, 'b');
  write(tree_ / ".git/HEAD", "ref: refs/heads/topic/one\n");
  write(tree_ / ".git/packed-refs", "# pack-refs with: peeled\n" + packed + " refs/heads/topic/one\n");
  auto state = git_state(tree_ / "deeper");
  ASSERT_TRUE(state.has_value());
  EXPECT_EQ(state->branch, "topic/one");
  EXPECT_EQ(state->commit, packed);
  EXPECT_FALSE(state->dirty.has_value()) << "there is no index";
  write(tree_ / ".git/refs/heads/topic/one", commit + "\n");
  EXPECT_EQ(git_state(tree_)->commit, commit) << "a ref of its own comes before a packed one";
  write(tree_ / ".git/HEAD", commit + "\n");
  state = git_state(tree_);
  EXPECT_EQ(state->commit, commit);
  EXPECT_EQ(state->branch, "");
}

TEST_F(GitStates, HostileFilesGiveNothing) {
  write(root_ / "secret", std::string(40, 'c'));
  write(tree_ / ".git/HEAD", "ref: refs/heads/../../../secret\n");
  EXPECT_EQ(git_state(tree_)->commit, "");
  write(tree_ / ".git/HEAD", "ref: ../secret\n");
  EXPECT_EQ(git_state(tree_)->commit, "");
  write(tree_ / ".git/HEAD", std::string(40, 'a'));
  std::string index("DIRC\0\0\0\2\0\0\0\5", 12);
  for (const std::string& bad : {std::string("DIRC"), index, index + std::string(200, '\xff'), std::string(300, 'x'),
                                 std::string("DIRC\0\0\0\2\xff\xff\xff\xff", 12)}) {
    write(tree_ / ".git/index", bad);
    const auto state = git_state(tree_);
    ASSERT_TRUE(state.has_value());
    EXPECT_FALSE(state->dirty.has_value());
  }
}

TEST_F(GitStates, ACleanTreeIsCleanWhateverTheTimesOfItsFiles) {
  if (!make_repository()) GTEST_SKIP() << "there is no git";
  auto state = git_state(tree_ / "folder");
  ASSERT_TRUE(state.has_value());
  EXPECT_EQ(fs::canonical(state->folder), fs::canonical(tree_));
  EXPECT_EQ(state->branch, "main");
  EXPECT_EQ(state->commit.size(), 40u);
  EXPECT_EQ(state->dirty, false);
  fs::last_write_time(tree_ / "a.txt", fs::file_time_type::clock::now() + std::chrono::hours(1));
  EXPECT_EQ(git_state(tree_)->dirty, false) << "the content decides";
  write(tree_ / "not_tracked.txt", "x");
  EXPECT_EQ(git_state(tree_)->dirty, false);
  ASSERT_TRUE(git("gc -q") && git("pack-refs --all"));
  EXPECT_EQ(git_state(tree_)->dirty, false);
  EXPECT_EQ(git_state(tree_)->commit, state->commit);
  ASSERT_TRUE(git("update-index --index-version 4"));
  EXPECT_EQ(git_state(tree_)->dirty, false) << "version 4 of the index";
}

TEST_F(GitStates, EveryKindOfChangeIsDirty) {
  if (!make_repository()) GTEST_SKIP() << "there is no git";
  const auto time = fs::last_write_time(tree_ / "a.txt");
  const auto back = [&] { ASSERT_TRUE(git("reset -q --hard")); };

  write(tree_ / "a.txt", "longer than before\n");
  EXPECT_EQ(git_state(tree_)->dirty, true);
  EXPECT_THAT(git_state(tree_)->changed, ::testing::ElementsAre("a.txt"));
  back();
  EXPECT_EQ(git_state(tree_)->dirty, false);
  write(tree_ / "a.txt", "f1rst\n");
  EXPECT_EQ(git_state(tree_)->dirty, true) << "of the same length";
  fs::last_write_time(tree_ / "a.txt", time);
  EXPECT_EQ(git_state(tree_)->dirty, true) << "in the same second as the index";
  back();
  fs::remove(tree_ / "a.txt");
  EXPECT_EQ(git_state(tree_)->dirty, true) << "removed";
  back();
  fs::permissions(tree_ / "a.txt", fs::perms::owner_exec, fs::perm_options::add);
  EXPECT_EQ(git_state(tree_)->dirty, true) << "executable";
  back();
  write(tree_ / "a.txt", "staged\n");
  ASSERT_TRUE(git("add a.txt"));
  EXPECT_EQ(git_state(tree_)->dirty, true) << "staged";
  back();
  EXPECT_EQ(git_state(tree_)->dirty, false);
  ASSERT_TRUE(git("reset -q --soft HEAD~1"));
  EXPECT_EQ(git_state(tree_)->dirty, true) << "an index of another commit";
}

TEST_F(GitStates, AWorktreeHasItsOwnHead) {
  if (!make_repository()) GTEST_SKIP() << "there is no git";
  ASSERT_TRUE(git("worktree add -q -b other ../beside HEAD~1"));
  const auto state = git_state(root_ / "beside");
  ASSERT_TRUE(state.has_value());
  EXPECT_EQ(state->branch, "other");
  EXPECT_EQ(state->commit.size(), 40u);
  EXPECT_NE(state->commit, git_state(tree_)->commit);
  EXPECT_EQ(state->dirty, false);
}

}  // namespace
}  // namespace athanor::testing::git_state_test
