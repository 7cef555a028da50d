/* SPDX-License-Identifier: MIT */
/**
 * @file netmon.h
 * @brief The bridge to Network Monitor experts: memory by key, for analysers that may crash and are cleaned up after.
 *
 *     hm_netmon_open(rt, &opts, &key, &err);             one key per run, over the host of a runtime
 *     hm_netmon_run(key, Run, config, startup, 0, NULL, &result, &err);
 *     hm_netmon_close(key, NULL, &err);
 *
 * The expert calls ExpertAllocMemory and its three companions with the key it was given. What it leaves behind is freed
 * after every run, however that ended: it returned, raised, or was killed. A run that said it went well and
 * left blocks is reported as a leak, by line of source on the debug host.
 *
 * Scope of the hook: one key. Window: none, the expert calls us. What an expert does not tell: how critical a request
 * is, and the line it is made at, unless HM_NETMON_SITES was defined before the include.
 *
 * What the documentation leaves open: zero bytes give a block of their own; Realloc of NULL allocates, Free of NULL is
 * NMERR_SUCCESS, Size of NULL is 0; pError may be NULL, and is NMERR_SUCCESS on success; an unknown key is
 * NMERR_INVALID_EXPERT_HANDLE, a pointer that is no live block of the key NMERR_INVALID_PARAMETER. After
 * hm_netmon_terminate() Alloc and Realloc fail with NMERR_EXPERT_TERMINATE, Free and Size go on.
 *
 * A program that has the platform's declarations of experts defines HM_NETMON_NATIVE before the include. The functions
 * have names of ours as well.
 * Stable since 1.0: names, values and layouts are the platform's and never change.
 */
#ifndef HM_BRIDGES_NETMON_H
#define HM_BRIDGES_NETMON_H

#include <hostmalloc/bridges/com.h>
#include <hostmalloc/bridges/netmon_errors.h>
#include <hostmalloc/client.h>

#ifndef HM_NETMON_NATIVE

typedef void *HEXPERTKEY;
typedef void *HEXPERT;
typedef void *HRUNNINGEXPERT;

#define EXPERTSTRINGLENGTH    260
#define EXPERTGROUPNAMELENGTH 25

#define EXPERT_ENUM_FLAG_CONFIGURABLE             0x0001
#define EXPERT_ENUM_FLAG_VIEWER_PRIVATE           0x0002
#define EXPERT_ENUM_FLAG_NO_VIEWER                0x0004
#define EXPERT_ENUM_FLAG_ADD_ME_TO_RMC_IN_SUMMARY 0x0010
#define EXPERT_ENUM_FLAG_ADD_ME_TO_RMC_IN_DETAIL  0x0020

#define EXPERT_STARTUP_FLAG_USE_STARTUP_DATA_OVER_CONFIG_DATA 0x00000001

#define EXPERTSUBSTATUS_ABORTED_USER        0x0001
#define EXPERTSUBSTATUS_ABORTED_LOAD_FAIL   0x0002
#define EXPERTSUBSTATUS_ABORTED_THREAD_FAIL 0x0004
#define EXPERTSUBSTATUS_ABORTED_BAD_ENTRY   0x0008

typedef enum EXPERTSTATUSENUMERATION {
    EXPERTSTATUS_INACTIVE = 0,
    EXPERTSTATUS_STARTING,
    EXPERTSTATUS_RUNNING,
    EXPERTSTATUS_PROBLEM,
    EXPERTSTATUS_ABORTED,
    EXPERTSTATUS_DONE
} EXPERTSTATUSENUMERATION;

/* C++ has arrays without an end only as an extension. */
#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#endif
/** What a user chose for an expert. The length counts its own 4 bytes: 20 bytes of data are recorded as 24. */
typedef struct EXPERTCONFIG {
    DWORD RawConfigLength;
    BYTE RawConfigData[];
} EXPERTCONFIG;
#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
typedef EXPERTCONFIG *PEXPERTCONFIG;

/** Where a run begins; passed through, its members are the caller's and the expert's. */
typedef struct EXPERTSTARTUPINFO EXPERTSTARTUPINFO;
typedef EXPERTSTARTUPINFO *PEXPERTSTARTUPINFO;

struct EXPERTENUMINFO;
typedef BOOL(WINAPI *PEXPERTREGISTERPROC)(struct EXPERTENUMINFO *info);
typedef BOOL(WINAPI *PEXPERTCONFIGPROC)(HEXPERTKEY key,
                                        PEXPERTCONFIG *config,
                                        PEXPERTSTARTUPINFO startup,
                                        DWORD flags,
                                        HWND window);
typedef BOOL(WINAPI *PEXPERTRUNPROC)(HEXPERTKEY key,
                                     PEXPERTCONFIG config,
                                     PEXPERTSTARTUPINFO startup,
                                     DWORD flags,
                                     HWND window);

/** Who an expert is; the host allocates it, Register fills it. */
typedef struct EXPERTENUMINFO {
    char szName[EXPERTSTRINGLENGTH];
    char szVendor[EXPERTSTRINGLENGTH];
    char szDescription[EXPERTSTRINGLENGTH];
    DWORD Version;
    DWORD Flags;
    char szDllName[260];
    HEXPERT hExpert;
    HMODULE hModule;
    PEXPERTREGISTERPROC pRegisterProc;
    PEXPERTCONFIGPROC pConfigProc;
    PEXPERTRUNPROC pRunProc;
} EXPERTENUMINFO;
typedef EXPERTENUMINFO *PEXPERTENUMINFO;

#endif

