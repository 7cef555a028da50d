/* SPDX-License-Identifier: MIT */
/**
 * @file mapi.h
 * @brief The bridge to MAPI memory: MAPIAllocateBuffer, MAPIAllocateMore, MAPIFreeBuffer and what goes with them,
 *        over any host.
 *
 *     hm_mapi_set_host(host, &err);                or nothing: $HOSTMALLOC, else "default"
 *     SPropValue *value;
 *     MAPIAllocateBuffer(sizeof *value, (LPVOID *)&value);
 *     MAPIAllocateMore(32, value, (LPVOID *)&value->Value.lpszA);
 *     MAPIFreeBuffer(value);                       both are gone
 *
 * Scope of the hook: the process. Window: before its first block; hm_mapi_verify() tells who was first.
 * What MAPI does not tell: how critical a request is, and its size when it is freed. A line of source comes along
 * where HM_MAPI_SITES was defined before the include.
 *
 * The names of MAPI are declared, and exist in libhostmalloc_bridge_mapi, only where the platform has none; where its
 * mapix.h and mapiutil.h are found, they are included and HM_MAPI_NATIVE is defined. A program with headers of its
 * own for them defines HM_MAPI_NATIVE before the first include and includes them itself.
 * Link hostmalloc::bridge_mapi, then hostmalloc::hostmalloc.
 * Every function has a name of ours as well, which exists everywhere; HM_MAPI_OURS, defined before the include,
 * makes MAPI's names stand for ours even where the platform has its own.
 *
 * What the documentation leaves open:
 *  - A buffer is a root (MAPIAllocateBuffer) or linked to one (MAPIAllocateMore). Passing a linked one where a root is
 *    asked for, or a pointer that is neither, is MAPI_E_INVALID_PARAMETER, and nothing happens: nothing is read
 *    through it, a debugging host reports it. MAPIFreeBuffer(NULL) is S_OK.
 *  - Zero bytes are a buffer of their own. Buffers are aligned to alignof(max_align_t), the one of the platform.
 *  - A call that fails leaves its out parameter NULL; MAPIReallocateBuffer leaves it as it was.
 *  - MAPIReallocateBuffer: the new root takes over what was linked to the old one, which is freed; after a failure the
 *    old one is as before. NULL in place of the old one allocates.
 *  - Any thread may do anything at any time, also with one root. Using a buffer while it is freed is an error.
 *  - The blocks of MAPIGetDefaultMalloc() are apart from the buffers, and from task memory (ole.h).
 *  - The allocator functions need no MAPIInitialize.
 * Stable since 1.0: names, values and layouts are the platform's and never change.
 */
#ifndef HM_BRIDGES_MAPI_H
#define HM_BRIDGES_MAPI_H

#include <hostmalloc/bridges/com.h>
#include <hostmalloc/runtime.h>

#if !defined(HM_MAPI_NATIVE) && defined(HM_COM_NATIVE) && defined(__has_include)
#if __has_include(<mapix.h>) && __has_include(<mapiutil.h>)
#define HM_MAPI_NATIVE 1
#include <mapiutil.h>
#include <mapix.h>
#endif
#endif

#ifndef HM_MAPI_NATIVE

#define SUCCESS_SUCCESS                ((SCODE)0)
#define hrSuccess                      ((HRESULT)0)
#define MAPI_E_CALL_FAILED             ((SCODE)0x80004005u)
#define MAPI_E_INTERFACE_NOT_SUPPORTED ((SCODE)0x80004002u)
#define MAPI_E_NO_ACCESS               ((SCODE)0x80070005u)
#define MAPI_E_NOT_ENOUGH_MEMORY       ((SCODE)0x8007000eu)
#define MAPI_E_INVALID_PARAMETER       ((SCODE)0x80070057u)
#define MAPI_E_NO_SUPPORT              ((SCODE)0x80040102u)
#define MAPI_E_NOT_ENOUGH_RESOURCES    ((SCODE)0x8004010eu)
#define MAPI_E_NOT_INITIALIZED         ((SCODE)0x80040605u)
#define MAPI_W_ERRORS_RETURNED         ((SCODE)0x00040380)

/** The routines of an allocator, which are handed to providers as pointers. */
typedef SCODE(WINAPI ALLOCATEBUFFER)(ULONG cbSize, LPVOID *lppBuffer);
typedef SCODE(WINAPI ALLOCATEMORE)(ULONG cbSize, LPVOID lpObject, LPVOID *lppBuffer);
typedef ULONG(WINAPI FREEBUFFER)(LPVOID lpBuffer);
typedef ALLOCATEBUFFER *LPALLOCATEBUFFER;
typedef ALLOCATEMORE *LPALLOCATEMORE;
typedef FREEBUFFER *LPFREEBUFFER;

