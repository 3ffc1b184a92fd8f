// SPDX-License-Identifier: Apache-2.0
// A pointer that owns, for the private members of public classes.
#pragma once

#include <cstddef>

namespace athanor {

/// Owns one object, which may be incomplete where the pointer is declared, and deletes it. What `std::unique_ptr` does,
/// without arrays and deleters: each type of that costs a compiler 1.4 MB (GCC 12), each type of this next to nothing,
/// and everyone who includes a public header pays for its private members. Public functions take and return
/// `std::unique_ptr`, which converts to this one.
///
/// Moving from it leaves null. Not thread-safe.
template <class T>
class Owned {
 public:
  Owned() noexcept = default;
  explicit Owned(T* object) noexcept : object_(object) {}
  template <class Other>
  requires requires(Other& other, T*& object) { object = other.release(); }
  Owned(Other other) noexcept : object_(other.release()) {}
  Owned(Owned&& other) noexcept : object_(other.object_) { other.object_ = nullptr; }
  Owned& operator=(Owned&& other) noexcept {
    T* object = other.object_;
    other.object_ = nullptr;
    reset(object);
    return *this;
  }
  ~Owned() { destroy(object_); }

  /// Deletes what was owned, after it was replaced by `object`, which may be null.
  void reset(T* object = nullptr) noexcept {
    T* before = object_;
    object_ = object;
    destroy(before);
  }

  [[nodiscard]] T* get() const noexcept { return object_; }
  T& operator*() const noexcept { return *object_; }
  T* operator->() const noexcept { return object_; }
  explicit operator bool() const noexcept { return object_ != nullptr; }
  bool operator==(std::nullptr_t) const noexcept { return object_ == nullptr; }

 private:
  static void destroy(T* object) noexcept {
    static_assert(
        requires { sizeof(T); }, "the owned type has to be complete where it is deleted");
    delete object;
  }

  T* object_ = nullptr;
};

}  // namespace athanor
