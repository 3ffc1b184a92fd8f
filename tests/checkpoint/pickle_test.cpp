// SPDX-License-Identifier: Apache-2.0
// Pickles written by hand, opcode by opcode: what is read, and what is refused.
#include "athanor/checkpoint/pickle.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "athanor/checkpoint/latin1.hpp"
#include "athanor/checkpoint/pickle_writer.hpp"
#include "tests/core/error_of.hpp"

namespace athanor::testing::pickle_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace std::string_literals;

Pickle parse(const std::string& bytes) { return parse_pickle(std::as_bytes(std::span(bytes)), "net.pt"); }
/// With the protocol before and the end behind it.
Pickle parse_body(const std::string& body) { return parse("\x80\x02" + body + "."); }
Error::Parts refusal(const std::string& body) {
  return error_of([&] { return parse_body(body); });
}

/// The value as Python would print it.
std::string print(const Pickle& pickle, PickleId id) {
  const auto items = [&] {
    std::string text;
    for (const PickleId child : pickle.children(id)) text.append(text.empty() ? "" : ", ").append(print(pickle, child));
    return text;
  };
  switch (pickle.kind(id)) {
    case PickleKind::none:
      return "None";
    case PickleKind::boolean:
      return pickle.boolean(id) ? "True" : "False";
    case PickleKind::integer:
      return std::to_string(pickle.integer(id));
    case PickleKind::large_integer:
      return "large";
    case PickleKind::real:
      return std::to_string(pickle.real(id));
    case PickleKind::text:
      return "'" + std::string(pickle.text(id)) + "'";
    case PickleKind::bytes:
      return "b'" + std::string(pickle.text(id)) + "'";
    case PickleKind::global:
      return std::string(pickle.text(id));
    case PickleKind::list:
      return "[" + items() + "]";
    case PickleKind::tuple:
      return "(" + items() + ")";
    case PickleKind::set:
    case PickleKind::dictionary:
      return "{" + items() + "}";
    case PickleKind::call:
      return "call(" + items() + ")";
    case PickleKind::persistent:
      return "outside(" + items() + ")";
  }
  return {};
}

std::string printed(const std::string& body) {
  const Pickle pickle = parse_body(body);
  return print(pickle, pickle.root());
}

TEST(PickleTest, NumbersAndTextsOfEveryOpcode) {
  EXPECT_EQ(printed("N"), "None");
  EXPECT_EQ(printed("\x88"), "True");
  EXPECT_EQ(printed("\x89"), "False");
  EXPECT_EQ(printed("J\xfe\xff\xff\xff"), "-2");
  EXPECT_EQ(printed("K\xff"), "255");
  EXPECT_EQ(printed("M\x01\x02"), "513");
  EXPECT_EQ(printed("\x8a\x00"s), "0");
  EXPECT_EQ(printed("\x8a\x01\xff"), "-1");
  EXPECT_EQ(printed("\x8a\x02\xff\x00"s), "255");
  EXPECT_EQ(printed("\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80"s), "-9223372036854775808");
  EXPECT_EQ(printed("\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00"s), "large");
  EXPECT_EQ(printed("\x8b\x01\x00\x00\x00\x07"s), "7");
  EXPECT_EQ(printed("G\x3f\xf8\x00\x00\x00\x00\x00\x00"s), "1.500000");
  EXPECT_EQ(printed("X\x02\x00\x00\x00\xc3\xa9"s), "'é'");
  EXPECT_EQ(printed("\x8c\x01y"), "'y'");
  EXPECT_EQ(printed("\x8d\x01\x00\x00\x00\x00\x00\x00\x00z"s), "'z'");
  EXPECT_EQ(printed("U\x03"
                    "abc"),
            "'abc'");
  EXPECT_EQ(printed("T\x01\x00\x00\x00q"s), "'q'");
  EXPECT_EQ(printed("U\x01\xff"), "b'\xff'");
  EXPECT_EQ(printed("C\x01\x80"), "b'\x80'");
  EXPECT_EQ(printed("B\x01\x00\x00\x00k"s), "b'k'");
  EXPECT_EQ(printed("\x8e\x01\x00\x00\x00\x00\x00\x00\x00k"s), "b'k'");
  EXPECT_EQ(printed("\x96\x01\x00\x00\x00\x00\x00\x00\x00k"s), "b'k'");
}

