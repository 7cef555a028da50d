/* SPDX-License-Identifier: MIT */
/* A spy that writes down how it is called, and misbehaves as it is told. */
#ifndef HM_TESTS_OLE_RECORDER_H
#define HM_TESTS_OLE_RECORDER_H

#include <hostmalloc/bridges/ole.h>

typedef enum spy_call {
    PRE_ALLOC,
    POST_ALLOC,
    PRE_FREE,
    POST_FREE,
    PRE_REALLOC,
    POST_REALLOC,
    PRE_GET_SIZE,
    POST_GET_SIZE,
    PRE_DID_ALLOC,
    POST_DID_ALLOC,
    PRE_HEAP_MINIMIZE,
    POST_HEAP_MINIMIZE
} spy_call;

typedef struct spy_entry {
    spy_call call;
    SIZE_T bytes;
    void *pointer;
    BOOL spied;
    int answer;
} spy_entry;

typedef struct recorder recorder;
struct recorder {
    IMallocSpy base; /* first: the object's pointer is the recorder's */
    ULONG references;
    int queries;
    int add_refs;
    int releases;

    /* What was called, as far as there is room for it; both start at 0. */
    unsigned calls;
    spy_entry log[64];

    /* What to do other than to pass everything on. */
    HRESULT refuse_query; /* answer this, if it is a failure */
    SIZE_T header;        /* bytes in front of each block */
    int force;            /* PreAlloc and PreRealloc answer forced */
    SIZE_T forced;
    int silent;     /* PreRealloc leaves *ppNewRequest alone */
    void *redirect; /* PreDidAlloc answers this, if not NULL */
    void (*during)(recorder *r, spy_call call); /* called from within every call */
    void *context;

    /* Plain on purpose: more than 1 between pre and post means that pairs mix. */
    int depth;
    int deepest;
};

void recorder_init(recorder *r);
void recorder_forget(recorder *r); /* the calls so far */

/* Was call number i this one, with these? */
void recorder_expect(const recorder *r,
                     unsigned i,
                     spy_call call,
                     SIZE_T bytes,
                     const void *pointer,
                     BOOL spied);

#endif
