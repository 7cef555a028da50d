/* SPDX-License-Identifier: MIT */
/* A read past the end of a guarded block, and one of a freed block, explained from the handler of the fault. */
#include "death.h"

#include <setjmp.h>
#include <signal.h>

static sigjmp_buf back;

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    hm_debug_explain(hm_debug_of_host(death_host), info->si_addr, 2);
    siglongjmp(back, 1);
}

static int read_at(const volatile char *at)
{
    return sigsetjmp(back, 1) ? -1 : *at;
}

int main(void)
{
    const struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    hm_malloc *m = death_malloc_of("debug:guard=size:48", "rows", 0);
    char *block = hm_alloc(m, 48);
    sigaction(SIGSEGV, &action, NULL);
    if (read_at(block + 50) != -1) {
        return 3;
    }
    EXPECT(HM_OK, hm_free(m, block));
    if (read_at(block + 5) != -1) {
        return 3;
    }
    EXPECT(HM_E_FREED, hm_free(m, block));
    return death_end(m);
}

/* Report:
 * ==hostmalloc== address 0xADDRESS is 2 bytes past the end of a block
 *   block        0xADDRESS, 48 bytes, #1 of its site, malloc "rows"
 *   allocated    guard_overrun.c:27 (main), thread 1
 * ==hostmalloc== address 0xADDRESS is 5 bytes inside a freed block
 *   block        0xADDRESS, 48 bytes, #1 of its site, malloc "rows"
 *   allocated    guard_overrun.c:27 (main), thread 1
 *   freed        guard_overrun.c:32 (main), thread 1
 * ==hostmalloc== ERROR #1 double free (HM_E_FREED), malloc "rows"
 *   block        0xADDRESS, 48 bytes, #1 of its site, malloc "rows"
 *   allocated    guard_overrun.c:27 (main), thread 1
 *   freed        guard_overrun.c:32 (main), thread 1
 *   freed again  guard_overrun.c:36 (main), thread 1
 * ==hostmalloc== SUMMARY: 1 error, 0 blocks and 0 bytes leaked at 0 sites
 */