TEST(PickleTest, ContainersOfEveryOpcode) {
  EXPECT_EQ(printed("]"), "[]");
  EXPECT_EQ(printed("]K\x01"
                    "a(K\x02K\x03"
                    "e"),
            "[1, 2, 3]");
  EXPECT_EQ(printed("(K\x01K\x02l"), "[1, 2]");
  EXPECT_EQ(printed(")"), "()");
  EXPECT_EQ(printed("K\x01\x85"), "(1)");
  EXPECT_EQ(printed("K\x01K\x02\x86"), "(1, 2)");
  EXPECT_EQ(printed("K\x01K\x02K\x03\x87"), "(1, 2, 3)");
  EXPECT_EQ(printed("(K\x01(K\x02tK\x03t"), "(1, (2), 3)");
  EXPECT_EQ(printed("}K\x01K\x02s(K\x03K\x04u"), "{1, 2, 3, 4}");
  EXPECT_EQ(printed("(K\x01K\x02"
                    "d"),
            "{1, 2}");
  EXPECT_EQ(printed("\x8f(K\x01\x90"), "{1}");
  EXPECT_EQ(printed("(K\x01K\x02\x91"), "{1, 2}");
  EXPECT_EQ(printed("K\x01K\x02"
                    "0"),
            "1");
  EXPECT_EQ(printed("K\x07(K\x01K\x02"
                    "1"),
            "7");
  EXPECT_EQ(printed("K\x01"
                    "2\x86"),
            "(1, 1)");
}

TEST(PickleTest, WhatIsRememberedIsTheSameValue) {
  EXPECT_EQ(printed("(]q\x00h\x00K\x05"
                    "at"s),
            "([5], [5])");
  EXPECT_EQ(printed("(]\x94h\x00K\x05"
                    "at"s),
            "([5], [5])");
  EXPECT_EQ(printed("(]r\x00\x00\x00\x00j\x00\x00\x00\x00K\x05"
                    "at"s),
            "([5], [5])");
  EXPECT_EQ(refusal("h\x00"s).what, "a pickle recalls what it did not remember");
  EXPECT_EQ(refusal("Nr\xff\xff\xff\x7f").what, "a pickle remembers under a number that is out of order");
}

TEST(PickleTest, CallsAreKeptAndOnlyContainersAreMade) {
  EXPECT_EQ(printed("ctorch\nfloat32\n"), "torch.float32");
  EXPECT_EQ(printed("\x8c\x05torch\x8c\x07"
                    "float32\x93"),
            "torch.float32");
  EXPECT_EQ(printed("ctorch\nSize\nK\x02\x85\x85R"), "call(torch.Size, ((2)))");
  EXPECT_EQ(printed("ccollections\nOrderedDict\n)RK\x01K\x02s"), "{1, 2}");
  EXPECT_EQ(printed("ccollections\nOrderedDict\n](K\x01K\x02\x86"
                    "K\x03K\x04\x86"
                    "e\x85R"),
            "{1, 2, 3, 4}");
  EXPECT_EQ(printed("ccollections\nOrderedDict\n)R}K\x01K\x02sb"), "{}");
  EXPECT_EQ(printed("ccollections\nCounter\n}K\x01K\x02s\x85R"), "{1, 2}");
  EXPECT_EQ(printed("c__builtin__\nset\n]K\x01"
                    "a\x85R"),
            "{1}");
  EXPECT_EQ(printed("cbuiltins\nfrozenset\n)R"), "{}");
  EXPECT_EQ(printed("ctorch\nSize\n)\x81"), "call(torch.Size, ())");
  EXPECT_EQ(printed("cnumpy\ndtype\n)RNb"), "call(numpy.dtype, (), None)");
  EXPECT_EQ(printed("cnumpy.core.multiarray\nscalar\n)R"), "call(numpy._core.multiarray.scalar, ())");
  EXPECT_EQ(printed("K\x01Q"), "outside(1)");
}

