// SPDX-License-Identifier: Apache-2.0
// Fingerprints that services ask for: MD5 (RFC 1321) and SHA-256 (FIPS 180-4). Not for secrets.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace athanor::track {

/// Blocks of 64 bytes, and an end that holds the length: what both have in common.
class BlockDigest {
 public:
  virtual ~BlockDigest() = default;
  void add(std::string_view bytes);
  /// The digest as raw bytes. Nothing may be added after it.
  [[nodiscard]] std::string finish();

 protected:
  explicit BlockDigest(bool big_endian) : big_endian_(big_endian) {}
  virtual void take(const unsigned char* block) = 0;
  [[nodiscard]] virtual std::string result() const = 0;
  [[nodiscard]] std::string words_text(const uint32_t* words, int count) const;
  [[nodiscard]] uint32_t word_at(const unsigned char* bytes) const;

 private:
  bool big_endian_;
  uint64_t length_ = 0;
  std::string rest_;
};

class Md5 : public BlockDigest {
 public:
  Md5() : BlockDigest(false) {}

 protected:
  void take(const unsigned char* block) override;
  [[nodiscard]] std::string result() const override { return words_text(state_.data(), 4); }

 private:
  std::array<uint32_t, 4> state_{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
};

class Sha256 : public BlockDigest {
 public:
  Sha256() : BlockDigest(true) {}

 protected:
  void take(const unsigned char* block) override;
  [[nodiscard]] std::string result() const override { return words_text(state_.data(), 8); }

 private:
  std::array<uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
};

[[nodiscard]] std::string hex_text(std::string_view bytes);

}  // namespace athanor::track
