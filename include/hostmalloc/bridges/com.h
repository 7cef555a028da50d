/* SPDX-License-Identifier: MIT */
/**
 * @file com.h
 * @brief The ground of the bridges that speak COM: its types, result codes and first two interfaces, for C and C++.
 *
 * Programs include the bridge they use (ole.h, ...), which includes this. Where the platform brings these names,
 * its own headers are included and nothing is declared here; elsewhere this header declares the same names with
 * the same widths, values and slot orders, so that one source builds against both. Widths are those of the
 * wire, not of C: a LONG has 32 bits where long has 64.
 *
 * As in the platform's headers, an interface is a struct of one pointer, lpVtbl, in C (or with CINTERFACE defined),
 * and a class of pure virtual functions in C++; both have the same layout. COBJMACROS, defined before the
 * include, adds the call macros of C: IMalloc_Alloc(m, 16).
 *
 * HM_COM_NATIVE is defined when the names are the platform's. A program on another system that has headers
 * like the platform's of its own (Wine's) defines it before the first include and includes them itself.
 * Stable since 1.0: names, values and layouts are the platform's and never change.
 */
#ifndef HM_BRIDGES_COM_H
#define HM_BRIDGES_COM_H

#include <hostmalloc/abi.h>

#if defined(_WIN32) || defined(__WINE__)

#ifndef HM_COM_NATIVE
#define HM_COM_NATIVE 1
#endif
/* Tables of methods are constants; the platform's headers for C say so only on request. */
#if !defined(__cplusplus) && !defined(CONST_VTABLE)
#define CONST_VTABLE
#endif
#include <objbase.h>

#elif !defined(HM_COM_NATIVE)

/* Calling conventions: one only, where these names are ours. */
#define STDMETHODCALLTYPE
#define STDAPICALLTYPE
#define WINAPI

typedef uint8_t BYTE;
typedef uint16_t WORD;
typedef uint32_t DWORD;
typedef int16_t SHORT;
typedef uint16_t USHORT;
typedef int32_t INT;
typedef uint32_t UINT;
typedef int32_t LONG;
typedef uint32_t ULONG;
typedef int32_t BOOL;
typedef size_t SIZE_T;
typedef int32_t HRESULT;
typedef int32_t SCODE;
typedef char CHAR;
#ifdef __cplusplus
typedef char16_t WCHAR;
#else
typedef uint16_t WCHAR;
#endif
typedef void *PVOID;
typedef void *LPVOID;
typedef const void *LPCVOID;
typedef DWORD *LPDWORD;
typedef CHAR *LPSTR;
typedef const CHAR *LPCSTR;
typedef WCHAR *LPWSTR;
typedef const WCHAR *LPCWSTR;
typedef void *HANDLE;
typedef void *HMODULE;
typedef void *HWND;

#ifndef FALSE
#define FALSE 0
#endif
#ifndef TRUE
#define TRUE 1
#endif

typedef struct _GUID {
    uint32_t Data1;
    uint16_t Data2;
    uint16_t Data3;
    uint8_t Data4[8];
} GUID;
typedef GUID IID;
typedef GUID CLSID;
HM_STATIC_ASSERT(sizeof(GUID) == 16, "a GUID is 16 bytes on every system");

#ifdef __cplusplus
typedef const GUID &REFGUID;
typedef const IID &REFIID;
#define IsEqualGUID(one, other) (hm_com_same_iid(&(one), &(other)) != 0)
#else
typedef const GUID *REFGUID;
typedef const IID *REFIID;
#define IsEqualGUID(one, other) (hm_com_same_iid((one), (other)))
#endif
#define IsEqualIID(one, other) IsEqualGUID(one, other)

#define SEVERITY_SUCCESS 0
#define SEVERITY_ERROR   1
#define FACILITY_NULL    0
#define FACILITY_ITF     4
#define FACILITY_WIN32   7

#define SUCCEEDED(hr)        ((HRESULT)(hr) >= 0)
#define FAILED(hr)           ((HRESULT)(hr) < 0)
#define HRESULT_SEVERITY(hr) ((uint32_t)(hr) >> 31)
#define HRESULT_FACILITY(hr) ((uint32_t)(hr) >> 16 & 0x7ffu)
#define HRESULT_CODE(hr)     ((uint32_t)(hr)&0xffffu)
#define MAKE_HRESULT(severity, facility, code)                           \
    ((HRESULT)((uint32_t)(severity) << 31 | (uint32_t)(facility) << 16 | \
               (uint32_t)(code)))

#define NOERROR             0
#define S_OK                ((HRESULT)0)
#define S_FALSE             ((HRESULT)1)
#define E_NOTIMPL           ((HRESULT)0x80004001u)
#define E_NOINTERFACE       ((HRESULT)0x80004002u)
#define E_POINTER           ((HRESULT)0x80004003u)
#define E_FAIL              ((HRESULT)0x80004005u)
#define E_UNEXPECTED        ((HRESULT)0x8000ffffu)
#define E_ACCESSDENIED      ((HRESULT)0x80070005u)
#define E_OUTOFMEMORY       ((HRESULT)0x8007000eu)
#define E_INVALIDARG        ((HRESULT)0x80070057u)
#define CO_E_NOTINITIALIZED ((HRESULT)0x800401f0u)
#define CO_E_OBJNOTREG      ((HRESULT)0x800401fbu)
#define CO_E_OBJISREG       ((HRESULT)0x800401fcu)

