/* SPDX-License-Identifier: MIT */
/* How the simulated runtime asks for memory, what it takes for success, and what it does when refused. */
#include "sim_clr.h"

#include <stdlib.h>

static _Thread_local uint32_t domain_now; /* 0 is the default one */
static _Thread_local uint32_t locks_now;

uint32_t sim_clr_domain_enter(uint32_t domain)
{
    const uint32_t before = domain_now ? domain_now : SIM_CLR_DEFAULT_DOMAIN;
    domain_now = domain;
    return before;
}

void sim_clr_lock_take(void)
{
    locks_now++;
}

void sim_clr_lock_leave(void)
{
    locks_now--;
}

static int in_default_domain(void)
{
    return domain_now == 0 || domain_now == SIM_CLR_DEFAULT_DOMAIN;
}

EMemoryCriticalLevel sim_clr_level(const sim_clr *clr)
{
    if (!__atomic_load_n(&clr->started, __ATOMIC_ACQUIRE)) {
        return eProcessCritical;
    }
    if (!locks_now) {
        return eTaskCritical;
    }
    return in_default_domain() ? eProcessCritical : eAppDomainCritical;
}

HRESULT
sim_clr_set_action_on_failure(sim_clr *clr, EClrFailure failure, EPolicyAction action)
{
    static const struct {
        EPolicyAction from;
        EPolicyAction to;
    } valid[MaxClrFailure] = {
        [FAIL_NonCriticalResource] = {eThrowException, eDisableRuntime},
        [FAIL_CriticalResource] = {eThrowException, eDisableRuntime},
        [FAIL_FatalRuntime] = {eRudeExitProcess, eDisableRuntime},
        [FAIL_OrphanedLock] = {eUnloadAppDomain, eDisableRuntime},
        [FAIL_StackOverflow] = {eRudeUnloadAppDomain, eDisableRuntime},
        [FAIL_AccessViolation] = {MaxPolicyAction, eNoAction}, /* none */
        [FAIL_CodeContract] = {eThrowException, eExitProcess},
    };
    if ((uint32_t)failure >= MaxClrFailure || action < valid[failure].from ||
        action > valid[failure].to) {
        return E_INVALIDARG;
    }
    clr->actions[failure] = action;
    return S_OK;
}

/* The action is picked from the locks that are held, not from the level that was asked for; only what the
   documentation says of the highest level depends on that. */
