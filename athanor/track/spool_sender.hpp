// SPDX-License-Identifier: Apache-2.0
// A thread that brings what lies in a spool to a service, however long that is away.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>

#include "athanor/track/spool.hpp"

namespace athanor::track {

/// Why records could not be delivered.
class DeliveryProblem : public std::runtime_error {
 public:
  enum class Kind {
    later,    ///< The service is away or busy: they are tried again.
    refused,  ///< The service will never take the first of them: it is given up.
    closed,   ///< The service takes nothing from us: all wait for the next program.
  };
  DeliveryProblem(Kind kind, const std::string& text, std::optional<std::chrono::milliseconds> pause = {})
      : std::runtime_error(text), kind(kind), pause(pause) {}
  Kind kind;
  std::optional<std::chrono::milliseconds> pause;  ///< How long the service asked to be left alone.
};

/// How records become calls of a service.
class Delivery {
 public:
  virtual ~Delivery();
  /// Delivers the first of these, one or more, and returns how many. After a crash some come again. Throws
  /// DeliveryProblem; whatever else is thrown counts as Kind::later.
  virtual size_t deliver(std::span<const Spool::Record> records) = 0;
  /// Ends a running `deliver` soon. From another thread.
  virtual void cancel() noexcept = 0;
};

struct SenderOptions {
  /// Records are collected for so long before they are sent together.
  std::chrono::milliseconds every{1000};
  /// The pause after a failure; it doubles with each further one, up to `longest_pause`, and differs at random by up to
  /// a quarter, so that many programs do not come back at once.
  std::chrono::milliseconds first_pause{500};
  std::chrono::milliseconds longest_pause{60000};
};

/// Sends records in their order, the oldest first. Takes no signals. For one thread.
class SpoolSender {
 public:
  SpoolSender(std::shared_ptr<Spool> spool, std::shared_ptr<Delivery> delivery, SenderOptions options = {});
  /// Stops without waiting for the service.
  ~SpoolSender();
  SpoolSender(const SpoolSender&) = delete;
  SpoolSender& operator=(const SpoolSender&) = delete;

  /// Sends what there is, for so long at most, and stops. Up to two seconds more for a call that has to be broken off;
  /// one that can't be (a name that is being looked up) is left to end by itself. Called again: nothing happens.
  void finish(std::chrono::milliseconds limit);

  struct Standing {
    int64_t waiting = 0;       ///< Records that are not sent.
    int64_t refused = 0;       ///< Records that the service would not take.
    int64_t dropped = 0;       ///< Records that the full spool did not take.
    std::string problem = {};  ///< The last one; empty when the last call succeeded.
    std::string refusal = {};  ///< The service's words for the first refused record.
  };
  [[nodiscard]] Standing standing() const;

 private:
  struct Shared;
  static void work(const std::shared_ptr<Shared>& shared);
  static bool send_some(Shared& shared);
  void stop(std::chrono::milliseconds patience);

  std::shared_ptr<Shared> shared_;
};

}  // namespace athanor::track
