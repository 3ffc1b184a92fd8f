// SPDX-License-Identifier: Apache-2.0
#include "athanor/core/owned.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <type_traits>
#include <utility>

namespace athanor::testing::owned_test {
namespace {

struct Part {
  explicit Part(int& deleted) : deleted(deleted) {}
  virtual ~Part() { ++deleted; }
  int& deleted;
};

struct LargerPart final : Part {
  using Part::Part;
  ~LargerPart() override { deleted += 10; }
};

class Unknown;
static_assert(sizeof(Owned<Unknown>) == sizeof(void*));
static_assert(!std::is_copy_constructible_v<Owned<Part>> && !std::is_copy_assignable_v<Owned<Part>>);
static_assert(std::is_nothrow_move_constructible_v<Owned<Part>> && std::is_nothrow_move_assignable_v<Owned<Part>>);
static_assert(!std::is_convertible_v<Part*, Owned<Part>> && !std::is_constructible_v<Owned<LargerPart>, int>);

TEST(Owned, DeletesOnceWhereverItWasMoved) {
  int deleted = 0;
  {
    Owned<Part> first(new Part(deleted));
    Owned<Part> second = std::move(first);
    EXPECT_TRUE(first == nullptr);
    EXPECT_TRUE(second);
    Owned<Part> third;
    third = std::move(second);
    EXPECT_EQ(second.get(), nullptr);
    EXPECT_EQ(deleted, 0);
  }
  EXPECT_EQ(deleted, 1);
}

TEST(Owned, AssignmentDeletesWhatWasThere) {
  int before = 0;
  int after = 0;
  Owned<Part> part(new Part(before));
  part = Owned<Part>(new Part(after));
  EXPECT_EQ(before, 1);
  EXPECT_EQ(&part->deleted, &after);
  Owned<Part>& itself = part;
  part = std::move(itself);
  EXPECT_EQ(after, 0);
  EXPECT_EQ(&(*part).deleted, &after);
}

TEST(Owned, TakesOverAUniquePointerOfADerivedType) {
  int deleted = 0;
  Owned<Part> part = std::make_unique<LargerPart>(deleted);
  part = std::make_unique<LargerPart>(deleted);
  EXPECT_EQ(deleted, 11);
  part.reset();
  EXPECT_EQ(deleted, 22);
  EXPECT_FALSE(part);
}

struct Looks {
  Owned<Looks>* owner;
  bool* was_null;
  ~Looks() { *was_null = *owner == nullptr; }
};

TEST(Owned, IsNullBeforeTheDestructorRuns) {
  bool was_null = false;
  Owned<Looks> looks;
  looks.reset(new Looks{&looks, &was_null});
  looks.reset();
  EXPECT_TRUE(was_null);
}

}  // namespace
}  // namespace athanor::testing::owned_test
