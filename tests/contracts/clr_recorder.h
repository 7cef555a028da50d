/* SPDX-License-Identifier: MIT */
/* A host that answers what it is told to, and notes what it was asked: for what only a bad host does. */
#ifndef HM_TESTS_CLR_RECORDER_H
#define HM_TESTS_CLR_RECORDER_H

#include "sim_clr.h"

typedef struct clr_recorder {
    IHostControl control; /* the first member */
    IHostMemoryManager manager;
    IHostMalloc heap;

    /* What to answer; S_OK and an object unless told otherwise. */
    HRESULT get_manager;
    HRESULT create;
    HRESULT registration;
    HRESULT alloc;
    HRESULT load;
    HRESULT needs;
    int without;                      /* a NULL pointer with it */
    EMemoryCriticalLevel refuse_from; /* levels up to this one are refused, -1: none */

    /* What it saw. */
    GUID asked[32];
    int asked_count;
    int control_refs; /* AddRefs less Releases */
    int control_adds;
    int manager_refs;
    int heap_refs;
    int manager_releases;
    int creates;
    DWORD create_type;
    int registrations;
    int creates_before_registration;
    ICLRMemoryNotificationCallback *callback;
    int allocs;
    SIZE_T bytes;
    EMemoryCriticalLevel level;
    char file[32];
    int line;
    int frees;
    void *needed;
    SIZE_T needed_bytes;
    int needs_calls;
    void *acquired;
    SIZE_T acquired_bytes;
    int acquired_calls;
    void *released;
    int released_calls;
} clr_recorder;

void clr_recorder_init(clr_recorder *r);

#endif
