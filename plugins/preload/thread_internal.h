/* SPDX-License-Identifier: MIT */
/* How a thread stands to the host: not known to us yet, outside, inside, or past its end. */
#ifndef HM_PLUGINS_PRELOAD_THREAD_INTERNAL_H
#define HM_PLUGINS_PRELOAD_THREAD_INTERNAL_H

#define HM__THREAD_NEW     0u
#define HM__THREAD_OUTSIDE 1u
#define HM__THREAD_INSIDE \
    2u /* what is allocated now is the host's doing, or ours: it may not come in again */
#define HM__THREAD_ENDED \
    3u /* its destructors have run: what it told the host would never be given back */

extern _Thread_local unsigned char hm__thread_state;

/* Before the first thread is met. */
void hm__threads_start(void);

/* A new thread becomes an outside one; 0: it must not go in. */
int hm__thread_may_enter(void);

/* Free what ended threads left. */
void hm__thread_collect(void);

/* A block that an ended thread frees: some other thread will. */
void hm__thread_leave_behind(void *block);

#endif
