// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/bounded_server.hpp"

#ifndef CPPHTTPLIB_MAX_LINE_LENGTH

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace athanor::track {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr const char* too_large =
    "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
constexpr milliseconds longest_farewell{1000};

/// A socket that is closed with unread bytes resets the connection, and the answer may be lost on its way: what is
/// still coming is read and thrown away for a moment.
void say_goodbye(socket_t socket) {
  ::shutdown(socket, SHUT_WR);
  std::array<char, 65536> nowhere;
  const auto end = steady_clock::now() + longest_farewell;
  for (auto now = steady_clock::now(); now < end; now = steady_clock::now()) {
    pollfd entry{.fd = socket, .events = POLLIN, .revents = 0};
    const auto left = std::chrono::duration_cast<milliseconds>(end - now).count() + 1;
    if (::poll(&entry, 1, static_cast<int>(left)) <= 0) return;
    if (::recv(socket, nowhere.data(), nowhere.size(), 0) <= 0) return;
  }
}

}  // namespace

BoundedStream::BoundedStream(socket_t socket, RequestLimits limits, milliseconds patience)
    : socket_(socket), limits_(limits), patience_(patience) {}

bool BoundedStream::wait(short what, milliseconds time) const {
  pollfd entry{.fd = socket_, .events = what, .revents = 0};
  int found = 0;
  do {
    found = ::poll(&entry, 1, static_cast<int>(std::max(time, milliseconds(0)).count()));
  } while (found < 0 && errno == EINTR);
  return found > 0;
}

bool BoundedStream::begin_request(milliseconds time) {
  if (begin_ == filled_ && !wait(POLLIN, time)) return false;
  left_ = limits_.bytes;
  end_ = steady_clock::now() + limits_.time;
  used_up_ = false;
  written_ = false;
  return true;
}

bool BoundedStream::is_readable() const { return begin_ < filled_ || wait(POLLIN, patience_); }
bool BoundedStream::is_writable() const {
  char byte = 0;
  const bool gone = wait(POLLIN, milliseconds(0)) && ::recv(socket_, &byte, 1, MSG_PEEK) <= 0;
  return !gone && wait(POLLOUT, patience_);
}

ssize_t BoundedStream::read(char* place, size_t size) {
  used_up_ = used_up_ || left_ == 0 || steady_clock::now() > end_;
  if (used_up_) return -1;
  if (begin_ == filled_) {
    begin_ = filled_ = 0;
    if (!wait(POLLIN, patience_)) return -1;
    ssize_t count = 0;
    do {
      count = ::recv(socket_, buffer_.data(), buffer_.size(), 0);
    } while (count < 0 && errno == EINTR);
    if (count <= 0) return count;
    filled_ = static_cast<size_t>(count);
  }
  const size_t count = std::min({size, filled_ - begin_, left_});
  std::memcpy(place, buffer_.data() + begin_, count);
  begin_ += count;
  left_ -= count;
  return static_cast<ssize_t>(count);
}

ssize_t BoundedStream::write(const char* bytes, size_t size) {
  if (!is_writable()) return -1;
  written_ = true;
  ssize_t count = 0;
  do {
    count = ::send(socket_, bytes, size, MSG_NOSIGNAL);
  } while (count < 0 && errno == EINTR);
  return count;
}

void BoundedStream::get_remote_ip_and_port(std::string& ip, int& port) const {
  ip = "127.0.0.1";
  port = 0;
}
void BoundedStream::get_local_ip_and_port(std::string& ip, int& port) const { get_remote_ip_and_port(ip, port); }

bool BoundedServer::process_and_close_socket(socket_t socket) {
  const auto seconds = [](time_t whole, time_t micro) {
    return std::chrono::duration_cast<milliseconds>(std::chrono::seconds(whole) + std::chrono::microseconds(micro));
  };
  BoundedStream stream(socket, limits_, seconds(read_timeout_sec_, read_timeout_usec_));
  bool fine = true;
  for (size_t left = keep_alive_max_count_; left > 0 && is_running(); --left) {
    if (!stream.begin_request(seconds(keep_alive_timeout_sec_, 0))) break;
    bool closed = false;
    fine = answer(*this, stream, /*close=*/left == 1, closed);
    if (stream.is_used_up() && !stream.has_written()) stream.write(too_large);
    if (!fine || closed || stream.is_used_up()) break;
  }
  if (stream.is_used_up()) say_goodbye(socket);
  ::shutdown(socket, SHUT_RDWR);
  ::close(socket);
  return fine;
}

}  // namespace athanor::track

#endif