#define MV_FLAG        0x1000
#define PT_UNSPECIFIED ((ULONG)0)
#define PT_NULL        ((ULONG)1)
#define PT_I2          ((ULONG)2)
#define PT_LONG        ((ULONG)3)
#define PT_R4          ((ULONG)4)
#define PT_DOUBLE      ((ULONG)5)
#define PT_CURRENCY    ((ULONG)6)
#define PT_APPTIME     ((ULONG)7)
#define PT_ERROR       ((ULONG)10)
#define PT_BOOLEAN     ((ULONG)11)
#define PT_OBJECT      ((ULONG)13)
#define PT_I8          ((ULONG)20)
#define PT_STRING8     ((ULONG)30)
#define PT_UNICODE     ((ULONG)31)
#define PT_SYSTIME     ((ULONG)64)
#define PT_CLSID       ((ULONG)72)
#define PT_BINARY      ((ULONG)258)
#define PT_MV_I2       (MV_FLAG | PT_I2)
#define PT_MV_LONG     (MV_FLAG | PT_LONG)
#define PT_MV_R4       (MV_FLAG | PT_R4)
#define PT_MV_DOUBLE   (MV_FLAG | PT_DOUBLE)
#define PT_MV_CURRENCY (MV_FLAG | PT_CURRENCY)
#define PT_MV_APPTIME  (MV_FLAG | PT_APPTIME)
#define PT_MV_I8       (MV_FLAG | PT_I8)
#define PT_MV_STRING8  (MV_FLAG | PT_STRING8)
#define PT_MV_UNICODE  (MV_FLAG | PT_UNICODE)
#define PT_MV_SYSTIME  (MV_FLAG | PT_SYSTIME)
#define PT_MV_CLSID    (MV_FLAG | PT_CLSID)
#define PT_MV_BINARY   (MV_FLAG | PT_BINARY)

#define PROP_TYPE(tag)     ((ULONG)(tag)&0xffffu)
#define PROP_ID(tag)       ((ULONG)(tag) >> 16)
#define PROP_TAG(type, id) ((ULONG)(id) << 16 | (ULONG)(type))

#ifndef HM_COM_NATIVE
typedef BYTE *LPBYTE;
typedef GUID *LPGUID;
typedef struct _FILETIME {
    DWORD dwLowDateTime;
    DWORD dwHighDateTime;
} FILETIME;
typedef union _LARGE_INTEGER {
    struct {
        DWORD LowPart;
        LONG HighPart;
    } u;
    int64_t QuadPart;
} LARGE_INTEGER;
typedef union tagCY {
    struct {
        ULONG Lo;
        LONG Hi;
    } u;
    int64_t int64;
} CY;
#endif

/* Counted values: a number and an array. */
typedef struct _SBinary {
    ULONG cb;
    LPBYTE lpb;
} SBinary;
typedef struct _SShortArray {
    ULONG cValues;
    int16_t *lpi;
} SShortArray;
typedef struct _SLongArray {
    ULONG cValues;
    LONG *lpl;
} SLongArray;
typedef struct _SRealArray {
    ULONG cValues;
    float *lpflt;
} SRealArray;
typedef struct _SDoubleArray {
    ULONG cValues;
    double *lpdbl;
} SDoubleArray;
typedef struct _SCurrencyArray {
    ULONG cValues;
    CY *lpcur;
} SCurrencyArray;
typedef struct _SAppTimeArray {
    ULONG cValues;
    double *lpat;
} SAppTimeArray;
typedef struct _SDateTimeArray {
    ULONG cValues;
    FILETIME *lpft;
} SDateTimeArray;
typedef struct _SBinaryArray {
    ULONG cValues;
    SBinary *lpbin;
} SBinaryArray;
typedef struct _SLPSTRArray {
    ULONG cValues;
    LPSTR *lppszA;
} SLPSTRArray;
typedef struct _SWStringArray {
    ULONG cValues;
    LPWSTR *lppszW;
} SWStringArray;
typedef struct _SGuidArray {
    ULONG cValues;
    GUID *lpguid;
} SGuidArray;
typedef struct _SLargeIntegerArray {
    ULONG cValues;
    LARGE_INTEGER *lpli;
} SLargeIntegerArray;

/** A property: its tag says which member of Value counts. */
typedef struct _SPropValue {
    ULONG ulPropTag;
    ULONG dwAlignPad;
    union _PV {
        int16_t i;
        LONG l;
        ULONG ul;
        float flt;
        double dbl;
        uint16_t b;
        CY cur;
        double at;
        FILETIME ft;
        LPSTR lpszA;
        SBinary bin;
        LPWSTR lpszW;
        LPGUID lpguid;
        LARGE_INTEGER li;
        SShortArray MVi;
        SLongArray MVl;
        SRealArray MVflt;
        SDoubleArray MVdbl;
        SCurrencyArray MVcur;
        SAppTimeArray MVat;
        SDateTimeArray MVft;
        SBinaryArray MVbin;
        SLPSTRArray MVszA;
        SWStringArray MVszW;
        SGuidArray MVguid;
        SLargeIntegerArray MVli;
        SCODE err;
        LONG x;
    } Value;
} SPropValue;
typedef SPropValue *LPSPropValue;

