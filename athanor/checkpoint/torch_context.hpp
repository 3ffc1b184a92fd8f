// SPDX-License-Identifier: Apache-2.0
// How the values of a pickle are taken apart: kinds are checked, the path is known, depth and amount are limited. A
// part of torch_index, not for other use.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "athanor/checkpoint/pickle.hpp"

namespace athanor {

class TorchContext {
 public:
  using Ids = std::span<const PickleId>;

  TorchContext(const Pickle& pickle, std::size_t pickle_bytes, std::string_view file_name);

  /// Values may be nested as deeply as a pickle is long, or contain themselves: one of these stands in each function
  /// that may come back to itself.
  class Deeper {
   public:
    explicit Deeper(TorchContext& context);
    ~Deeper() { --context_.depth_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;

   private:
    TorchContext& context_;
  };

  /// One step of the path that messages name.
  class Step {
   public:
    Step(TorchContext& context, std::string name) : context_(context) { context_.path_.push_back(std::move(name)); }
    ~Step() { context_.path_.pop_back(); }
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;

   private:
    TorchContext& context_;
  };

  /// The same value in many places is one in the pickle and many in a Tree: what is made of a pickle costs, and there
  /// is four times as much as the pickle has bytes, and 65,536 for a small one.
  void spend(std::size_t cost);
  [[nodiscard]] std::size_t budget() const noexcept { return budget_; }

  [[noreturn]] void refuse(std::string what, std::string_view got, std::string expected = {},
                           std::string todo = {}) const;
  /// Something that torch.save would not have written.
  [[noreturn]] void refuse_form(std::string_view got) const;

  [[nodiscard]] PickleKind kind(PickleId id) const noexcept { return pickle.kind(id); }
  // Of calls.
  [[nodiscard]] std::string_view function(PickleId id) const { return pickle.text(pickle.children(id)[0]); }
  [[nodiscard]] Ids arguments(PickleId id) const { return pickle.children(pickle.children(id)[1]); }
  [[nodiscard]] std::optional<PickleId> state(PickleId id) const;
  // Each throws Error for a value of another kind.
  [[nodiscard]] std::int64_t integer(PickleId id) const;
  [[nodiscard]] bool boolean(PickleId id) const;
  [[nodiscard]] double real(PickleId id) const;
  [[nodiscard]] std::string text(PickleId id) const;  ///< A name or key of torch, of at most 1000 bytes.
  [[nodiscard]] Ids tuple(PickleId id) const;         ///< Or a list.
  std::vector<std::int64_t> integers(PickleId id);    ///< Sizes or strides.
  std::string bytes(PickleId id);                     ///< Also as protocol 2 writes them: a text to be encoded.

  const Pickle& pickle;

 private:
  std::string_view file_name_;
  std::size_t budget_;
  std::size_t depth_ = 0;
  std::vector<std::string> path_;
};

}  // namespace athanor