typedef struct hm_netmon_opts {
    size_t size;      /**< sizeof(hm_netmon_opts) as the caller compiled it */
    const char *name; /**< the expert's, for reports; copied; NULL is "expert" */
    size_t budget;    /**< requested bytes that may be live; 0: no bound */
} hm_netmon_opts;

/** How a run, or a configuration, ended. */
typedef struct hm_netmon_result {
    size_t size; /**< sizeof(hm_netmon_result) as the caller compiled it */
    uint32_t
        status; /**< EXPERTSTATUS_DONE it answered TRUE, PROBLEM it answered FALSE, ABORTED anything else */
    uint32_t
        substatus; /**< EXPERTSUBSTATUS_ABORTED_USER, _THREAD_FAIL, _BAD_ENTRY; 0 it raised or its thread ended */
    uint32_t how;  /**< HM_CLIENT_RETURNED, _RAISED or _ENDED, where it ran */
    uint32_t code; /**< HM_CLIENT_RAISED: the signal's or the exception's number */
    hm_leaks leaks; /**< what it left behind, and is freed */
} hm_netmon_result;

HM_BEGIN_DECLS

/** A key for one run or one configuration; it is a client's (client.h). NULL unless HM_OK; answers as
    hm_client_open(). @threads any */
hm_status hm_netmon_open(hm_runtime *rt,
                         const hm_netmon_opts *opts,
                         HEXPERTKEY *out,
                         hm_error *err);

/** Free what is left, and forget the key. HM_E_NOT_FOUND; HM_E_STARTED while it runs. @p leaks may be NULL.
    @threads any */
hm_status hm_netmon_close(HEXPERTKEY key, hm_leaks *leaks, hm_error *err);

/** The user stopped it: its next Alloc or Realloc says so. HM_E_NOT_FOUND. @threads any */
hm_status hm_netmon_terminate(HEXPERTKEY key);

/** It does not listen: end its thread, see hm_client_kill(). @threads any */
hm_status hm_netmon_kill(HEXPERTKEY key);

/**
 * Run an expert on a thread of its own, wait, and free what it left.
 * A TRUE with blocks live is reported on standard error: 'expert "NAME" returned with ...', and their lines under
 * the debug host.
 * @param run NULL is a bad entry: ABORTED
 * @param[out] result size set by the caller; NULL allowed
 * @return HM_OK however it ended; HM_E_NOT_FOUND no such key; HM_E_STARTED it runs already; HM_E_INVALID
 * @threads any, different keys at once
 */
hm_status hm_netmon_run(HEXPERTKEY key,
                        PEXPERTRUNPROC run,
                        PEXPERTCONFIG config,
                        PEXPERTSTARTUPINFO startup,
                        DWORD flags,
                        HWND window,
                        hm_netmon_result *result,
                        hm_error *err);

/**
 * Let an expert make or change its configuration, likewise. What it hands over is copied to @p keeper, which is
 * another key of the caller's, and outlives this one and every run; what it left is freed.
 * @param[in,out] config NULL or what this answered before, of @p keeper; changed only when the expert answers TRUE and
 *                has one, and then the former is freed
 * @return as hm_netmon_run(), and HM_E_INVALID for a configuration whose length is not its block's; HM_E_NOMEM
 * @threads any, different keys at once
 */
hm_status hm_netmon_configure(HEXPERTKEY key,
                              HEXPERTKEY keeper,
                              PEXPERTCONFIGPROC configure,
                              PEXPERTCONFIG *config,
                              PEXPERTSTARTUPINFO startup,
                              DWORD flags,
                              HWND window,
                              hm_netmon_result *result,
                              hm_error *err);

/** The code for what hm_client_alloc() and its companions answer. @threads any */
DWORD hm_netmon_error(hm_status status);

/* The experts' calls, under names of ours, with the caller's site; NULL is none. @threads any, one key at a time */
void *WINAPI hm_netmon_alloc(HEXPERTKEY key, SIZE_T bytes, DWORD *error);
void *WINAPI hm_netmon_realloc(HEXPERTKEY key, void *block, SIZE_T bytes, DWORD *error);
DWORD WINAPI hm_netmon_free(HEXPERTKEY key, void *block);
SIZE_T WINAPI hm_netmon_size(HEXPERTKEY key, void *block);
void *hm_netmon_alloc_at(HEXPERTKEY key, SIZE_T bytes, DWORD *error, hm_site *site);
void *hm_netmon_realloc_at(
    HEXPERTKEY key, void *block, SIZE_T bytes, DWORD *error, hm_site *site);
DWORD hm_netmon_free_at(HEXPERTKEY key, void *block, hm_site *site);

#ifndef HM_NETMON_NATIVE
LPVOID WINAPI ExpertAllocMemory(HEXPERTKEY key, SIZE_T bytes, LPDWORD error);
LPVOID WINAPI ExpertReallocMemory(HEXPERTKEY key,
                                  LPVOID block,
                                  SIZE_T bytes,
                                  LPDWORD error);
DWORD WINAPI ExpertFreeMemory(HEXPERTKEY key, LPVOID block);
SIZE_T WINAPI ExpertMemorySize(HEXPERTKEY key, LPVOID block);
#endif

HM_END_DECLS

#ifdef HM_NETMON_SITES
#define ExpertAllocMemory(key, bytes, error) \
    hm_netmon_alloc_at((key), (bytes), (error), HM_SITE)
#define ExpertReallocMemory(key, block, bytes, error) \
    hm_netmon_realloc_at((key), (block), (bytes), (error), HM_SITE)
#define ExpertFreeMemory(key, block) hm_netmon_free_at((key), (block), HM_SITE)
#endif

#endif
