// SPDX-License-Identifier: Apache-2.0
// Runs a script of this folder with the real torch of Python and reads the numbers that it writes.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "athanor/core/file.hpp"

namespace athanor {

/// A suite of tests that needs a script once. `Script::name` is its file name; it gets a folder as its argument.
template <class Script>
class PythonPeer : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::string name = (std::filesystem::temp_directory_path() / "athanor-python-peer-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    const std::string command = std::string(ATHANOR_TEST_PYTHON) + " " ATHANOR_SOURCE_DIR "/tests/optim/" +
                                Script::name + " " + folder_.string() + " 2>&1";
    FILE* pipe = ::popen(command.c_str(), "r");
    ASSERT_NE(pipe, nullptr);
    std::array<char, 4096> piece{};
    for (size_t size = 0; (size = std::fread(piece.data(), 1, piece.size(), pipe)) > 0;)
      output_.append(piece.data(), size);
    status_ = ::pclose(pipe);
  }
  static void TearDownTestSuite() { std::filesystem::remove_all(folder_); }
  void SetUp() override { ASSERT_EQ(status_, 0) << "torch is needed in " << ATHANOR_TEST_PYTHON << ":\n" << output_; }

  static const std::filesystem::path& folder() { return folder_; }
  /// A file of little-endian float64.
  static std::vector<double> read(const std::string& name) {
    const MappedFile file(folder_ / name);
    std::vector<double> values(file.bytes().size() / sizeof(double));
    std::memcpy(values.data(), file.bytes().data(), values.size() * sizeof(double));
    return values;
  }

 private:
  inline static std::filesystem::path folder_;
  inline static std::string output_;
  inline static int status_ = -1;
};

}  // namespace athanor
