/* SPDX-License-Identifier: MIT */
/* Our own mistakes: HM_ASSERT in debug builds, hm__panic in every build. Neither allocates. */
#ifndef HM_CORE_ASSERT_INTERNAL_H
#define HM_CORE_ASSERT_INTERNAL_H

_Noreturn void hm__panic(const char *text);

#ifdef NDEBUG
#define HM_ASSERT(condition) ((void)0)
#else
#define HM__TEXT(x)      #x
#define HM__LINE_TEXT(x) HM__TEXT(x)
#define HM_ASSERT(condition) \
    ((condition)             \
         ? (void)0           \
         : hm__panic(__FILE__ ":" HM__LINE_TEXT(__LINE__) ": not so: " #condition))
#endif

#endif
