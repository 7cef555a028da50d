/* SPDX-License-Identifier: MIT */
/* Cases 194 to 199: how runs end, and what outlives them. */
#define HM_NETMON_SITES
#include "netmon_world.h"

#include <stdlib.h>
#include <string.h>

#define BLOCKS 5

static void take_some(HEXPERTKEY key)
{
    for (int i = 0; i < BLOCKS; i++) {
        CHECK(ExpertAllocMemory(key, 24, NULL) != NULL);
    }
}

static BOOL WINAPI answers_false(HEXPERTKEY key,
                                 PEXPERTCONFIG config,
                                 PEXPERTSTARTUPINFO startup,
                                 DWORD flags,
                                 HWND window)
{
    (void)config, (void)startup, (void)flags, (void)window;
    take_some(key);
    return FALSE;
}

static BOOL WINAPI answers_true(HEXPERTKEY key,
                                PEXPERTCONFIG config,
                                PEXPERTSTARTUPINFO startup,
                                DWORD flags,
                                HWND window)
{
    (void)config, (void)startup, (void)flags, (void)window;
    take_some(key);
    return TRUE;
}

static void *volatile nowhere = (void *)(uintptr_t)16;

static BOOL WINAPI reads_nowhere(HEXPERTKEY key,
                                 PEXPERTCONFIG config,
                                 PEXPERTSTARTUPINFO startup,
                                 DWORD flags,
                                 HWND window)
{
    (void)config, (void)startup, (void)flags, (void)window;
    take_some(key);
    return *(volatile char *)nowhere;
}

static BOOL WINAPI aborts(HEXPERTKEY key,
                          PEXPERTCONFIG config,
                          PEXPERTSTARTUPINFO startup,
                          DWORD flags,
                          HWND window)
{
    (void)config, (void)startup, (void)flags, (void)window;
    take_some(key);
    abort();
}

static uint32_t hanging; /* atomic */

static BOOL WINAPI hangs(HEXPERTKEY key,
                         PEXPERTCONFIG config,
                         PEXPERTSTARTUPINFO startup,
                         DWORD flags,
                         HWND window)
{
    (void)config, (void)startup, (void)flags, (void)window;
    take_some(key);
    __atomic_store_n(&hanging, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&hanging, __ATOMIC_ACQUIRE)) {
        (void)ExpertMemorySize(key, NULL);
    }
    return TRUE;
}

static void failing_is_cleaned_up(const contract *self)
{
    (void)self;
    const hm_netmon_result result = netmon_run(answers_false, NULL);
    CHECK_EQ(result.status, EXPERTSTATUS_PROBLEM);
    CHECK_EQ(result.leaks.blocks, BLOCKS);
    CHECK_EQ(result.leaks.bytes, BLOCKS * 24);
    CHECK_EQ(netmon_live(netmon_key), 0);
}

static void run_or_kill(void *context, int index)
{
    if (index == 0) {
        *(hm_netmon_result *)context = netmon_run(hangs, NULL);
        return;
    }
    while (!__atomic_load_n(&hanging, __ATOMIC_ACQUIRE)) {
        (void)netmon_live(netmon_other);
    }
    CHECK_EQ(hm_netmon_kill(netmon_key), HM_OK);
}

static void raising_is_cleaned_up(const contract *self)
{
    static const PEXPERTRUNPROC runs[] = {reads_nowhere, aborts};
    hm_netmon_result result;
    (void)self;
    void *theirs = ExpertAllocMemory(netmon_other, 8, NULL);
    for (size_t i = 0; i < COUNT(runs); i++) {
        result = netmon_run(runs[i], NULL);
        CHECK_EQ(result.status, EXPERTSTATUS_ABORTED);
        CHECK_EQ(result.how, HM_CLIENT_RAISED);
        CHECK(result.code != 0);
        CHECK_EQ(result.leaks.blocks, BLOCKS);
        CHECK_EQ(netmon_live(netmon_key), 0);
        CHECK_EQ(netmon_live(netmon_other), 1);
    }
    __atomic_store_n(&hanging, 0, __ATOMIC_RELEASE);
    contracts_threads(2, run_or_kill, &result);
    CHECK_EQ(result.status, EXPERTSTATUS_ABORTED);
    CHECK_EQ(result.how, HM_CLIENT_ENDED);
    CHECK_EQ(result.leaks.blocks, BLOCKS);
    CHECK_EQ(netmon_live(netmon_key), 0);
    CHECK_EQ(ExpertFreeMemory(netmon_other, theirs), NMERR_SUCCESS);
}