static void refused(sim_clr *clr, EMemoryCriticalLevel level)
{
    EPolicyAction action =
        clr->actions[locks_now ? FAIL_CriticalResource : FAIL_NonCriticalResource];
    if ((action == eUnloadAppDomain || action == eRudeUnloadAppDomain) &&
        in_default_domain()) {
        action = eThrowException;
    }
    if (action >= eExitProcess && action <= eRudeExitProcess) {
        __atomic_store_n(&clr->exit_code, (int32_t)HOST_E_EXITPROCESS_OUTOFMEMORY,
                         __ATOMIC_RELEASE);
    }
    if (action == eDisableRuntime || level == eProcessCritical) {
        __atomic_store_n(&clr->disabled, 1, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&clr->last_action, (int32_t)action, __ATOMIC_RELEASE);
    __atomic_add_fetch(&clr->refusals, 1, __ATOMIC_ACQ_REL);
}

/* Without a manager libc serves; what it gave before Start may meet a manager yet, and is remembered. */
static void *own_alloc(sim_clr *clr, SIZE_T bytes)
{
    const int early = !__atomic_load_n(&clr->started, __ATOMIC_ACQUIRE);
    void *block =
        early && clr->early_count == SIM_CLR_EARLY ? NULL : malloc(bytes ? bytes : 1);
    if (block && early) {
        clr->early[clr->early_count++] = block;
    }
    return block;
}

static int is_early(const sim_clr *clr, const void *block)
{
    for (uint32_t i = 0; i < clr->early_count; i++) {
        if (clr->early[i] == block) {
            return 1;
        }
    }
    return 0;
}

void *sim_clr_debug_alloc(sim_clr *clr, SIZE_T bytes, const char *file, int line)
{
    const EMemoryCriticalLevel level = sim_clr_level(clr);
    void *block = NULL;
    if (!clr->heap) {
        block = own_alloc(clr, bytes);
    } else if (IHostMalloc_DebugAlloc(clr->heap, bytes, level, (char *)(uintptr_t)file,
                                      line, &block) != S_OK) {
        block = NULL;
    }
    if (!block) {
        refused(clr, level);
    }
    return block;
}

void *sim_clr_alloc(sim_clr *clr, SIZE_T bytes)
{
    const EMemoryCriticalLevel level = sim_clr_level(clr);
    void *block = NULL;
    if (!clr->heap) {
        block = own_alloc(clr, bytes);
    } else if (IHostMalloc_Alloc(clr->heap, bytes, level, &block) != S_OK) {
        block = NULL; /* whatever it holds */
    }
    if (!block) {
        refused(clr, level);
    }
    return block;
}

/* What predates the manager never reaches it, and stays. */
int sim_clr_free(sim_clr *clr, void *block)
{
    if (is_early(clr, block)) {
        return 1;
    }
    if (!clr->heap) {
        free(block);
        return 1;
    }
    return IHostMalloc_Free(clr->heap, block) == S_OK;
}

void *
sim_clr_virtual_alloc(sim_clr *clr, void *address, SIZE_T bytes, DWORD type, DWORD how)
{
    const EMemoryCriticalLevel level = sim_clr_level(clr);
    void *pages = NULL;
    if (!clr->manager ||
        IHostMemoryManager_VirtualAlloc(clr->manager, address, bytes, type, how, level,
                                        &pages) != S_OK) {
        refused(clr, level);
        return NULL;
    }
    return pages;
}

int sim_clr_virtual_free(sim_clr *clr, void *address, SIZE_T bytes, DWORD type)
{
    return clr->manager &&
           IHostMemoryManager_VirtualFree(clr->manager, address, bytes, type) == S_OK;
}

int sim_clr_virtual_protect(
    sim_clr *clr, void *address, SIZE_T bytes, DWORD how, DWORD *old)
{
    return clr->manager && IHostMemoryManager_VirtualProtect(clr->manager, address, bytes,
                                                             how, old) == S_OK;
}

SIZE_T
sim_clr_virtual_query(sim_clr *clr, void *address, MEMORY_BASIC_INFORMATION *out)
{
    SIZE_T written = 0;
    return clr->manager && SUCCEEDED(IHostMemoryManager_VirtualQuery(
                               clr->manager, address, out, sizeof *out, &written))
               ? written
               : 0;
}

void sim_clr_memory_load(sim_clr *clr, DWORD *percent, SIZE_T *available)
{
    DWORD load = 0;
    SIZE_T left = 0;
    *percent = clr->os_load;
    *available = clr->os_available;
    if (clr->manager &&
        IHostMemoryManager_GetMemoryLoad(clr->manager, &load, &left) == S_OK) {
        *percent = load;
        *available = left;
    }
    if (*available > clr->address_limit) {
        *available = clr->address_limit;
    }
}

void *sim_clr_map(sim_clr *clr, void *address, SIZE_T bytes)
{
    const sim_clr_mapper *mapper = clr->mapper;
    void *base = NULL;
    SIZE_T whole = 0;
    if (!mapper->map(mapper->context, address, bytes, &base, &whole) &&
        (!clr->manager ||
         FAILED(
             IHostMemoryManager_NeedsVirtualAddressSpace(clr->manager, address, bytes)) ||
         !mapper->map(mapper->context, address, bytes, &base, &whole))) {
        return NULL;
    }
    if (clr->manager) {
        (void)IHostMemoryManager_AcquiredVirtualAddressSpace(clr->manager, base, whole);
    }
    return base;
}

int sim_clr_unmap(sim_clr *clr, void *base)
{
    const sim_clr_mapper *mapper = clr->mapper;
    if (!mapper->unmap(mapper->context, base)) {
        return 0;
    }
    if (clr->manager) {
        (void)IHostMemoryManager_ReleasedVirtualAddressSpace(clr->manager, base);
    }
    return 1;
}

int sim_clr_finalizer_step(sim_clr *clr)
{
    const uint32_t wakes = __atomic_load_n(&clr->wakes, __ATOMIC_ACQUIRE);
    const int32_t low = __atomic_load_n(&clr->low_memory, __ATOMIC_ACQUIRE);
    if (wakes == clr->woken) {
        return 0;
    }
    clr->woken = wakes;
    const int runs = low != 0 && low != clr->low_seen;
    clr->low_seen = low;
    if (runs) {
        __atomic_add_fetch(&clr->low_collections, 1, __ATOMIC_ACQ_REL);
    }
    return runs;
}

void sim_clr_collect(sim_clr *clr)
{
    __atomic_add_fetch(&clr->collections, 1, __ATOMIC_ACQ_REL);
    if (__atomic_load_n(&clr->low_memory, __ATOMIC_ACQUIRE) != 0) {
        __atomic_add_fetch(&clr->tight_collections, 1, __ATOMIC_ACQ_REL);
    }
}
