/* SPDX-License-Identifier: MIT */
/* Which sanitizer a test runs under, for the few that must know. */
#ifndef HM_TESTS_SANITIZER_H
#define HM_TESTS_SANITIZER_H

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#elif __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_ASAN
#define UNDER_ASAN 0
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif
#define UNDER_SANITIZER (UNDER_ASAN || UNDER_TSAN)

#endif