static void forgetting_is_reported(const contract *self)
{
    char text[2048];
    (void)self;
    hm_netmon_result result = netmon_run_heard(answers_true, text, sizeof text);
    CHECK_EQ(result.status, EXPERTSTATUS_DONE);
    CHECK_EQ(result.leaks.blocks, BLOCKS);
    CHECK_EQ(netmon_live(netmon_key), 0);
    CHECK(strstr(text, "expert \"analyser\" returned with 5 blocks of 120 bytes live"));
    CHECK((strstr(text, "netmon_runs.c:") != NULL) == netmon_knows_sites());
    result = netmon_run_heard(answers_false, text, sizeof text);
    CHECK_EQ(text[0], 0);
}

static BOOL WINAPI configures(HEXPERTKEY key,
                              PEXPERTCONFIG *config,
                              PEXPERTSTARTUPINFO startup,
                              DWORD flags,
                              HWND window)
{
    (void)startup, (void)flags, (void)window;
    PEXPERTCONFIG made = *config ? ExpertReallocMemory(key, *config, 24, NULL)
                                 : ExpertAllocMemory(key, 24, NULL);
    if (!made) {
        return FALSE;
    }
    made->RawConfigLength = 24;
    memset(made->RawConfigData, *config ? 6 : 5, 20);
    *config = made;
    return ExpertAllocMemory(key, 1, NULL) != NULL; /* forgotten, not handed over */
}

static PEXPERTCONFIG shown;
static BYTE last_byte;

static BOOL WINAPI uses_config(HEXPERTKEY key,
                               PEXPERTCONFIG config,
                               PEXPERTSTARTUPINFO startup,
                               DWORD flags,
                               HWND window)
{
    (void)key, (void)startup, (void)flags, (void)window;
    shown = config;
    last_byte = config->RawConfigData[19];
    return config->RawConfigLength == 24;
}

/* The key of the case configures, which is over before the run begins under another. */
static void config_outlives_its_key(const contract *self)
{
    hm_netmon_result result = {.size = sizeof result};
    PEXPERTCONFIG config = NULL;
    (void)self;
    for (BYTE value = 5; value <= 6; value++) {
        CHECK_EQ(hm_netmon_configure(netmon_key, netmon_other, configures, &config, NULL,
                                     0, NULL, &result, NULL),
                 HM_OK);
        CHECK_EQ(result.status, EXPERTSTATUS_DONE);
        CHECK_EQ(result.leaks.blocks, 1);
        CHECK_EQ(netmon_live(netmon_key), 0);
        REQUIRE(config != NULL);
        CHECK_EQ(netmon_live(netmon_other), 1);
        CHECK_EQ(netmon_run(uses_config, config).status, EXPERTSTATUS_DONE);
        CHECK_PTR(shown, config);
        CHECK_EQ(last_byte, value);
    }
    CHECK_EQ(ExpertFreeMemory(netmon_other, config), NMERR_SUCCESS);
}

static void zero_is_a_block(const contract *self)
{
    DWORD error = 77;
    (void)self;
    void *block = ExpertAllocMemory(netmon_key, 0, &error);
    void *other = ExpertAllocMemory(netmon_key, 0, NULL);
    CHECK(block != NULL && other != NULL && block != other);
    CHECK_EQ(error, NMERR_SUCCESS);
    CHECK_EQ(ExpertFreeMemory(netmon_key, block), NMERR_SUCCESS);
    CHECK_EQ(ExpertFreeMemory(netmon_key, other), NMERR_SUCCESS);
}

static void errors_travel(const contract *self)
{
    static const struct {
        DWORD error;
        uint32_t result;
    } pairs[] = {{NMERR_SUCCESS, 0},
                 {NMERR_OUT_OF_MEMORY, 0x80040013u},
                 {NMERR_EXPERT_TERMINATE, 0x8004007Du},
                 {NMERR_NO_VALID_NPP_DLLS, 0x80040BCDu}};
    (void)self;
    for (size_t i = 0; i < COUNT(pairs); i++) {
        const HRESULT result = NMERR_TO_HRESULT(pairs[i].error);
        CHECK_EQ((uint32_t)result, pairs[i].result);
        CHECK_EQ(HRESULT_TO_NMERR(result), pairs[i].error);
    }
}

const contract netmon_run_cases[6] = {
    {194, "D", "a run that fails is cleaned up after", failing_is_cleaned_up, 0},
    {195, "D", "one that raises or is killed, too", raising_is_cleaned_up, 0},
    {196, "R", "one that forgets is reported", forgetting_is_reported, 0},
    {197, "D", "a configuration outlives its key", config_outlives_its_key, 0},
    {198, "R", "zero bytes are a block", zero_is_a_block, 0},
    {199, "N", "a code is an HRESULT and back", errors_travel, 0},
};
