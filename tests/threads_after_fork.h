/* SPDX-License-Identifier: MIT */
/* ThreadSanitizer ends the child of a threaded process when it starts a thread of its own: such a child does the
   rest of its work only. */
#ifndef HM_TESTS_THREADS_AFTER_FORK_H
#define HM_TESTS_THREADS_AFTER_FORK_H

#if defined(__SANITIZE_THREAD__)
#define THREADS_AFTER_FORK 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREADS_AFTER_FORK 0
#endif
#endif
#ifndef THREADS_AFTER_FORK
#define THREADS_AFTER_FORK 1
#endif

#endif
