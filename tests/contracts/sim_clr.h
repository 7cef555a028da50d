/* SPDX-License-Identifier: MIT */
/* A simulated CLR: the calls that the hosted runtime makes to its host, in its order and with its tests of success,
 * and nothing else of a runtime. A test double for whoever writes a host that a CLR is to accept:
 *
 *     sim_clr clr;
 *     sim_clr_init(&clr);
 *     ICLRRuntimeHost_SetHostControl(&clr.base, control);   asks for the managers, makes one malloc, registers
 *     ICLRRuntimeHost_Start(&clr.base);
 *     void *p = sim_clr_alloc(&clr, 100);                   IHostMalloc::Alloc at the level of this thread's locks
 *     sim_clr_free(&clr, p);
 *     ICLRRuntimeHost_Stop(&clr.base);                      releases the control; manager and malloc it never does
 *     sim_clr_fini(&clr);
 *
 * What it saw and did is in the struct, to be read at any time. Any thread may call once SetHostControl is done. There
 * is no thread, no timer and no real mapping in it: the clock, the finalizer's steps and the mapper are the test's. */
#ifndef HM_TESTS_SIM_CLR_H
#define HM_TESTS_SIM_CLR_H

#ifndef COBJMACROS
#define COBJMACROS
#endif
#include <hostmalloc/bridges/clr.h>
#include <hostmalloc/module.h>

#define SIM_CLR_DEFAULT_DOMAIN 1u
#define SIM_CLR_WAKE_MS        8192u /* between two wake-ups of the finalizer */
#define SIM_CLR_EARLY          8 /* allocations tolerated before the manager is known */
#define SIM_CLR_OTHERS         8 /* managers beside the memory manager */

/* Maps files as the system would. map: 1 done, *base and the bytes of all regions of that mapping; unmap: 1 done. */
typedef struct sim_clr_mapper {
    void *context;
    int (*map)(void *context, void *address, SIZE_T bytes, void **base, SIZE_T *whole);
    int (*unmap)(void *context, void *base);
} sim_clr_mapper;

typedef struct sim_clr {
    ICLRRuntimeHost base;                    /* the first member */
    ICLRMemoryNotificationCallback callback; /* static: AddRef and Release answer 1 */

    /* Settings, to be made after sim_clr_init(). */
    int v1_hosted;        /* somebody hosts it by the old interface */
    uint64_t now_ms;      /* atomic: the clock */
    DWORD os_load;        /* what the system would say */
    SIZE_T os_available;  /* the same */
    SIZE_T address_limit; /* of the process; caps what is available */
    const sim_clr_mapper *mapper;

    /* What it keeps of its host. */
    IHostControl *control;                /* one reference until the last Stop */
    IHostMemoryManager *manager;          /* never released */
    IHostMalloc *heap;                    /* never released */
    IUnknown *others[SIM_CLR_OTHERS];     /* never released */
    EPolicyAction actions[MaxClrFailure]; /* set by sim_clr_set_action_on_failure() */

    /* How it stands; atomic. */
    uint32_t starts;    /* less stops */
    uint32_t started;   /* once and for good */
    uint32_t disabled;  /* HOST_E_CLRNOTAVAILABLE from now on */
    int32_t exit_code;  /* what the process would have ended with, 0 while it goes on */
    int32_t low_memory; /* the counter: 0 is enough memory */
    uint32_t wakes;     /* of the finalizer */
    uint32_t collections;
    uint32_t low_collections;   /* generation 0, by the finalizer */
    uint32_t tight_collections; /* of the others: those that gave back all slack */
    int32_t last_action;        /* EPolicyAction of the last refusal */
    uint32_t refusals;

    /* Its own. */
    hm_lock lock;
    uint64_t last_wake_ms; /* guarded by lock */
    uint32_t woken;        /* the finalizer's: wakes it has seen */
    int32_t low_seen;      /* and the counter then */
    void *early[SIM_CLR_EARLY];
    uint32_t early_count;
} sim_clr;

void sim_clr_init(sim_clr *clr);
/* Frees what it allocated before it had a manager; releases nothing, as the runtime. */
void sim_clr_fini(sim_clr *clr);

/* Of the calling thread: the domain it is in (answers the one before), and the locks it holds there. */
uint32_t sim_clr_domain_enter(uint32_t domain);
void sim_clr_lock_take(void);
void sim_clr_lock_leave(void);

/* The level this thread's requests have now: eProcessCritical before Start and with a lock in the default domain,
   eAppDomainCritical with a lock in another, eTaskCritical without. */
EMemoryCriticalLevel sim_clr_level(const sim_clr *clr);

/* The heap: the host's, or libc's while there is no manager. NULL: refused, and the runtime has reacted: a
   refusal at eProcessCritical disables it, any other takes the action set for it. */
void *sim_clr_alloc(sim_clr *clr, SIZE_T bytes);
void *sim_clr_debug_alloc(sim_clr *clr, SIZE_T bytes, const char *file, int line);
/* 1 if the host said S_OK; NULL is passed on. */
int sim_clr_free(sim_clr *clr, void *block);

/* Pages, of a host only: NULL and 0 without a manager. */
void *
sim_clr_virtual_alloc(sim_clr *clr, void *address, SIZE_T bytes, DWORD type, DWORD how);
int sim_clr_virtual_free(sim_clr *clr, void *address, SIZE_T bytes, DWORD type);
int sim_clr_virtual_protect(
    sim_clr *clr, void *address, SIZE_T bytes, DWORD how, DWORD *old);
SIZE_T
sim_clr_virtual_query(sim_clr *clr, void *address, MEMORY_BASIC_INFORMATION *out);

/* The system's figures, the host's instead where it answers exactly S_OK. */
void sim_clr_memory_load(sim_clr *clr, DWORD *percent, SIZE_T *available);

/* A file mapping by clr->mapper, with what its host is asked and told; NULL: not mapped. 1: unmapped. */
void *sim_clr_map(sim_clr *clr, void *address, SIZE_T bytes);
int sim_clr_unmap(sim_clr *clr, void *base);

/* What the finalizer thread does when it comes round: 1 if it ran a low-memory collection. */
int sim_clr_finalizer_step(sim_clr *clr);
/* Any other collection. */
void sim_clr_collect(sim_clr *clr);

/* ICLRPolicyManager::SetActionOnFailure: S_OK, or E_INVALIDARG for an action that this failure cannot have. */
HRESULT
sim_clr_set_action_on_failure(sim_clr *clr, EClrFailure failure, EPolicyAction action);

#endif
