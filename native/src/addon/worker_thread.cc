#include "addon/worker_thread.h"

#include <stdexcept>
#include <system_error>

#include "collective/communicator.h"

namespace troupe::addon {

struct WorkerThread::Job {
  Job(Napi::Env env, Napi::Object owner, std::function<void()> work)
      : deferred(env), owner(Napi::Persistent(owner)), work(std::move(work)) {}

  Napi::Promise::Deferred deferred;
  Napi::ObjectReference owner;
  std::function<void()> work;
  std::string error;
  /// The code of failures of a kind, or empty.
  std::string code;
  bool isOutOfRange = false;
  bool failed = false;
};

WorkerThread::WorkerThread(Napi::Env env, const char* name, std::function<void()> interrupt)
    : env_(env), completion_(Completion::New(env, name, 0, 1, this)), interrupt_(std::move(interrupt)) {
  completion_.Unref(env);
  // Hooks run last in, first out: this one while the completion function that was made before it can still be used.
  napi_add_env_cleanup_hook(env_, stopAtExit, this);
  try {
    thread_ = std::thread([this] { loop(); });
  } catch (const std::system_error& error) {
    napi_remove_env_cleanup_hook(env_, stopAtExit, this);
    completion_.Abort();
    throw std::runtime_error("cannot start a thread for " + std::string(name) + ": " + error.what());
  }
}

WorkerThread::~WorkerThread() {
  if (!thread_.joinable()) return;
  napi_remove_env_cleanup_hook(env_, stopAtExit, this);
  stop();
}

void WorkerThread::stopAtExit(void* thread) { static_cast<WorkerThread*>(thread)->stop(); }

void WorkerThread::stop() {
  bool interrupted;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    interrupted = running_ || !jobs_.empty();
  }
  changed_.notify_one();
  if (interrupted) interrupt_();
  thread_.join();
  completion_.Abort();
  for (Job* job : jobs_) delete job;
}

Napi::Promise WorkerThread::run(Napi::Env env, Napi::Object owner, std::function<void()> work) {
  auto* job = new Job(env, owner, std::move(work));
  const Napi::Promise promise = job->deferred.Promise();
  if (pending_++ == 0) completion_.Ref(env);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    jobs_.push_back(job);
  }
  changed_.notify_one();
  return promise;
}

void WorkerThread::loop() {
  for (;;) {
    Job* job;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (stopping_) return;
      job = jobs_.front();
      jobs_.pop_front();
      running_ = true;
    }
    try {
      job->work();
    } catch (const collective::CollectiveError& error) {
      job->failed = true;
      job->error = error.what();
      job->code = "ERR_COLLECTIVE";
    } catch (const std::out_of_range& error) {
      job->failed = true;
      job->isOutOfRange = true;
      job->error = error.what();
    } catch (const std::exception& error) {
      job->failed = true;
      job->error = error.what();
    } catch (...) {
      job->failed = true;
    }
    {
      std::lock_guard<std::mutex> lock(mutex_);
      running_ = false;
    }
    if (completion_.NonBlockingCall(job) != napi_ok) delete job;
  }
}

void WorkerThread::settle(Napi::Env env, Napi::Function, WorkerThread* thread, Job* job) {
  if (env == nullptr) {  // the environment is going away and nobody waits any more
    job->owner.SuppressDestruct();
    delete job;
    return;
  }
  const Napi::HandleScope scope(env);
  if (job->failed) {
    Napi::Error error = job->isOutOfRange ? Napi::RangeError::New(env, job->error) : Napi::Error::New(env, job->error);
    if (!job->code.empty()) error.Set("code", job->code);
    job->deferred.Reject(error.Value());
  } else {
    job->deferred.Resolve(env.Undefined());
  }
  delete job;
  if (--thread->pending_ == 0) thread->completion_.Unref(env);
}

}  // namespace troupe::addon
