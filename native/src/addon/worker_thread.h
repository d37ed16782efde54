#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <napi.h>
#include <thread>

namespace troupe::addon {

/// A native thread that runs jobs in order and settles a promise for each, so that blocking work neither holds up
/// JavaScript nor takes a thread from Node's own pool. It keeps the event loop alive only while a job is under way.
class WorkerThread {
 public:
  /// `interrupt` makes the job under way end soon; it is called if the thread has to go before its jobs have run, at the
  /// latest when the environment that it belongs to does.
  WorkerThread(Napi::Env env, const char* name, std::function<void()> interrupt);
  ~WorkerThread();
  WorkerThread(const WorkerThread&) = delete;
  WorkerThread& operator=(const WorkerThread&) = delete;

  /// `work` runs on the thread; what it throws rejects the promise, a std::out_of_range with a RangeError. `owner`, which holds this thread, is kept from being
  /// collected until then.
  Napi::Promise run(Napi::Env env, Napi::Object owner, std::function<void()> work);

 private:
  struct Job;

  void loop();
  void stop();
  static void stopAtExit(void* thread);
  static void settle(Napi::Env env, Napi::Function, WorkerThread* thread, Job* job);

  using Completion = Napi::TypedThreadSafeFunction<WorkerThread, Job, settle>;

  const napi_env env_;
  Completion completion_;
  const std::function<void()> interrupt_;
  size_t pending_ = 0;  // touched by JavaScript's thread only
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job*> jobs_;
  bool stopping_ = false;
  bool running_ = false;
  std::thread thread_;
};

}  // namespace troupe::addon