/* The exception to one root per structure: each entry's array is a root of its own, so that entries can be taken out.
   Both are laid out alike. */
typedef struct _ADRENTRY {
    ULONG ulReserved1;
    ULONG cValues;
    LPSPropValue rgPropVals;
} ADRENTRY;
typedef struct _ADRLIST {
    ULONG cEntries;
    ADRENTRY aEntries[1];
} ADRLIST;
typedef ADRLIST *LPADRLIST;
typedef struct _SRow {
    ULONG ulAdrEntryPad;
    ULONG cValues;
    LPSPropValue lpProps;
} SRow;
typedef struct _SRowSet {
    ULONG cRows;
    SRow aRow[1];
} SRowSet;
typedef SRowSet *LPSRowSet;

#define CbNewADRLIST(count) (offsetof(ADRLIST, aEntries) + (count) * sizeof(ADRENTRY))
#define CbNewSRowSet(count) (offsetof(SRowSet, aRow) + (count) * sizeof(SRow))

#endif

HM_STATIC_ASSERT(sizeof(SPropValue) == 8 + 2 * sizeof(void *), "as on the wire");
HM_STATIC_ASSERT(sizeof(ADRLIST) == sizeof(SRowSet) && sizeof(ADRENTRY) == sizeof(SRow) &&
                     offsetof(ADRLIST, aEntries) == offsetof(SRowSet, aRow) &&
                     offsetof(ADRENTRY, rgPropVals) == offsetof(SRow, lpProps),
                 "a list of addresses is a set of rows");

HM_BEGIN_DECLS

/**
 * MAPI's memory comes from @p host from now on. A host that grants no exact malloc gets the sizes and owners
 * kept for it.
 * @return HM_E_STARTED after the first call of the allocator, naming it; what @p host says to a malloc
 * @threads any
 */
hm_status hm_mapi_set_host(hm_host *host, hm_error *err);

/** The same with a malloc, which is referenced; HM_E_INVALID for one made for one thread. @threads any */
hm_status hm_mapi_set_malloc(hm_malloc *m, hm_error *err);

/** The malloc that serves MAPI, without a reference; NULL before the first call. @threads any */
hm_malloc *hm_mapi_malloc(void);

/**
 * Does MAPI's memory come from the host that was chosen?
 * @param[out] first who called first, NULL if nobody did yet; NULL allowed
 * @return HM_OK it does; HM_E_STARTED somebody called before a host was chosen; HM_E_NOT_FOUND none was
 *         chosen and nobody called; HM_E_NOT_OWNED MAPI's names are the platform's own
 * @threads any
 */
hm_status hm_mapi_verify(const hm_site **first, hm_error *err);

/**
 * Give the malloc and its host back; a host can be chosen again.
 * @param[out] leaks what is live, size set by the caller; NULL allowed
 * @return HM_E_STARTED while blocks are live or MAPI is initialised, and then nothing happened
 * @threads startup: no other thread is in any function of this header
 */
hm_status hm_mapi_close(hm_leaks *leaks, hm_error *err);

/* MAPI's functions, under names of ours. @threads any */

/** A new root. MAPI_E_NOT_ENOUGH_MEMORY, MAPI_E_INVALID_PARAMETER. */
SCODE WINAPI hm_mapi_allocate(ULONG bytes, LPVOID *out);
/** A buffer linked to the root @p object, in a time that does not depend on how many there are. */
SCODE WINAPI hm_mapi_allocate_more(ULONG bytes, LPVOID object, LPVOID *out);
/** The root @p buffer and all that is linked to it. */
ULONG WINAPI hm_mapi_free(LPVOID buffer);
/** The root @p buffer with another size; *out may be the variable that holds it. */
SCODE WINAPI hm_mapi_reallocate(LPVOID buffer, ULONG bytes, LPVOID *out);
/** The process's IMalloc for MAPI; NULL when there is no memory. Its AddRef and Release answer 1, DidAlloc -1. */
LPMALLOC STDAPICALLTYPE hm_mapi_default_malloc(void);
/** Each entry's array, then the set; NULL does nothing. Entries beyond the buffer's end are not looked at. */
void STDAPICALLTYPE hm_mapi_free_rows(LPSRowSet rows);
void STDAPICALLTYPE hm_mapi_free_addresses(LPADRLIST list);
/**
 * A deep copy of a property; strings, binaries, identifiers and arrays go into buffers that @p more links to @p object.
 * @return what @p more says; MAPI_E_NO_SUPPORT for a type that is none; MAPI_E_INVALID_PARAMETER. On failure @p to is
 *         as it was, and what was linked to @p object goes with it
 */
