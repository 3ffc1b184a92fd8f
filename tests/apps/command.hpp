// SPDX-License-Identifier: Apache-2.0
// The `athanor` command as a process, and files for it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/process.hpp"
#include "tests/temporary_folder.hpp"

namespace athanor::testing {

/// What follows the name of the program, for the shell.
inline Finished run_command(const std::string& arguments) { return run_process(ATHANOR_COMMAND " " + arguments); }

inline nlohmann::json json_of_command(const std::string& arguments) {
  const Finished finished = run_command(arguments);
  EXPECT_EQ(finished.errors, "");
  return nlohmann::json::parse(finished.output, nullptr, /*allow_exceptions=*/false);
}

/// One line on standard error, which begins with the name of the program, and no stack trace.
inline void expect_refused(const Finished& finished, const std::string& words, int status = 2) {
  EXPECT_EQ(finished.status, status) << finished.output << finished.errors;
  EXPECT_THAT(finished.errors, ::testing::HasSubstr(words));
  EXPECT_TRUE(finished.errors.starts_with("athanor: ")) << finished.errors;
  EXPECT_EQ(std::count(finished.errors.begin(), finished.errors.end(), '\n'), 1) << finished.errors;
  EXPECT_THAT(finished.errors, ::testing::Not(::testing::HasSubstr("Exception raised")));
}

inline std::string text_of_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

inline void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

}  // namespace athanor::testing
