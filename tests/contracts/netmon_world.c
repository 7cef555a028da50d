/* SPDX-License-Identifier: MIT */
/* Experts on each host in turn. What is said on standard error is caught in a file. */
#include "netmon_world.h"

#include <stdio.h>
#include <string.h>
#ifdef _WIN32
#include <io.h>
#else
#include <unistd.h>
#endif

#include <hostmalloc/hostmalloc.h>

static const char *const worlds[] = {"default", "mimalloc", "debug", "debug+mimalloc"};

static hm_runtime *runtime;

HEXPERTKEY netmon_key;
HEXPERTKEY netmon_other;

static HEXPERTKEY open_key(const char *name, size_t budget)
{
    const hm_netmon_opts opts = {.size = sizeof opts, .name = name, .budget = budget};
    HEXPERTKEY key = NULL;
    hm_error err;
    const hm_status status = hm_netmon_open(runtime, &opts, &key, &err);
    if (status != HM_OK) {
        hm_error_print(&err);
    }
    CHECK_EQ(status, HM_OK);
    return key;
}

static int enter(const char *world, const char **why)
{
    const hm_runtime_opts opts = {.size = sizeof opts, .spec = world};
    hm_error err;
    const hm_status status = hm_runtime_open(&opts, &runtime, &err);
    if (status == HM_E_NOT_FOUND) {
        *why = "this build has no such host";
        return 0;
    }
    CHECK_EQ(status, HM_OK);
    CHECK_EQ(hm_runtime_start(runtime), HM_OK);
    netmon_key = open_key("analyser", NETMON_BUDGET);
    netmon_other = open_key("other", 0);
    return 1;
}

static void leave(void)
{
    hm_leaks leaks = {.size = sizeof leaks};
    CHECK_EQ(netmon_live(netmon_key), 0);
    CHECK_EQ(netmon_live(netmon_other), 0);
    CHECK_EQ(hm_netmon_close(netmon_key, NULL, NULL), HM_OK);
    CHECK_EQ(hm_netmon_close(netmon_other, NULL, NULL), HM_OK);
    CHECK_EQ(hm_runtime_close(runtime, &leaks, NULL), HM_OK);
    CHECK_EQ(leaks.blocks, 0);
}

uint64_t netmon_live(HEXPERTKEY key)
{
    hm_stats stats;
    CHECK_EQ(hm_client_stats((hm_client_key)key, &stats), HM_OK);
    return stats.live_blocks;
}

hm_netmon_result netmon_run(PEXPERTRUNPROC run, PEXPERTCONFIG config)
{
    hm_netmon_result result = {.size = sizeof result};
    hm_error err;
    const hm_status status =
        hm_netmon_run(netmon_key, run, config, NULL, 0, NULL, &result, &err);
    if (status != HM_OK) {
        hm_error_print(&err);
    }
    CHECK_EQ(status, HM_OK);
    return result;
}

hm_netmon_result netmon_run_heard(PEXPERTRUNPROC run, char *text, size_t size)
{
    FILE *heard = tmpfile();
    REQUIRE(heard != NULL);
    fflush(stderr);
    const int before = dup(2);
    CHECK(dup2(fileno(heard), 2) >= 0);
    const hm_netmon_result result = netmon_run(run, NULL);
    CHECK(dup2(before, 2) >= 0);
    close(before);
    rewind(heard);
    text[fread(text, 1, size - 1, heard)] = 0;
    fclose(heard);
    return result;
}

int netmon_knows_sites(void)
{
    return (hm_client_malloc((hm_client_key)netmon_key)->flags & HM_MALLOC_DEBUG) != 0;
}

int main(int argc, char **argv)
{
    static const contract *const tables[] = {netmon_memory_cases, netmon_run_cases};
    static const size_t counts[] = {COUNT(netmon_memory_cases), COUNT(netmon_run_cases)};
    static const contracts_group group = {.name = "netmon",
                                          .tables = tables,
                                          .counts = counts,
                                          .table_count = COUNT(tables),
                                          .worlds = worlds,
                                          .world_count = COUNT(worlds),
                                          .enter = enter,
                                          .leave = leave};
    return contracts_main(argc, argv, &group);
}
