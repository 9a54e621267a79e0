// The event loop and the client's byte streams; with its .cpp the only place that knows Boost.Asio.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace lsp {

// Runs tasks one after another on the thread that called run().
class EventLoop {
 public:
  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  void post(std::function<void()> task);  // from any thread
  void after(std::chrono::milliseconds delay, std::function<void()> task);  // from any thread
  // SIGINT and SIGTERM call `task` instead of ending the process at once.
  void on_terminate(std::function<void()> task);
  // Runs until stop() is called.
  void run();
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// File descriptors of a connection; `close` where they are ours to close.
struct Connection {
  int in = 0;
  int out = 1;
  bool close = false;
};

Connection stdio_connection();
// The client listens on a Unix socket, or on a port of this machine. Throws std::runtime_error, one line.
Connection pipe_connection(const std::string& path);
Connection socket_connection(int port);

// Reads and writes a connection from two threads of its own with plain blocking calls, so that files, pipes, terminals
// and sockets work alike and inherited descriptors, which other processes share, keep their flags. The event loop never
// waits for a client that does not read: what it cannot take is kept, up to a limit, and then the connection is given up.
class Stream {
 public:
  static constexpr std::size_t max_unsent = 256 * 1024 * 1024;

  // `on_bytes` and `on_end` (end of input, or a client that is gone) are called on the event loop.
  Stream(EventLoop& loop, Connection connection, std::function<void(std::string_view)> on_bytes,
         std::function<void()> on_end);
  // Gives what is unsent at most a second to leave.
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Sends all of `bytes` in one piece, after what was sent before. From any thread; never blocks.
  void send(std::string bytes);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lsp
