/* SPDX-License-Identifier: MIT */
/* Asking an object what it is, and counting what that cost. */
#include <hostmalloc/bridges/params.h>

#define WHERE  "references"
#define ROUNDS 3

/* Nobody's. */
static const IID stranger = {
    0x6b0d41a2, 0x91c4, 0x4f0e, {0x8a, 0x55, 0x1d, 0x3c, 0x72, 0x99, 0xe0, 0x47}};
static const IID unknown = {0, 0, 0, {0xc0, 0, 0, 0, 0, 0, 0, 0x46}};

#define P0 ((void *)(uintptr_t)0xdeadbeef)

static hm_status wrong(hm_error *err, const char *what, unsigned is, unsigned should)
{
    return hm_error_set(err, HM_E_INVALID, WHERE, "%s: %u, expected %u", what, is,
                        should);
}

/* References that it has; what is answered for a constant one means nothing. */
static ULONG references(IUnknown *object)
{
    object->lpVtbl->AddRef(object);
    return object->lpVtbl->Release(object);
}

/* After a wrong answer: as many as it says it still has of ours go back, and no more, or it would be gone. */
static void give_back(IUnknown *object, ULONG is, ULONG had, ULONG taken)
{
    while (taken-- > 0 && is > had) {
        is = object->lpVtbl->Release(object);
    }
}

static hm_status check_counts(const hm_references *e, ULONG had, hm_error *err)
{
    const int constant = e->add_ref || e->release;
    IUnknown *object = e->object;
    for (ULONG i = 1; i <= ROUNDS; i++) {
        const ULONG should = constant ? e->add_ref : had + i;
        const ULONG is = object->lpVtbl->AddRef(object);
        if (is != should) {
            give_back(object, is, constant ? 0 : had, i);
            return wrong(err, "AddRef answers", is, should);
        }
    }
    for (ULONG i = ROUNDS; i > 0; i--) {
        const ULONG should = constant ? e->release : had + i - 1;
        const ULONG is = object->lpVtbl->Release(object);
        if (is != should) {
            give_back(object, is, constant ? 0 : had, i - 1);
            return wrong(err, "Release answers", is, should);
        }
    }
    return HM_OK;
}

/* *out has a reference, unless something is wrong. */
static hm_status ask(IUnknown *object, const IID *iid, IUnknown **out, hm_error *err)
{
    void *answer = P0;
    const HRESULT result = object->lpVtbl->QueryInterface(object, iid, &answer);
    *out = NULL;
    if (result != S_OK || !answer || answer == P0) {
        return hm_error_set(err, HM_E_INVALID, WHERE,
                            "QueryInterface of %x answers 0x%x, expected an interface",
                            (unsigned)iid->Data1, (unsigned)result);
    }
    *out = answer;
    return HM_OK;
}

/* The same question twice, and who the answer says that it is. */
static hm_status check_interface(const hm_references *e,
                                 const IID *iid,
                                 const IUnknown *identity,
                                 hm_error *err)
{
    IUnknown *first, *second = NULL, *self = NULL;
    hm_status status = ask(e->object, iid, &first, err);
    if (status != HM_OK) {
        return status;
    }
    status = ask(e->object, iid, &second, err);
    if (status == HM_OK) {
        status = ask(first, &unknown, &self, err);
    }
    if (status == HM_OK && first != second) {
        status =
            hm_error_set(err, HM_E_INVALID, WHERE, "QueryInterface of %x has two answers",
                         (unsigned)iid->Data1);
    }
    if (status == HM_OK && self != identity) {
        status =
            hm_error_set(err, HM_E_INVALID, WHERE, "the IUnknown of %x is another object",
                         (unsigned)iid->Data1);
    }
    if (self) {
        self->lpVtbl->Release(self);
    }
    if (second) {
        second->lpVtbl->Release(second);
    }
    first->lpVtbl->Release(first);
    return status;
}

static hm_status check_stranger(IUnknown *object, hm_error *err)
{
    void *answer = P0;
    const HRESULT result = object->lpVtbl->QueryInterface(object, &stranger, &answer);
    if (result != E_NOINTERFACE || answer) {
        if (result == S_OK && answer && answer != P0) {
            ((IUnknown *)answer)->lpVtbl->Release(answer);
        }
        return hm_error_set(err, HM_E_INVALID, WHERE,
                            "QueryInterface of a stranger's answers 0x%x%s, expected "
                            "E_NOINTERFACE and NULL",
                            (unsigned)result, answer ? " and a pointer" : "");
    }
    return HM_OK;
}

hm_status hm_references_check(const hm_references *expected, hm_error *err)
{
    if (!expected || expected->size < sizeof *expected || !expected->object ||
        (expected->count && !expected->interfaces)) {
        return hm_error_set(err, HM_E_INVALID, WHERE, "nothing to look at");
    }
    IUnknown *const object = expected->object;
    const ULONG had = references(object);
    IUnknown *identity;
    hm_status status = check_counts(expected, had, err);
    if (status == HM_OK) {
        status = ask(object, &unknown, &identity, err);
    }
    if (status != HM_OK) {
        return status;
    }
    status = check_interface(expected, &unknown, identity, err);
    for (size_t i = 0; status == HM_OK && i < expected->count; i++) {
        status = check_interface(expected, expected->interfaces[i], identity, err);
    }
    identity->lpVtbl->Release(identity);
    if (status == HM_OK) {
        status = check_stranger(object, err);
    }
    if (status == HM_OK && references(object) != had) {
        status = wrong(err, "references afterwards", references(object), had);
    }
    return status;
}
