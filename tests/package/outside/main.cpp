// SPDX-License-Identifier: Apache-2.0
#include <athanor/core/error.hpp>

#include <iostream>

int main() {
  try {
    throw athanor::Error({.what = "the package works"});
  } catch (const athanor::Error& error) {
    std::cout << error.what() << '\n';
  }
}