SCODE STDAPICALLTYPE hm_mapi_copy_more(LPSPropValue to,
                                       LPSPropValue from,
                                       ALLOCATEMORE *more,
                                       LPVOID object);
/** MAPI_E_INVALID_PARAMETER unless @p reserved is 0. */
SCODE STDAPICALLTYPE hm_mapi_init_util(ULONG reserved);
void STDAPICALLTYPE hm_mapi_deinit_util(void);
/** Counted; MAPI_E_NOT_ENOUGH_RESOURCES when the host cannot be opened. @p options is not looked at. */
HRESULT WINAPI hm_mapi_initialize(LPVOID options);
/** One less; without an hm_mapi_initialize() before it nothing. */
void WINAPI hm_mapi_uninitialize(void);

/**
 * The routines for a provider, as IMAPISupport::GetMemAllocRoutines gives them. A buffer is freed with the routine of
 * the set it came from.
 * @return S_OK; MAPI_E_INVALID_PARAMETER; MAPI_E_NOT_INITIALIZED before MAPIInitialize; then all three are NULL
 */
HRESULT STDAPICALLTYPE hm_mapi_routines(LPALLOCATEBUFFER *allocate,
                                        LPALLOCATEMORE *more,
                                        LPFREEBUFFER *release);

/* With the caller's site, which a debugging host remembers. NULL is none. @threads any */
SCODE hm_mapi_allocate_at(ULONG bytes, LPVOID *out, hm_site *site);
SCODE hm_mapi_allocate_more_at(ULONG bytes, LPVOID object, LPVOID *out, hm_site *site);
SCODE hm_mapi_reallocate_at(LPVOID buffer, ULONG bytes, LPVOID *out, hm_site *site);
ULONG hm_mapi_free_at(LPVOID buffer, hm_site *site);

#ifndef HM_MAPI_NATIVE
SCODE WINAPI MAPIAllocateBuffer(ULONG bytes, LPVOID *out);
SCODE WINAPI MAPIAllocateMore(ULONG bytes, LPVOID object, LPVOID *out);
ULONG WINAPI MAPIFreeBuffer(LPVOID buffer);
SCODE WINAPI MAPIReallocateBuffer(LPVOID buffer, ULONG bytes, LPVOID *out);
LPMALLOC STDAPICALLTYPE MAPIGetDefaultMalloc(void);
void STDAPICALLTYPE FreeProws(LPSRowSet rows);
void STDAPICALLTYPE FreePadrlist(LPADRLIST list);
SCODE STDAPICALLTYPE PropCopyMore(LPSPropValue to,
                                  LPSPropValue from,
                                  ALLOCATEMORE *more,
                                  LPVOID object);
SCODE STDAPICALLTYPE ScInitMapiUtil(ULONG reserved);
void STDAPICALLTYPE DeinitMapiUtil(void);
HRESULT WINAPI MAPIInitialize(LPVOID options);
void WINAPI MAPIUninitialize(void);
#endif

HM_END_DECLS

#ifdef HM_MAPI_OURS
#define MAPIGetDefaultMalloc hm_mapi_default_malloc
#define FreeProws            hm_mapi_free_rows
#define FreePadrlist         hm_mapi_free_addresses
#define PropCopyMore         hm_mapi_copy_more
#define ScInitMapiUtil       hm_mapi_init_util
#define DeinitMapiUtil       hm_mapi_deinit_util
#define MAPIInitialize       hm_mapi_initialize
#define MAPIUninitialize     hm_mapi_uninitialize
#ifndef HM_MAPI_SITES
#define MAPIAllocateBuffer   hm_mapi_allocate
#define MAPIAllocateMore     hm_mapi_allocate_more
#define MAPIFreeBuffer       hm_mapi_free
#define MAPIReallocateBuffer hm_mapi_reallocate
#endif
#endif

/* Macros with arguments: the bare names still are the functions, to be passed as routines. */
#ifdef HM_MAPI_SITES
#define MAPIAllocateBuffer(bytes, out) hm_mapi_allocate_at((bytes), (out), HM_SITE)
#define MAPIAllocateMore(bytes, object, out) \
    hm_mapi_allocate_more_at((bytes), (object), (out), HM_SITE)
#define MAPIFreeBuffer(buffer) hm_mapi_free_at((buffer), HM_SITE)
#define MAPIReallocateBuffer(buffer, bytes, out) \
    hm_mapi_reallocate_at((buffer), (bytes), (out), HM_SITE)
#endif

#endif