TEST(PickleTest, EverythingElseThatCouldBeCalledIsRefusedByName) {
  for (const std::string name :
       {"os\nsystem", "posix\nsystem", "builtins\neval", "__builtin__\nexec", "sys\nexit", "subprocess\nPopen",
        "torch\nload", "torch.jit\nload", "torch.hub\nload", "codecs\nencode", "torch._utils\n_rebuild",
        "torch.storage\n_load_from_bytes", "functools\npartial", "operator\nattrgetter", "numpy\nload",
        "builtins\ngetattr", "torch\n__builtins__"}) {
    const auto parts = refusal("c" + name + "\n(X\x02\x00\x00\x00idtR"s);
    EXPECT_EQ(parts.what, "a pickle names a class or function that is not allowed") << name;
    EXPECT_THAT(parts.got, HasSubstr(name.substr(name.find('\n') + 1)));
    EXPECT_EQ(parts.where, "net.pt, byte 2");
  }
  EXPECT_EQ(refusal("\x8c\x02os\x8c\x06system\x93").got, "os.system");
  // A name with a dot must not reach through an allowed module.
  EXPECT_EQ(refusal("ctorch\nSize.__class__\n").got, "torch.Size.__class__");
  for (const std::string body : {"ios\nsystem\n", "(ctorch\nSize\no", "P0\n", "\x82\x01", "\x97", "\x98", "I1\n",
                                 "F1\n", "S'a'\n", "Va\n", "L1L\n", "p0\n", "g0\n", "\x92", "\xff"}) {
    const auto what = refusal(body).what;
    EXPECT_TRUE(what == "a pickle has an opcode that is not known here" ||
                what == "a pickle names a class or function that is not allowed")
        << body << ": " << what;
  }
}

TEST(PickleTest, TheListOfWhatIsAllowedHasNothingThatActs) {
  for (const std::string_view name : allowed_pickle_globals()) {
    EXPECT_TRUE(name.starts_with("torch.") || name.starts_with("numpy.") || name.starts_with("builtins.") ||
                name.starts_with("collections.") || name == "_codecs.encode")
        << name;
    for (const char* word : {"load", "eval", "exec", "import", "open", "getattr", "system"}) {
      EXPECT_EQ(name.find(word), std::string_view::npos) << name;
    }
  }
}

TEST(PickleTest, StacksThatDoNotFitAreRefused) {
  for (const std::string body : {"0", "a", "]a", "\x85", "K\x01\x86", "}K\x01s", "e", "t", "u", "(e", "(]e", "K\x01(e",
                                 "R", "ctorch\nSize\nR", "b", "Q", "2", "\x94", "q\x00"}) {
    EXPECT_THROW((void)parse_body(body), Error) << body;
  }
  EXPECT_EQ(refusal("K\x01K\x02").what, "a pickle leaves something over");
  EXPECT_EQ(refusal("(K\x01").what, "a pickle leaves something over");
  EXPECT_EQ(refusal(")K\x01"
                    "a")
                .what,
            "a pickle puts something into what can't hold it");
  EXPECT_EQ(refusal("](K\x01K\x02u").what, "a pickle puts something into what can't hold it");
  EXPECT_EQ(refusal("}(K\x01u").what, "a pickle has a key without a value");
  EXPECT_EQ(refusal("K\x01)R").what, "a pickle calls what is no function");
  EXPECT_EQ(refusal("ctorch\nSize\n]R").what, "a pickle calls what is no function");
  EXPECT_EQ(refusal("]Nb").what, "a pickle sets the state of what has none");
  EXPECT_EQ(refusal("ctorch\nSize\n)RNbNb").what, "a pickle sets the state of what has none");
}

TEST(PickleTest, BytesThatAreNoPickleAreRefused) {
  EXPECT_EQ(error_of([] { return parse(""); }).what, "this is not a pickle of protocol 2 or later");
  EXPECT_EQ(error_of([] { return parse("(dp0\n."); }).got, "opcode 28 '('");
  for (const char* protocol : {"\x80\x01N.", "\x80\x06N."}) {
    EXPECT_EQ(error_of([&] { return parse(protocol); }).expected, "2 to 5");
  }
  EXPECT_THAT(refusal("X\xff\xff\xff\xff").what, HasSubstr("ends within an opcode"));
  EXPECT_THAT(refusal("\x8d\xff\xff\xff\xff\xff\xff\xff\xff").what, HasSubstr("ends within an opcode"));
  EXPECT_THAT(refusal("\x8b\xff\xff\xff\xff").what, HasSubstr("negative length"));
  EXPECT_THAT(refusal("T\x00\x00\x00\x80"s).what, HasSubstr("negative length"));
  EXPECT_THAT(refusal("\x95\xff\xff\xff\xff\xff\xff\xff\xff").what, HasSubstr("ends within a frame"));
  EXPECT_THAT(refusal("X\x01\x00\x00\x00\xff"s).what, HasSubstr("not UTF-8"));
  EXPECT_THAT(error_of([] {
                return parse(
                    "\x80\x02"
                    "ctorch");
              }).what,
              HasSubstr("ends within an opcode"));
  EXPECT_THAT(error_of([] { return parse("\x80\x02N"); }).what, HasSubstr("ends within an opcode"));
}

