// One reader and one writer thread per connection, each woken by a pipe when it is time to end.
#include "lsp/streams.h"

#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <deque>
#include <mutex>
#include <semaphore>
#include <stdexcept>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

namespace lsp {

namespace asio = boost::asio;

struct EventLoop::State {
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> busy{context.get_executor()};
  asio::signal_set signals{context};
};

EventLoop::EventLoop() : state_(std::make_unique<State>()) {}
EventLoop::~EventLoop() = default;

void EventLoop::post(std::function<void()> task) { asio::post(state_->context, std::move(task)); }

void EventLoop::after(std::chrono::milliseconds delay, std::function<void()> task) {
  auto timer = std::make_shared<asio::steady_timer>(state_->context, delay);
  timer->async_wait([timer, task = std::move(task)](const boost::system::error_code& error) {
    if (!error) task();
  });
}

void EventLoop::on_terminate(std::function<void()> task) {
  state_->signals.add(SIGINT);
  state_->signals.add(SIGTERM);
  state_->signals.async_wait([task = std::move(task)](const boost::system::error_code& error, int) {
    if (!error) task();
  });
}

void EventLoop::run() { state_->context.run(); }
void EventLoop::stop() { state_->context.stop(); }

Connection stdio_connection() { return {STDIN_FILENO, STDOUT_FILENO, false}; }

Connection pipe_connection(const std::string& path) {
  try {
    asio::io_context context;
    asio::local::stream_protocol::socket socket(context);
    socket.connect(asio::local::stream_protocol::endpoint(path));
    socket.native_non_blocking(false);
    const int fd = socket.release();
    return {fd, fd, true};
  } catch (const boost::system::system_error& error) {
    throw std::runtime_error("--pipe=" + path + ": no client listens there (" + error.code().message() + ")");
  }
}

Connection socket_connection(int port) {
  try {
    asio::io_context context;
    asio::ip::tcp::socket socket(context);
    // "localhost" may be either address family, depending on how the client listens.
    const auto number = static_cast<unsigned short>(port);
    const asio::ip::tcp::endpoint endpoints[] = {{asio::ip::address_v4::loopback(), number}, {asio::ip::address_v6::loopback(), number}};
    asio::connect(socket, endpoints);
    socket.set_option(asio::ip::tcp::no_delay(true));
    socket.native_non_blocking(false);
    const int fd = socket.release();
    return {fd, fd, true};
  } catch (const boost::system::system_error& error) {
    throw std::runtime_error("--socket=" + std::to_string(port) + ": no client listens there (" + error.code().message() + ")");
  }
}

namespace {

// Ends a poll() from another thread: readable from the moment it is rung.
class Bell {
 public:
  Bell() {
    if (pipe2(ends_, O_CLOEXEC) != 0) throw std::runtime_error(std::string("no pipe: ") + std::strerror(errno));
  }
  ~Bell() {
    close(ends_[0]);
    close(ends_[1]);
  }
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;
  void ring() const {
    const char one = 1;
    while (write(ends_[1], &one, 1) < 0 && errno == EINTR) {
    }
  }
  int fd() const { return ends_[0]; }

 private:
  int ends_[2] = {-1, -1};
};

// Waits until `fd` is ready for `events` or has failed; false where the bell rang first or `timeout_ms` (-1: none)
// passed. Files that cannot be polled are always ready.
bool wait_for(int fd, short events, const Bell& bell, bool heed_bell, int timeout_ms) {
  pollfd watched[2] = {{fd, events, 0}, {heed_bell ? bell.fd() : -1, POLLIN, 0}};
  int ready = 0;
  do {
    ready = poll(watched, 2, timeout_ms);
  } while (ready < 0 && errno == EINTR);
  if (ready <= 0) return ready < 0;
  return watched[0].revents != 0 || watched[1].revents == 0;
}

bool is_socket(int fd) {
  struct stat info {};
  return fstat(fd, &info) == 0 && S_ISSOCK(info.st_mode);
}

}  // namespace

struct Stream::State {
  State(EventLoop& event_loop, Connection given, std::function<void(std::string_view)> bytes, std::function<void()> end)
      : loop(event_loop), connection(given), on_bytes(std::move(bytes)), on_end(std::move(end)),
        socket(is_socket(given.out)) {}

