/* SPDX-License-Identifier: MIT */
/* Modules whose hm_module_describe does what it must not, by the definition CHATTY: one for each clause. */
#include <hostmalloc/module.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CHATTY_WRITES    1
#define CHATTY_ALLOCATES 2
#define CHATTY_THREADS   3
#define CHATTY_CHANGES   4
#define CHATTY_MISNAMED  5
#define CHATTY_FOREIGN   6
#define CHATTY_BARE      7

static const hm_core *core;

static hm_status
chatty_open(const hm_option_values *values, hm_host *inner, hm_host **out, hm_error *err)
{
    (void)values, (void)inner;
    return core->host_open("default", out, err);
}

static hm_host_info infos[2] = {
    {.size = sizeof(hm_host_info),
     .abi = CHATTY == CHATTY_FOREIGN ? 9u << 16 : HM_ABI,
     .kind = HM_KIND_HOST,
     .name = CHATTY == CHATTY_MISNAMED ? "Chatty" : "chatty",
     .summary = CHATTY == CHATTY_BARE ? "two\nlines" : "does more than it is asked",
     .version = "1.0",
     .open = chatty_open},
};

static void *sleeps(void *argument)
{
    pause();
    return argument;
}

HM_MODULE_EXPORT hm_status hm_module_describe(const hm_core *from,
                                              const hm_host_info *const **list,
                                              size_t *count)
{
    static const hm_host_info *all[1];
    static void *kept;
    static unsigned calls;
    pthread_t thread;
    core = from;
    calls++;
    infos[1] = infos[0];
    all[0] = &infos[CHATTY == CHATTY_CHANGES && calls % 2 == 0];
    if (CHATTY == CHATTY_WRITES) {
        fputs("here I am\n", stderr);
    }
    if (CHATTY == CHATTY_ALLOCATES) {
        kept = malloc(1000);
    }
    if (CHATTY == CHATTY_THREADS) {
        pthread_create(&thread, NULL, sleeps, kept);
    }
    *list = all;
    *count = 1;
    return HM_OK;
}
