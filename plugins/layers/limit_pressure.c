/* SPDX-License-Identifier: MIT */
/* What happens at the lines: subscribers hear of each edge once, and the reserve is handed over.
 *
 * An edge is told when the state changes, never under a lock. Between the line that makes memory short and the
 * one that ends it lies an eighth, so that a guest living at the line is not told at every block. */
#include "limit_internal.h"

#define TOUCH_STEP 4096u

/* Where memory becomes short: the soft line, else seven eighths of the hard one. UINT64_MAX: never. */
static uint64_t short_above(const limit_budget *budget)
{
    const uint64_t soft = hm__limit_load(&budget->soft);
    const uint64_t hard = hm__limit_load(&budget->hard);
    return soft ? soft : hard ? hard - hard / 8 : UINT64_MAX;
}

static void
tell(const hm_core *core, limit_host *host, hm_pressure from, hm_pressure pressure)
{
    if (__atomic_compare_exchange_n(&host->pressure, &from, pressure, 0, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED)) {
        core->subscribers_tell(&host->subscribers, pressure);
    }
}

void hm__limit_rose(const hm_core *core, limit_host *host)
{
    const uint64_t live = hm__limit_load(&host->budget.live);
    const uint64_t hard = hm__limit_load(&host->budget.hard);
    if (hard && live > hard) {
        hm__limit_reserve_give(core, host);
    }
    const hm_pressure now = __atomic_load_n(&host->pressure, __ATOMIC_RELAXED);
    if (now != HM_PRESSURE_LOW && live > short_above(&host->budget)) {
        tell(core, host, now, HM_PRESSURE_LOW);
    }
}

void hm__limit_fell(const hm_core *core, limit_host *host)
{
    const hm_pressure now = __atomic_load_n(&host->pressure, __ATOMIC_RELAXED);
    if (now == HM_PRESSURE_HIGH) {
        return;
    }
    const uint64_t live = hm__limit_load(&host->budget.live);
    const uint64_t line = short_above(&host->budget);
    if (live <= line / 2) {
        tell(core, host, now, HM_PRESSURE_HIGH);
    } else if (now == HM_PRESSURE_LOW && live <= line - line / 8) {
        tell(core, host, now, HM_PRESSURE_NEUTRAL);
    } else {
        return;
    }
    hm__limit_reserve_take(core, host);
}

size_t hm__limit_refused(const hm_core *core, limit_host *host)
{
    __atomic_store_n(&host->pressure, HM_PRESSURE_LOW, __ATOMIC_RELAXED);
    return core->subscribers_tell(&host->subscribers, HM_PRESSURE_LOW);
}

/* Pages that are touched now are there when the process needs them; giving them back is what makes room. */
void hm__limit_reserve_take(const hm_core *core, limit_host *host)
{
    (void)core;
    uint32_t expected = RESERVE_NONE;
    const size_t bytes = (size_t)hm__limit_load(&host->budget.reserve);
    if (bytes == 0 ||
        !__atomic_compare_exchange_n(&host->reserve_state, &expected, RESERVE_BUSY, 0,
                                     __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        return;
    }
    void *pages = NULL;
    const hm_status status = hm_host_virtual_alloc(
        host->layer.inner, NULL, bytes, HM_MEM_RESERVE | HM_MEM_COMMIT, HM_PAGE_READWRITE,
        HM_LEVEL_PROCESS, &pages);
    for (size_t i = 0; status == HM_OK && i < bytes; i += TOUCH_STEP) {
        ((volatile char *)pages)[i] = 0;
    }
    host->reserve_pages = pages;
    __atomic_store_n(&host->reserve_state, status == HM_OK ? RESERVE_READY : RESERVE_NONE,
                     __ATOMIC_RELEASE);
}

void hm__limit_reserve_give(const hm_core *core, limit_host *host)
{
    (void)core;
    uint32_t expected = RESERVE_READY;
    if (__atomic_compare_exchange_n(&host->reserve_state, &expected, RESERVE_BUSY, 0,
                                    __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        hm_host_virtual_free(host->layer.inner, host->reserve_pages, 0, HM_MEM_RELEASE);
        host->reserve_pages = NULL;
        __atomic_store_n(&host->reserve_state, RESERVE_NONE, __ATOMIC_RELEASE);
    }
}