  EventLoop& loop;
  const Connection connection;
  const std::function<void(std::string_view)> on_bytes;
  const std::function<void()> on_end;
  const bool socket;
  Bell closing;

  std::mutex mutex;  // guards what follows
  std::condition_variable changed;
  std::deque<std::string> unsent;
  std::size_t unsent_bytes = 0;
  bool ending = false;
  bool broken = false;

  std::jthread reader;
  std::jthread writer;

  void read_all() {
    std::string chunk(64 * 1024, '\0');
    // One chunk on its way at a time, so that a fast sender is held back by what the server has digested.
    const auto digested = std::make_shared<std::binary_semaphore>(1);
    while (true) {
      while (!digested->try_acquire_for(std::chrono::milliseconds(100))) {
        const std::lock_guard lock(mutex);
        if (ending) return;
      }
      if (!wait_for(connection.in, POLLIN, closing, true, -1)) return;
      const ssize_t got = read(connection.in, chunk.data(), chunk.size());
      if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
        digested->release();
        continue;
      }
      if (got <= 0) break;
      loop.post([this, digested, bytes = chunk.substr(0, static_cast<std::size_t>(got))] {
        on_bytes(bytes);
        digested->release();
      });
    }
    loop.post([this] { on_end(); });
  }

  // A pipe that is ready takes at least PIPE_BUF bytes without blocking, so that pieces of that size never hang.
  bool write_piece(std::string_view& bytes) {
    constexpr std::size_t piece = 4096;
    const std::size_t size = std::min(piece, bytes.size());
    const ssize_t put = socket ? ::send(connection.out, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT)
                               : ::write(connection.out, bytes.data(), size);
    if (put < 0) return errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK;
    bytes.remove_prefix(static_cast<std::size_t>(put));
    return true;
  }

  bool write_message(const std::string& message) {
    std::string_view left = message;
    while (!left.empty()) {
      bool hurried = false;
      {
        const std::lock_guard lock(mutex);
        hurried = ending;
      }
      if (!wait_for(connection.out, POLLOUT, closing, !hurried, hurried ? 1000 : -1)) {
        if (hurried) return false;
        continue;  // the bell: what is left gets its last second
      }
      if (!write_piece(left)) return false;
    }
    return true;
  }

  void write_all() {
    while (true) {
      std::string message;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return ending || !unsent.empty(); });
        if (unsent.empty()) return;
        message = std::move(unsent.front());
        unsent.pop_front();
      }
      const bool sent = write_message(message);
      const std::lock_guard lock(mutex);
      unsent_bytes -= message.size();
      if (!sent) {
        give_up_locked();
        return;
      }
    }
  }

  void give_up_locked() {
    unsent.clear();
    if (!std::exchange(broken, true) && !ending) loop.post([this] { on_end(); });
  }
};

Stream::Stream(EventLoop& loop, Connection connection, std::function<void(std::string_view)> on_bytes,
               std::function<void()> on_end)
    : state_(std::make_unique<State>(loop, connection, std::move(on_bytes), std::move(on_end))) {
  // A client that dies must not take loopd with it by SIGPIPE; write() reports it instead.
  std::signal(SIGPIPE, SIG_IGN);
  state_->reader = std::jthread([state = state_.get()] { state->read_all(); });
  state_->writer = std::jthread([state = state_.get()] { state->write_all(); });
}

Stream::~Stream() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->ending = true;
  }
  state_->closing.ring();
  state_->changed.notify_all();
  state_->reader.join();
  state_->writer.join();
  if (state_->connection.close) ::close(state_->connection.in);
}

void Stream::send(std::string bytes) {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->broken || state_->ending) return;
    state_->unsent_bytes += bytes.size();
    state_->unsent.push_back(std::move(bytes));
    if (state_->unsent_bytes > max_unsent) state_->give_up_locked();
  }
  state_->changed.notify_one();
}

}  // namespace lsp