TEST(PickleTest, ASecondPickleMayFollow) {
  const std::string bytes = "\x80\x02K\x01.\x80\x02K\x02.";
  const Pickle first = parse(bytes);
  EXPECT_EQ(first.bytes_read(), 5U);
  const Pickle second = parse(bytes.substr(first.bytes_read()));
  EXPECT_EQ(second.integer(second.root()), 2);
}

TEST(PickleTest, DeepAndRepeatedListsCostNoMoreThanTheirBytes) {
  std::string deep;
  for (int i = 0; i < 1'000'000; ++i) deep += '\x85';
  EXPECT_EQ(parse_body("N" + deep).size(), 1'000'003U);
  // A list of a thousand, copied again and again by what makes a set of it.
  std::string copies = "](";
  for (int i = 0; i < 1000; ++i) copies += "K\x01";
  copies += "eq";
  copies += '\0';
  copies +=
      "0cbuiltins\nset\nq\x01"
      "0(";
  for (int i = 0; i < 100'000; ++i) copies += "h\x01h\x00\x85R"s;
  EXPECT_EQ(refusal(copies + "l").what, "a pickle makes more of a list than it holds");
}

TEST(PickleTest, TooManyValuesAreRefused) {
  std::string many = "(";
  many.append(size_t{2} * 20'000'001, 'K');  // two of them are an integer
  EXPECT_EQ(refusal(many + "l").what, "a pickle has too many values");
}

TEST(PickleTest, WhatIsWrittenIsReadAgain) {
  PickleWriter writer;
  writer.begin_dictionary();
  writer.text("list");
  writer.begin_list();
  for (const std::int64_t number :
       {std::int64_t{0}, std::int64_t{255}, std::int64_t{256}, std::int64_t{-1}, std::int64_t{INT32_MAX},
        std::int64_t{INT32_MIN}, std::int64_t{INT32_MAX} + 1, INT64_MIN, INT64_MAX}) {
    writer.integer(number);
  }
  writer.end_list();
  writer.text("é");
  writer.real(-0.5);
  writer.text("call");
  writer.global("torch", "Size");
  writer.integers(std::array<std::int64_t, 2>{2, 3});
  writer.call();
  writer.text("others");
  writer.begin_tuple();
  writer.none();
  writer.boolean(true);
  writer.boolean(false);
  writer.end_tuple();
  writer.end_dictionary();
  const std::string bytes = writer.finish();
  const Pickle pickle = parse(bytes);
  EXPECT_EQ(print(pickle, pickle.root()),
            "{'list', [0, 255, 256, -1, 2147483647, -2147483648, 2147483648, -9223372036854775808, "
            "9223372036854775807], 'é', -0.500000, 'call', call(torch.Size, (2, 3)), 'others', (None, True, False)}");
}

TEST(PickleTest, AnyChangeOfAPickleIsAnErrorOrAPickle) {
  const std::string bytes =
      "\x80\x02}q\x00(X\x01\x00\x00\x00"
      "aq\x01]q\x02(K\x01M\x00\x01J\x00\x00\x00\x01\x8a\x01\x7f"
      "G\x3f\xf0\x00\x00\x00\x00\x00\x00"
      "eX\x01\x00\x00\x00"
      "bctorch\nSize\nq\x03K\x01K\x02\x86\x85Rq\x04u."s;
  ASSERT_NO_THROW((void)parse(bytes));
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_THROW((void)parse(bytes.substr(0, length)), Error) << length;
  }
  std::mt19937 random(3);
  for (int round = 0; round < 100'000; ++round) {
    std::string changed = bytes;
    for (unsigned count = 1 + random() % 3; count > 0; --count) {
      changed[random() % changed.size()] =
          random() % 2 == 0 ? static_cast<char>(random()) : bytes[random() % bytes.size()];
    }
    try {
      const Pickle pickle = parse(changed);
      ASSERT_LE(pickle.bytes_read(), changed.size());
    } catch (const Error& error) {
      ASSERT_FALSE(error.parts().what.empty());
    }
  }
}

TEST(Latin1, TakesCharactersUpToU00FF) {
  EXPECT_EQ(latin1_bytes("a\xC3\xBF"), "a\xFF");
  EXPECT_EQ(latin1_bytes("\xC4\x80"), std::nullopt);
  EXPECT_EQ(latin1_bytes("\xFF"), std::nullopt);
}

}  // namespace
}  // namespace athanor::testing::pickle_test
