/* SPDX-License-Identifier: MIT */
/* The world of the platform's own MAPI. Its library gives some names with the size of their arguments behind, so all are
 * asked for at run time, and those it does not have answer as a call that failed. */
#include "contracts/mapi_world.h"

#include <string.h>

#include "native_heap.h"

static const char *const worlds[] = {"native"};

static void (*find(const char *name, const char *decorated))(void)
{
    HMODULE library = LoadLibraryA("mapi32.dll");
    FARPROC found = library ? GetProcAddress(library, name) : NULL;
    if (library && !found) {
        found = GetProcAddress(library, decorated);
    }
    return (void (*)(void))found;
}

/* NAME answers as the library's does; missing where it has none. */
#define FORWARD(result, name, decorated, parameters, arguments, missing) \
    result WINAPI name parameters                                        \
    {                                                                    \
        typedef result WINAPI function parameters;                       \
        function *call = (function *)find(#name, decorated);             \
        return call ? call arguments : missing;                          \
    }

FORWARD(SCODE,
        MAPIAllocateBuffer,
        "MAPIAllocateBuffer@8",
        (ULONG bytes, LPVOID *out),
        (bytes, out),
        MAPI_E_CALL_FAILED)
FORWARD(SCODE,
        MAPIAllocateMore,
        "MAPIAllocateMore@12",
        (ULONG bytes, LPVOID object, LPVOID *out),
        (bytes, object, out),
        MAPI_E_CALL_FAILED)
FORWARD(ULONG, MAPIFreeBuffer, "MAPIFreeBuffer@4", (LPVOID buffer), (buffer), 1)
FORWARD(LPMALLOC, MAPIGetDefaultMalloc, "MAPIGetDefaultMalloc@0", (void), (), NULL)
FORWARD(SCODE,
        PropCopyMore,
        "PropCopyMore@16",
        (LPSPropValue to, LPSPropValue from, ALLOCATEMORE *more, LPVOID object),
        (to, from, more, object),
        MAPI_E_CALL_FAILED)
FORWARD(SCODE,
        ScInitMapiUtil,
        "ScInitMapiUtil@4",
        (ULONG reserved),
        (reserved),
        MAPI_E_CALL_FAILED)

void WINAPI DeinitMapiUtil(void)
{
    void (*call)(void) = find("DeinitMapiUtil", "DeinitMapiUtil@0");
    if (call) {
        call();
    }
}

void WINAPI FreeProws(LPSRowSet rows)
{
    typedef void WINAPI function(LPSRowSet);
    function *call = (function *)find("FreeProws", "FreeProws@4");
    if (call) {
        call(rows);
    }
}

void WINAPI FreePadrlist(LPADRLIST list)
{
    typedef void WINAPI function(LPADRLIST);
    function *call = (function *)find("FreePadrlist", "FreePadrlist@4");
    if (call) {
        call(list);
    }
}

static int enter(const char *world, const char **why)
{
    void *root = NULL;
    (void)world;
    if (!find("MAPIAllocateBuffer", "MAPIAllocateBuffer@8")) {
        *why = "there is no mapi32";
        return 0;
    }
    /* What is made at the first use of anything is not the case's. */
    MAPIAllocateBuffer(8, &root);
    MAPIFreeBuffer(root);
    native_heap_begin();
    return 1;
}

static void leave(void)
{
    CHECK_EQ(mapi_live(), 0);
}

size_t mapi_live(void)
{
    return native_heap_live(0);
}

SIZE_T mapi_heap_size(void *block)
{
    return LocalSize(block);
}

/* It takes what the system has. */
void mapi_budget(size_t bytes)
{
    (void)bytes;
}

/* As a support object hands them out. */
HRESULT
mapi_routines(LPALLOCATEBUFFER *allocate, LPALLOCATEMORE *more, LPFREEBUFFER *release)
{
    *allocate = MAPIAllocateBuffer;
    *more = MAPIAllocateMore;
    *release = MAPIFreeBuffer;
    return S_OK;
}

SCODE mapi_reallocate(LPVOID buffer, ULONG bytes, LPVOID *out)
{
    typedef SCODE WINAPI function(LPVOID, ULONG, LPVOID *);
    function *call = (function *)find("MAPIReallocateBuffer", "MAPIReallocateBuffer@12");
    return call ? call(buffer, bytes, out) : MAPI_E_CALL_FAILED;
}

int main(int argc, char **argv)
{
    return mapi_cases_run(argc, argv, worlds, COUNT(worlds), enter, leave);
}