typedef struct IUnknown IUnknown;
typedef IUnknown *LPUNKNOWN;
typedef struct IMalloc IMalloc;
typedef IMalloc *LPMALLOC;

#if defined(__cplusplus) && !defined(CINTERFACE)

/** The base of every interface. */
struct IUnknown {
    virtual HRESULT STDMETHODCALLTYPE QueryInterface(REFIID riid, void **object) = 0;
    virtual ULONG STDMETHODCALLTYPE AddRef() = 0;
    virtual ULONG STDMETHODCALLTYPE Release() = 0;
};

/** An allocator. */
struct IMalloc : public IUnknown {
    virtual void *STDMETHODCALLTYPE Alloc(SIZE_T bytes) = 0;
    virtual void *STDMETHODCALLTYPE Realloc(void *block, SIZE_T bytes) = 0;
    virtual void STDMETHODCALLTYPE Free(void *block) = 0;
    virtual SIZE_T STDMETHODCALLTYPE GetSize(void *block) = 0;
    virtual int STDMETHODCALLTYPE DidAlloc(void *block) = 0;
    virtual void STDMETHODCALLTYPE HeapMinimize() = 0;
};

#else

/** The base of every interface. */
typedef struct IUnknownVtbl {
    HRESULT(STDMETHODCALLTYPE *QueryInterface)
    (IUnknown *self, REFIID riid, void **object);
    ULONG(STDMETHODCALLTYPE *AddRef)(IUnknown *self);
    ULONG(STDMETHODCALLTYPE *Release)(IUnknown *self);
} IUnknownVtbl;
struct IUnknown {
    const IUnknownVtbl *lpVtbl;
};

/** An allocator. */
typedef struct IMallocVtbl {
    HRESULT(STDMETHODCALLTYPE *QueryInterface)(IMalloc *self, REFIID riid, void **object);
    ULONG(STDMETHODCALLTYPE *AddRef)(IMalloc *self);
    ULONG(STDMETHODCALLTYPE *Release)(IMalloc *self);
    void *(STDMETHODCALLTYPE *Alloc)(IMalloc *self, SIZE_T bytes);
    void *(STDMETHODCALLTYPE *Realloc)(IMalloc *self, void *block, SIZE_T bytes);
    void(STDMETHODCALLTYPE *Free)(IMalloc *self, void *block);
    SIZE_T(STDMETHODCALLTYPE *GetSize)(IMalloc *self, void *block);
    int(STDMETHODCALLTYPE *DidAlloc)(IMalloc *self, void *block);
    void(STDMETHODCALLTYPE *HeapMinimize)(IMalloc *self);
} IMallocVtbl;
struct IMalloc {
    const IMallocVtbl *lpVtbl;
};

HM_STATIC_ASSERT(sizeof(IUnknownVtbl) == 3 * sizeof(void (*)(void)), "3 slots");
HM_STATIC_ASSERT(sizeof(IMallocVtbl) == 9 * sizeof(void (*)(void)), "9 slots");

#ifdef COBJMACROS
#define IUnknown_QueryInterface(self, riid, object) \
    (self)->lpVtbl->QueryInterface(self, riid, object)
#define IUnknown_AddRef(self)  (self)->lpVtbl->AddRef(self)
#define IUnknown_Release(self) (self)->lpVtbl->Release(self)
#define IMalloc_QueryInterface(self, riid, object) \
    (self)->lpVtbl->QueryInterface(self, riid, object)
#define IMalloc_AddRef(self)                (self)->lpVtbl->AddRef(self)
#define IMalloc_Release(self)               (self)->lpVtbl->Release(self)
#define IMalloc_Alloc(self, bytes)          (self)->lpVtbl->Alloc(self, bytes)
#define IMalloc_Realloc(self, block, bytes) (self)->lpVtbl->Realloc(self, block, bytes)
#define IMalloc_Free(self, block)           (self)->lpVtbl->Free(self, block)
#define IMalloc_GetSize(self, block)        (self)->lpVtbl->GetSize(self, block)
#define IMalloc_DidAlloc(self, block)       (self)->lpVtbl->DidAlloc(self, block)
#define IMalloc_HeapMinimize(self)          (self)->lpVtbl->HeapMinimize(self)
#endif

#endif

HM_BEGIN_DECLS

/* In libhostmalloc_bridge_com, once for all bridges. */
extern const IID IID_IUnknown;
extern const IID IID_IMalloc;

HM_END_DECLS

#endif

#if defined(__cplusplus) && !defined(CINTERFACE)
#define HM_COM_CLASSES 1 /**< interfaces are classes in this translation unit */
#endif

/** 1 if two interface identifiers are the same, NULL being no identifier at all. */
static inline int hm_com_same_iid(const GUID *one, const GUID *other)
{
    if (!one || !other) {
        return 0;
    }
    int same = one->Data1 == other->Data1 && one->Data2 == other->Data2 &&
               one->Data3 == other->Data3;
    for (int i = 0; i < 8; i++) {
        same = same && one->Data4[i] == other->Data4[i];
    }
    return same;
}

#endif
