// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/error.hpp"

namespace athanor {
namespace {

std::string compose(const Error::Parts& parts) {
  std::string message = parts.what;
  auto add = [&](const char* label, const std::string& text) {
    if (!text.empty()) message.append("\n  ").append(label).append(text);
  };
  add("where:    ", parts.where);
  add("got:      ", parts.got);
  add("expected: ", parts.expected);
  add("to do:    ", parts.todo);
  return message;
}

}  // namespace

Error::Error(Parts parts) : std::runtime_error(compose(parts)), parts_(std::move(parts)) {}

}  // namespace athanor
